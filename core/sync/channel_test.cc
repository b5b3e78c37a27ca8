// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/channel.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

using testing::IsOkAndHolds;

class ChannelTest : public SyncTest {};

Task<absl::Status> Send(Channel<std::string>* channel, std::string* item) {
  co_return co_await channel->Send(std::move(*item));
}

Task<absl::StatusOr<std::string>> Receive(Channel<std::string>* channel) {
  absl::StatusOr<std::string> item = co_await channel->Receive();
  co_return item;
}

TEST_F(ChannelTest, ItemsComeInTheOrderOfSending) {
  Channel<int> channel(3);
  for (int i = 0; i < 3; ++i) EXPECT_OK(Run(channel.Send(int{i})));
  EXPECT_EQ(channel.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Run(channel.Receive()), IsOkAndHolds(i));
  EXPECT_EQ(channel.size(), 0u);
}

TEST_F(ChannelTest, MovesItemsThatCannotBeCopied) {
  Channel<std::unique_ptr<int>> channel(1);
  EXPECT_OK(Run(channel.Send(std::make_unique<int>(7))));
  auto item = Run(channel.Receive());
  ASSERT_OK(item.status());
  EXPECT_EQ(**item, 7);
}

TEST_F(ChannelTest, KeepsTheOrderAcrossManyRounds) {
  Channel<int> channel(5);
  int sent = 0;
  int received = 0;
  for (int round = 0; round < 50; ++round) {
    while (channel.TrySend(int{sent})) ++sent;
    for (int i = 0; i < 1 + round % 5; ++i) EXPECT_EQ(channel.TryReceive(), received++);
  }
}

TEST_F(ChannelTest, AFullChannelMakesTheSenderWait) {
  Channel<std::string> channel(1);
  std::string first = "first";
  std::string second = "second";
  EXPECT_OK(Run(channel.Send(std::move(first))));
  auto sending = Start(Send(&channel, &second));
  EXPECT_FALSE(sending->done());

  EXPECT_THAT(Run(channel.Receive()), IsOkAndHolds("first"));
  EXPECT_OK(Wait(sending));
  EXPECT_THAT(Run(channel.Receive()), IsOkAndHolds("second"));
}

TEST_F(ChannelTest, ReceiversAreServedInOrder) {
  Channel<std::string> channel(1);
  auto first = Start(Receive(&channel));
  auto second = Start(Receive(&channel));
  EXPECT_OK(Run(channel.Send("1")));
  EXPECT_OK(Run(channel.Send("2")));
  EXPECT_THAT(Wait(first), IsOkAndHolds("1"));
  EXPECT_THAT(Wait(second), IsOkAndHolds("2"));
}

TEST_F(ChannelTest, SendersAreServedInOrder) {
  Channel<std::string> channel(1);
  std::vector<std::string> items = {"0", "1", "2", "3"};
  std::vector<Background<absl::Status>> senders;
  senders.reserve(items.size());
  for (std::string& item : items) senders.push_back(Start(Send(&channel, &item)));
  for (const char* expected : {"0", "1", "2", "3"}) EXPECT_THAT(Run(channel.Receive()), IsOkAndHolds(expected));
  for (auto& sender : senders) EXPECT_OK(Wait(sender));
}

TEST_F(ChannelTest, ASendThatIsStoppedKeepsItsItem) {
  Channel<std::string> channel(1);
  EXPECT_OK(Run(channel.Send("first")));
  std::string item = "second";
  EXPECT_EQ(RunBriefly(channel.Send(std::move(item))), DeadlineExceededStatus());
  EXPECT_EQ(item, "second");

  EXPECT_EQ(channel.TryReceive(), "first");
  EXPECT_EQ(channel.TryReceive(), std::nullopt);
}

TEST_F(ChannelTest, ACancelledSendKeepsItsItem) {
  Channel<std::string> channel(1);
  EXPECT_OK(Run(channel.Send("first")));
  std::string item = "second";
  auto sending = Start(Send(&channel, &item));
  sending->Cancel();
  EXPECT_EQ(Wait(sending), CancelledStatus());
  EXPECT_EQ(item, "second");
}

