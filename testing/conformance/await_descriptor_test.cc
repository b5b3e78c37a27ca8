// SPDX-License-Identifier: Apache-2.0
//
// AwaitReadable and AwaitWritable, on the real reactors.

#include "tandem/core/net/await_descriptor.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tandem/core/io/reactor.h"
#include "tandem/testing/conformance/unix_conformance.h"

namespace tandem::testing {
namespace {

Task<absl::Status> WaitReadable(int descriptor) {
  absl::Status status = co_await AwaitReadable(descriptor);
  co_return status;
}
Task<absl::Status> WaitWritable(int descriptor) {
  absl::Status status = co_await AwaitWritable(descriptor);
  co_return status;
}

// An eventfd(2).
class Counter {
 public:
  Counter() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { CHECK_GE(descriptor_, 0); }
  Counter(const Counter&) = delete;
  ~Counter() { close(descriptor_); }
  int get() const { return descriptor_; }
  void Add(uint64_t count) const { CHECK_EQ(write(descriptor_, &count, sizeof(count)), ssize_t{sizeof(count)}); }
  uint64_t Take() const {
    uint64_t count = 0;
    return read(descriptor_, &count, sizeof(count)) < 0 ? 0 : count;
  }

 private:
  const int descriptor_;
};

class AwaitDescriptorTest : public UnixConformanceTest {};

TEST_F(AwaitDescriptorTest, WaitsUntilThereIsSomethingToRead) {
  Counter counter;
  auto waiting = Start(WaitReadable(counter.get()));
  Settle();
  EXPECT_FALSE(waiting->done());
  counter.Add(3);
  EXPECT_OK(Wait(waiting));
  // Nothing was taken, and what is there is there at once.
  EXPECT_OK(Run(AwaitReadable(counter.get())));
  EXPECT_EQ(counter.Take(), 3u);
  // It is not ready for ever.
  EXPECT_THAT(Run(AwaitReadable(counter.get()).By(Now() + absl::Milliseconds(5))), StatusIs(kDeadlineExceeded));
}

TEST_F(AwaitDescriptorTest, WaitsUntilThereIsRoomToWrite) {
  Pipe pipe;
  EXPECT_OK(Run(AwaitWritable(pipe.writing())));
  const std::string block(65536, 'x');
  while (write(pipe.writing(), block.data(), block.size()) > 0) continue;
  auto waiting = Start(WaitWritable(pipe.writing()));
  Settle();
  EXPECT_FALSE(waiting->done());
  std::string drained(size_t{1} << 20, '\0');
  ASSERT_GT(read(pipe.reading(), drained.data(), drained.size()), 0);
  EXPECT_OK(Wait(waiting));
}

TEST_F(AwaitDescriptorTest, ATimerOfTheKernel) {
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  ASSERT_GE(timer, 0);
  const itimerspec in_5ms{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 5'000'000}};
  ASSERT_EQ(timerfd_settime(timer, 0, &in_5ms, nullptr), 0);
  EXPECT_OK(Run(AwaitReadable(timer)));
  uint64_t expirations = 0;
  EXPECT_EQ(read(timer, &expirations, sizeof(expirations)), ssize_t{sizeof(expirations)});
  EXPECT_EQ(expirations, 1u);
  close(timer);
}

TEST_F(AwaitDescriptorTest, AHangUpIsReadiness) {
  Pipe pipe;
  auto waiting = Start(WaitReadable(pipe.reading()));
  Settle();
  EXPECT_FALSE(waiting->done());
  pipe.CloseWriting();
  EXPECT_OK(Wait(waiting));
  EXPECT_EQ(pipe.Read(), "end");
}

TEST_F(AwaitDescriptorTest, StoppedCallsLoseNothing) {
  Counter counter;
  auto cancelled = Start(WaitReadable(counter.get()));
  Settle();
  cancelled->Cancel();
  EXPECT_EQ(Wait(cancelled), CancelledStatus());
  EXPECT_EQ(Run(AwaitReadable(counter.get()).By(Now() + absl::Milliseconds(5))), DeadlineExceededStatus());
  EXPECT_EQ(loop_.shard().reactor().operations_in_flight(), 0u);
  auto waiting = Start(WaitReadable(counter.get()));
  Settle();
  counter.Add(1);
  EXPECT_OK(Wait(waiting));
  EXPECT_EQ(counter.Take(), 1u);
}

TEST_F(AwaitDescriptorTest, ACallThatIsStoppedAsTheDescriptorBecomesReadyEnds) {
  Counter counter;
  for (int i = 0; i < 50; ++i) {
    auto waiting = Start(WaitReadable(counter.get()));
    Settle();
    counter.Add(1);
    waiting->Cancel();
    const absl::Status status = Wait(waiting);
    EXPECT_TRUE(status.ok() || status == CancelledStatus()) << status;
    EXPECT_EQ(counter.Take(), 1u);
  }
}

TEST_F(AwaitDescriptorTest, SeveralMayWaitForOneDescriptor) {
  auto [first, second] = [] {
    int ends[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    return std::pair(OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1]));
  }();
  auto one = Start(WaitReadable(first.get()));
  auto two = Start(WaitReadable(first.get()));
  auto three = Start(WaitReadable(first.get()));
  EXPECT_OK(Run(AwaitWritable(first.get())));
  Settle();
  two->Cancel();
  EXPECT_EQ(Wait(two), CancelledStatus());
  EXPECT_FALSE(one->done());
  EXPECT_EQ(write(second.get(), "x", 1), 1);
  EXPECT_OK(Wait(one));
  EXPECT_OK(Wait(three));
}

TEST_F(AwaitDescriptorTest, ManyDescriptors) {
  std::vector<std::unique_ptr<Counter>> counters;
  std::vector<std::unique_ptr<Background<absl::Status>>> waits;
  for (int i = 0; i < 200; ++i) {
    counters.push_back(std::make_unique<Counter>());
    waits.push_back(Start(WaitReadable(counters.back()->get())));
  }
  Settle();
  for (size_t i = 0; i < counters.size(); i += 2) counters[i]->Add(1);
  for (size_t i = 0; i < counters.size(); i += 2) EXPECT_OK(Wait(waits[i]));
  for (size_t i = 1; i < counters.size(); i += 2) EXPECT_FALSE(waits[i]->done());
  for (size_t i = 1; i < counters.size(); i += 2) waits[i]->Cancel();
  for (size_t i = 1; i < counters.size(); i += 2) EXPECT_EQ(Wait(waits[i]), CancelledStatus());
}

TEST_F(AwaitDescriptorTest, RegularFilesAndDirectoriesAreAlwaysReady) {
  const int file = open(PathOf("file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  EXPECT_OK(Run(AwaitReadable(file)));
  EXPECT_OK(Run(AwaitWritable(file)));
  close(file);
  const int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_GE(folder, 0);
  EXPECT_OK(Run(AwaitReadable(folder)));
  close(folder);
}

TEST_F(AwaitDescriptorTest, ADescriptorThatIsNotOpenIsAFailedPrecondition) {
  for (const int descriptor : {-1, 1'000'000}) {
    EXPECT_EQ(ErrnoOf(Run(AwaitReadable(descriptor))), EBADF) << descriptor;
    EXPECT_EQ(ErrnoOf(Run(AwaitWritable(descriptor))), EBADF) << descriptor;
  }
}

}  // namespace
}  // namespace tandem::testing
