// SPDX-License-Identifier: Apache-2.0
//
// Cancellation loses nothing, however it races with what arrives: the same calls again and again, with timings drawn
// at random and close enough together that completions and stops fall into one turn of the loop.

#include <cstdint>
#include <cstdio>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tandem/testing/conformance/number_checker.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/malloc_count.h"

namespace tandem::testing {
namespace {

// How long a test goes on beyond the number of rounds that it must do: virtual time is free, real time is not.
constexpr absl::Duration kLongEnough = absl::Seconds(4);

class RaceTest : public SocketConformanceTest {
 protected:
  static absl::Duration Draw(const char* name, int64_t max_us) {
    return absl::Microseconds(Random(name).Between(0, max_us));
  }
};

Task<absl::Status> WriteNumbers(TcpStream* stream, bool* stop, uint64_t* written) {
  std::string chunk;
  while (!*stop) {
    chunk.clear();
    const int64_t count = Random("chunk").Between(1, 4);
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t number = (*written)++;
      chunk.append(reinterpret_cast<const char*>(&number), sizeof(number));
    }
    const IoResult result = co_await stream->WriteAll(chunk);
    if (!result.ok()) co_return result.status;
    absl::Status slept = co_await Sleep(absl::Microseconds(Random("pause").Between(0, 60)));
    if (!slept.ok()) co_return slept;
  }
  absl::Status status = co_await stream->ShutdownWrite();
  co_return status;
}

enum class How { kDeadline, kScope, kReceive, kReadExactly };

// Reads under random timeouts until `timeouts` of them were met, then to the end. Now and then nobody reads for a
// while: what comes then has to wait.
Task<absl::Status> ReadNumbers(TcpStream* stream, How how, int timeouts, bool* stop, NumberChecker* checker) {
  char target[20];
  int met = 0;
  for (;;) {
    const auto timeout = absl::Nanoseconds(Random("timeout").Between(0, 30'000));
    const size_t size = 1 + Random("size").Below(sizeof(target));
    absl::Status status;
    size_t bytes = 0;
    if (how == How::kDeadline) {
      absl::StatusOr<size_t> count = co_await WithTimeout(timeout, stream->Read(absl::MakeSpan(target, size)));
      status = count.status();
      if (count.ok()) bytes = *count;
      checker->Add(target, bytes);
    } else if (how == How::kScope) {
      absl::StatusOr<std::string> data = co_await WithTimeout(timeout, ReadSome(stream, size));
      status = data.status();
      if (data.ok()) bytes = data->size();
      if (data.ok()) checker->Add(data->data(), bytes);
    } else if (how == How::kReceive) {
      absl::StatusOr<Buffer> buffer = co_await WithTimeout(timeout, stream->Receive());
      status = buffer.status();
      if (buffer.ok()) bytes = buffer->size();
      if (buffer.ok()) checker->Add(buffer->data(), bytes);
    } else {
      const IoResult result = co_await WithTimeout(timeout, stream->ReadExactly(absl::MakeSpan(target, size)));
      status = result.status;
      bytes = result.bytes;
      checker->Add(target, bytes);
      if (absl::IsOutOfRange(status)) co_return absl::OkStatus();
    }
    if (absl::IsDeadlineExceeded(status)) {
      if (++met == timeouts) *stop = true;
      if (Random("idle").Below(8) == 0) {
        status = co_await Sleep(absl::Microseconds(Random("idle").Between(0, 60)));
        if (!status.ok()) co_return status;
      }
      continue;
    }
    if (!status.ok()) co_return status;
    if (bytes == 0) co_return absl::OkStatus();
  }
}

struct Way {
  std::string name;
  How how;
  int timeouts;
  int simulated_timeouts;  // Virtual time is cheap.
};

class NumberedStreamTest : public RaceTest, public ::testing::WithParamInterface<Way> {};

TEST_P(NumberedStreamTest, HasNoGapAndNoRepeatUnderRandomTimeouts) {
  auto [client, server] = ConnectedPair();
  bool stop = false;
  uint64_t written = 0;
  NumberChecker checker;
  auto write = Start(WriteNumbers(&client, &stop, &written));
  const int timeouts = IsSimulated() ? GetParam().simulated_timeouts : GetParam().timeouts;
  auto read = Start(ReadNumbers(&server, GetParam().how, timeouts, &stop, &checker));
  loop_.TurnUntil([&] { return read->done(); }, absl::Minutes(5));

  EXPECT_OK(Wait(read));
  EXPECT_OK(Wait(write));
  EXPECT_EQ(checker.mistakes(), 0);
  EXPECT_EQ(checker.next(), written);
  EXPECT_GT(written, 1000u);
  std::printf("%d timeouts, %llu numbers without gap or repeat\n", timeouts, static_cast<unsigned long long>(written));
}

INSTANTIATE_TEST_SUITE_P(Ways, NumberedStreamTest,
                         ::testing::Values(Way{"Deadline", How::kDeadline, 100'000, 1'000'000},
                                           Way{"Scope", How::kScope, 20'000, 50'000},
                                           Way{"Receive", How::kReceive, 20'000, 50'000},
                                           Way{"ReadExactly", How::kReadExactly, 20'000, 50'000}),
                         [](const auto& test) { return test.param.name; });

// Two streams whose bytes come at nearly the same time: WhenAny returns both, or leaves one for the next call.
Task<absl::Status> ReadEither(TcpStream* first, TcpStream* second, int rounds, NumberChecker* a, NumberChecker* b,
                              int* both) {
  for (int round = 0; round < rounds; ++round) {
    char first_target[64];
    char second_target[64];
    auto results =
        co_await WhenAny(first->Read(absl::MakeSpan(first_target)), second->Read(absl::MakeSpan(second_target)));
    const auto& one = std::get<0>(results);
    const auto& two = std::get<1>(results);
    if (one.has_value() && !one->ok()) co_return one->status();
    if (two.has_value() && !two->ok()) co_return two->status();
    if (one.has_value()) a->Add(first_target, **one);
    if (two.has_value()) b->Add(second_target, **two);
    if (one.has_value() && two.has_value()) ++*both;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReadNumbersToEnd(TcpStream* stream, NumberChecker* checker) {
  char target[4096];
  for (;;) {
    absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(target));
    if (!count.ok()) co_return count.status();
    if (*count == 0) co_return absl::OkStatus();
    checker->Add(target, *count);
  }
}

TEST_F(RaceTest, TwoReadsThatCompleteTogetherLoseNoByte) {
  auto [first_client, first_server] = ConnectedPair();
  auto [second_client, second_server] = ConnectedPair();
  bool stop = false;
  uint64_t first_written = 0;
  uint64_t second_written = 0;
  auto first_write = Start(WriteNumbers(&first_client, &stop, &first_written));
  auto second_write = Start(WriteNumbers(&second_client, &stop, &second_written));
  NumberChecker first;
  NumberChecker second;
  int both = 0;
  const Instant begin = Now();
  int rounds = 0;
  for (; rounds < 10'000 || (rounds < 100'000 && Now() < begin + kLongEnough); rounds += 1000) {
    ASSERT_OK(Run(ReadEither(&first_server, &second_server, 1000, &first, &second, &both)));
  }
  std::printf("%d rounds of two reads, both completed in %d\n", rounds, both);
  stop = true;
  EXPECT_OK(Run(ReadNumbersToEnd(&first_server, &first)));
  EXPECT_OK(Run(ReadNumbersToEnd(&second_server, &second)));

  EXPECT_OK(Wait(first_write));
  EXPECT_OK(Wait(second_write));
  EXPECT_EQ(first.mistakes() + second.mistakes(), 0);
  EXPECT_EQ(first.next(), first_written);
  EXPECT_EQ(second.next(), second_written);
  EXPECT_GT(both, 0) << "the race was never run";
}

// A sanitizer's allocator is not counted, and slow.
constexpr uint64_t kTimeouts = MallocCount::kCounts ? 1'000'000 : 10'000;

TEST_F(RaceTest, TimedOutReadsAllocateNothing) {
  auto [client, server] = ConnectedPair();
  struct Counts {
    uint64_t timeouts = 0;
    uint64_t allocations = 0;
  } counts;
  EXPECT_OK(Run([](TcpStream* stream, Counts* counts) -> Task<absl::Status> {
    char target[16];
    uint64_t before = 0;
    for (; counts->timeouts < kTimeouts; ++counts->timeouts) {
      // What is needed once is there after a while.
      if (counts->timeouts == 1000) before = MallocCount::ThisThread();
      absl::StatusOr<size_t> count = co_await WithTimeout(absl::Nanoseconds(1), stream->Read(absl::MakeSpan(target)));
      if (!absl::IsDeadlineExceeded(count.status())) co_return absl::InternalError("a read did not time out");
    }
    counts->allocations = MallocCount::ThisThread() - before;
    co_return absl::OkStatus();
  }(&server, &counts)));
  EXPECT_EQ(counts.allocations, 0u);
  EXPECT_EQ(counts.timeouts, static_cast<uint64_t>(kTimeouts));
}

// The child is in the middle of a read when the body throws: it is cancelled, joined, and the stream goes on.
TEST_F(RaceTest, ExceptionInTheBodyOfAGroupJoinsItsChildren) {
  auto [client, server] = ConnectedPair();
  bool ended = false;
  auto grouped = [](TcpStream* stream, bool* ended) -> Task<absl::Status> {
    co_return co_await WithTaskGroup([&](TaskGroup& group) {
      group.Spawn(
          [](TcpStream* stream, bool* ended) -> Task<void> {
            absl::StatusOr<std::string> data = co_await ReadSome(stream, 10);
            EXPECT_EQ(data.status(), CancelledStatus());
            *ended = true;
          },
          stream, ended);
      return []() -> Task<absl::Status> {
        static_cast<void>(co_await Sleep(absl::Milliseconds(1)));
        throw 5;
      }();
    });
  };
  EXPECT_OK(Run([](Task<absl::Status> group, bool* ended) -> Task<absl::Status> {
    try {
      static_cast<void>(co_await std::move(group));
    } catch (int) {
      co_return *ended ? absl::OkStatus() : absl::InternalError("the child still ran");
    }
    co_return absl::InternalError("nothing was thrown");
  }(grouped(&server, &ended), &ended)));

  Send(client, "after");
  EXPECT_THAT(Read(server), IsOkAndHolds("after"));
}

// Writes are cut short again and again; the stream that the peer gets is what the calls said.
TEST_F(RaceTest, WritesThatAreCutShortMakeAStreamWithoutGapOrRepeat) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(48 << 20);
  std::string received;
  received.reserve(data.size());
  auto read = Start(ReadToEnd(&server, &received));
  int cuts = 0;
  EXPECT_OK(Run([](TcpStream* stream, const std::string* data, int* cuts) -> Task<absl::Status> {
    size_t sent = 0;
    while (sent < data->size()) {
      const auto timeout = absl::Nanoseconds(Random("timeout").Between(1, 300'000));
      const size_t size = std::min<size_t>(data->size() - sent, 1 + Random("size").Below(8 << 20));
      const IoResult result =
          co_await WithTimeout(timeout, stream->WriteAll(absl::string_view(*data).substr(sent, size)));
      sent += result.bytes;
      if (result.ok()) continue;
      if (!absl::IsDeadlineExceeded(result.status)) co_return result.status;
      ++*cuts;
      stream->AcceptPartial();
    }
    co_return co_await stream->ShutdownWrite();
  }(&client, &data, &cuts)));
  EXPECT_OK(Wait(read));
  EXPECT_TRUE(received == data);
  EXPECT_GT(cuts, 0);
}

// --- Accept ---

// Connects again and again, and says on each connection which one it is.
Task<absl::Status> ConnectNumbered(SocketAddress address, const bool* stop, uint64_t* connected) {
  while (!*stop) {
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
    if (!stream.ok()) co_return stream.status();
    const uint64_t number = (*connected)++;
    const IoResult written =
        co_await stream->WriteAll(absl::string_view(reinterpret_cast<const char*>(&number), sizeof(number)));
    if (!written.ok()) co_return written.status;
    // The other end resets it: no port stays in TIME_WAIT.
    char byte;
    static_cast<void>(co_await stream->Read(absl::MakeSpan(&byte, 1)));
    absl::Status slept = co_await Sleep(absl::Microseconds(Random("pause").Between(0, 400)));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

// The same; `ended` tells when it makes no connection any more.
Task<absl::Status> ConnectNumberedAndEnd(SocketAddress address, const bool* stop, uint64_t* connected, bool* ended) {
  absl::Status status = co_await ConnectNumbered(address, stop, connected);
  *ended = true;
  co_return status;
}

Task<absl::Status> ReadNumberAndReset(TcpStream stream, NumberChecker* checker) {
  char number[sizeof(uint64_t)];
  const IoResult read = co_await stream.ReadExactly(absl::MakeSpan(number));
  if (!read.ok()) co_return read.status;
  checker->Add(number, sizeof(number));
  stream.Abort();
  absl::Status closed = co_await stream.Close();
  co_return closed;
}

// Accepts under random timeouts until `timeouts` of them were met and no connection comes any more. One that the kernel
// has made may be unknown to who makes it, so that to count them is not enough.
Task<absl::Status> AcceptNumbered(TcpListener* listener, int timeouts, bool* stop, const bool* ended,
                                  NumberChecker* checker) {
  int met = 0;
  while (met < timeouts || !*ended) {
    const auto timeout = absl::Nanoseconds(Random("timeout").Between(0, 30'000));
    absl::StatusOr<TcpStream> stream = co_await WithTimeout(timeout, listener->Accept());
    if (absl::IsDeadlineExceeded(stream.status())) {
      if (++met == timeouts) *stop = true;
      continue;
    }
    if (!stream.ok()) co_return stream.status();
    absl::Status status = co_await ReadNumberAndReset(*std::move(stream), checker);
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

TEST_F(RaceTest, NoConnectionIsLostUnderRandomTimeoutsOfAccept) {
  TcpListener listener = Listen();
  bool stop = false;
  uint64_t connected = 0;
  NumberChecker checker;
  const int timeouts = IsSimulated() ? 1'000'000 : 100'000;
  bool ended = false;
  auto connect = Start(ConnectNumberedAndEnd(listener.LocalAddress(), &stop, &connected, &ended));
  auto accept = Start(AcceptNumbered(&listener, timeouts, &stop, &ended, &checker));
  loop_.TurnUntil([&] { return accept->done(); }, absl::Minutes(5));

  EXPECT_OK(Wait(accept));
  EXPECT_OK(Wait(connect));
  EXPECT_EQ(checker.mistakes(), 0);
  EXPECT_EQ(checker.next(), connected);
  EXPECT_GT(connected, 100u);
  std::printf("%d timeouts, %llu connections, none lost\n", timeouts, static_cast<unsigned long long>(connected));
}

}  // namespace
}  // namespace tandem::testing
