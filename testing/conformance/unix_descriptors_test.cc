// SPDX-License-Identifier: Apache-2.0
//
// Descriptors of open files over Unix sockets: they work, they stay with their bytes, and none is left open.

#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/testing/conformance/unix_conformance.h"

namespace tandem::testing {
namespace {

Task<IoResult> PassDescriptor(UnixStream* stream, std::string data, int descriptor) {
  IoResult result = co_await stream->WriteAllWithDescriptors(data, absl::MakeConstSpan(&descriptor, 1));
  co_return result;
}

class UnixDescriptorsTest : public UnixConformanceTest {
 protected:
  // The second end receives descriptors.
  std::pair<UnixStream, UnixStream> ReceivingPair() {
    auto pair = StreamPair();
    pair.second.set_receive_descriptors(true);
    return pair;
  }
  void Pass(UnixStream& stream, absl::string_view data, const std::vector<int>& descriptors) {
    EXPECT_OK(Run(stream.WriteAllWithDescriptors(data, descriptors)));
  }
  BytesAndDescriptors ReadBoth(UnixStream& stream, absl::Span<char> target) {
    auto read = Run(stream.ReadWithDescriptors(target));
    CHECK(read.ok()) << read.status();
    return *std::move(read);
  }
  static void WriteTo(int descriptor, absl::string_view text) {
    EXPECT_EQ(write(descriptor, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  char target_[100];
};

TEST_F(UnixDescriptorsTest, PipeArrivesAndWorks) {
  auto [sender, receiver] = ReceivingPair();
  Pipe pipe;
  Pass(sender, "pipe", {pipe.writing()});
  BytesAndDescriptors read = ReadBoth(receiver, absl::MakeSpan(target_));
  EXPECT_EQ(absl::string_view(target_, read.bytes), "pipe");
  ASSERT_EQ(read.descriptors.size(), 1u);
  EXPECT_NE(read.descriptors[0].get(), pipe.writing());
  pipe.CloseWriting();
  WriteTo(read.descriptors[0].get(), "through");
  EXPECT_EQ(pipe.Read(), "through");
  EXPECT_EQ(pipe.Read(), "empty");
  read.descriptors.clear();
  EXPECT_EQ(pipe.Read(), "end");
}

TEST_F(UnixDescriptorsTest, ReadThatWaitsGetsThem) {
  auto [sender, receiver] = ReceivingPair();
  auto read = Start([](UnixStream* stream, absl::Span<char> target) -> Task<absl::StatusOr<BytesAndDescriptors>> {
    absl::StatusOr<BytesAndDescriptors> both = co_await stream->ReadWithDescriptors(target);
    co_return both;
  }(&receiver, absl::MakeSpan(target_)));
  Settle();
  Pipe pipe;
  Pass(sender, "x", {pipe.reading()});
  auto both = Wait(read);
  ASSERT_OK(both);
  EXPECT_EQ(both->descriptors.size(), 1u);
}

TEST_F(UnixDescriptorsTest, SeveralArriveInOrder) {
  auto [sender, receiver] = ReceivingPair();
  std::vector<std::unique_ptr<Pipe>> pipes;
  std::vector<int> descriptors;
  for (int i = 0; i < 20; ++i) {
    pipes.push_back(std::make_unique<Pipe>());
    descriptors.push_back(pipes.back()->writing());
  }
  Pass(sender, "many", descriptors);
  const BytesAndDescriptors read = ReadBoth(receiver, absl::MakeSpan(target_));
  ASSERT_EQ(read.descriptors.size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    WriteTo(read.descriptors[i].get(), absl::StrCat(i));
    EXPECT_EQ(pipes[i]->Read(), absl::StrCat(i));
  }
}

TEST_F(UnixDescriptorsTest, AsManyAsTheKernelCarriesAndNotOneMore) {
  auto [sender, receiver] = ReceivingPair();
  Pipe pipe;
  std::vector<int> descriptors(Operation::kMaxDescriptors, pipe.writing());
  Pass(sender, "x", descriptors);
  EXPECT_EQ(ReadBoth(receiver, absl::MakeSpan(target_)).descriptors.size(), Operation::kMaxDescriptors);
  descriptors.push_back(pipe.writing());
  const IoResult result = Run(sender.WriteAllWithDescriptors("y", descriptors));
  EXPECT_THAT(result, StatusIs(kInvalidArgument));
  EXPECT_EQ(result.bytes, 0u);
  Write(sender, "works");
  EXPECT_THAT(Read(receiver), IsOkAndHolds("works"));
}

TEST_F(UnixDescriptorsTest, TheyTravelWithAByte) {
  auto [sender, receiver] = ReceivingPair();
  Pipe pipe;
  const int descriptor = pipe.writing();
  EXPECT_THAT(Run(sender.WriteAllWithDescriptors("", absl::MakeConstSpan(&descriptor, 1))), StatusIs(kInvalidArgument));
  Pass(sender, "none", {});
  EXPECT_TRUE(ReadBoth(receiver, absl::MakeSpan(target_)).descriptors.empty());
}

TEST_F(UnixDescriptorsTest, DescriptorsStayWithTheirBytes) {
  auto [sender, receiver] = ReceivingPair();
  Pipe first;
  Pipe second;
  Write(sender, "plain");
  Pass(sender, "one", {first.writing()});
  Pass(sender, "two", {second.writing(), second.reading()});
  Write(sender, "rest");
  Settle();
  std::string seen;
  std::vector<size_t> positions;
  std::vector<size_t> counts;
  while (seen.size() < 15) {
    const BytesAndDescriptors read = ReadBoth(receiver, absl::MakeSpan(target_));
    if (!read.descriptors.empty()) {
      positions.push_back(seen.size());
      counts.push_back(read.descriptors.size());
    }
    seen.append(target_, read.bytes);
  }
  EXPECT_EQ(seen, "plainonetworest");
  // Linux puts bytes without descriptors and those with the next ones into one read.
  ASSERT_EQ(positions.size(), 2u);
  EXPECT_LE(positions[0], 5u);
  EXPECT_EQ(positions[1], 8u);
  EXPECT_EQ(counts, (std::vector<size_t>{1, 2}));
}

TEST_F(UnixDescriptorsTest, BytesThatArePushedBackMoveNone) {
  auto [sender, receiver] = ReceivingPair();
  Pipe pipe;
  Write(sender, "ab");
  EXPECT_EQ(ReadBoth(receiver, absl::MakeSpan(target_)).bytes, 2u);
  Pass(sender, "one", {pipe.writing()});
  Settle();
  EXPECT_OK(receiver.Unread("more than came before"));
  BytesAndDescriptors read = ReadBoth(receiver, absl::MakeSpan(target_));
  EXPECT_EQ(absl::string_view(target_, read.bytes), "more than came before");
  EXPECT_TRUE(read.descriptors.empty());
  read = ReadBoth(receiver, absl::MakeSpan(target_));
  EXPECT_EQ(absl::string_view(target_, read.bytes), "one");
  EXPECT_EQ(read.descriptors.size(), 1u);
}

TEST_F(UnixDescriptorsTest, PlainReadClosesThem) {
  auto [sender, receiver] = ReceivingPair();
  Pipe pipe;
  Pass(sender, "dropped", {pipe.writing()});
  pipe.CloseWriting();
  EXPECT_EQ(pipe.Read(), "empty");
  EXPECT_THAT(Read(receiver), IsOkAndHolds("dropped"));
  EXPECT_EQ(pipe.Read(), "end");
}

TEST_F(UnixDescriptorsTest, StreamThatDoesNotWantThemClosesThem) {
  auto [sender, receiver] = StreamPair();
  Pipe pipe;
  Pass(sender, "dropped", {pipe.writing()});
  pipe.CloseWriting();
  const BytesAndDescriptors read = ReadBoth(receiver, absl::MakeSpan(target_));
  EXPECT_EQ(read.bytes, 7u);
  EXPECT_TRUE(read.descriptors.empty());
  EXPECT_EQ(pipe.Read(), "end");
}

TEST_F(UnixDescriptorsTest, CloseClosesThoseThatNobodyTook) {
  auto [sender, receiver] = ReceivingPair();
  Pipe arrived;
  Pipe in_the_kernel;
  // Begins to receive.
  EXPECT_THAT(Run(receiver.ReadWithDescriptors(absl::MakeSpan(target_)).By(Now() + absl::Milliseconds(1))),
              StatusIs(kDeadlineExceeded));
  Pass(sender, "a", {arrived.writing()});
  Settle();
  Pass(sender, "b", {in_the_kernel.writing()});
  arrived.CloseWriting();
  in_the_kernel.CloseWriting();
  EXPECT_OK(Run(receiver.Close()));
  receiver = UnixStream();
  EXPECT_EQ(arrived.Read(), "end");
  EXPECT_EQ(in_the_kernel.Read(), "end");
}

TEST_F(UnixDescriptorsTest, ReleasedDescriptorStaysOpen) {
  auto [sender, receiver] = ReceivingPair();
  Pipe pipe;
  Pass(sender, "x", {pipe.writing()});
  pipe.CloseWriting();
  BytesAndDescriptors read = ReadBoth(receiver, absl::MakeSpan(target_));
  ASSERT_EQ(read.descriptors.size(), 1u);
  const int released = read.descriptors[0].Release();
  read.descriptors.clear();
  EXPECT_EQ(pipe.Read(), "empty");
  close(released);
  EXPECT_EQ(pipe.Read(), "end");
}

TEST_F(UnixDescriptorsTest, DescriptorThatIsNotOpenIsRefused) {
  auto [sender, receiver] = ReceivingPair();
  const int closed = 1'000'000;
  EXPECT_EQ(ErrnoOf(Run(sender.WriteAllWithDescriptors("x", absl::MakeConstSpan(&closed, 1))).status), EBADF);
}

TEST_F(UnixDescriptorsTest, DescriptorThatIsNotOpenIsRefusedAloneAndTheStreamGoesOn) {
  auto [sender, receiver] = ReceivingPair();
  for (const int closed : {1'000'000, -1}) {
    auto refused = Start(PassDescriptor(&sender, "refused", closed));
    auto queued = Start(PassDescriptor(&sender, "queued", STDERR_FILENO));
    const IoResult result = Wait(refused);
    EXPECT_EQ(ErrnoOf(result.status), EBADF);
    EXPECT_EQ(result.bytes, 0u);
    EXPECT_OK(Wait(queued));
    const BytesAndDescriptors read = ReadBoth(receiver, absl::MakeSpan(target_));
    EXPECT_EQ(absl::string_view(target_, read.bytes), "queued");
    EXPECT_EQ(read.descriptors.size(), 1u);
  }
}

TEST_F(UnixDescriptorsTest, EndOfTheStreamHasNone) {
  auto [sender, receiver] = ReceivingPair();
  EXPECT_OK(Run(sender.Close()));
  const BytesAndDescriptors read = ReadBoth(receiver, absl::MakeSpan(target_));
  EXPECT_EQ(read.bytes, 0u);
  EXPECT_TRUE(read.descriptors.empty());
  EXPECT_THAT(Run(receiver.ReadWithDescriptors({})), StatusIs(kInvalidArgument));
}

// --- With datagrams ---

TEST_F(UnixDescriptorsTest, DatagramCarriesThem) {
  auto [sender, receiver] = DatagramPair();
  Pipe pipe;
  const int descriptors[] = {pipe.writing(), pipe.reading()};
  EXPECT_OK(Run(sender.SendWithDescriptors("both", descriptors)));
  EXPECT_OK(Run(sender.Send("none")));
  pipe.CloseWriting();
  auto received = Run(receiver.ReceiveFrom(absl::MakeSpan(target_)));
  ASSERT_OK(received);
  EXPECT_EQ(received->size, 4u);
  ASSERT_EQ(received->descriptors.size(), 2u);
  WriteTo(received->descriptors[0].get(), "through");
  EXPECT_EQ(pipe.Read(), "through");
  auto next = Run(receiver.ReceiveFrom(absl::MakeSpan(target_)));
  ASSERT_OK(next);
  EXPECT_TRUE(next->descriptors.empty());
  received->descriptors.clear();
  EXPECT_EQ(pipe.Read(), "end");
}

TEST_F(UnixDescriptorsTest, DatagramWithoutBytesCarriesThemToo) {
  auto [sender, receiver] = DatagramPair();
  Pipe pipe;
  const int descriptor = pipe.writing();
  EXPECT_OK(Run(sender.SendWithDescriptors("", absl::MakeConstSpan(&descriptor, 1))));
  auto received = Run(receiver.ReceiveDatagram());
  ASSERT_OK(received);
  EXPECT_TRUE(received->data.empty());
  EXPECT_EQ(received->descriptors.size(), 1u);
}

TEST_F(UnixDescriptorsTest, DatagramThatIsDroppedClosesThem) {
  auto [sender, receiver] = DatagramPair();
  Pipe pipe;
  const int descriptor = pipe.writing();
  EXPECT_THAT(Run(receiver.ReceiveDatagram().By(Now() + absl::Milliseconds(1))), StatusIs(kDeadlineExceeded));
  EXPECT_OK(Run(sender.SendWithDescriptors("x", absl::MakeConstSpan(&descriptor, 1))));
  pipe.CloseWriting();
  Settle();
  EXPECT_EQ(receiver.queued(), 1u);
  EXPECT_EQ(pipe.Read(), "empty");
  EXPECT_OK(Run(receiver.Close()));
  EXPECT_EQ(pipe.Read(), "end");
}

TEST_F(UnixDescriptorsTest, TooManyForADatagramAreRefused) {
  auto [sender, receiver] = DatagramPair();
  Pipe pipe;
  const std::vector<int> descriptors(Operation::kMaxDescriptors + 1, pipe.writing());
  const absl::Status status = Run(sender.SendWithDescriptors("x", descriptors));
  EXPECT_THAT(status, StatusIs(kInvalidArgument));
  EXPECT_EQ(ErrnoOf(status), EINVAL);
}

}  // namespace
}  // namespace tandem::testing
