// SPDX-License-Identifier: Apache-2.0
//
// Cancellation races in channels, locks and semaphores, with the order of tasks and all timeouts drawn from the seed.

#include <array>
#include <csignal>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/random.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/core/sync/channel.h"
#include "tandem/core/sync/mutex.h"
#include "tandem/core/sync/semaphore.h"
#include "tandem/core/sync/wait_group.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

constexpr uint64_t kSenders = 4;
constexpr uint64_t kReceivers = 3;
constexpr uint64_t kItemsEach = 60;

// A few microseconds, so that many things happen at the same instant; sometimes none at all.
absl::Duration Draw(uint64_t entity) { return absl::Microseconds(Random("timeout", entity).Between(0, 4)); }

struct Item {
  uint64_t sender = 0;
  uint64_t number = 0;
};

struct Exchange {
  explicit Exchange(size_t capacity) : channel(capacity) { sending.Add(kSenders); }

  Channel<Item> channel;
  WaitGroup sending;
  std::array<uint64_t, kSenders> received{};
};

Task<absl::Status> SendNumbers(Exchange* exchange, uint64_t sender) {
  for (uint64_t number = 0; number < kItemsEach;) {
    Item item;
    item.sender = sender;
    item.number = number;
    const absl::Duration timeout = Draw(sender);
    const absl::Status sent = co_await WithTimeout(timeout, exchange->channel.Send(std::move(item)));
    if (sent.ok()) ++number;
    if (!sent.ok() && !absl::IsDeadlineExceeded(sent)) co_return sent;
    const absl::Duration pause = Draw(sender);
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  exchange->sending.Done();
  co_return absl::OkStatus();
}

// A timeout by a scope around the call, as opposed to one of the call.
Task<absl::StatusOr<Item>> ReceiveOne(Exchange* exchange) {
  absl::StatusOr<Item> item = co_await exchange->channel.Receive();
  co_return item;
}

Task<absl::Status> ReceiveNumbers(Exchange* exchange, uint64_t receiver) {
  std::array<uint64_t, kSenders> next{};
  for (;;) {
    const absl::Duration timeout = Draw(kSenders + receiver);
    absl::StatusOr<Item> item = absl::CancelledError();
    if (Random("way", receiver).Below(2) == 0) {
      item = co_await WithTimeout(timeout, exchange->channel.Receive());
    } else {
      item = co_await WithTimeout(timeout, ReceiveOne(exchange));
    }
    if (absl::IsOutOfRange(item.status())) co_return absl::OkStatus();
    if (absl::IsDeadlineExceeded(item.status())) continue;
    if (!item.ok()) co_return item.status();
    // Another receiver may have taken those between; none of one sender goes back.
    if (item->number < next[item->sender]) co_return absl::DataLossError("an item came late or twice");
    next[item->sender] = item->number + 1;
    ++exchange->received[item->sender];
  }
}

Task<absl::Status> CloseWhenSent(Exchange* exchange) {
  absl::Status status = co_await exchange->sending.Wait();
  exchange->channel.Close();
  co_return status;
}

Task<absl::Status> SpawnAll(TaskGroup* group, Exchange* exchange) {
  for (uint64_t i = 0; i < kSenders; ++i) group->Spawn(&SendNumbers, exchange, i);
  for (uint64_t i = 0; i < kReceivers; ++i) group->Spawn(&ReceiveNumbers, exchange, i);
  group->Spawn(&CloseWhenSent, exchange);
  co_return absl::OkStatus();
}

Task<absl::Status> ExchangeNumbers() {
  Exchange exchange(1 + Random("capacity").Below(4));
  const auto body = [&exchange](TaskGroup& group) { return SpawnAll(&group, &exchange); };
  absl::Status status = co_await WithTaskGroup(body);
  if (!status.ok()) co_return status;
  for (const uint64_t count : exchange.received) {
    if (count != kItemsEach) co_return absl::DataLossError(absl::StrCat(count, " items of one sender came"));
  }
  co_return absl::OkStatus();
}

// --- Locks ---

struct Shared {
  Mutex mutex;
  Semaphore semaphore{3};
  int inside = 0;
  uint64_t permits = 0;
};

Task<absl::Status> UseBoth(Shared* shared, uint64_t entity) {
  for (int round = 0; round < 40; ++round) {
    {
      const absl::Duration timeout = Draw(entity);
      absl::StatusOr<Mutex::Guard> guard = co_await WithTimeout(timeout, shared->mutex.Lock());
      if (guard.ok()) {
        if (++shared->inside != 1) co_return absl::InternalError("two have the lock");
        const absl::Duration work = Draw(entity);
        const absl::Status slept = co_await Sleep(work);
        --shared->inside;
        if (!slept.ok()) co_return slept;
      }
    }
    const uint64_t count = 1 + Random("permits", entity).Below(3);
    const absl::Duration timeout = Draw(entity);
    absl::StatusOr<Semaphore::Guard> permits = co_await WithTimeout(timeout, shared->semaphore.Acquire(count));
    if (!permits.ok()) continue;
    shared->permits += count;
    if (shared->permits > 3) co_return absl::InternalError("more permits than there are");
    const absl::Duration work = Draw(entity);
    const absl::Status slept = co_await Sleep(work);
    shared->permits -= count;
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> SpawnUsers(TaskGroup* group, Shared* shared) {
  for (uint64_t i = 0; i < 6; ++i) group->Spawn(&UseBoth, shared, i);
  co_return absl::OkStatus();
}

Task<absl::Status> UseLocks() {
  Shared shared;
  const auto body = [&shared](TaskGroup& group) { return SpawnUsers(&group, &shared); };
  absl::Status status = co_await WithTaskGroup(body);
  if (!status.ok()) co_return status;
  if (shared.mutex.locked()) co_return absl::InternalError("a lock was lost");
  if (shared.semaphore.available() != 3) co_return absl::InternalError("a permit was lost");
  co_return absl::OkStatus();
}

// --- A stop ---

Task<void> ReceiveUntilStopped(Channel<Item>* channel, int* ended) {
  while ((co_await channel->Receive()).ok()) {
  }
  const auto linger = [](uint64_t entity) -> Task<absl::Status> { co_return co_await Sleep(Draw(entity)); };
  static_cast<void>(co_await Shield(absl::Seconds(1), linger(0)));
  static_cast<void>(channel->TryReceive());
  ++*ended;
}

Task<absl::Status> ShareLocalsWithTasks() {
  Channel<Item> channel(1);
  int ended = 0;
  for (int i = 0; i < 5; ++i) Spawn(&ReceiveUntilStopped, &channel, &ended);
  for (;;) {
    absl::Status sent = co_await channel.Send(Item());
    const absl::Duration pause = Draw(1);
    if (sent.ok()) sent = co_await Sleep(pause);
    if (sent.ok()) continue;
    co_return ended == 5 ? absl::OkStatus() : absl::InternalError(absl::StrCat(5 - ended, " tasks still use it"));
  }
}

}  // namespace

SIM_TEST(Stop, LocalsOfMainOutliveTheTasksThatUseThem) {
  sim::Host& host = world.AddHost("host", [] { return ShareLocalsWithTasks(); });
  world.After(absl::Microseconds(100), [&] { host.DeliverSignal(SIGTERM); });
  EXPECT_OK(world.RunUntilDone(host, absl::Hours(1)));
}

SIM_TEST(Channel, NoGapAndNoRepeatWhateverIsCancelledWhen) {
  sim::Host& host = world.AddHost("host", [] { return ExchangeNumbers(); });
  EXPECT_OK(world.RunUntilDone(host, absl::Hours(1)));
}

SIM_TEST(Locks, NothingIsLostWhateverIsCancelledWhen) {
  sim::Host& host = world.AddHost("host", [] { return UseLocks(); });
  EXPECT_OK(world.RunUntilDone(host, absl::Hours(1)));
}

}  // namespace tandem::testing
