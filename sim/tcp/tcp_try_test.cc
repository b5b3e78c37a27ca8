// SPDX-License-Identifier: Apache-2.0
//
// The simulated TCP, seen through the reactor: calls that do not wait, and files.

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/log/check.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/socket_options.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/tcp_test_world.h"
#include "tandem/sim/testing/test_programs.h"

namespace tandem::sim {
namespace {

TEST(TcpTryTest, AcceptTakesWhatIsThere) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  SimReactor& reactor = world.server.reactor();
  EXPECT_EQ(reactor.TryAccept(listener), -EAGAIN);
  ASSERT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), 0);
  world.Settle();

  EXPECT_GE(reactor.TryAccept(listener), 0);
  EXPECT_EQ(reactor.TryAccept(listener), -EAGAIN);
  EXPECT_EQ(reactor.TryAccept(TcpWorld::Open(world.server)), -EINVAL);
  EXPECT_EQ(reactor.TryAccept(12345), -EBADF);
}

TEST(TcpTryTest, ReceiveTakesWhatIsThereThenTheErrorOnceThenTheEnd) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  SimReactor& reactor = world.client.reactor();
  std::array<char, 8> target;
  const auto receive = [&](size_t size) {
    const int64_t count = reactor.TryReceive(pair.client, absl::MakeSpan(target).subspan(0, size));
    return count <= 0 ? std::to_string(count) : std::string(target.data(), static_cast<size_t>(count));
  };
  EXPECT_EQ(receive(8), std::to_string(-EAGAIN));
  EXPECT_EQ(receive(0), std::to_string(-EAGAIN));
  EXPECT_EQ(world.server.reactor().SetOption(pair.server, SocketOption::kNoDelay, 1), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, "unread"), 6);
  EXPECT_EQ(world.Send(world.server, pair.server, "first "), 6);
  EXPECT_EQ(world.Send(world.server, pair.server, "second"), 6);
  world.Settle();
  EXPECT_EQ(world.Close(world.server, pair.server), 0);
  world.Settle();

  EXPECT_EQ(receive(0), "0");
  EXPECT_EQ(receive(8), "first se");
  EXPECT_EQ(receive(8), "cond");
  EXPECT_EQ(receive(8), std::to_string(-ECONNRESET));
  EXPECT_EQ(receive(8), "0");
  EXPECT_EQ(reactor.TryReceive(TcpWorld::Open(world.client), absl::MakeSpan(target)), -ENOTCONN);
}

TEST(TcpTryTest, SendTakesWhatThereIsRoomFor) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const std::string bytes(1 << 20, 'x');
  const IoSlice slice{bytes.data(), bytes.size()};
  const auto send = [&](SocketId id) { return world.client.reactor().TrySend(id, absl::MakeConstSpan(&slice, 1)); };
  const int64_t first = send(pair.client);
  EXPECT_EQ(first, kDefaultSendBuffer / 2);
  EXPECT_EQ(send(pair.client), -EAGAIN);

  EXPECT_EQ(world.Receive(world.server, pair.server, kSecond).size(), static_cast<size_t>(first));
  EXPECT_GT(send(pair.client), 0);
  EXPECT_EQ(send(TcpWorld::Open(world.client)), -EPIPE);
  EXPECT_EQ(world.client.reactor().TrySend(pair.client, {}), 0);
}

TEST(TcpTryTest, ASlowSendLeavesNothingToTheNextOnes) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.client.stack().faults().slow_write = Probability::Ratio(1, 1);
  EXPECT_EQ(world.Send(world.client, pair.client, std::string(1000, 'x')), 1000);
  world.client.stack().faults().slow_write = Probability();
  const std::string bytes(10'000, 'y');
  const IoSlice slice{bytes.data(), bytes.size()};
  EXPECT_EQ(world.client.reactor().TrySend(pair.client, absl::MakeConstSpan(&slice, 1)), 10'000);
}

TEST(TcpTryTest, AnAcceptNeedsADescriptorAlsoWhenNothingWaits) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Open(world.server);
  EXPECT_EQ(world.server.reactor().Listen(listener, 1), 0);
  EXPECT_EQ(world.server.reactor().TryAccept(listener), -EAGAIN);
  world.server.stack().set_descriptor_limit(1);
  EXPECT_EQ(world.server.reactor().TryAccept(listener), -EMFILE);

  // A source starves only when there is something to accept.
  TestSource source(Source::Kind::kAccept);
  source.socket = listener;
  world.server.reactor().Arm(source);
  world.Settle();
  EXPECT_EQ(world.server.reactor().statistics().descriptor_shortages, 0u);
  world.server.reactor().Disarm(source);
  world.Settle();
  EXPECT_EQ(source.ends, 1);
}

