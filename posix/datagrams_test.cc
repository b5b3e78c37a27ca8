// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/datagrams.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/datagrams_for_test.h"
#include "tandem/posix/sockets.h"

namespace tandem::posix {
namespace {

class DatagramsTest : public ::testing::Test {
 protected:
  ~DatagramsTest() override {
    for (const SocketId socket : sockets_) close(socket);
    for (Datagram& datagram : received_) {
      for (OwnedDescriptor& descriptor : datagram.descriptors) close(descriptor.Release());
    }
  }

  SocketId Keep(int64_t socket) {
    EXPECT_GE(socket, 0);
    sockets_.push_back(static_cast<SocketId>(socket));
    return sockets_.back();
  }
  // A UDP socket on the loopback, with as much room as the system allows: what finds none is dropped.
  SocketId Open(SocketAddress* address, const SocketAddress& any = SocketAddress::LoopbackIpv4(0)) {
    const SocketId socket = Keep(OpenSocket(any.family(), SocketType::kDatagram));
    EXPECT_EQ(Bind(socket, any), 0);
    EXPECT_EQ(LocalAddress(socket, address), 0);
    const int size = 4 << 20;
    EXPECT_EQ(setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
    return socket;
  }

  // Receives until nothing is left; the latest result.
  int64_t ReceiveAll(SocketId socket, size_t max = 1000) {
    while (true) {
      const size_t before = received_.size();
      const int64_t result = receiver_.Receive(socket, pool_, max, &received_);
      if (result < 0) return result;
      EXPECT_EQ(received_.size() - before, static_cast<size_t>(result));
    }
  }

  void ExpectTexts(const std::vector<std::string>& texts) {
    ASSERT_EQ(received_.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_TRUE(received_[i].data.view() == texts[i]) << "datagram " << i;
      EXPECT_FALSE(received_[i].truncated);
    }
  }

  HeapBufferPool pool_;
  DatagramReceiver receiver_;
  std::vector<SocketId> sockets_;
  std::vector<Datagram> received_;
};

TEST_F(DatagramsTest, MixedSizesAndEmptyOnesArriveInOrderWithTheirSource) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = Open(&source);
  const SocketId receiver = Open(&target);
  const std::vector<std::string> texts = {"",   "one", "two", "",  std::string(65507, 'x'), "three", "3",
                                          "ab", "ab",  "abc", "a", std::string(9000, 'y'),  ""};

  EXPECT_EQ(SendDatagrams(sender, To(target, texts)), static_cast<int64_t>(texts.size()));

  EXPECT_EQ(ReceiveAll(receiver), -EAGAIN);
  ExpectTexts(texts);
  for (const Datagram& datagram : received_) {
    EXPECT_EQ(datagram.source, source);
    EXPECT_EQ(datagram.destination, SocketAddress());
  }
  EXPECT_EQ(SendDatagrams(sender, {}), 0);
}

TEST_F(DatagramsTest, LongRunsOfOneSizeArriveWholeWithAndWithoutCoalescing) {
  for (const bool coalesce : {false, true}) {
    for (const SocketAddress& loopback : {SocketAddress::LoopbackIpv4(0), SocketAddress::LoopbackIpv6(0)}) {
      received_.clear();
      SocketAddress source;
      SocketAddress target;
      const SocketId sender = Open(&source, loopback);
      const SocketId receiver = Open(&target, loopback);
      if (coalesce) CoalesceDatagrams(receiver);
      std::vector<std::string> texts = Texts(200, 100);
      texts.push_back("short");
      texts.push_back("end of all");

      EXPECT_EQ(SendDatagrams(sender, To(target, texts)), static_cast<int64_t>(texts.size()));

      EXPECT_EQ(ReceiveAll(receiver, 64), -EAGAIN);
      ExpectTexts(texts);
    }
  }
}

// The kernel does not cut up a message for a socket that computes no checksums (EIO).
TEST_F(DatagramsTest, WithoutSegmentsInTheKernelAllArriveAllTheSame) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = Open(&source);
  const SocketId receiver = Open(&target);
  const int on = 1;
  ASSERT_EQ(setsockopt(sender, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
  const std::vector<std::string> texts = Texts(100, 500);

  EXPECT_EQ(SendDatagrams(sender, To(target, texts)), static_cast<int64_t>(texts.size()));

  EXPECT_EQ(ReceiveAll(receiver), -EAGAIN);
  ExpectTexts(texts);
}

// On a loopback with a short MTU the kernel does not cut up these either, but sends them in fragments.
TEST_F(DatagramsTest, RunsOfLongDatagramsArriveWhole) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = Open(&source);
  const SocketId receiver = Open(&target);
  const std::vector<std::string> texts = Texts(20, 3000);

  EXPECT_EQ(SendDatagrams(sender, To(target, texts)), static_cast<int64_t>(texts.size()));

  EXPECT_EQ(ReceiveAll(receiver), -EAGAIN);
  ExpectTexts(texts);
}

TEST_F(DatagramsTest, SmallSendBufferDelaysAndLosesNothing) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = Open(&source);
  const SocketId receiver = Open(&target);
  ASSERT_EQ(SetOption(sender, SocketOption::kSendBufferSize, 1), 0);
  const std::vector<std::string> texts = Texts(500, 1000);
  const std::vector<OutgoingDatagram> datagrams = To(target, texts);

  for (size_t sent = 0; sent < datagrams.size();) {
    const int64_t result = SendDatagrams(sender, absl::MakeConstSpan(datagrams).subspan(sent, 60));
    ASSERT_TRUE(result > 0 || result == -EAGAIN) << result;
    if (result > 0) sent += static_cast<size_t>(result);
    ASSERT_EQ(ReceiveAll(receiver), -EAGAIN);
  }