TEST_F(ChannelTest, AReceiveThatIsStoppedTakesNothing) {
  Channel<std::string> channel(1);
  EXPECT_EQ(RunBriefly(channel.Receive()).status(), DeadlineExceededStatus());
  EXPECT_OK(Run(channel.Send("item")));
  EXPECT_THAT(Run(channel.Receive()), IsOkAndHolds("item"));
}

TEST_F(ChannelTest, AnItemHandedOverBeatsTheCancellation) {
  Channel<std::string> channel(1);
  auto receiving = Start(Receive(&channel));
  EXPECT_TRUE(channel.TrySend("item"));
  receiving->Cancel();
  EXPECT_THAT(Wait(receiving), IsOkAndHolds("item"));
}

TEST_F(ChannelTest, ARoomHandedOverBeatsTheCancellation) {
  Channel<std::string> channel(1);
  EXPECT_TRUE(channel.TrySend("first"));
  std::string item = "second";
  auto sending = Start(Send(&channel, &item));
  EXPECT_EQ(channel.TryReceive(), "first");
  sending->Cancel();
  EXPECT_OK(Wait(sending));
  EXPECT_EQ(channel.TryReceive(), "second");
}

TEST_F(ChannelTest, ACancelledReceiverGivesItsPlaceToTheNext) {
  Channel<std::string> channel(1);
  auto first = Start(Receive(&channel));
  auto second = Start(Receive(&channel));
  first->Cancel();
  EXPECT_EQ(Wait(first).status(), CancelledStatus());
  EXPECT_OK(Run(channel.Send("item")));
  EXPECT_THAT(Wait(second), IsOkAndHolds("item"));
}

TEST_F(ChannelTest, WhenAnyReturnsEveryItemThatCame) {
  Channel<std::string> left(1);
  Channel<std::string> right(1);
  EXPECT_TRUE(left.TrySend("l"));
  EXPECT_TRUE(right.TrySend("r"));
  auto taken = Run([](Channel<std::string>* left, Channel<std::string>* right) -> Task<absl::StatusOr<size_t>> {
    auto [from_left, from_right] = co_await WhenAny(left->Receive(), right->Receive());
    co_return size_t{from_left.has_value()} + size_t{from_right.has_value()};
  }(&left, &right));
  ASSERT_OK(taken.status());
  EXPECT_GE(*taken, 1u);
  EXPECT_EQ(*taken + left.size() + right.size(), 2u);
}

TEST_F(ChannelTest, CloseLetsWhatWasSentComeAndThenEnds) {
  Channel<std::string> channel(2);
  EXPECT_OK(Run(channel.Send("1")));
  EXPECT_OK(Run(channel.Send("2")));
  channel.Close();
  EXPECT_TRUE(channel.closed());
  EXPECT_THAT(Run(channel.Receive()), IsOkAndHolds("1"));
  EXPECT_THAT(Run(channel.Receive()), IsOkAndHolds("2"));
  EXPECT_EQ(Run(channel.Receive()).status().code(), Code::kOutOfRange);
  EXPECT_EQ(Run(channel.Receive()).status().code(), Code::kOutOfRange);
}

TEST_F(ChannelTest, CloseEndsTheReceiversThatWait) {
  Channel<std::string> channel(1);
  auto first = Start(Receive(&channel));
  auto second = Start(Receive(&channel));
  channel.Close();
  EXPECT_EQ(Wait(first).status().code(), Code::kOutOfRange);
  EXPECT_EQ(Wait(second).status().code(), Code::kOutOfRange);
}

TEST_F(ChannelTest, CloseRefusesTheSendersThatWaitAndThoseToCome) {
  Channel<std::string> channel(1);
  EXPECT_OK(Run(channel.Send("first")));
  std::string item = "second";
  auto sending = Start(Send(&channel, &item));
  channel.Close();
  channel.Close();
  EXPECT_EQ(Wait(sending).code(), Code::kFailedPrecondition);
  EXPECT_EQ(Run(channel.Send(std::move(item))).code(), Code::kFailedPrecondition);
  EXPECT_FALSE(channel.TrySend(std::move(item)));
  EXPECT_EQ(item, "second");
  EXPECT_THAT(Run(channel.Receive()), IsOkAndHolds("first"));
}

