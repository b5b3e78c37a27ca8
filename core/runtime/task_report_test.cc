// SPDX-License-Identifier: Apache-2.0
//
// SIGQUIT, on the reactors of a machine: what every task waits for, and on.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/runtime/runtime.h"
#include "tandem/core/runtime/signal_listener.h"

namespace tandem {
namespace {

Task<void> AcceptOne() {
  auto listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
  static_cast<void>(co_await listener->Accept());
}

Task<void> QuitAndWait(int times) {
  Spawn(&AcceptOne);
  static_cast<void>(co_await Yield());
  for (int i = 0; i < times; ++i) {
    kill(getpid(), SIGQUIT);
    static_cast<void>(co_await Sleep(absl::Milliseconds(20)));
  }
}

void RunAndExit(const RuntimeOptions& options, Task<void> (*main)(int), int times) {
  Runtime runtime(options);
  runtime.BlockOn(main(times));
  std::fputs("it went on\n", stderr);
  std::_Exit(7);
}

TEST(TaskReportDeathTest, SigquitSaysWhatTasksWaitForAndTheServerGoesOn) {
  EXPECT_EXIT(RunAndExit(RuntimeOptions(), &QuitAndWait, 1), ::testing::ExitedWithCode(7),
              "^SIGQUIT: 2 task\\(s\\), [0-9]+ operation\\(s\\) in flight\n  task 1 of 2\n    waits for: (.|\n)*"
              "a connection on 127.0.0.1:(.|\n)*task_report_test.cc:(.|\n)*it went on");
}

TEST(TaskReportDeathTest, EachSigquitIsAnswered) {
  EXPECT_EXIT(RunAndExit(RuntimeOptions(), &QuitAndWait, 3), ::testing::ExitedWithCode(7),
              "SIGQUIT(.|\n)*SIGQUIT(.|\n)*SIGQUIT(.|\n)*it went on");
}

TEST(TaskReportDeathTest, IfItIsNotWantedSigquitEndsTheProcess) {
  EXPECT_EXIT(RunAndExit(RuntimeOptions().set_task_report(false), &QuitAndWait, 1), ::testing::KilledBySignal(SIGQUIT),
              "^$");
}

Task<void> ListenAndQuit(int) {
  auto listener = SignalListener::Listen({SIGQUIT});
  kill(getpid(), SIGQUIT);
  const absl::StatusOr<int> signal = co_await listener->Next();
  if (!signal.ok() || *signal != SIGQUIT) std::_Exit(1);
}

TEST(TaskReportDeathTest, AListenerHearsItAsWell) {
  EXPECT_EXIT(RunAndExit(RuntimeOptions(), &ListenAndQuit, 0), ::testing::ExitedWithCode(7),
              "SIGQUIT: 1 task(.|\n)*it went on");
}

}  // namespace
}  // namespace tandem
