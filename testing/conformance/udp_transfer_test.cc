// SPDX-License-Identifier: Apache-2.0
//
// Sending and receiving UDP datagrams: boundaries, truncation, sizes, batches, calls that do not wait.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/testing/conformance/udp_conformance.h"

namespace tandem::testing {
namespace {

using UdpTransferTest = UdpConformanceTest;
using UdpBatchTest = UdpConformanceTest;
using UdpTryTest = UdpConformanceTest;

TEST_F(UdpTransferTest, DatagramArrivesWithItsSource) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  SendTo(sender, "hello", AddressOf(receiver));
  std::string target(100, '\0');
  auto received = Run(receiver.ReceiveFrom(absl::MakeSpan(target)));
  ASSERT_OK(received);
  EXPECT_EQ(target.substr(0, received->size), "hello");
  EXPECT_EQ(received->source, AddressOf(sender));
  EXPECT_FALSE(received->truncated);
  EXPECT_TRUE(received->descriptors.empty());
}

TEST_F(UdpTransferTest, ReceiveBeforeTheSendWaits) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  auto receive = Start(ReceiveString(&receiver));
  Settle();
  EXPECT_FALSE(receive->done());
  SendTo(sender, "later", AddressOf(receiver));
  EXPECT_THAT(Wait(receive), IsOkAndHolds("later"));
}

TEST_F(UdpTransferTest, BoundariesAreKept) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  for (const char* data : {"a", "bc", "def"}) SendTo(sender, data, AddressOf(receiver));
  for (const char* data : {"a", "bc", "def"}) EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds(data));
}

TEST_F(UdpTransferTest, ReceiverAnswersToTheSource) {
  UdpSocket client = Bind();
  UdpSocket server = Bind();
  SendTo(client, "ping", AddressOf(server));
  std::string target(100, '\0');
  auto received = Run(server.ReceiveFrom(absl::MakeSpan(target)));
  ASSERT_OK(received);
  SendTo(server, "pong", received->source);
  EXPECT_THAT(ReceiveText(client), IsOkAndHolds("pong"));
}

TEST_F(UdpTransferTest, SocketSendsToItself) {
  UdpSocket socket = Bind();
  SendTo(socket, "self", AddressOf(socket));
  EXPECT_THAT(ReceiveText(socket), IsOkAndHolds("self"));
}

TEST_F(UdpTransferTest, FirstSendBindsTheSocket) {
  UdpSocket receiver = Bind();
  UdpSocket sender = Open();
  EXPECT_EQ(AddressOf(sender), SocketAddress::AnyIpv4(0));
  SendTo(sender, "x", AddressOf(receiver));
  const SocketAddress bound = AddressOf(sender);
  EXPECT_TRUE(bound.is_any());
  EXPECT_NE(bound.port(), 0);
  std::string target(10, '\0');
  auto received = Run(receiver.ReceiveFrom(absl::MakeSpan(target)));
  ASSERT_OK(received);
  EXPECT_EQ(received->source, SocketAddress::LoopbackIpv4(bound.port()));
}

TEST_F(UdpTransferTest, SendToAnyAddressReachesLoopback) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind(SocketAddress::AnyIpv4(0));
  SendTo(sender, "x", SocketAddress::AnyIpv4(AddressOf(receiver).port()));
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds("x"));
}

TEST_F(UdpTransferTest, LongDatagramIsTruncatedAndTheNextIsIntact) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  SendTo(sender, "0123456789", AddressOf(receiver));
  SendTo(sender, "next", AddressOf(receiver));
  std::array<char, 6> memory;
  memory.fill('#');
  auto received = Run(receiver.ReceiveFrom(absl::MakeSpan(memory.data(), 4)));
  ASSERT_OK(received);
  EXPECT_EQ(received->size, 4u);
  EXPECT_TRUE(received->truncated);
  EXPECT_EQ(absl::string_view(memory.data(), memory.size()), "0123##");
  received = Run(receiver.ReceiveFrom(absl::MakeSpan(memory.data(), 4)));
  ASSERT_OK(received);
  EXPECT_EQ(received->size, 4u);
  EXPECT_FALSE(received->truncated);
  EXPECT_EQ(absl::string_view(memory.data(), 4), "next");
}

TEST_F(UdpTransferTest, ZeroLengthDatagramIsAResultAndNotTheEnd) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  SendTo(sender, "", AddressOf(receiver));
  SendTo(sender, "more", AddressOf(receiver));
  std::string target(10, '\0');
  auto received = Run(receiver.ReceiveFrom(absl::MakeSpan(target)));
  ASSERT_OK(received);
  EXPECT_EQ(received->size, 0u);
  EXPECT_FALSE(received->truncated);
  EXPECT_EQ(received->source, AddressOf(sender));
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds("more"));
  ExpectNothing(receiver);
}

