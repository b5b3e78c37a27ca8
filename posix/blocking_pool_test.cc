// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/blocking_pool.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"

namespace tandem::posix {
namespace {

class TestCall final : public Operation, public BlockingWork {
 public:
  explicit TestCall(OperationKind operation_kind) {
    kind = operation_kind;
    if (kind == OperationKind::kRunBlocking) work = this;
    if (kind == OperationKind::kResolve) lookup = &lookup_value;
  }
  ~TestCall() override = default;

  void Run() override {
    runs.fetch_add(1);
    if (body) body();
  }

  std::function<void()> body;
  std::atomic<int> runs{0};
  NameLookup lookup_value;
  int ends = 0;  // How often TakeDone() returned it.
  int64_t result = 0;

 protected:
  void OnComplete(int64_t) override {}
  void OnAbandon() override {}
};

// Stands for a reactor: sleeps until it is woken.
class Loop {
 public:
  Loop()
      : calls_(std::make_unique<BlockingCalls>(
            [](void* loop) {
              static_cast<Loop*>(loop)->wakes_.fetch_add(1);
              static_cast<Loop*>(loop)->wakes_.notify_one();
            },
            this)) {}

  BlockingCalls& calls() { return *calls_; }
  void Destroy() { calls_.reset(); }

  void TakeDone() {
    for (const BlockingCalls::Done& done : calls_->TakeDone()) {
      auto& call = static_cast<TestCall&>(*done.operation);
      ++call.ends;
      call.result = done.result;
    }
  }
  void RunUntil(const std::function<bool()>& done) {
    while (!done()) {
      const int seen = wakes_.load();
      if (!calls_->has_done()) wakes_.wait(seen);
      TakeDone();
    }
  }
  void RunToEnd(const TestCall& call) {
    RunUntil([&call] { return call.ends > 0; });
  }

