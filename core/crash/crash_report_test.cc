// SPDX-License-Identifier: Apache-2.0
//
// What a process says when it crashes: death tests, whose children write to a pipe instead of a terminal.

#include "tandem/core/crash/crash_report.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/tandem.h"

namespace tandem {
namespace {

// The lines that reports have to name, each that of the statement below it. Some are unused under a
// sanitizer, which reports for itself.
[[maybe_unused]] constexpr int kDereference = __LINE__ + 1;
[[gnu::noinline]] void Dereference(volatile int* pointer) { *pointer = 1; }
[[maybe_unused]] constexpr int kOverflow = __LINE__ + 4;
[[gnu::noinline]] int Overflow(int depth) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(depth);
  return depth == 0 ? frame[0] : Overflow(depth + 1) + frame[0];
}

enum class Fault { kNull, kCheck, kThrow, kAbort, kOverflow, kExpectation };

constexpr int kInner = __LINE__ + 6;
constexpr int kInnerAwaits = kInner + 1;
[[maybe_unused]] constexpr int kInnerDereferences = kInner + 5;
constexpr int kInnerChecks = kInner + 8;
constexpr int kInnerAborts = kInner + 13;
[[maybe_unused]] constexpr int kInnerOverflows = kInner + 15;
Task<absl::Status> Inner(Fault fault) {
  const absl::Status yielded = co_await Yield();
  if (!yielded.ok()) co_return yielded;
  switch (fault) {
    case Fault::kNull:
      Dereference(nullptr);
      break;
    case Fault::kCheck:
      CHECK(fault == Fault::kNull) << "this was planted";
      break;
    case Fault::kThrow:
      throw std::runtime_error("thrown on purpose");
    case Fault::kAbort:
      abort();
    case Fault::kOverflow:
      static_cast<void>(Overflow(1));
      break;
    case Fault::kExpectation:
      EXPECT_EQ(1, 2);
      _exit(0);
  }
  co_return absl::OkStatus();
}
constexpr int kOuterAwaits = __LINE__ + 2;
Task<absl::Status> Outer(Fault fault) {
  absl::Status status = co_await Inner(fault);
  co_return status;
}
constexpr int kSpawnedAwaits = __LINE__ + 1;
Task<void> Spawned(Fault fault) { (co_await Outer(fault)).IgnoreError(); }

// In a task of its own: an exception of main goes through BlockOn().
void Crash(Fault fault) {
  Runtime runtime;
  const absl::Status status = runtime.BlockOn([](Fault fault) -> Task<absl::Status> {
    Spawn(&Spawned, fault);
    absl::Status slept = co_await Sleep(absl::Seconds(10));
    co_return slept;
  }(fault));
  _exit(status.ok() ? 0 : 1);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TANDEM_SANITIZER_HANDLES_SIGNALS 1
#if __has_feature(thread_sanitizer)
#define TANDEM_THREAD_SANITIZER 1
#endif
#endif
#endif

// A regular expression for a line that names `line` of this file and `function`, with anything behind it.
std::string At(int line, const char* function) {
  return absl::StrCat("core/crash/crash_report_test.cc:", line, " in [^\n]*", function, "(.|\n)*");
}
std::string Awaits() {
  return absl::StrCat("awaits, innermost first(.|\n)*", At(kInnerAwaits, "Inner"), At(kOuterAwaits, "Outer"),
                      At(kSpawnedAwaits, "Spawned"));
}

TEST(CrashReportDeathTest, ANullPointerIsNamedByFunctionAndLine) {
#ifdef TANDEM_SANITIZER_HANDLES_SIGNALS
  EXPECT_DEATH(Crash(Fault::kNull), Awaits());  // Behind the sanitizer's own report.
#else
  EXPECT_EXIT(Crash(Fault::kNull), ::testing::KilledBySignal(SIGSEGV),
              absl::StrCat("SIGSEGV at address 0x0(.|\n)*", At(kDereference, "Dereference"),
                           At(kInnerDereferences, "Inner"), Awaits()));
#endif
}

TEST(CrashReportDeathTest, ACheckIsNamedByFunctionAndLine) {
  EXPECT_DEATH(Crash(Fault::kCheck),
               absl::StrCat("this was planted(.|\n)*SIGABRT(.|\n)*", At(kInnerChecks, "Inner"), Awaits()));
}

TEST(CrashReportDeathTest, AnExceptionThatEscapesATaskIsNamedByItsAwaits) {
  EXPECT_DEATH(Crash(Fault::kThrow), absl::StrCat("thrown on purpose(.|\n)*last await at ", At(kInnerAwaits, "Inner")));
}

constexpr int kMainAwaits = __LINE__ + 2;
Task<absl::Status> ThrowOutOfMain() {
  const absl::Status yielded = co_await Yield();
  if (!yielded.ok()) co_return yielded;
  throw std::runtime_error("out of main");
}

TEST(CrashReportDeathTest, AnExceptionOutOfMainIsNamedByItsAwaits) {
  // On a thread of its own, below which nobody catches it.
  EXPECT_DEATH(
      {
        InstallCrashReport();
        std::thread([] {
          Runtime runtime;
          static_cast<void>(runtime.BlockOn(ThrowOutOfMain()));
        }).join();
      },
      absl::StrCat("out of main(.|\n)*innermost first:\n    last await at core/crash/crash_report_test.cc:",
                   kMainAwaits, " in "));
}

TEST(CrashReportDeathTest, TheReportHasTheVirtualTimeOfASimulation) {
  const bool simulated =
      absl::StartsWith(Runtime(RuntimeOptions().set_crash_report(false)).statistics().description, "simulated");
  EXPECT_DEATH(Crash(Fault::kAbort), simulated
                                         ? ::testing::ContainsRegex("\n  at [0-9]+\\.[0-9]{9} s of virtual time\n")
                                         : ::testing::ContainsRegex("SIGABRT"));
}

TEST(CrashReportDeathTest, AbortIsNamedByFunctionAndLine) {
  EXPECT_DEATH(Crash(Fault::kAbort), absl::StrCat("SIGABRT(.|\n)*", At(kInnerAborts, "Inner"), Awaits()));
}

// However deep it was, it is a few lines.
TEST(CrashReportDeathTest, AnOverflownStackIsFolded) {
#if defined(TANDEM_THREAD_SANITIZER)
  EXPECT_DEATH(Crash(Fault::kOverflow),
               "ThreadSanitizer");  // It meets the overflow in its own handler, and dies there.
#elif defined(TANDEM_SANITIZER_HANDLES_SIGNALS)
  EXPECT_DEATH(Crash(Fault::kOverflow), Awaits());
#else
  EXPECT_EXIT(
      Crash(Fault::kOverflow), ::testing::KilledBySignal(SIGSEGV),
      absl::StrCat(At(kOverflow, "Overflow"), "and [0-9]+ times more(.|\n)*", At(kInnerOverflows, "Inner"), Awaits()));
#endif
}

[[maybe_unused]] constexpr int kThreadAborts = __LINE__ + 1;
[[gnu::noinline]] void AbortOnThread() { abort(); }

// The first of them reports, and the others must not take the process away meanwhile.
TEST(CrashReportDeathTest, OfManyThreadsThatCrashOneIsReported) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_EXIT(
        {
          InstallCrashReport();
          std::atomic<int> waiting{0};
          std::vector<std::thread> threads;
          for (int thread = 0; thread < 8; ++thread) {
            threads.emplace_back([&waiting] {
              ++waiting;
              while (waiting < 8) {
              }
              AbortOnThread();
            });
          }
          for (std::thread& thread : threads) thread.join();
        },
        ::testing::KilledBySignal(SIGABRT), At(kThreadAborts, "AbortOnThread"));
  }
}

