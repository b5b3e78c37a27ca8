// SPDX-License-Identifier: Apache-2.0
//
// Whom a pool serves, and what it costs to find out. Over real connections it is tested in
// testing/conformance/connection_pool_test.cc.

#include "tandem/core/net/connection_pool.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/random.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"
#include "tandem/core/runtime/shard.h"

namespace tandem {
namespace {

using internal::PoolState;

struct FakeConnection final : PoolState::AnyConnection {
  bool IsHealthy() override { return true; }
};

// A shard with a pool, and calls that wait for slots of it.
class PoolStateTest : public ::testing::Test {
 protected:
  struct Call {
    size_t host = 0;
    CancelScope scope;
    std::optional<PoolState::Slot> slot;
  };

  void Make(const PoolOptions& options) { pool_ = Ref<PoolState>::Adopt(new PoolState(options)); }
  void TearDown() override {
    for (auto& call : calls_) call->scope.Cancel();
    Turn();
    for (auto& call : calls_) call->slot.reset();
    pool_->Close();
    pool_ = Ref<PoolState>();
    shard_.Drain();
  }

  void Turn() { (void)shard_.shard().Turn(Instant::InfinitePast()); }

  // The number of the new call.
  size_t Ask(size_t host) {
    const size_t number = calls_.size();
    calls_.push_back(std::make_unique<Call>());
    calls_.back()->host = host;
    Spawn(&Run, this, number);
    return number;
  }
  void Return(size_t number) {
    PoolState::Slot& slot = *calls_[number]->slot;
    if (slot.connection() == nullptr) slot.set_connection(std::make_unique<FakeConnection>());
    slot.KeepIdle();
    calls_[number]->slot.reset();
  }

  static Task<absl::Status> Take(PoolStateTest* test, size_t number) {
    Call& call = *test->calls_[number];
    absl::StatusOr<PoolState::Slot> slot = co_await test->pool_->TakeSlot(absl::StrCat("host ", call.host));
    if (!slot.ok()) co_return slot.status();
    call.slot = *std::move(slot);
    test->served_.push_back(number);
    co_return absl::OkStatus();
  }
  static Task<void> Run(PoolStateTest* test, size_t number) {
    (void)co_await test->calls_[number]->scope.Run(Take(test, number));
  }

  FakeShard shard_;
  Ref<PoolState> pool_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<size_t> served_;  // Calls, in the order in which they were.
};

// --- Cost ---

TEST_F(PoolStateTest, WhatACallCostsDoesNotDependOnHowManyWaitForOneHost) {
  constexpr size_t kCalls = 20'000;
  Make(PoolOptions().set_max_per_host(1));
  for (size_t i = 0; i < kCalls; ++i) Ask(0);
  Turn();
  EXPECT_EQ(pool_->statistics().waiting, kCalls - 1);
  EXPECT_LE(pool_->steps(), 2u);
  for (size_t i = 0; i < kCalls; ++i) {
    ASSERT_EQ(served_.size(), i + 1);
    ASSERT_EQ(served_.back(), i);
    Return(i);
    Turn();
  }
  EXPECT_LE(pool_->steps(), kCalls + 2);
}

TEST_F(PoolStateTest, WhatACallCostsDoesNotDependOnHowManyHostsWaitForRoom) {
  constexpr size_t kHosts = 5'000;
  Make(PoolOptions().set_max_total(1));
  for (size_t i = 0; i < kHosts; ++i) Ask(i);
  Turn();
  for (size_t i = 0; i < kHosts; ++i) {
    ASSERT_EQ(served_.back(), i);
    if (i % 2 == 0) {
      Return(i);
    } else {
      calls_[i]->slot.reset();
    }
    Turn();
  }
  EXPECT_LE(pool_->steps(), 6 * kHosts);
}

TEST_F(PoolStateTest, IdleConnectionsToManyHostsMakeRoomOldestFirstAndOneByOne) {
  constexpr size_t kHosts = 2'000;
  Make(PoolOptions().set_max_total(kHosts));
  for (size_t i = 0; i < kHosts; ++i) Ask(i);
  Turn();
  for (size_t i = 0; i < kHosts; ++i) Return(i);
  EXPECT_EQ(pool_->statistics().idle, kHosts);
  const uint64_t steps = pool_->steps();
  for (size_t i = 0; i < kHosts / 2; ++i) Ask(kHosts + i);
  Turn();
  EXPECT_EQ(pool_->statistics().in_use, kHosts / 2);
  for (size_t i = kHosts / 2; i < kHosts; ++i) Ask(i);  // The younger half is still there.
  Turn();
  EXPECT_EQ(pool_->statistics().reused, kHosts / 2);
  EXPECT_LE(pool_->steps() - steps, 3 * kHosts);
}

TEST_F(PoolStateTest, TooManyWaitersAreRefused) {
  Make(PoolOptions().set_max_per_host(1).set_max_waiting(2));
  for (int i = 0; i < 5; ++i) Ask(0);
  Turn();
  EXPECT_EQ(pool_->statistics().waiting, 2u);
  Return(0);
  Turn();
  Ask(0);
  Turn();
  EXPECT_EQ(pool_->statistics().waiting, 2u);
  for (const size_t number : {1, 2, 5}) {
    ASSERT_EQ(served_.back(), number);
    Return(number);
    Turn();
  }
  EXPECT_EQ(served_.size(), 4u);
}

// --- Order, held against a pool that looks at everybody ---

class SlowPool {
 public:
  SlowPool(size_t max_per_host, size_t max_total) : max_per_host_(max_per_host), max_total_(max_total) {}