TEST_F(UdpTransferTest, ZeroLengthDatagramWakesAReceiverThatWaits) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  auto receive = Start(ReceiveString(&receiver));
  Settle();
  SendTo(sender, "", AddressOf(receiver));
  EXPECT_THAT(Wait(receive), IsOkAndHolds(""));
}

TEST_F(UdpTransferTest, EmptyTargetConsumesADatagram) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  SendTo(sender, "gone", AddressOf(receiver));
  SendTo(sender, "kept", AddressOf(receiver));
  auto received = Run(receiver.ReceiveFrom({}));
  ASSERT_OK(received);
  EXPECT_EQ(received->size, 0u);
  EXPECT_TRUE(received->truncated);
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds("kept"));
}

TEST_F(UdpTransferTest, LargestDatagramArrivesWhole) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  const std::string data = Pattern(65507);
  SendTo(sender, data, AddressOf(receiver));
  auto received = Run(receiver.ReceiveDatagram());
  ASSERT_OK(received);
  EXPECT_FALSE(received->truncated);
  EXPECT_TRUE(received->data.view() == data);
}

TEST_F(UdpTransferTest, OneByteMoreIsTooLong) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  const absl::Status status = Run(sender.SendTo(Pattern(65508), AddressOf(receiver)));
  EXPECT_THAT(status, StatusIs(kInvalidArgument));
  EXPECT_EQ(ErrnoOf(status), EMSGSIZE);
  SendTo(sender, "still works", AddressOf(receiver));
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds("still works"));
}

TEST_F(UdpTransferTest, Ipv6WorksTheSame) {
  UdpSocket sender = Bind(SocketAddress::LoopbackIpv6(0));
  UdpSocket receiver = Bind(SocketAddress::LoopbackIpv6(0));
  SendTo(sender, "six", AddressOf(receiver));
  std::string target(10, '\0');
  auto received = Run(receiver.ReceiveFrom(absl::MakeSpan(target)));
  ASSERT_OK(received);
  EXPECT_EQ(received->size, 3u);
  EXPECT_EQ(received->source, AddressOf(sender));
  EXPECT_EQ(received->source.HostToString(), "::1");
}

TEST_F(UdpTransferTest, SeveralReceiversAreServedInOrder) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  auto first = Start(ReceiveString(&receiver));
  auto second = Start(ReceiveString(&receiver));
  auto third = Start(ReceiveString(&receiver));
  Settle();
  for (const char* data : {"1", "2", "3"}) SendTo(sender, data, AddressOf(receiver));
  EXPECT_THAT(Wait(third), IsOkAndHolds("3"));
  EXPECT_THAT(Wait(second), IsOkAndHolds("2"));
  EXPECT_THAT(Wait(first), IsOkAndHolds("1"));
}

TEST_F(UdpTransferTest, SeveralSendersKeepTheirOrder) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  std::vector<std::unique_ptr<Background<absl::Status>>> sends;
  for (int i = 0; i < 40; ++i) sends.push_back(Start(SendString(&sender, absl::StrCat(i), AddressOf(receiver))));
  for (auto& send : sends) EXPECT_OK(Wait(send));
  for (int i = 0; i < 40; ++i) EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds(absl::StrCat(i)));
}

TEST_F(UdpTransferTest, ReceiveAndSendAtTheSameTime) {
  UdpSocket socket = Bind();
  UdpSocket peer = Bind();
  auto receive = Start(ReceiveString(&socket));
  Settle();
  SendTo(socket, "out", AddressOf(peer));
  EXPECT_THAT(ReceiveText(peer), IsOkAndHolds("out"));
  EXPECT_FALSE(receive->done());
  SendTo(peer, "in", AddressOf(socket));
  EXPECT_THAT(Wait(receive), IsOkAndHolds("in"));
}

