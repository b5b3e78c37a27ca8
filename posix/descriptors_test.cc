// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/descriptors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"

namespace tandem::posix {
namespace {

class DescriptorsTest : public ::testing::Test {
 protected:
  DescriptorsTest() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair_), 0); }
  ~DescriptorsTest() override {
    close(pair_[0]);
    close(pair_[1]);
    // No shard is here that an OwnedDescriptor could be closed on.
    for (OwnedDescriptor& descriptor : received_) close(descriptor.Release());
  }

  int64_t Send(const std::string& bytes, absl::Span<const int> descriptors) {
    const IoSlice slices[] = {{bytes.data(), 1}, {bytes.data() + 1, bytes.size() - 1}};
    return SendWithDescriptors(pair_[0], slices, descriptors);
  }
  // Descriptors are added to received_.
  int64_t Receive(size_t max) {
    std::vector<OwnedDescriptor> descriptors;
    const int64_t result = ReceiveWithDescriptors(pair_[1], pool_, max, &data_, &descriptors);
    for (OwnedDescriptor& descriptor : descriptors) received_.push_back(std::move(descriptor));
    return result;
  }

  int pair_[2] = {-1, -1};
  HeapBufferPool pool_;
  Buffer data_;
  std::vector<OwnedDescriptor> received_;
};

TEST_F(DescriptorsTest, ArriveWithTheFirstByteAndCloseOnExec) {
  const int file = memfd_create("descriptors_test", 0);
  ASSERT_EQ(write(file, "inside", 6), 6);
  const int both[] = {file, pair_[0]};

  ASSERT_EQ(Send("hello", both), 5);
  close(file);
  ASSERT_EQ(Receive(2), 2);

  EXPECT_EQ(data_.view(), "he");
  ASSERT_EQ(received_.size(), 2u);
  EXPECT_NE(fcntl(received_[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  char inside[6];
  EXPECT_EQ(pread(received_[0].get(), inside, 6, 0), 6);
  EXPECT_EQ(std::string(inside, 6), "inside");
  ASSERT_EQ(Receive(100), 3);
  EXPECT_EQ(data_.view(), "llo");
  EXPECT_EQ(received_.size(), 2u);
}

TEST_F(DescriptorsTest, TheMostThatLinuxTakesArriveTogether) {
  const std::vector<int> most(Operation::kMaxDescriptors, pair_[0]);

  ASSERT_EQ(Send("hello", most), 5);
  ASSERT_EQ(Receive(100), 5);

  EXPECT_EQ(received_.size(), most.size());
  EXPECT_EQ(Send("hello", std::vector<int>(Operation::kMaxDescriptors + 1, pair_[0])), -EINVAL);
}

TEST_F(DescriptorsTest, LargeAndSmallReceivesGetBlocksOfTheirSize) {
  ASSERT_EQ(Send(std::string(50'000, 'x'), {}), 50'000);
  ASSERT_EQ(Receive(size_t{1} << 40), 50'000);
  EXPECT_EQ(data_.view(), std::string(50'000, 'x'));

  ASSERT_EQ(Send("small", {}), 5);
  ASSERT_EQ(Receive(size_t{1} << 40), 5);
  BufferBlock* const block = data_.ReleaseBlock();
  EXPECT_LE(block->capacity, 64u);
  data_ = Buffer(block);
}

TEST_F(DescriptorsTest, NothingThereBadDescriptorsAndTheEndAreTold) {
  EXPECT_EQ(Receive(100), -EAGAIN);
  const int bad[] = {-1};
  EXPECT_EQ(Send("hello", bad), -EBADF);
  shutdown(pair_[0], SHUT_WR);
  EXPECT_EQ(Receive(100), 0);
  EXPECT_EQ(Send("hello", {}), -EPIPE);
}

}  // namespace
}  // namespace tandem::posix
