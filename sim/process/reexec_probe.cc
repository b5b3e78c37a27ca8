// SPDX-License-Identifier: Apache-2.0
//
// Prints where things are in its memory, for reexec_test. With the argument `clean` it does so from a clean
// process, with `-disturbed` and `-randomized` behind it from one that is.

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "tandem/sim/process/reexec.h"

namespace {

int g_static = 0;

void PrintAddresses(const char* kind, const void* stack) {
  const auto small = std::make_unique<int>(0);
  const auto large = std::make_unique<char[]>(1 << 20);
  std::printf("%s layout=%s static=%p small=%p large=%p libc=%p stack=%p\n", kind,
              tandem::sim::CurrentAddressLayout() == tandem::sim::AddressLayout::kFixed ? "fixed" : "randomized",
              static_cast<void*>(&g_static), static_cast<void*>(small.get()), static_cast<void*>(large.get()),
              reinterpret_cast<void*>(&std::atexit), stack);
}

int RunClean(bool randomize, bool disturb) {
  tandem::sim::CleanProcessOptions options;
  options.randomize_addresses = randomize;
  options.disturb = disturb;
  options.configuration = "greetings";
  const auto child = tandem::sim::StartCleanProcess(options);
  if (!child.ok()) return 1;
  int status = 0;
  if (waitpid(*child, &status, 0) != *child) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int local = 0;
  if (tandem::sim::IsCleanProcess(argc, argv)) {
    if (tandem::sim::TakeConfiguration() != "greetings") return 2;
    PrintAddresses("clean", &local);
    const char* secret = std::getenv("OUTSIDE");
    const char* directory = std::getenv("TEST_TMPDIR");
    const std::unique_ptr<volatile unsigned char[]> fresh(new unsigned char[3000]);
    const char* zone = std::getenv("TZ");
    const char* language = std::getenv("LANG");
    std::printf("fresh=%d TZ=%s LANG=%s\n", fresh[1500], zone == nullptr ? "" : zone,
                language == nullptr ? "" : language);
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    std::array<char, 4096> folder{};
    const bool at_home = getcwd(folder.data(), folder.size()) != nullptr && std::strcmp(folder.data(), "/") != 0;
    std::printf("group=%s ", getpgrp() == getpid() ? "its own" : "of the caller");
    std::printf("umask=%o files=%ju folder=%s\n", umask(0), static_cast<uintmax_t>(files.rlim_cur),
                at_home ? "of the caller" : "/");
    std::printf("OUTSIDE=%s TEST_TMPDIR=%s\n", secret == nullptr ? "" : secret, directory == nullptr ? "" : directory);
    return 0;
  }
  if (argc == 2) {
    return RunClean(std::strstr(argv[1], "-randomized") != nullptr, std::strstr(argv[1], "-disturbed") != nullptr);
  }
  PrintAddresses("plain", nullptr);
  return 0;
}
