// SPDX-License-Identifier: Apache-2.0
//
// A plain main in the simulated world, without googletest, for leaks_test.py. Its argument says what it does: `inside`
// makes a system call by an instruction of its own while its world exists; `after` does so when the world is gone, and
// starts a thread; `program` starts another program then.

#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "tandem/tandem.h"

namespace tandem {
namespace {

// Returns the name of the machine, or of the host, as the kernel says it.
std::string NameByInstruction() {
  utsname name = {};
  long answer;
  asm volatile("syscall" : "=a"(answer) : "a"(SYS_uname), "D"(&name) : "rcx", "r11", "memory");
  return answer == 0 ? name.nodename : "";
}

void SocketByInstruction() {
  long answer;
  asm volatile("syscall" : "=a"(answer) : "a"(SYS_socket), "D"(1), "S"(1), "d"(0) : "rcx", "r11", "memory");
}

Task<void> Main(bool inside) {
  const absl::Status yielded = co_await Yield();
  if (!yielded.ok()) co_return;
  std::printf("in the world: %s\n", NameByInstruction().c_str());
  std::fflush(stdout);
  if (inside) SocketByInstruction();
}

int Run(const char* what) {
  {
    Runtime runtime;
    runtime.BlockOn(Main(std::strcmp(what, "inside") == 0));
  }
  bool ran = false;
  std::thread([&ran] { ran = true; }).join();
  SocketByInstruction();
  std::printf("behind it: %s, a thread %s\n", NameByInstruction().c_str(), ran ? "ran" : "did not run");
  std::fflush(stdout);
  return std::strcmp(what, "program") == 0 ? system("true") : 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) { return argc == 2 ? tandem::Run(argv[1]) : 2; }
