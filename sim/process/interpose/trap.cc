// SPDX-License-Identifier: Apache-2.0
//
// System calls that do not come by libc's names: those that a program makes by their number, through syscall() or by an
// instruction of its own, and those that libc makes inside itself. A filter of the kernel turns them into SIGSYS, whose
// handler answers as the world does, or ends the seed.

#include "tandem/sim/process/interpose/trap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/string_view.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/sim/process/interpose/calls.h"
#include "tandem/sim/process/interpose/files.h"
#include "tandem/sim/process/interpose/identity.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/process/interpose/table.h"

// The address behind the system call that passes; see modes.cc.
extern "C" const char tandem_system_call_passed[];

// Defined by the runtime libraries of the sanitizers.
extern "C" void __sanitizer_print_stack_trace() __attribute__((weak));

namespace tandem::sim::interpose {
namespace {

constinit bool g_trapped = false;

// --- Answers ---------------------------------------------------------------------------------------------------------

bool IsWait(long operation) {
  const long command = operation & FUTEX_CMD_MASK;
  return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
}

bool IsTimedWait(long operation, long timeout) {
  const long command = operation & FUTEX_CMD_MASK;
  return timeout != 0 && (IsWait(operation) || command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2 ||
                          command == FUTEX_WAIT_REQUEUE_PI);
}

// A wait with a timeout, which absl::Mutex and std::future make by the number of the call.
long WaitForFutex(const long (&arguments)[6]) {
  const long operation = arguments[1];
  const auto* const word = reinterpret_cast<const uint32_t*>(arguments[0]);
  const long command = operation & FUTEX_CMD_MASK;
  if (IsWait(operation) && *word != static_cast<uint32_t>(arguments[2])) {
    return -EAGAIN;
  }
  const clockid_t clock = (operation & FUTEX_CLOCK_REALTIME) != 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  const auto& timeout = *reinterpret_cast<const timespec*>(arguments[3]);
  int64_t left_ns = FromTimespec(timeout);
  if (command != FUTEX_WAIT) left_ns -= SimulatedClockNs(Mode::kWorld, clock);
  const WorldHooks& hooks = Hooks();
  if (left_ns > 0 && (hooks.sleep == nullptr || !hooks.sleep(hooks.context, left_ns))) {
    FailByName("a wait with a timeout (system call futex)",
               "nobody could end it but time, which stands still: co_await a Tandem lock, event or channel with a "
               "deadline instead");
  }
  return -ETIMEDOUT;
}

// A wait without a timeout, as of std::mutex. Where there is no other thread nothing can end it.
bool IsHopelessWait(const long (&arguments)[6]) {
  return IsWait(arguments[1]) && arguments[3] == 0 && __libc_single_threaded != 0 &&
         *reinterpret_cast<const uint32_t*>(arguments[0]) == static_cast<uint32_t>(arguments[2]);
}

long Pass(long number, const long (&arguments)[6]) {
  return tandem_system_call(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

template <typename T>
T* At(long address) {
  return reinterpret_cast<T*>(address);
}

long OpenForHost(long number, const long (&arguments)[6], int directory, const char* path, uint64_t flags) {
  const CallEntry* const entry = FindSystemCall(number);
  CheckMayOpen(Mode::kWorld, entry->name, directory, path, OpensToWrite(static_cast<int>(flags)));
  return Pass(number, arguments);
}

long AnswerForHost(long number, const long (&arguments)[6]) {
  switch (number) {
    case SYS_getpid:
    case SYS_gettid:
      return HostProcessId();
    case SYS_getppid:
      return 1;
    case SYS_getuid:
    case SYS_geteuid:
    case SYS_getgid:
    case SYS_getegid:
      return kHostUser;
    case SYS_uname:
      DescribeHost(At<utsname>(arguments[0]));
      return 0;
    case SYS_sysinfo:
      DescribeMemory(At<struct sysinfo>(arguments[0]));
      return 0;
    case SYS_sched_getaffinity:
      return SetFirstProcessor(static_cast<size_t>(arguments[1]), At<void>(arguments[2]));
    case SYS_getcpu:
      for (const int i : {0, 1}) {
        if (arguments[i] != 0) *At<unsigned>(arguments[i]) = 0;
      }
      return 0;
    case SYS_getrlimit:
      if (arguments[1] == 0) return -EFAULT;
      return LimitOfHost(static_cast<int>(arguments[0]), nullptr, At<void>(arguments[1]));
    case SYS_setrlimit:
      if (arguments[1] == 0) return -EFAULT;
      return LimitOfHost(static_cast<int>(arguments[0]), At<void>(arguments[1]), nullptr);
    case SYS_prlimit64:
      return LimitOfHost(static_cast<int>(arguments[1]), At<void>(arguments[2]), At<void>(arguments[3]));
    case SYS_open:
      return OpenForHost(number, arguments, AT_FDCWD, At<char>(arguments[0]), static_cast<uint64_t>(arguments[1]));
    case SYS_creat:
      return OpenForHost(number, arguments, AT_FDCWD, At<char>(arguments[0]), O_WRONLY | O_CREAT);
    case SYS_openat:
      return OpenForHost(number, arguments, static_cast<int>(arguments[0]), At<char>(arguments[1]),
                         static_cast<uint64_t>(arguments[2]));
    case SYS_openat2:
      if (arguments[2] == 0) return -EFAULT;
      return OpenForHost(number, arguments, static_cast<int>(arguments[0]), At<char>(arguments[1]),
                         At<open_how>(arguments[2])->flags);
    default:
      FailByName("a system call", "nobody answers it");
  }
}

// --- The handlers ----------------------------------------------------------------------------------------------------

void OnSystemCall(int /*signal*/, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const long arguments[6] = {registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                             registers[REG_R10], registers[REG_R8],  registers[REG_R9]};
  const long number = info->si_syscall;
  // The child of a call that gives it a stack of its own cannot come back through this handler.
  const bool is_lost = !IsInWorld() && (number == SYS_clone3 || (number == SYS_clone && arguments[1] != 0));
  registers[REG_RAX] = is_lost ? -ENOSYS : SystemCall(number, arguments);
  errno = saved_errno;
}

// A program that reads the counter gets SIGSEGV, of which the crash report tells the stack.
void WriteCause(int signal, const void* context, TextWriter write) {
  if (signal != SIGSEGV) return AllowTimeStampCounter(true);
  const greg_t* const registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  const auto* const code = reinterpret_cast<const unsigned char*>(registers[REG_RIP]);
  constexpr greg_t kGeneralProtection = 13;
  AllowTimeStampCounter(true);                              // The report may read a clock.
  if (registers[REG_TRAPNO] != kGeneralProtection) return;  // Else `code` may be no memory.
  const bool rdtsc = code[0] == 0x0f && code[1] == 0x31;
  const bool rdtscp = code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xf9;
  if (!rdtsc && !rdtscp) return;
  write(rdtsc ? "rdtsc" : "rdtscp");
  write(
      " was called in a simulated world: the counter is the machine's; read tandem::Now(), or a clock of libc or "
      "absl (libc reads it for a clock that it uses itself)\n");
}

// --- The filter ------------------------------------------------------------------------------------------------------

constexpr sock_filter Load(size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(offset)); }
constexpr sock_filter IfNot(uint32_t value, unsigned char skip) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
}
constexpr sock_filter Return(uint32_t what) { return BPF_STMT(BPF_RET | BPF_K, what); }

// libc asks these inside itself, for raise() and abort(); by name and by syscall() they are the host's.
bool IsNeededByLibc(long number) {
  return number == SYS_getpid || number == SYS_gettid || number == SYS_getuid || number == SYS_geteuid ||
         number == SYS_getgid || number == SYS_getegid;
}

bool IsOfThreads(absl::string_view name) {
  for (const absl::string_view call : {"clone", "clone3", "fork", "vfork", "execve", "execveat", "wait4", "waitid"}) {
    if (name == call) return true;
  }
  return false;
}

std::vector<sock_filter> MakeFilter(TrapScope scope) {
  const auto passed = reinterpret_cast<uintptr_t>(tandem_system_call_passed);
  constexpr size_t kHigh = 4;  // Behind the low half of a number of 64 bits.
  std::vector<sock_filter> filter = {
      Load(offsetof(seccomp_data, arch)),
      IfNot(AUDIT_ARCH_X86_64, 4),
      Load(offsetof(seccomp_data, instruction_pointer)),
      IfNot(static_cast<uint32_t>(passed), 3),
      Load(offsetof(seccomp_data, instruction_pointer) + kHigh),
      IfNot(static_cast<uint32_t>(passed >> 32), 1),
      Return(SECCOMP_RET_ALLOW),
      Load(offsetof(seccomp_data, nr)),
  };
  for (const CallEntry& entry : CallTable()) {
    if (entry.number < 0 || entry.number == SYS_futex || IsNeededByLibc(entry.number)) continue;
    if (scope == TrapScope::kProgram && IsOfThreads(entry.name)) continue;
    filter.push_back(IfNot(static_cast<uint32_t>(entry.number), 1));
    filter.push_back(Return(SECCOMP_RET_TRAP));
  }
  filter.insert(filter.end(), {
                                  IfNot(SYS_futex, 4),
                                  Load(offsetof(seccomp_data, args) + sizeof(uint64_t)),
                                  BPF_STMT(BPF_ALU | BPF_AND | BPF_K, static_cast<uint32_t>(FUTEX_CMD_MASK)),
                                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAIT, 2, 0),
                                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAIT_BITSET, 1, 0),
                                  Return(SECCOMP_RET_ALLOW),
                                  Return(SECCOMP_RET_TRAP),
                              });
  return filter;
}

