// SPDX-License-Identifier: Apache-2.0
//
// The fixture of the tests that every reactor passes: a shard of the world that the binary was linked with, and its
// loop turned by hand, so that a test reads from top to bottom.
//
//   auto [client, server] = ConnectedPair();
//   auto received = Run(client.Read(span).By(deadline));   // Turns the loop until the call returns.
//
// What goes on meanwhile is started with Start() and joined with Wait(). TearDown() cancels what is left and checks
// that nothing stays in flight.

#ifndef TANDEM_TESTING_CONFORMANCE_SOCKET_CONFORMANCE_H_
#define TANDEM_TESTING_CONFORMANCE_SOCKET_CONFORMANCE_H_

#include <algorithm>
#include <cerrno>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/create_reactor.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {

inline constexpr absl::StatusCode kCancelled = absl::StatusCode::kCancelled;
inline constexpr absl::StatusCode kDeadlineExceeded = absl::StatusCode::kDeadlineExceeded;
inline constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
inline constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;
inline constexpr absl::StatusCode kOutOfRange = absl::StatusCode::kOutOfRange;
inline constexpr absl::StatusCode kUnavailable = absl::StatusCode::kUnavailable;

// Both say that the connection is dead; which one depends on who saw the reset first.
inline bool IsReset(const absl::Status& status) {
  return absl::IsUnavailable(status) && (ErrnoOf(status) == ECONNRESET || ErrnoOf(status) == EPIPE);
}

// --- Calls as tasks, for Start(). The stream stays where it is until the task has ended. ---

inline Task<absl::StatusOr<std::string>> ReadSome(TcpStream* stream, size_t size) {
  std::string data(size, '\0');
  absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(data));
  if (!count.ok()) co_return count.status();
  data.resize(*count);
  co_return data;
}

// Reads until the end of the stream, or the error. IoResult would lose the bytes: `data` has them.
inline Task<absl::Status> ReadToEnd(TcpStream* stream, std::string* data) {
  std::string chunk(64 * 1024, '\0');
  for (;;) {
    absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(chunk));
    if (!count.ok()) co_return count.status();
    if (*count == 0) co_return absl::OkStatus();
    data->append(chunk, 0, *count);
  }
}

inline Task<IoResult> WriteAllOf(TcpStream* stream, std::string data) {
  IoResult result = co_await stream->WriteAll(data);
  co_return result;
}

inline Task<absl::StatusOr<size_t>> WriteSome(TcpStream* stream, std::string data) {
  absl::StatusOr<size_t> count = co_await stream->WriteSome(data);
  co_return count;
}

inline Task<absl::StatusOr<TcpStream>> AcceptOne(TcpListener* listener) {
  absl::StatusOr<TcpStream> stream = co_await listener->Accept();
  co_return stream;
}

inline Task<absl::StatusOr<TcpStream>> ConnectTo(SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  co_return stream;
}

// `size` bytes in which a gap or a repeat shows: numbers that repeat after a prime number of bytes.
inline std::string Pattern(size_t size) {
  std::string data;
  data.reserve(size);
  for (uint32_t i = 0; data.size() < size && i < 65521; ++i) data.push_back(static_cast<char>((i * 2654435761u) >> 13));
  while (data.size() < size) data.append(data, 0, std::min(data.size(), size - data.size()));
  return data;
}

// A task that runs beside the test.
template <typename T>
class Background {
 public:
  bool done() const { return result_.has_value(); }
  void Cancel() { scope_.Cancel(); }

 private:
  friend class WorldLoop;
  static Task<void> Body(Background* self, Task<T> task) {
    self->result_.emplace(co_await self->scope_.Run(std::move(task)));
    // The test waits outside of the loop: the turn must not go to sleep before it has looked.
    Shard::Current().Post([] {});
  }
  std::optional<T> result_;
  CancelScope scope_;
};

// A shard over the reactor of this world.
class WorldLoop {
 public:
  explicit WorldLoop(const ReactorOptions& options = ReactorOptions())
      : shard_(MakeReactor(options)), entered_(shard_) {}

  static constexpr absl::Duration kHangs = absl::Seconds(20);

  Shard& shard() { return shard_; }

  // Turns the loop until `done()`. When it takes longer than `hangs`, in the world's time, it hangs.
  template <typename Done>
  void TurnUntil(Done done, absl::Duration hangs = kHangs) {
    const Instant give_up = shard_.reactor().ReadClock() + hangs;
    while (!done()) {
      CHECK(shard_.Turn(give_up)) << "nothing can happen any more\n" << shard_.DescribeTasks();
      CHECK(shard_.now() < give_up) << "hangs\n" << shard_.DescribeTasks();
    }
  }

