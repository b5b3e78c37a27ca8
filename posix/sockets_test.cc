// SPDX-License-Identifier: Apache-2.0

#include "posix/sockets.h"

#include <fcntl.h>

#include <cerrno>

#include "gtest/gtest.h"

namespace tandem::posix {
namespace {

class SocketsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const int64_t opened = OpenSocket(AddressFamily::kIpv4, SocketType::kStream);
    ASSERT_GE(opened, 0);
    socket_ = static_cast<SocketId>(opened);
  }
  void TearDown() override {
    if (socket_ >= 0) {
      EXPECT_EQ(CloseNow(socket_), 0);
    }
  }

  SocketId socket_ = kNoSocket;
};

TEST_F(SocketsTest, OpensNonBlockingAndCloseOnExec) {
  EXPECT_NE(fcntl(socket_, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(socket_, F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(SocketsTest, OpenOfNoFamilyIsRefused) {
  EXPECT_EQ(OpenSocket(AddressFamily::kNone, SocketType::kStream), -EAFNOSUPPORT);
}

TEST_F(SocketsTest, BindToPortZeroPicksAPort) {
  SocketAddress local;

  ASSERT_EQ(Bind(socket_, SocketAddress::LoopbackIpv4(0)), 0);
  ASSERT_EQ(Listen(socket_, 8), 0);
  ASSERT_EQ(LocalAddress(socket_, &local), 0);

  EXPECT_EQ(local.WithPort(0), SocketAddress::LoopbackIpv4(0));
  EXPECT_NE(local.port(), 0);
}

TEST_F(SocketsTest, BindToNoneIsRefused) { EXPECT_EQ(Bind(socket_, SocketAddress()), -EAFNOSUPPORT); }

TEST_F(SocketsTest, UnconnectedSocketHasNoPeerAndCannotShutDown) {
  SocketAddress peer;
  EXPECT_EQ(PeerAddress(socket_, &peer), -ENOTCONN);
  EXPECT_EQ(Shutdown(socket_, ShutdownHow::kBoth), -ENOTCONN);
}

TEST_F(SocketsTest, OptionsReadBack) {
  int value = -1;
  for (const SocketOption option : {SocketOption::kNoDelay, SocketOption::kReuseAddress, SocketOption::kReusePort}) {
    ASSERT_EQ(SetOption(socket_, option, 1), 0);
    ASSERT_EQ(GetOption(socket_, option, &value), 0);
    EXPECT_NE(value, 0) << static_cast<int>(option);
    ASSERT_EQ(SetOption(socket_, option, 0), 0);
    ASSERT_EQ(GetOption(socket_, option, &value), 0);
    EXPECT_EQ(value, 0) << static_cast<int>(option);
  }
}

TEST_F(SocketsTest, LingerReadsBack) {
  int value = 7;
  ASSERT_EQ(GetOption(socket_, SocketOption::kLinger, &value), 0);
  EXPECT_EQ(value, -1);
  for (const int seconds : {0, 5, -1}) {
    ASSERT_EQ(SetOption(socket_, SocketOption::kLinger, seconds), 0);
    ASSERT_EQ(GetOption(socket_, SocketOption::kLinger, &value), 0);
    EXPECT_EQ(value, seconds);
  }
}

TEST_F(SocketsTest, BufferSizeIsDoubled) {
  int value = 0;
  ASSERT_EQ(SetOption(socket_, SocketOption::kReceiveBufferSize, 20000), 0);
  ASSERT_EQ(GetOption(socket_, SocketOption::kReceiveBufferSize, &value), 0);
  EXPECT_EQ(value, 40000);
}

TEST_F(SocketsTest, ErrorIsReadOnly) {
  int value = -1;
  EXPECT_EQ(SetOption(socket_, SocketOption::kError, 1), -EINVAL);
  EXPECT_EQ(GetOption(socket_, SocketOption::kError, &value), 0);
  EXPECT_EQ(value, 0);
}

TEST_F(SocketsTest, ClosedSocketIsBadDescriptor) {
  ASSERT_EQ(CloseNow(socket_), 0);
  EXPECT_EQ(Listen(socket_, 1), -EBADF);
  socket_ = kNoSocket;
}

}  // namespace
}  // namespace tandem::posix