  void Ask(size_t number, size_t host) {
    waiting_.push_back({number, host});
    Serve();
  }
  void Leave(size_t number) {
    std::erase_if(waiting_, [&](const Waiter& waiter) { return waiter.number == number; });
  }
  void Return(size_t host) {
    idle_.push_back(host);
    Serve();
  }
  void Free(size_t host) {
    --per_host_[host];
    --total_;
    Serve();
  }
  void CloseIdle() {
    while (Evict()) {
    }
    Serve();
  }
  const std::vector<size_t>& served() const { return served_; }

 private:
  struct Waiter {
    size_t number;
    size_t host;
  };

  bool Evict() {
    if (idle_.empty()) return false;
    --per_host_[idle_.front()];
    --total_;
    idle_.erase(idle_.begin());
    return true;
  }
  bool Take(size_t host) {
    for (size_t i = idle_.size(); i > 0; --i) {
      if (idle_[i - 1] != host) continue;
      idle_.erase(idle_.begin() + static_cast<ptrdiff_t>(i) - 1);
      return true;
    }
    if (per_host_[host] >= max_per_host_ || (total_ >= max_total_ && !Evict())) return false;
    ++per_host_[host];
    ++total_;
    return true;
  }
  void Serve() {
    std::vector<Waiter> left;
    for (const Waiter& waiter : waiting_) {
      if (Take(waiter.host)) {
        served_.push_back(waiter.number);
      } else {
        left.push_back(waiter);
      }
    }
    waiting_ = left;
  }