bool Install(TrapScope scope) {
  struct sigaction action = {};
  action.sa_sigaction = &OnSystemCall;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGSYS, &action, nullptr) != 0) return false;
  std::vector<sock_filter> filter = MakeFilter(scope);
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         AskMachine(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) == 0;
}

}  // namespace

void AllowTimeStampCounter(bool allow) {
  if (g_trapped) prctl(PR_SET_TSC, allow ? PR_TSC_ENABLE : PR_TSC_SIGSEGV, 0, 0, 0);
}

bool IsTrapped() { return g_trapped; }

long SystemCall(long number, const long (&arguments)[6]) {
  if (!IsInWorld()) return Pass(number, arguments);
  if (number == SYS_futex) {
    if (IsHopelessWait(arguments)) {
      FailByName("a wait for another thread (system call futex)",
                 "there is none, so a lock of the machine that is held, as a std::mutex over an await, is never given "
                 "back: use a Tandem lock, event or channel");
    }
    return IsTimedWait(arguments[1], arguments[3]) ? WaitForFutex(arguments) : Pass(number, arguments);
  }
  const CallEntry* const entry = FindSystemCall(number);
  if (entry == nullptr) return Pass(number, arguments);
  if (entry->kind == CallKind::kServed) return AnswerForHost(number, arguments);
  char call[64];
  snprintf(call, sizeof(call), "the system call %s", entry->name);
  FailByName(call, entry->text);
}

}  // namespace tandem::sim::interpose

namespace tandem::sim {

bool TrapSystemCalls(TrapScope scope) {
  using interpose::g_trapped;
  if (g_trapped) return true;
  const char* const wanted = getenv("TANDEM_TRAP");
  if (&__sanitizer_print_stack_trace != nullptr || (wanted != nullptr && strcmp(wanted, "0") == 0)) return false;
  if (!interpose::Install(scope)) return false;
  g_trapped = true;
  SetCrashCause(&interpose::WriteCause);
  interpose::AllowTimeStampCounter(!interpose::IsInWorld());
  return true;
}

}  // namespace tandem::sim

// The mode of each argument is known to the kernel alone: all six are handed over.
TANDEM_INTERPOSED long syscall(long number, ...) noexcept {
  using ::tandem::sim::interpose::Served;
  tandem::sim::interpose::Intercept(Served::k_syscall);
  long arguments[6];
  va_list list;
  va_start(list, number);
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  return tandem::sim::interpose::SetErrno(tandem::sim::interpose::SystemCall(number, arguments));
}