 private:
  std::atomic<int> wakes_{0};
  std::unique_ptr<BlockingCalls> calls_;
};

TEST(BlockingCallsTest, WorkRunsOnceOnAnotherThread) {
  Loop loop;
  TestCall call(OperationKind::kRunBlocking);
  std::thread::id thread;
  call.body = [&] { thread = std::this_thread::get_id(); };

  loop.calls().Submit(call);
  loop.RunToEnd(call);

  EXPECT_EQ(call.result, 0);
  EXPECT_EQ(call.runs.load(), 1);
  EXPECT_NE(thread, std::this_thread::get_id());
  EXPECT_FALSE(loop.calls().has_done());
}

TEST(BlockingCallsTest, ManyRunAtOnceAndNoneWaitsForLookups) {
  Loop loop;
  absl::Notification go;
  static absl::Notification* lookups_go;
  absl::Notification lookups_go_value;
  lookups_go = &lookups_go_value;
  loop.calls().SetLookupForTest([](const std::string&, uint16_t, std::vector<SocketAddress>*) -> int64_t {
    lookups_go->WaitForNotification();
    return -EAGAIN;
  });
  std::vector<std::unique_ptr<TestCall>> lookups;
  for (int i = 0; i < 40; ++i) {
    lookups.push_back(std::make_unique<TestCall>(OperationKind::kResolve));
    loop.calls().Submit(*lookups.back());
  }
  // Fifteen that wait for a sixteenth.
  std::vector<std::unique_ptr<TestCall>> waiting;
  for (int i = 0; i < 15; ++i) {
    waiting.push_back(std::make_unique<TestCall>(OperationKind::kRunBlocking));
    waiting.back()->body = [&go] { go.WaitForNotification(); };
    loop.calls().Submit(*waiting.back());
  }
  TestCall last(OperationKind::kRunBlocking);
  last.body = [&go] { go.Notify(); };

  loop.calls().Submit(last);

  loop.RunUntil(
      [&] { return std::all_of(waiting.begin(), waiting.end(), [](const auto& c) { return c->ends == 1; }); });
  loop.RunToEnd(last);
  lookups_go_value.Notify();
  loop.RunUntil(
      [&] { return std::all_of(lookups.begin(), lookups.end(), [](const auto& c) { return c->ends == 1; }); });
  EXPECT_EQ(lookups.front()->result, -EAGAIN);
}

TEST(BlockingCallsTest, ThousandQueuedWithCancelsEndOnceEach) {
  Loop loop;
  std::vector<std::unique_ptr<TestCall>> calls;
  for (int i = 0; i < 1000; ++i) {
    calls.push_back(std::make_unique<TestCall>(OperationKind::kRunBlocking));
    if (i % 7 == 0) calls.back()->body = [] { std::this_thread::yield(); };
    loop.calls().Submit(*calls.back());
    if (i % 3 == 0) loop.calls().Cancel(*calls[static_cast<size_t>(i) * 2 / 3]);
    if (i % 50 == 0) loop.TakeDone();
  }
  for (const auto& call : calls) loop.calls().Cancel(*call);

  loop.RunUntil(
      [&] { return std::all_of(calls.begin(), calls.end(), [](const auto& call) { return call->ends > 0; }); });

  for (const auto& call : calls) {
    EXPECT_EQ(call->ends, 1);
    EXPECT_TRUE(call->result == 0 || call->result == -ECANCELED) << call->result;
    EXPECT_EQ(call->runs.load(), call->result == 0 ? 1 : 0);
  }
}

TEST(BlockingCallsTest, RunningWorkIsNotCancelled) {
  Loop loop;
  absl::Notification began;
  absl::Notification go;
  TestCall call(OperationKind::kRunBlocking);
  call.body = [&] {
    began.Notify();
    go.WaitForNotification();
  };
  loop.calls().Submit(call);
  began.WaitForNotification();

  loop.calls().Cancel(call);
  EXPECT_FALSE(loop.calls().has_done());
  go.Notify();
  loop.RunToEnd(call);

  EXPECT_EQ(call.result, 0);
}

TEST(BlockingCallsTest, RunningLookupIsCancelledAtOnceAndItsResultDropped) {
  static std::atomic<int> state{0};  // 1: it runs; 2: it may end; 3: it did.
  state = 0;
  Loop loop;
  loop.calls().SetLookupForTest([](const std::string& host, uint16_t, std::vector<SocketAddress>*) -> int64_t {
    EXPECT_EQ(host, "slow");
    state = 1;
    state.notify_all();
    state.wait(1);
    state = 3;
    state.notify_all();
    return 0;
  });
  {
    TestCall call(OperationKind::kResolve);
    call.lookup_value.host = "slow";
    loop.calls().Submit(call);
    state.wait(0);

    loop.calls().Cancel(call);
    loop.RunToEnd(call);

    EXPECT_EQ(call.result, -ECANCELED);
  }
  state = 2;
  state.notify_all();
  while (state != 3) state.wait(2);
  loop.TakeDone();
}

TEST(BlockingCallsTest, ReactorMayGoWhileWorkRuns) {
  auto began = std::make_unique<absl::Notification>();
  auto go = std::make_unique<absl::Notification>();
  auto ended = std::make_unique<absl::Notification>();
  TestCall running(OperationKind::kRunBlocking);
  running.body = [&] {
    began->Notify();
    go->WaitForNotification();
    ended->Notify();
  };
  {
    Loop loop;
    loop.calls().Submit(running);
    began->WaitForNotification();
  }
  go->Notify();
  ended->WaitForNotification();
  // The next one gets new threads.
  Loop loop;
  TestCall call(OperationKind::kRunBlocking);
  loop.calls().Submit(call);
  loop.RunToEnd(call);
  EXPECT_EQ(running.ends, 0);
}

TEST(BlockingCallsTest, WithoutAThreadCallsAreRefused) {
  Loop loop;
  TestCall work(OperationKind::kRunBlocking);
  TestCall lookup(OperationKind::kResolve);
  lookup.lookup_value.host = "localhost";
  BlockingCalls::RefuseThreadsForTest(true);

  for (TestCall* call : {&work, &lookup}) {
    loop.calls().Submit(*call);
    EXPECT_TRUE(loop.calls().has_done());
    loop.TakeDone();
    EXPECT_EQ(call->ends, 1);
  }

  BlockingCalls::RefuseThreadsForTest(false);
  EXPECT_EQ(work.result, -EAGAIN);
  EXPECT_EQ(work.runs.load(), 0);
  EXPECT_EQ(lookup.result, -EAGAIN);
  // It goes on when there are threads again.
  loop.calls().Submit(work);
  loop.RunToEnd(work);
  loop.RunUntil([&] { return work.ends == 2; });
  EXPECT_EQ(work.result, 0);
}

TEST(BlockingCallsTest, RefusalsOnTwoThreadsLeaveNoCallBehind) {
  BlockingCalls::RefuseThreadsForTest(true);
  const auto submit_many = [] {
    Loop loop;
    for (int i = 0; i < 20'000; ++i) {
      TestCall call(OperationKind::kRunBlocking);
      loop.calls().Submit(call);
      loop.RunToEnd(call);
      EXPECT_EQ(call.result, -EAGAIN);
    }
  };

  std::thread other(submit_many);
  submit_many();
  other.join();

  BlockingCalls::RefuseThreadsForTest(false);
}

TEST(LookUpTest, LocalhostIsTheLoopback) {
  Loop loop;
  TestCall call(OperationKind::kResolve);
  call.lookup_value.host = "localhost";
  call.lookup_value.port = 80;

  loop.calls().Submit(call);
  loop.RunToEnd(call);

  ASSERT_EQ(call.result, 0);
  ASSERT_FALSE(call.lookup_value.addresses.empty());
  std::vector<SocketAddress> sorted = call.lookup_value.addresses;
  for (const SocketAddress& address : sorted) {
    EXPECT_TRUE(address.is_loopback()) << address.ToString();
    EXPECT_EQ(address.port(), 80);
  }
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end());
}

TEST(LookUpTest, ImpossibleNamesDoNotExist) {
  std::vector<SocketAddress> addresses;

  EXPECT_EQ(LookUp("", 1, &addresses), -ENOENT);
  EXPECT_EQ(LookUp(std::string("localhost\0x", 11), 1, &addresses), -ENOENT);
  EXPECT_TRUE(addresses.empty());
}

// The threads of the parent are not there.
TEST(BlockingPoolDeathTest, ChildOfAForkGetsThreadsOfItsOwn) {
  const auto run_one = [] {
    Loop loop;
    TestCall call(OperationKind::kRunBlocking);
    loop.calls().Submit(call);
    loop.RunToEnd(call);
    return call.result == 0;
  };
  const auto run_in_child = [&run_one] {
    alarm(30);
    _exit(run_one() ? 0 : 1);
  };
  Loop loop;  // Keeps the pool, with the thread that has run this:
  TestCall call(OperationKind::kRunBlocking);
  loop.calls().Submit(call);
  loop.RunToEnd(call);

  EXPECT_EXIT(run_in_child(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace tandem::posix