TEST_F(ChannelTest, TryCallsDoNotWait) {
  Channel<std::string> channel(1);
  EXPECT_EQ(channel.TryReceive(), std::nullopt);
  EXPECT_TRUE(channel.TrySend("item"));
  std::string kept = "kept";
  EXPECT_FALSE(channel.TrySend(std::move(kept)));
  EXPECT_EQ(kept, "kept");
  EXPECT_EQ(channel.TryReceive(), "item");
}

TEST_F(ChannelTest, APassedDeadlineDoesNothing) {
  Channel<std::string> channel(1);
  EXPECT_TRUE(channel.TrySend("item"));
  EXPECT_EQ(Run(channel.Receive().By(loop_.shard().now())).status(), DeadlineExceededStatus());
  EXPECT_EQ(channel.size(), 1u);
}

// Throws when it is moved, once.
struct ThrowsOnce {
  explicit ThrowsOnce(int number, bool throws = false) : number(number), throws(throws) {}
  // NOLINTNEXTLINE(performance-noexcept-move-constructor): that it may throw is the point.
  ThrowsOnce(ThrowsOnce&& other) : number(other.number) {
    if (std::exchange(other.throws, false)) throw std::runtime_error("move");
  }
  ThrowsOnce& operator=(ThrowsOnce&& other) {  // NOLINT(performance-noexcept-move-constructor): as above.
    number = other.number;
    if (std::exchange(other.throws, false)) throw std::runtime_error("move");
    return *this;
  }
  int number;
  bool throws = false;
};

Task<absl::StatusOr<int>> ReceiveNumber(Channel<ThrowsOnce>* channel) {
  absl::StatusOr<ThrowsOnce> item = co_await channel->Receive();
  if (!item.ok()) co_return item.status();
  co_return item->number;
}

TEST_F(ChannelTest, AnItemThatThrowsWhenItIsHandedOverLeavesTheReceiverInLine) {
  Channel<ThrowsOnce> channel(1);
  auto receiving = Start(ReceiveNumber(&channel));
  ThrowsOnce item(1, /*throws=*/true);
  EXPECT_THROW(static_cast<void>(channel.TrySend(std::move(item))), std::runtime_error);
  Settle();
  EXPECT_FALSE(receiving->done());
  EXPECT_TRUE(channel.TrySend(std::move(item)));
  EXPECT_THAT(Wait(receiving), IsOkAndHolds(1));
}

TEST_F(ChannelTest, AnItemThatThrowsWhenItGetsRoomLeavesTheSenderInLine) {
  Channel<ThrowsOnce> channel(1);
  EXPECT_TRUE(channel.TrySend(ThrowsOnce(1)));
  ThrowsOnce item(2, /*throws=*/true);
  auto sending = Start([](Channel<ThrowsOnce>* channel, ThrowsOnce* item) -> Task<absl::Status> {
    co_return co_await channel->Send(std::move(*item));
  }(&channel, &item));
  EXPECT_FALSE(sending->done());
  EXPECT_THROW(static_cast<void>(channel.TryReceive()), std::runtime_error);
  EXPECT_EQ(channel.size(), 1u);  // Nothing was lost.
  EXPECT_FALSE(sending->done());
  EXPECT_THAT(Run(ReceiveNumber(&channel)), IsOkAndHolds(1));
  EXPECT_OK(Wait(sending));
  EXPECT_THAT(Run(ReceiveNumber(&channel)), IsOkAndHolds(2));
}

TEST(ChannelDeathTest, ACapacityOfNoneIsABug) { EXPECT_DEATH(Channel<int>(0), "no capacity"); }

// The world is opened in the process that dies: a simulated one does not fork.
TEST(ChannelDeathTest, DestroyingAChannelThatIsWaitedForIsABug) {
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        auto channel = std::make_unique<Channel<std::string>>(1);
        auto receiving = loop.Start(Receive(channel.get()));
        EXPECT_OK(loop.Run(Yield()));
        EXPECT_OK(loop.Run(Yield()));
        channel.reset();
      },
      "a channel was destroyed while a call waits for it");
}

}  // namespace
}  // namespace tandem
