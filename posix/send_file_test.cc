// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/send_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "gtest/gtest.h"
#include "tandem/core/io/reactor.h"

namespace tandem::posix {
namespace {

class SendFileTest : public ::testing::Test {
 protected:
  SendFileTest() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair_), 0);
    file_ = memfd_create("send_file_test", MFD_CLOEXEC);
    EXPECT_GE(file_, 0);
  }
  ~SendFileTest() override {
    for (const int descriptor : {pair_[0], pair_[1], file_}) {
      if (descriptor >= 0) close(descriptor);
    }
  }

  void Write(const std::string& bytes) {
    ASSERT_EQ(write(file_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }

  std::string Read() {
    std::string bytes(1 << 20, 0);
    const ssize_t count = read(pair_[1], bytes.data(), bytes.size());
    bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return bytes;
  }

  int pair_[2] = {-1, -1};
  int file_ = -1;
};

TEST_F(SendFileTest, SendsTheRangeAndThenNothing) {
  Write("0123456789");
  const FileRange range{.descriptor = file_, .offset = 3, .count = 4};

  EXPECT_EQ(SendFileNow(pair_[0], range, 0), 4);
  EXPECT_EQ(Read(), "3456");
  EXPECT_EQ(SendFileNow(pair_[0], range, 1), 3);
  EXPECT_EQ(Read(), "456");
  EXPECT_EQ(SendFileNow(pair_[0], range, 4), 0);
}

TEST_F(SendFileTest, EndsWithTheFile) {
  Write("0123456789");
  const FileRange range{.descriptor = file_, .offset = 8, .count = 1000};

  EXPECT_EQ(SendFileNow(pair_[0], range, 0), 2);
  EXPECT_EQ(SendFileNow(pair_[0], range, 2), 0);
  EXPECT_EQ(SendFileNow(pair_[0], {.descriptor = file_, .offset = 1000, .count = 1}, 0), 0);
}

TEST_F(SendFileTest, SaysWhenTheSocketIsFull) {
  Write(std::string(4 << 20, 'x'));
  const FileRange range{.descriptor = file_, .offset = 0, .count = 4 << 20};
  uint64_t done = 0;
  int64_t sent = 0;

  while ((sent = SendFileNow(pair_[0], range, done)) > 0) done += static_cast<uint64_t>(sent);

  EXPECT_EQ(sent, -EAGAIN);
  EXPECT_GT(done, 0u);
}

TEST_F(SendFileTest, ClosedPeerIsAnErrorAndNoSignal) {
  Write("0123456789");
  close(pair_[1]);
  pair_[1] = -1;

  EXPECT_EQ(SendFileNow(pair_[0], {.descriptor = file_, .offset = 0, .count = 10}, 0), -EPIPE);
}

TEST_F(SendFileTest, BadDescriptorsAndOffsetsAreErrors) {
  EXPECT_EQ(SendFileNow(pair_[0], {.descriptor = -1, .offset = 0, .count = 10}, 0), -EBADF);
  EXPECT_EQ(SendFileNow(pair_[0], {.descriptor = file_, .offset = ~uint64_t{0}, .count = 10}, 0), -EINVAL);
}

}  // namespace
}  // namespace tandem::posix