// --- Files ---

// A file with `size` bytes that differ, without a name.
class TestFile {
 public:
  explicit TestFile(size_t size) : file_(std::tmpfile()), bytes_(size, ' ') {
    CHECK(file_ != nullptr);
    for (size_t i = 0; i < size; ++i) bytes_[i] = static_cast<char>(i * 7 + i / 256);
    CHECK_EQ(std::fwrite(bytes_.data(), 1, size, file_), size);
    CHECK_EQ(std::fflush(file_), 0);
  }
  ~TestFile() { std::fclose(file_); }
  int descriptor() const { return fileno(file_); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::FILE* const file_;
  std::string bytes_;
};

TestOperation& StartSendFile(TcpWorld& world, TestOperation& operation, SocketId id, const FileRange& range) {
  operation.kind = OperationKind::kSendFile;
  operation.socket = id;
  operation.file = &range;
  world.client.reactor().Submit(operation);
  return operation;
}

FileRange Range(int descriptor, uint64_t offset, uint64_t count) {
  FileRange range;
  range.descriptor = descriptor;
  range.offset = offset;
  range.count = count;
  return range;
}

TEST(TcpSendFileTest, SendsThePartThatIsThere) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const TestFile file(500'000);
  struct Case {
    uint64_t offset;
    uint64_t count;
    size_t sent;
  };
  for (const Case& part : {Case{0, 500'000, 500'000}, Case{100, 20'000, 20'000}, Case{499'990, 1'000'000, 10},
                           Case{0, UINT64_MAX, 500'000}, Case{500'000, 10, 0}}) {
    const FileRange range = Range(file.descriptor(), part.offset, part.count);
    TestOperation send;
    StartSendFile(world, send, pair.client, range);
    const std::string received = part.sent == 0 ? "" : world.Receive(world.server, pair.server, kSecond, part.sent);
    world.Settle();
    EXPECT_EQ(send.result, static_cast<int64_t>(part.sent));
    EXPECT_EQ(received, file.bytes().substr(part.offset, part.sent));
  }
}

TEST(TcpSendFileTest, ACancelTellsWhatWent) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const TestFile file(1 << 20);
  const FileRange range = Range(file.descriptor(), 0, 1 << 20);
  TestOperation send;
  StartSendFile(world, send, pair.client, range);
  world.room.RunFor(kSecond);
  ASSERT_EQ(send.completions, 0);

  world.client.reactor().Cancel(send);
  world.room.RunUntil([&] { return send.completions == 1; });
  ASSERT_GT(send.result, 0);
  ASSERT_LT(send.result, 1 << 20);
  world.Close(world.client, pair.client);
  EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond),
            file.bytes().substr(0, static_cast<size_t>(send.result)) + "|EOF");
}

TEST(TcpSendFileTest, ErrorsAreThoseOfTheFileAndOfTheSocket) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const TestFile file(10);
  const FileRange no_file = Range(12345, 0, 10);
  TestOperation bad;
  StartSendFile(world, bad, pair.client, no_file);
  world.Settle();
  EXPECT_EQ(bad.result, -EBADF);

  world.client.reactor().Shutdown(pair.client, ShutdownHow::kWrite);
  const FileRange range = Range(file.descriptor(), 0, 10);
  TestOperation closed;
  StartSendFile(world, closed, pair.client, range);
  world.Settle();
  EXPECT_EQ(closed.result, -EPIPE);
}

}  // namespace
}  // namespace tandem::sim
