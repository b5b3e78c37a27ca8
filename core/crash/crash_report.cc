// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/crash/crash_report.h"

#include <cxxabi.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iterator>

#include "absl/debugging/symbolize.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/async/executor.h"

// libbacktrace, which comes with the compiler's libraries (libgcc-12-dev in Debian 12) and whose header is in a folder
// that only g++ looks into. This part of it has not changed since 2012.
extern "C" {
struct backtrace_state;
using backtrace_error_callback = void (*)(void* data, const char* message, int error);
using backtrace_full_callback = int (*)(void* data, uintptr_t pc, const char* file, int line, const char* function);
backtrace_state* backtrace_create_state(const char* file, int threaded, backtrace_error_callback error, void* data);
int backtrace_full(backtrace_state* state, int skip, backtrace_full_callback frame, backtrace_error_callback error,
                   void* data);

// Of the sanitizers, where they are linked.
void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));
}

namespace tandem {
namespace {

constexpr int kSignals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
constexpr int kMaxFrames = 64;
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif
#else
constexpr bool kThreadSanitizer = false;
#endif
// An overflown stack is walked to where it began, if that takes no longer than a moment.
constexpr int kMaxRepeats = 1'000'000;

std::atomic<CrashContext> g_context{nullptr};
std::atomic<CrashCause> g_cause{nullptr};
std::atomic<CrashWitness> g_witness{nullptr};
constinit std::atomic<bool> g_begun{false};
backtrace_state* g_state = nullptr;
alignas(16) char g_signal_stack[256 * 1024];

void Write(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

void WriteNumber(uint64_t number, int base, TextWriter write) {
  char digits[24];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), number, base);
  write(absl::string_view(digits, static_cast<size_t>(end.ptr - digits)));
}

void CallWitness() {
  if (const CrashWitness witness = g_witness.load(std::memory_order_acquire)) witness();
}

// A sanitizer has made its report, and ends the process.
void OnDeath() {
  CallWitness();
  WriteCrashContext(&Write);
}

// --- The stack -------------------------------------------------------------------------------------------------------

struct Walk {
  TextWriter write;
  absl::Span<const absl::string_view> leave_out;  // Of the begin, frames in files with this in their path.
  bool from_outside = false;  // The signal was sent: whatever the process did then is what one wants to see.
  int frames = 0;
  bool in_user_code = false;  // Behind the frames of the handler and of whatever raised the signal.
  uintptr_t last_pc = 0;      // The frame before, and how often it came again: a recursion.
  int last_line = 0;
  int repeated = 0;
};

bool IsHandler(absl::string_view file) {
  return absl::StrContains(file, "core/crash/crash_report.cc") || absl::StrContains(file, "libc_sigaction.c");
}

bool IsMachinery(absl::string_view file) {
  for (const absl::string_view part :
       {"sysdeps/", "nptl/", "stdlib/abort.c", "signal/", "absl/log/", "libstdc++-v3/"}) {
    if (absl::StrContains(file, part)) return true;
  }
  return IsHandler(file);
}

bool IsLeftOut(const Walk& walk, absl::string_view file) {
  return std::any_of(walk.leave_out.begin(), walk.leave_out.end(),
                     [file](absl::string_view part) { return absl::StrContains(file, part); });
}

void WriteFunction(uintptr_t pc, const char* function, TextWriter write) {
  char name[512];
  if (function == nullptr) {
    write(absl::Symbolize(reinterpret_cast<void*>(pc), name, sizeof(name)) ? name : "?");
    return;
  }
  // It allocates, which may hang where the heap is broken: the alarm of OnSignal() ends that.
  int status = 0;
  char* const demangled = abi::__cxa_demangle(function, nullptr, nullptr, &status);
  write(demangled != nullptr ? demangled : function);
  std::free(demangled);
}

void EndRepetition(Walk& walk) {
  if (walk.repeated == 0) return;
  walk.write("    ... and ");
  WriteNumber(static_cast<uint64_t>(walk.repeated), 10, walk.write);
  walk.write(" times more\n");
  walk.repeated = 0;
}

int OnFrame(void* data, uintptr_t pc, const char* file, int line, const char* function) {
  Walk& walk = *static_cast<Walk*>(data);
  if (pc == ~uintptr_t{0}) return 0;
  const absl::string_view path = file == nullptr ? "" : file;
  if (!walk.in_user_code && (walk.from_outside ? IsHandler(path) : IsMachinery(path))) return 0;
  if (!walk.in_user_code && IsLeftOut(walk, path)) return 0;
  if (absl::EndsWith(path, "/coroutine")) return 0;  // std::coroutine_handle<>::resume().
  // What is below is the loop. How the task came here, its awaits say.
  if (absl::EndsWith(path, "core/async/executor.cc") && walk.in_user_code) return 1;
  if (walk.last_pc == pc && walk.last_line == line) {
    ++walk.repeated;
    return walk.repeated < kMaxRepeats ? 0 : 1;
  }
  EndRepetition(walk);
  walk.last_pc = pc;
  walk.last_line = line;
  if (++walk.frames > kMaxFrames) return 1;
  walk.in_user_code = true;
  walk.write("    at ");
  if (path.empty()) {
    walk.write("0x");
    WriteNumber(pc, 16, walk.write);
  } else {
    walk.write(ProjectPath(path));
    walk.write(":");
    WriteNumber(static_cast<uint64_t>(line), 10, walk.write);
  }
  walk.write(" in ");
  WriteFunction(pc, function, walk.write);
  walk.write("\n");
  return 0;
}

void OnErrorAtStart(void*, const char* message, int) {
  Write("    (");
  Write(message);
  Write(")\n");
}

void OnError(void* data, const char* message, int) {
  const TextWriter write = static_cast<Walk*>(data)->write;
  write("    (");
  write(message);
  write(")\n");
}

void WriteFrames(Walk& walk) {
  if (g_state != nullptr) backtrace_full(g_state, 0, &OnFrame, &OnError, &walk);
  EndRepetition(walk);
}

// --- The handler -----------------------------------------------------------------------------------------------------

void EndBySignal(int signal) {
  ::signal(signal, SIG_DFL);
  raise(signal);  // Delivered when the handler returns.
}

std::atomic<int> g_reported{0};  // The signal that is being reported.
int g_limit_s = 30;              // How long that may take.

// The report takes too long. The process ends by what it was about.
void OnAlarm(int) { EndBySignal(g_reported.load()); }

// A report that hangs, in a broken heap or because nobody reads it, must not keep a dead process alive.
void LimitReport(int signal) {
  g_reported.store(signal);
  struct sigaction action = {};
  action.sa_handler = kThreadSanitizer ? SIG_DFL : &OnAlarm;  // It calls no handler within a handler.
  action.sa_flags = SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGALRM, &action, nullptr);
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  const itimerval limit{{0, 0}, {g_limit_s, 0}};
  setitimer(ITIMER_REAL, &limit, nullptr);
}