TEST_F(UdpTransferTest, FullReceiveBufferDropsAndWhatFollowsIsIntact) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind(SocketAddress::LoopbackIpv4(0));
  EXPECT_OK(receiver.set_receive_buffer_size(5'000));
  for (int i = 0; i < 100; ++i) SendTo(sender, absl::StrCat(i, " ", std::string(1'000, 'x')), AddressOf(receiver));
  Settle();
  const std::vector<std::string> arrived = ReceiveAll(receiver);
  EXPECT_GT(arrived.size(), 0u);
  EXPECT_LT(arrived.size(), 100u);
  for (size_t i = 0; i < arrived.size(); ++i) EXPECT_EQ(arrived[i], absl::StrCat(i, " ", std::string(1'000, 'x')));
  SendTo(sender, "after", AddressOf(receiver));
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds("after"));
}

TEST_F(UdpTransferTest, MemoryMayBeReusedWhenTheSendHasReturned) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  std::string data(1'000, 'a');
  SendTo(sender, data, AddressOf(receiver));
  std::fill(data.begin(), data.end(), 'b');
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds(std::string(1'000, 'a')));
}

// --- Batches ---

Task<absl::StatusOr<std::vector<std::string>>> Collect(UdpSocket* socket, size_t count) {
  std::vector<std::string> all;
  all.reserve(count);
  while (all.size() < count) {
    absl::StatusOr<std::vector<Datagram>> datagrams = co_await socket->ReceiveMany(count);
    if (!datagrams.ok()) co_return datagrams.status();
    for (const Datagram& datagram : *datagrams) all.emplace_back(datagram.data.view());
  }
  co_return all;
}

Task<SendManyResult> SendAll(UdpSocket* socket, const std::vector<OutgoingDatagram>* datagrams) {
  SendManyResult result = co_await socket->SendMany(*datagrams);
  co_return result;
}

class Batch {
 public:
  void Add(std::string data) { data_.push_back(std::move(data)); }
  const std::vector<std::string>& data() const { return data_; }
  std::vector<OutgoingDatagram> To(const SocketAddress& destination) const {
    std::vector<OutgoingDatagram> datagrams;
    datagrams.reserve(data_.size());
    for (const std::string& data : data_) datagrams.emplace_back(data, destination);
    return datagrams;
  }

 private:
  std::vector<std::string> data_;
};

TEST_F(UdpBatchTest, TwoHundredOfMixedSizesArriveInOrder) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind(SocketAddress::LoopbackIpv4(0));
  EXPECT_OK(receiver.set_receive_buffer_size(1 << 20));
  Batch batch;
  for (int i = 0; i < 200; ++i) batch.Add(absl::StrCat(i, ":", Pattern(static_cast<size_t>(i * 37 % 151))));
  const std::vector<OutgoingDatagram> datagrams = batch.To(AddressOf(receiver));
  auto collect = Start(Collect(&receiver, 200));
  Settle();
  const SendManyResult result = Run(SendAll(&sender, &datagrams));
  EXPECT_OK(result);
  EXPECT_EQ(result.sent, 200u);
  auto arrived = Wait(collect);
  ASSERT_OK(arrived);
  EXPECT_TRUE(*arrived == batch.data());
}

// What the kernel may send as one (UDP_SEGMENT) and receive as one (UDP_GRO) is still 100 datagrams.
TEST_F(UdpBatchTest, EqualSizesAreSeparateDatagrams) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind(SocketAddress::LoopbackIpv4(0));
  EXPECT_OK(receiver.set_receive_buffer_size(1 << 20));
  Batch batch;
  for (int i = 0; i < 100; ++i) batch.Add(absl::StrCat(1000 + i, std::string(508, 'g')));
  batch.Add("short");
  const std::vector<OutgoingDatagram> datagrams = batch.To(AddressOf(receiver));
  auto collect = Start(Collect(&receiver, 101));
  Settle();
  const SendManyResult result = Run(SendAll(&sender, &datagrams));
  EXPECT_OK(result);
  EXPECT_EQ(result.sent, 101u);
  auto arrived = Wait(collect);
  ASSERT_OK(arrived);
  EXPECT_TRUE(*arrived == batch.data());
}

TEST_F(UdpBatchTest, SendManyMixesDestinations) {
  UdpSocket sender = Bind();
  UdpSocket first = Bind();
  UdpSocket second = Bind();
  std::vector<OutgoingDatagram> datagrams;
  datagrams.emplace_back("a", AddressOf(first));
  datagrams.emplace_back("b", AddressOf(second));
  datagrams.emplace_back("c", AddressOf(first));
  EXPECT_EQ(Run(SendAll(&sender, &datagrams)).sent, 3u);
  EXPECT_THAT(ReceiveText(first), IsOkAndHolds("a"));
  EXPECT_THAT(ReceiveText(second), IsOkAndHolds("b"));
  EXPECT_THAT(ReceiveText(first), IsOkAndHolds("c"));
}

TEST_F(UdpBatchTest, SendManyStopsAtTheFirstThatFails) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  const std::string too_long(65508, 'x');
  std::vector<OutgoingDatagram> datagrams;
  datagrams.emplace_back("a", AddressOf(receiver));
  datagrams.emplace_back("b", AddressOf(receiver));
  datagrams.emplace_back(too_long, AddressOf(receiver));
  datagrams.emplace_back("never", AddressOf(receiver));
  const SendManyResult result = Run(SendAll(&sender, &datagrams));
  EXPECT_EQ(result.sent, 2u);
  EXPECT_EQ(ErrnoOf(result.status), EMSGSIZE);
  EXPECT_EQ(ReceiveAll(receiver), (std::vector<std::string>{"a", "b"}));
}

TEST_F(UdpBatchTest, SendManyOfNothingIsDone) {
  UdpSocket sender = Bind();
  const std::vector<OutgoingDatagram> none;
  const SendManyResult result = Run(SendAll(&sender, &none));
  EXPECT_OK(result);
  EXPECT_EQ(result.sent, 0u);
}

TEST_F(UdpBatchTest, ReceiveManyReturnsWhatIsThereAndAtMostWhatIsAskedFor) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  EXPECT_THAT(Run(receiver.ReceiveMany(4).By(Now() + absl::Milliseconds(1))), StatusIs(kDeadlineExceeded));
  for (const char* data : {"1", "2", "3", "4", "5"}) SendTo(sender, data, AddressOf(receiver));
  Settle();
  auto datagrams = Run(receiver.ReceiveMany(3));
  ASSERT_OK(datagrams);
  ASSERT_EQ(datagrams->size(), 3u);
  EXPECT_EQ((*datagrams)[2].data.view(), "3");
  EXPECT_EQ((*datagrams)[2].source, AddressOf(sender));
  datagrams = Run(receiver.ReceiveMany(100));
  ASSERT_OK(datagrams);
  EXPECT_EQ(datagrams->size(), 2u);
}

// --- Calls that do not wait ---

TEST_F(UdpTryTest, TryReceiveFromSaysWhenItWouldWait) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  std::string target(10, '\0');
  auto received = receiver.TryReceiveFrom(absl::MakeSpan(target));
  ASSERT_OK(received);
  EXPECT_FALSE(received->has_value());
  SendTo(sender, "try", AddressOf(receiver));
  Settle();
  received = receiver.TryReceiveFrom(absl::MakeSpan(target));
  ASSERT_OK(received);
  ASSERT_TRUE(received->has_value());
  EXPECT_EQ(target.substr(0, (*received)->size), "try");
  EXPECT_EQ((*received)->source, AddressOf(sender));
  received = receiver.TryReceiveFrom(absl::MakeSpan(target));
  ASSERT_OK(received);
  EXPECT_FALSE(received->has_value());
}

TEST_F(UdpTryTest, TryReceiveFromSeesWhatWasReadAhead) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  ExpectNothing(receiver);  // Begins to receive.
  SendTo(sender, "a", AddressOf(receiver));
  SendTo(sender, "bcd", AddressOf(receiver));
  Settle();
  std::string target(2, '\0');
  auto received = receiver.TryReceiveFrom(absl::MakeSpan(target));
  ASSERT_OK(received);
  ASSERT_TRUE(received->has_value());
  EXPECT_EQ((*received)->size, 1u);
  received = receiver.TryReceiveFrom(absl::MakeSpan(target));
  ASSERT_OK(received);
  ASSERT_TRUE(received->has_value());
  EXPECT_EQ((*received)->size, 2u);
  EXPECT_TRUE((*received)->truncated);
}

TEST_F(UdpTryTest, TrySendToSendsAtOnce) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  EXPECT_THAT(sender.TrySendTo("abc", AddressOf(receiver)), IsOkAndHolds(std::optional<size_t>(3)));
  EXPECT_THAT(sender.TrySendTo("", AddressOf(receiver)), IsOkAndHolds(std::optional<size_t>(0)));
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds("abc"));
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds(""));
}

TEST_F(UdpTryTest, TrySendToWithoutDestinationGoesToThePeer) {
  auto [first, second] = ConnectedSockets();
  EXPECT_THAT(first.TrySendTo("abc", SocketAddress()), IsOkAndHolds(std::optional<size_t>(3)));
  EXPECT_THAT(ReceiveText(second), IsOkAndHolds("abc"));
}

TEST_F(UdpTryTest, ErrorsAreReported) {
  UdpSocket socket = Bind();
  EXPECT_EQ(ErrnoOf(socket.TrySendTo(std::string(65508, 'x'), AddressOf(socket)).status()), EMSGSIZE);
  EXPECT_OK(Run(socket.Close()));
  EXPECT_EQ(ErrnoOf(socket.TrySendTo("x", SocketAddress::LoopbackIpv4(9)).status()), EBADF);
  EXPECT_EQ(ErrnoOf(socket.TryReceiveFrom({}).status()), EBADF);
}

}  // namespace
}  // namespace tandem::testing