  template <typename T>
  std::unique_ptr<Background<T>> Start(Task<T> task) {
    auto background = std::make_unique<Background<T>>();
    Spawn(&Background<T>::Body, background.get(), std::move(task));
    return background;
  }
  template <typename T>
  T Wait(const std::unique_ptr<Background<T>>& background) {
    TurnUntil([&] { return background->done(); });
    return *std::move(background->result_);
  }

  template <typename T>
  T Run(Task<T> task) {
    return Wait(Start(std::move(task)));
  }
  template <LeafCall Call>
  auto Run(Call&& call) {
    return Run(internal::AsTask(static_cast<Call&&>(call)));
  }

  // Cancels what is left and turns the loop until nothing is in flight.
  void Drain() {
    shard_.BeginShutdown();
    TurnUntil([&] { return shard_.drained(); });
  }

 private:
  static std::unique_ptr<Reactor> MakeReactor(const ReactorOptions& options) {
    auto reactor = CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(options);
    CHECK(reactor.ok()) << reactor.status();
    return *std::move(reactor);
  }

  Shard shard_;
  Shard::Entered entered_;
};

class SocketConformanceTest : public ::testing::Test {
 protected:
  void TearDown() override {
    loop_.Drain();
    const Reactor& reactor = loop_.shard().reactor();
    EXPECT_EQ(reactor.in_flight(), 0u);
    EXPECT_EQ(reactor.statistics().operations_in_flight, 0u);
    EXPECT_EQ(reactor.statistics().sources_armed, 0u);
    EXPECT_EQ(loop_.shard().task_count(), 0u);
  }

  template <typename Awaitable>
  auto Run(Awaitable&& awaitable) {
    return loop_.Run(std::forward<Awaitable>(awaitable));
  }
  template <typename T>
  std::unique_ptr<Background<T>> Start(Task<T> task) {
    return loop_.Start(std::move(task));
  }
  template <typename T>
  T Wait(const std::unique_ptr<Background<T>>& background) {
    return loop_.Wait(background);
  }
  // True in the simulated world, where time is virtual.
  bool IsSimulated() { return absl::StartsWith(loop_.shard().reactor().statistics().description, "simulated"); }
  // Lets everything happen that is about to.
  void Settle() { EXPECT_OK(Run(Sleep(absl::Milliseconds(2)))); }

  // Whether this machine has IPv6. Where it has none, checks what a program hears.
  bool HasIpv6() {
    const absl::Status status = TcpListener::Listen(SocketAddress::LoopbackIpv6(0)).status();
    if (status.ok()) return true;
    EXPECT_FALSE(IsSimulated());
    EXPECT_TRUE(ErrnoOf(status) == EAFNOSUPPORT || ErrnoOf(status) == EADDRNOTAVAIL) << status;
    return false;
  }

  TcpListener Listen(const SocketAddress& address = SocketAddress::LoopbackIpv4(0)) {
    auto listener = TcpListener::Listen(address);
    CHECK(listener.ok()) << listener.status();
    return *std::move(listener);
  }
  TcpStream Connect(const SocketAddress& address) {
    auto stream = Run(TcpStream::Connect(address));
    CHECK(stream.ok()) << stream.status();
    return *std::move(stream);
  }
  TcpStream Accept(TcpListener& listener) {
    auto stream = Run(listener.Accept());
    CHECK(stream.ok()) << stream.status();
    return *std::move(stream);
  }
  // The two ends of a connection: client and server.
  std::pair<TcpStream, TcpStream> ConnectedPair() {
    TcpListener listener = Listen();
    TcpStream client = Connect(listener.LocalAddress());
    TcpStream server = Accept(listener);
    return {std::move(client), std::move(server)};
  }

  // Reads until the end of the stream.
  absl::StatusOr<std::string> ReadAll(TcpStream& stream) {
    std::string data;
    const absl::Status status = Run(ReadToEnd(&stream, &data));
    if (!status.ok()) return status;
    return data;
  }
  absl::StatusOr<std::string> Read(TcpStream& stream, size_t size = 64 * 1024) { return Run(ReadSome(&stream, size)); }
  void Send(TcpStream& stream, absl::string_view data) { EXPECT_OK(Run(stream.WriteAll(data))); }

  WorldLoop loop_;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_SOCKET_CONFORMANCE_H_