void OnSignal(int signal, siginfo_t* info, void* context) {
  g_begun.store(true);
  // One report for each process. A crash within it ends the process at once; one beside it, on another thread, waits
  // for its end.
  static std::atomic<pid_t> reporter{0};
  pid_t nobody = 0;
  if (!reporter.compare_exchange_strong(nobody, gettid())) {
    if (nobody == gettid()) return EndBySignal(signal);
    for (;;) pause();
  }
  LimitReport(signal);
  // What is stopped from outside is so wherever it happens to be.
  const bool sent = info->si_code <= 0;  // SI_USER and its kind (sigaction(2)); then there is a sender and no address.
  const bool from_outside = sent && info->si_pid != getpid();
  if (!from_outside) CallWitness();

  Write("*** SIG");
  const char* const name = sigabbrev_np(signal);
  Write(name == nullptr ? "?" : name);
  Walk walk{&Write, {}};
  walk.from_outside = from_outside;
  if (walk.from_outside) {
    Write(" from process ");
    WriteNumber(static_cast<uint64_t>(info->si_pid), 10, &Write);
  } else if (!sent && (signal == SIGSEGV || signal == SIGBUS)) {
    Write(" at address 0x");
    WriteNumber(reinterpret_cast<uintptr_t>(info->si_addr), 16, &Write);
  }
  Write(" ***\n");
  if (const CrashCause cause = g_cause.load(std::memory_order_acquire)) cause(signal, context, &Write);
  WriteFrames(walk);
  WriteCrashContext(&Write);
  EndBySignal(signal);
}

}  // namespace

void WriteCrashContext(TextWriter write) {
  if (const CrashContext context = g_context.load(std::memory_order_acquire)) context(write);
  if (!Executor::HasCurrent()) return;
  Executor& executor = Executor::Current();
  if (executor.running_task() == nullptr) {
    // An exception may have come out of main, and nobody has caught it.
    if (std::current_exception() == nullptr || !executor.exception_trace().LeadsTo(nullptr)) return;
    write("  the exception has passed, innermost first:");
    executor.exception_trace().Write(write);
    write("\n");
    return;
  }
  bool begun = false;  // A task that has awaited nothing yet has nothing to show.
  WriteAwaitStack(executor.running_coroutine(), [&](absl::string_view text) {
    if (!begun) write("  the running task awaits, innermost first (where a coroutine runs: its last await):\n");
    begun = true;
    write(text);
  });
}

void WriteStack(TextWriter write, absl::Span<const absl::string_view> leave_out) {
  g_begun.store(true);
  Walk walk{write, leave_out};
  WriteFrames(walk);
  WriteCrashContext(write);
}

void SetReportLimitForTest(int seconds) { g_limit_s = seconds; }

void SetCrashContext(CrashContext context) { g_context.store(context, std::memory_order_release); }

void SetCrashCause(CrashCause cause) { g_cause.store(cause, std::memory_order_release); }

void SetCrashWitness(CrashWitness witness) { g_witness.store(witness, std::memory_order_release); }

bool CrashReportHasBegun() { return g_begun.load(std::memory_order_relaxed); }

void PreloadCrashReport() {
  if (g_state == nullptr) {
    absl::InitializeSymbolizer(nullptr);
    g_state = backtrace_create_state(nullptr, /*threaded=*/1, &OnErrorAtStart, nullptr);
  }
  if (g_state == nullptr) return;
  const auto ignore_frame = [](void*, uintptr_t, const char*, int, const char*) { return 0; };
  backtrace_full(g_state, 0, ignore_frame, [](void*, const char*, int) {}, nullptr);
}

void InstallCrashReport() {
  static std::atomic_flag installed = ATOMIC_FLAG_INIT;
  if (installed.test_and_set()) return;
  if (g_state == nullptr) {
    absl::InitializeSymbolizer(nullptr);
    g_state = backtrace_create_state(nullptr, /*threaded=*/1, &OnErrorAtStart, nullptr);
  }
  stack_t stack = {};
  if (sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE) != 0) {
    stack = {};
    stack.ss_sp = g_signal_stack;
    stack.ss_size = sizeof(g_signal_stack);
    sigaltstack(&stack, nullptr);
  }
  for (const int signal : kSignals) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_DFL) continue;
    action.sa_sigaction = &OnSignal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
  }
  if (&__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(&OnDeath);
}

}  // namespace tandem