// Nobody reads what it says: the report hangs, until its time is over.
TEST(CrashReportDeathTest, AReportThatNobodyReadsEndsByItsOwnSignal) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int ends[2];
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) _exit(1);
    const std::string much(1 << 16, 'x');
    if (write(STDERR_FILENO, much.data(), much.size()) != static_cast<ssize_t>(much.size())) _exit(1);  // It is full.
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, nullptr);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGABRT);
    sigprocmask(SIG_UNBLOCK, &only, nullptr);
    InstallCrashReport();
    SetReportLimitForTest(1);
    abort();
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
#ifdef TANDEM_THREAD_SANITIZER
  EXPECT_EQ(WTERMSIG(status), SIGALRM);  // No handler of ours runs within a handler.
#else
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
#endif
}

// Of a tandem_test. In a child of its own making: gtest's say nothing about expectations.
TEST(CrashReportTest, AnExpectationThatFailsInATaskIsFollowedByItsAwaits) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    Crash(Fault::kExpectation);
  }
  close(ends[1]);
  std::string output;
  char part[4096];
  for (ssize_t count; (count = read(ends[0], part, sizeof(part))) > 0;) output.append(part, static_cast<size_t>(count));
  close(ends[0]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(output, ::testing::ContainsRegex(absl::StrCat("Expected equality(.|\n)*", Awaits())));
}

TEST(CrashReportDeathTest, ContextComesWithTheReport) {
  EXPECT_DEATH(
      {
        InstallCrashReport();
        SetCrashContext([](TextWriter write) { write("  at half past nine\n"); });
        abort();
      },
      "SIGABRT(.|\n)*at half past nine");
}

// And no address, which is another field of the same memory.
TEST(CrashReportDeathTest, ASignalFromOutsideSaysWhoSentIt) {
  EXPECT_EXIT(
      {
        InstallCrashReport();
        // No fork() here: a signal that comes right after it ends ThreadSanitizer's runtime (LLVM 19).
        static_cast<void>(system(absl::StrCat("kill -ABRT ", getpid()).c_str()));
        for (;;) pause();
      },
      ::testing::KilledBySignal(SIGABRT), "SIGABRT from process [0-9]+ \\*\\*\\*\n(.|\n)*TestBody");
}

// A program's own handler stays, and the option says that there is to be no report.
TEST(CrashReportDeathTest, AHandlerThatIsThereStays) {
  EXPECT_EXIT(
      {
        signal(SIGABRT, [](int) { _exit(77); });
        Crash(Fault::kAbort);
      },
      ::testing::ExitedWithCode(77), "^$");
}

TEST(CrashReportDeathTest, CanBeTurnedOff) {
  EXPECT_EXIT(
      {
        Runtime runtime(RuntimeOptions().set_crash_report(false));
        struct sigaction action = {};
        sigaction(SIGABRT, nullptr, &action);
        _exit(action.sa_handler == SIG_DFL ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "^$");
}

}  // namespace
}  // namespace tandem