  const size_t max_per_host_;
  const size_t max_total_;
  size_t total_ = 0;
  std::map<size_t, size_t> per_host_;
  std::vector<size_t> idle_;  // Hosts of idle connections, the longest idle first.
  std::vector<Waiter> waiting_;
  std::vector<size_t> served_;
};

class PoolOrderTest : public PoolStateTest, public ::testing::WithParamInterface<int> {};

TEST_P(PoolOrderTest, ServesAsAPoolThatLooksAtEverybody) {
  uint64_t draws = static_cast<uint64_t>(GetParam()) << 32;
  const auto draw = [&](uint64_t below) { return MixBits(++draws) % below; };
  const size_t max_per_host = 1 + draw(3);
  const size_t max_total = 1 + draw(6);
  const size_t hosts = 1 + draw(8);
  Make(PoolOptions().set_max_per_host(max_per_host).set_max_total(max_total));
  SlowPool model(max_per_host, max_total);
  for (int step = 0; step < 600; ++step) {
    const uint64_t what = draw(100);
    if (what < 45) {
      const size_t host = draw(hosts);
      model.Ask(Ask(host), host);
    } else if (what < 80) {
      std::vector<size_t> held;
      for (size_t i = 0; i < calls_.size(); ++i) {
        if (calls_[i]->slot.has_value()) held.push_back(i);
      }
      if (held.empty()) continue;
      const size_t number = held[draw(held.size())];
      if (what < 70) {
        Return(number);
        model.Return(calls_[number]->host);
      } else {
        calls_[number]->slot.reset();
        model.Free(calls_[number]->host);
      }
    } else if (what < 97 && !calls_.empty()) {
      const size_t number = draw(calls_.size());
      calls_[number]->scope.Cancel();
      model.Leave(number);
    } else {
      pool_->CloseIdle();
      model.CloseIdle();
    }
    Turn();
    // Those that are served in one turn are resumed in order.
    ASSERT_EQ(served_, model.served()) << "after " << step;
  }
  EXPECT_GT(served_.size(), 100u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PoolOrderTest, ::testing::Range(0, 40));

// --- Checks that throw, or call the pool ---

class CheckTest : public ::testing::Test {
 protected:
  struct Connection {
    int number = 0;
  };
  using Pool = ConnectionPool<Connection>;

  static Task<absl::StatusOr<Connection>> Make(std::string) { co_return Connection{}; }
  static Task<void> Use(Pool* pool, int* count) {
    absl::StatusOr<Pool::Lease> lease = co_await pool->Acquire("host");
    EXPECT_TRUE(lease.ok());
    (void)co_await Sleep(absl::Seconds(1));
    lease->ReturnToPool();
    ++*count;
  }

  FakeShard shard_;
};

TEST_F(CheckTest, ACheckThatThrowsSaysNo) {
  shard_.Run([]() -> Task<void> {
    Pool pool(&Make, PoolOptions().set_max_per_host(1));
    int checks = 0;
    // When returned, when it is lent to one that waits: from a call of the program and from the pool's own.
    pool.set_idle_check([&checks](Connection&) -> bool {
      if (++checks % 2 == 0) return true;
      throw std::runtime_error("no answer");
    });
    int count = 0;
    for (int i = 0; i < 10; ++i) Spawn(&Use, &pool, &count);
    (void)co_await Sleep(absl::Seconds(100));
    EXPECT_EQ(count, 10);
    EXPECT_GT(checks, 10);
    const PoolStatistics statistics = pool.statistics();
    EXPECT_EQ(statistics.in_use, 0u);
    EXPECT_EQ(statistics.waiting, 0u);
    EXPECT_EQ(statistics.made + statistics.reused, 10u);
    absl::StatusOr<Pool::Lease> lease = co_await pool.Acquire("host");
    EXPECT_TRUE(lease.ok());
  }());
}

TEST_F(CheckTest, ACheckMayCloseTheIdleConnectionsAndCancelWhoWaits) {
  shard_.Run([]() -> Task<void> {
    Pool pool(&Make, PoolOptions().set_max_per_host(2).set_max_total(2));
    std::vector<Pool::Lease> held;
    for (int i = 0; i < 2; ++i) {
      absl::StatusOr<Pool::Lease> lease = co_await pool.Acquire("host");
      held.push_back(*std::move(lease));
    }
    CancelScope scope;
    std::optional<absl::Status> waited;
    Spawn(
        [](CancelScope* scope, Pool* pool, std::optional<absl::Status>* waited) -> Task<void> {
          absl::StatusOr<Pool::Lease> lease = co_await scope->Run(pool->Acquire("host"));
          *waited = lease.status();
        },
        &scope, &pool, &waited);
    (void)co_await Sleep(absl::Seconds(1));
    EXPECT_EQ(pool.statistics().waiting, 1u);
    int checks = 0;
    pool.set_idle_check([&](Connection&) {
      pool.CloseIdle();
      if (++checks == 2) scope.Cancel();
      return checks != 2;
    });
    for (Pool::Lease& lease : held) lease.ReturnToPool();
    (void)co_await Sleep(absl::Seconds(1));
    EXPECT_TRUE(waited.has_value());
    EXPECT_EQ(pool.statistics().waiting, 0u);
    EXPECT_EQ(pool.statistics().in_use, 0u);
    pool.set_idle_check(nullptr);
    absl::StatusOr<Pool::Lease> lease = co_await pool.Acquire("other");
    EXPECT_TRUE(lease.ok());
  }());
}

}  // namespace
}  // namespace tandem