  ExpectTexts(texts);
}

TEST_F(DatagramsTest, TheCountStopsAtTheFirstThatFails) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = Open(&source);
  const SocketId receiver = Open(&target);
  const std::vector<std::string> texts = {"one", "two", std::string(70'000, 'x'), "four"};
  const std::vector<OutgoingDatagram> datagrams = To(target, texts);

  EXPECT_EQ(SendDatagrams(sender, datagrams), 2);
  EXPECT_EQ(SendDatagrams(sender, absl::MakeConstSpan(datagrams).subspan(2)), -EMSGSIZE);
  EXPECT_EQ(SendDatagrams(sender, absl::MakeConstSpan(datagrams).subspan(3)), 1);

  EXPECT_EQ(ReceiveAll(receiver), -EAGAIN);
  ExpectTexts({"one", "two", "four"});
}

TEST_F(DatagramsTest, RefusedIsToldOnce) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = Open(&source);
  close(Open(&target));
  sockets_.pop_back();
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(target.port());
  ASSERT_EQ(connect(sender, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);

  EXPECT_EQ(SendDatagrams(sender, To(SocketAddress(), {"x"})), 1);

  EXPECT_EQ(ReceiveAll(sender), -ECONNREFUSED);
  EXPECT_EQ(ReceiveAll(sender), -EAGAIN);
}

TEST_F(DatagramsTest, PacketInfoNamesTheDestination) {
  for (const SocketAddress& any : {SocketAddress::AnyIpv4(0), SocketAddress::AnyIpv6(0)}) {
    received_.clear();
    SocketAddress bound;
    const SocketId receiver = Open(&bound, any);
    CoalesceDatagrams(receiver);
    const int on = 1;
    ASSERT_EQ(any.is_ipv4() ? setsockopt(receiver, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on))
                            : setsockopt(receiver, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)),
              0);
    const SocketAddress target =
        any.is_ipv4() ? SocketAddress::Ipv4({127, 0, 0, 2}, bound.port()) : SocketAddress::LoopbackIpv6(bound.port());
    SocketAddress source;
    const SocketId sender = Open(&source, any);

    ASSERT_EQ(SendDatagrams(sender, To(target, Texts(10, 100))), 10);
    EXPECT_EQ(ReceiveAll(receiver), -EAGAIN);

    ExpectTexts(Texts(10, 100));
    for (const Datagram& datagram : received_) {
      EXPECT_EQ(datagram.destination, target);
      EXPECT_GT(datagram.interface_index, 0u);
    }
  }
}

TEST_F(DatagramsTest, UnixDatagramsKeepTheirBoundsAndCarryDescriptors) {
  int pair[2] = {-1, -1};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
  Keep(pair[0]);
  Keep(pair[1]);
  const std::vector<std::string> texts = {"aaa", "bbb", "ccc", ""};
  std::vector<OutgoingDatagram> datagrams = To(SocketAddress(), texts);
  const int descriptors[] = {pair[0], pair[1]};
  datagrams[1].descriptors = descriptors;

  EXPECT_EQ(SendDatagrams(pair[0], datagrams), 4);

  EXPECT_EQ(ReceiveAll(pair[1]), -EAGAIN);
  ExpectTexts(texts);
  EXPECT_EQ(received_[0].descriptors.size(), 0u);
  EXPECT_EQ(received_[1].descriptors.size(), 2u);
  EXPECT_EQ(received_[0].source, SocketAddress());
}

TEST_F(DatagramsTest, LongUnixDatagramsAreNotTruncated) {
  int pair[2] = {-1, -1};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
  Keep(pair[0]);
  Keep(pair[1]);

  ASSERT_EQ(SendDatagrams(pair[0], To(SocketAddress(), {std::string(150'000, 'u')})), 1);

  EXPECT_EQ(ReceiveAll(pair[1]), -EAGAIN);
  ExpectTexts({std::string(150'000, 'u')});
}

TEST_F(DatagramsTest, FullUnixReceiverIsToldAndTheRestGoesLater) {
  int pair[2] = {-1, -1};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
  Keep(pair[0]);
  Keep(pair[1]);
  const std::vector<std::string> texts = Texts(5000, 100);
  const std::vector<OutgoingDatagram> datagrams = To(SocketAddress(), texts);
  size_t sent = 0;
  bool was_full = false;

  while (sent < datagrams.size()) {
    const int64_t result = SendDatagrams(pair[0], absl::MakeConstSpan(datagrams).subspan(sent));
    was_full = was_full || result == -EAGAIN;
    ASSERT_TRUE(result > 0 || result == -EAGAIN) << result;
    if (result > 0) sent += static_cast<size_t>(result);
    ASSERT_EQ(ReceiveAll(pair[1]), -EAGAIN);
  }

  ExpectTexts(texts);
}

TEST_F(DatagramsTest, AtMostSoManyMessagesAreTaken) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = Open(&source);
  const SocketId receiver = Open(&target);
  const std::vector<std::string> texts = Texts(40, 10);
  ASSERT_EQ(SendDatagrams(sender, To(target, texts)), 40);

  EXPECT_EQ(receiver_.Receive(receiver, pool_, 1, &received_), 1);
  EXPECT_EQ(receiver_.Receive(receiver, pool_, 5, &received_), 5);
  EXPECT_EQ(receiver_.Receive(receiver, pool_, 1000, &received_), static_cast<int64_t>(DatagramReceiver::kMaxBatch));
  EXPECT_EQ(ReceiveAll(receiver), -EAGAIN);
  ExpectTexts(texts);
}

}  // namespace
}  // namespace tandem::posix
