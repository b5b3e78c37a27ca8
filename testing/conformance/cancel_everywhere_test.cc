// SPDX-License-Identifier: Apache-2.0
//
// Every call that waits, cancelled at every point, and then made again: it ends as if nothing had happened.
//
// A case is a coroutine that does something with calls of one kind, and beside it a feeder that gives it something to
// wait for. The case is cancelled before its first turn of the loop, after one turn, after two, and so on until it is
// faster; each time, it is then run again on what the cancelled run has left. The second run must succeed, so nothing
// was lost or taken twice.

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/buffered.h"
#include "tandem/core/net/connect.h"
#include "tandem/core/net/connection_pool.h"
#include "tandem/core/net/datagram_operations.h"
#include "tandem/core/net/framing.h"
#include "tandem/core/net/pipe.h"
#include "tandem/core/net/resolver.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/core/runtime/run_blocking.h"
#include "tandem/core/sync/channel.h"
#include "tandem/core/sync/event.h"
#include "tandem/core/sync/mutex.h"
#include "tandem/core/sync/rate_limiter.h"
#include "tandem/core/sync/semaphore.h"
#include "tandem/core/sync/ticker.h"
#include "tandem/core/sync/wait_group.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

constexpr absl::Duration kPause = absl::Microseconds(60);
constexpr absl::string_view kText = "one\ntwo\nthree\n";
// More than the kernel's buffers hold, so that writing has to wait.
constexpr size_t kMuch = 6 << 20;

Task<absl::StatusOr<TcpStream>> ConnectText(std::string target) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(SocketAddress::Parse(target).value());
  co_return stream;
}

// What a case works on; it outlives the case's runs.
struct Scene {
  Scene(TcpListener listener, TcpStream near, TcpStream far)
      : listener(std::move(listener)), near(std::move(near)), far(std::move(far)) {}

  TcpListener listener;
  TcpStream near;  // The case's end of a connection...
  TcpStream far;   // ...and the feeder's.
  std::optional<TcpStream> connected;
  std::string received;  // By the case.
  std::string sent;      // By the case: what it was told has gone.
  std::string arrived;   // At the feeder.
  int count = 0;

  BufferedReader<TcpStream> reader{near};
  BufferedWriter<TcpStream> writer{near};
  std::pair<PipeStream, PipeStream> pipe = MakePipe(8);
  UdpSocket udp = UdpSocket::Bind(SocketAddress::LoopbackIpv4(0)).value();
  UdpSocket far_udp = UdpSocket::Bind(SocketAddress::LoopbackIpv4(0)).value();
  Channel<int> channel{1};
  Event event;
  Mutex mutex;
  Semaphore semaphore{0};
  WaitGroup wait_group;
  Ticker ticker{kPause};
  RateLimiter limiter{1, kPause, 1};
  ConnectionPool<TcpStream> pool{&ConnectText, PoolOptions().set_max_per_host(1)};
};

using Step = Task<absl::Status> (*)(Scene* scene);

struct Case {
  std::string name;
  Step run;
  Step feed;
  // What holds in the end.
  bool (*check)(const Scene& scene);
  // The case ends well although it is cancelled.
  bool masked = false;
};

bool Always(const Scene&) { return true; }
bool GotText(const Scene& scene) { return scene.received == kText; }
bool SentWhatArrived(const Scene& scene) { return scene.sent.size() == kMuch && scene.sent == scene.arrived; }
bool TextArrived(const Scene& scene) { return scene.arrived == kText; }

// --- Feeders ---

Task<absl::Status> Nothing(Scene*) { co_return absl::OkStatus(); }

Task<absl::Status> WriteText(Scene* scene) {
  for (const char& byte : kText) {
    const IoResult written = co_await scene->far.WriteAll(absl::string_view(&byte, 1));
    if (!written.ok()) co_return written.status;
    absl::Status slept = co_await Sleep(kPause / 4);
    if (!slept.ok()) co_return slept;
  }
  co_return co_await scene->far.ShutdownWrite();
}

Task<absl::Status> ReadAllSlowly(Scene* scene) {
  std::string chunk(256 * 1024, '\0');
  for (;;) {
    absl::StatusOr<size_t> count = co_await scene->far.Read(absl::MakeSpan(chunk));
    if (!count.ok()) co_return count.status();
    if (*count == 0) co_return absl::OkStatus();
    scene->arrived.append(chunk, 0, *count);
    if (scene->arrived.size() % 3 != 0) continue;
    absl::Status slept = co_await Sleep(kPause);
    if (!slept.ok()) co_return slept;
  }
}

Task<absl::Status> ReadPipe(Scene* scene) {
  char chunk[3];
  for (;;) {
    absl::StatusOr<size_t> count = co_await scene->pipe.second.Read(absl::MakeSpan(chunk));
    if (!count.ok()) co_return count.status();
    if (*count == 0) co_return absl::OkStatus();
    scene->arrived.append(chunk, *count);
    absl::Status slept = co_await Sleep(kPause / 4);
    if (!slept.ok()) co_return slept;
  }
}

Task<absl::Status> WritePipe(Scene* scene) {
  const IoResult written = co_await scene->pipe.second.WriteAll(kText);
  if (!written.ok()) co_return written.status;
  co_return co_await scene->pipe.second.ShutdownWrite();
}

Task<absl::Status> SendDatagrams(Scene* scene) {
  const SocketAddress address = scene->udp.LocalAddress().value();
  for (const char& byte : kText) {
    absl::Status sent = co_await scene->far_udp.SendTo(absl::string_view(&byte, 1), address);
    if (!sent.ok()) co_return sent;
    absl::Status slept = co_await Sleep(kPause / 4);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReceiveDatagrams(Scene* scene) {
  char byte;
  while (scene->arrived.size() < kText.size()) {
    absl::StatusOr<ReceivedDatagram> received = co_await scene->far_udp.ReceiveFrom(absl::MakeSpan(&byte, 1));
    if (!received.ok()) co_return received.status();
    scene->arrived.push_back(byte);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ConnectLater(Scene* scene) {
  absl::Status slept = co_await Sleep(kPause);
  if (!slept.ok()) co_return slept;
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(scene->listener.LocalAddress());
  if (!stream.ok()) co_return stream.status();
  // The accepted end must see who it is.
  const IoResult written = co_await stream->WriteAll(kText);
  co_return written.status;
}

Task<absl::Status> HoldTheLock(Scene* scene) {
  absl::StatusOr<Mutex::Guard> guard = co_await scene->mutex.Lock();
  if (!guard.ok()) co_return guard.status();
  co_return co_await Sleep(kPause);
}

Task<absl::Status> SendNumbers(Scene* scene) {
  for (int number = 0; number < 8; ++number) {
    absl::Status sent = co_await scene->channel.Send(int{number});
    if (!sent.ok()) co_return sent;
    absl::Status slept = co_await Sleep(kPause / 4);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReceiveNumbers(Scene* scene) {
  for (int number = 0; number < 8; ++number) {
    absl::StatusOr<int> received = co_await scene->channel.Receive();
    if (!received.ok()) co_return received.status();
    if (*received != number) co_return absl::DataLossError("a gap or a repeat");
    absl::Status slept = co_await Sleep(kPause / 4);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> LetGo(Scene* scene) {
  scene->wait_group.Add();
  for (int i = 0; i < 5; ++i) {
    absl::Status slept = co_await Sleep(kPause / 2);
    if (!slept.ok()) co_return slept;
    scene->semaphore.Release();
  }
  scene->event.Set();
  scene->wait_group.Done();
  co_return absl::OkStatus();
}

// Lends the only connection and returns it later.
Task<absl::Status> HoldTheConnection(Scene* scene) {
  absl::StatusOr<ConnectionPool<TcpStream>::Lease> lease =
      co_await scene->pool.Acquire(scene->listener.LocalAddress().ToString());
  if (!lease.ok()) co_return lease.status();
  co_return co_await Sleep(kPause);
}

// --- Reading ---

Task<absl::Status> Read(Scene* scene) {
  char chunk[2];
  for (;;) {
    absl::StatusOr<size_t> count = co_await scene->near.Read(absl::MakeSpan(chunk));
    if (!count.ok()) co_return count.status();
    if (*count == 0) co_return absl::OkStatus();
    scene->received.append(chunk, *count);
  }
}

Task<absl::Status> Receive(Scene* scene) {
  for (;;) {
    absl::StatusOr<Buffer> buffer = co_await scene->near.Receive();
    if (!buffer.ok()) co_return buffer.status();
    if (buffer->empty()) co_return absl::OkStatus();
    scene->received.append(buffer->view());
  }
}

Task<absl::Status> Peek(Scene* scene) {
  char chunk[8];
  for (;;) {
    absl::StatusOr<size_t> peeked = co_await scene->near.Peek(absl::MakeSpan(chunk));
    if (!peeked.ok()) co_return peeked.status();
    if (*peeked == 0) co_return absl::OkStatus();
    absl::StatusOr<size_t> read = co_await scene->near.Read(absl::MakeSpan(chunk, *peeked));
    if (!read.ok()) co_return read.status();
    scene->received.append(chunk, *read);
  }
}

Task<absl::Status> ReadExactly(Scene* scene) {
  while (scene->received.size() < kText.size()) {
    char chunk[5];
    const size_t size = std::min(sizeof(chunk), kText.size() - scene->received.size());
    const IoResult result = co_await scene->near.ReadExactly(absl::MakeSpan(chunk, size));
    scene->received.append(chunk, result.bytes);
    if (!result.ok()) co_return result.status;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReadUntil(Scene* scene) {
  while (scene->received.size() < kText.size()) {
    absl::StatusOr<absl::string_view> line = co_await scene->reader.ReadUntil("\n", 100);
    if (!line.ok()) co_return line.status();
    scene->received.append(*line);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReadBuffered(Scene* scene) {
  while (scene->received.size() < kText.size()) {
    if (scene->received.empty()) {
      absl::StatusOr<absl::string_view> head = co_await scene->reader.ReadExactly(6);
      if (!head.ok()) co_return head.status();
      scene->received.append(*head);
    }
    char chunk[4];
    absl::StatusOr<size_t> count = co_await scene->reader.Read(absl::MakeSpan(chunk));
    if (!count.ok()) co_return count.status();
    scene->received.append(chunk, *count);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReadLines(Scene* scene) {
  LineReader lines(scene->reader);
  for (;;) {
    absl::StatusOr<std::optional<absl::string_view>> line = co_await lines.Next();
    if (!line.ok()) co_return line.status();
    if (!line->has_value()) co_return absl::OkStatus();
    scene->received.append(**line);
    scene->received.push_back('\n');
  }
}

Task<absl::Status> ReadFromPipe(Scene* scene) {
  for (;;) {
    char chunk[3];
    absl::StatusOr<size_t> count = co_await scene->pipe.first.Read(absl::MakeSpan(chunk));
    if (!count.ok()) co_return count.status();
    if (*count == 0) co_return absl::OkStatus();
    scene->received.append(chunk, *count);
  }
}

Task<absl::Status> ReceiveFrom(Scene* scene) {
  while (scene->received.size() < kText.size()) {
    char byte;
    absl::StatusOr<ReceivedDatagram> received = co_await scene->udp.ReceiveFrom(absl::MakeSpan(&byte, 1));
    if (!received.ok()) co_return received.status();
    scene->received.push_back(byte);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReceiveMany(Scene* scene) {
  while (scene->received.size() < kText.size()) {
    absl::StatusOr<std::vector<Datagram>> received = co_await scene->udp.ReceiveMany(3);
    if (!received.ok()) co_return received.status();
    for (const Datagram& datagram : *received) scene->received.append(datagram.data.view());
  }
  co_return absl::OkStatus();
}

// --- Writing ---

// A part of what is to be sent that goes on where the last call has ended.
std::string Next(const Scene& scene, size_t size) {
  static const std::string* const all = new std::string(Pattern(kMuch));
  return all->substr(scene.sent.size(), size);
}

Task<absl::Status> Write(Scene* scene) {
  while (scene->sent.size() < kMuch) {
    const std::string data = Next(*scene, kMuch);
    absl::StatusOr<size_t> count = co_await scene->near.WriteSome(data);
    if (!count.ok()) co_return count.status();
    scene->sent.append(data, 0, *count);
  }
  co_return co_await scene->near.ShutdownWrite();
}

Task<absl::Status> WriteAll(Scene* scene) {
  scene->near.AcceptPartial();
  while (scene->sent.size() < kMuch) {
    const std::string data = Next(*scene, kMuch / 3);
    const IoResult result = co_await scene->near.WriteAll(data);
    scene->sent.append(data, 0, result.bytes);
    if (!result.ok()) co_return result.status;
  }
  co_return co_await scene->near.ShutdownWrite();
}

Task<absl::Status> WriteSlices(Scene* scene) {
  scene->near.AcceptPartial();
  while (scene->sent.size() < kMuch) {
    const std::string data = Next(*scene, kMuch / 3);
    const size_t half = data.size() / 2;
    const IoSlice slices[] = {{data.data(), half}, {nullptr, 0}, {data.data() + half, data.size() - half}};
    const IoResult result = co_await scene->near.WriteAll(slices);
    scene->sent.append(data, 0, result.bytes);
    if (!result.ok()) co_return result.status;
  }
  co_return co_await scene->near.ShutdownWrite();
}

Task<absl::Status> SendFile(Scene* scene) {
  static const int descriptor = [] {
    std::string path = ::testing::TempDir() + "/cancel_everywhere_XXXXXX";
    const int file = mkstemp(path.data());
    CHECK_GE(file, 0);
    unlink(path.c_str());
    const std::string all = Pattern(kMuch);
    CHECK_EQ(::write(file, all.data(), all.size()), static_cast<ssize_t>(all.size()));
    return file;
  }();
  scene->near.AcceptPartial();
  while (scene->sent.size() < kMuch) {
    const size_t rest = kMuch - scene->sent.size();
    const IoResult result = co_await scene->near.SendFile(descriptor, scene->sent.size(), rest);
    scene->sent.append(Next(*scene, result.bytes));
    if (!result.ok()) co_return result.status;
  }
  co_return co_await scene->near.ShutdownWrite();
}

Task<absl::Status> WriteBuffered(Scene* scene) {
  while (scene->sent.size() < kMuch) {
    const std::string data = Next(*scene, kMuch / 3);
    const IoResult result = co_await scene->writer.WriteAll(data);
    scene->sent.append(data, 0, result.bytes);
    if (!result.ok()) co_return result.status;
  }
  absl::Status flushed = co_await scene->writer.Flush();
  if (!flushed.ok()) co_return flushed;
  co_return co_await scene->near.ShutdownWrite();
}

// What was cut short last time is sent to its end first.
Task<absl::Status> WriteRest(Scene* scene) {
  constexpr size_t kMessage = kMuch / 3;
  while (scene->sent.size() < kMuch) {
    const size_t rest = kMessage - scene->sent.size() % kMessage;
    const std::string data = Next(*scene, rest);
    IoResult result;
    if (rest < kMessage) {
      result = co_await scene->near.WriteRest(data);
    } else {
      result = co_await scene->near.WriteAll(data);
    }
    scene->sent.append(data, 0, result.bytes);
    if (!result.ok()) co_return result.status;
  }
  co_return co_await scene->near.ShutdownWrite();
}

Task<absl::Status> WriteToPipe(Scene* scene) {
  scene->pipe.first.AcceptPartial();
  while (scene->sent.size() < kText.size()) {
    const absl::string_view rest = kText.substr(scene->sent.size());
    const IoResult result = co_await scene->pipe.first.WriteAll(rest);
    scene->sent.append(rest.substr(0, result.bytes));
    if (!result.ok()) co_return result.status;
  }
  co_return co_await scene->pipe.first.ShutdownWrite();
}

Task<absl::Status> SendTo(Scene* scene) {
  const SocketAddress address = scene->far_udp.LocalAddress().value();
  while (scene->sent.size() < kText.size()) {
    const absl::string_view next = kText.substr(scene->sent.size(), 1);
    absl::Status sent = co_await scene->udp.SendTo(next, address);
    if (!sent.ok()) co_return sent;
    scene->sent.append(next);
  }
  co_return absl::OkStatus();
}

// --- Connections ---

Task<absl::Status> Connect(Scene* scene) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(scene->listener.LocalAddress());
  if (stream.ok()) scene->connected = *std::move(stream);
  co_return stream.status();
}

Task<absl::Status> ConnectToName(Scene* scene) {
  const std::string target = "localhost:" + std::to_string(scene->listener.LocalAddress().port());
  absl::StatusOr<TcpStream> stream = co_await tandem::Connect(target);
  if (stream.ok()) scene->connected = *std::move(stream);
  co_return stream.status();
}

Task<absl::Status> ConnectToOneOfTwo(Scene* scene) {
  // Nobody listens at the first.
  const SocketAddress nobody = scene->udp.LocalAddress().value();
  std::vector<SocketAddress> addresses = {nobody, scene->listener.LocalAddress()};
  absl::StatusOr<TcpStream> stream = co_await ConnectToAny(std::move(addresses));
  if (stream.ok()) scene->connected = *std::move(stream);
  co_return stream.status();
}

Task<absl::Status> Accept(Scene* scene) {
  absl::StatusOr<TcpStream> stream = co_await scene->listener.Accept();
  if (stream.ok()) scene->connected = *std::move(stream);
  co_return stream.status();
}

Task<absl::Status> Acquire(Scene* scene) {
  absl::StatusOr<ConnectionPool<TcpStream>::Lease> lease =
      co_await scene->pool.Acquire(scene->listener.LocalAddress().ToString());
  co_return lease.status();
}

Task<absl::Status> Resolve(Scene*) {
  absl::StatusOr<std::vector<SocketAddress>> addresses = co_await tandem::Resolve("localhost", 80);
  co_return addresses.status();
}

Task<absl::Status> Close(Scene* scene) {
  absl::Status closed = co_await scene->near.Close();
  co_return closed;
}

// --- Time, locks, work ---

Task<absl::Status> SleepAndYield(Scene*) {
  for (int i = 0; i < 3; ++i) {
    absl::Status slept = co_await Sleep(kPause);
    if (!slept.ok()) co_return slept;
    absl::Status yielded = co_await Yield();
    if (!yielded.ok()) co_return yielded;
  }
  for (int i = 0; i < 300; ++i) {
    absl::Status status = co_await Checkpoint();
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Lock(Scene* scene) {
  absl::StatusOr<Mutex::Guard> guard = co_await scene->mutex.Lock();
  co_return guard.status();
}

Task<absl::Status> ReceiveFromChannel(Scene* scene) {
  while (scene->count < 8) {
    absl::StatusOr<int> number = co_await scene->channel.Receive();
    if (!number.ok()) co_return number.status();
    if (*number != scene->count) co_return absl::DataLossError("a gap or a repeat");
    ++scene->count;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> SendToChannel(Scene* scene) {
  while (scene->count < 8) {
    int number = scene->count;
    absl::Status sent = co_await scene->channel.Send(std::move(number));
    if (!sent.ok()) co_return sent;
    ++scene->count;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> AcquirePermits(Scene* scene) {
  while (scene->count < 5) {
    absl::StatusOr<Semaphore::Guard> guard = co_await scene->semaphore.Acquire();
    if (!guard.ok()) co_return guard.status();
    guard->Keep();
    ++scene->count;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> WaitForEvents(Scene* scene) {
  absl::Status set = co_await scene->event.Wait();
  if (!set.ok()) co_return set;
  co_return co_await scene->wait_group.Wait();
}

Task<absl::Status> TickAndAcquire(Scene* scene) {
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<Instant> tick = co_await scene->ticker.Next();
    if (!tick.ok()) co_return tick.status();
    absl::Status token = co_await scene->limiter.Acquire();
    if (!token.ok()) co_return token;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Block(Scene*) {
  absl::StatusOr<int> result = co_await RunBlocking([] { return 7; });
  co_return result.status();
}

// --- Combinators ---

Task<absl::Status> ReadUnderTimeouts(Scene* scene) {
  // The inner one never fires.
  absl::Status status = co_await WithTimeout(absl::Hours(2), WithTimeout(absl::Hours(1), Read(scene)));
  co_return status;
}

Task<absl::Status> ReadInAGroup(Scene* scene) {
  co_return co_await WithTaskGroup([scene](TaskGroup& group) {
    group.Spawn(&Read, scene);
    return SleepAndYield(scene);
  });
}

Task<absl::Status> ReadBesideSleep(Scene* scene) {
  auto results = co_await WhenAll(Read(scene), SleepAndYield(scene));
  if (!std::get<0>(results).ok()) co_return std::get<0>(results);
  co_return std::get<1>(results);
}

// A timer or a byte, again and again: a WhenAny of a WhenAll.
Task<absl::Status> ReadOrSleep(Scene* scene) {
  while (scene->received.size() < kText.size()) {
    char chunk[2];
    auto results = co_await WhenAny(scene->near.Read(absl::MakeSpan(chunk)),
                                    WhenAll(Sleep(kPause / 3), SleepUntil(Now() + kPause / 3)));
    const auto& read = std::get<0>(results);
    if (read.has_value() && read->ok()) scene->received.append(chunk, **read);
    if (read.has_value() && !read->ok()) co_return read->status();
    absl::Status status = co_await Checkpoint();
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ShieldedRead(Scene* scene) {
  absl::Status status = co_await Shield(absl::Hours(1), Read(scene));
  co_return status;
}

class CancelEverywhereTest : public SocketConformanceTest, public ::testing::WithParamInterface<Case> {
 protected:
  // One life of the case, cancelled after `turns`. Returns true when it was faster.
  bool RunCancelledAfter(int turns) {
    TcpListener listener = Listen();
    TcpStream near = Connect(listener.LocalAddress());
    TcpStream far = Accept(listener);
    Scene scene(std::move(listener), std::move(near), std::move(far));
    auto feed = Start(GetParam().feed(&scene));
    auto first = Start(GetParam().run(&scene));
    for (int i = 0; i < turns && !first->done(); ++i) (void)loop_.shard().Turn(Now() + absl::Milliseconds(1));
    const bool faster = first->done();
    first->Cancel();
    const absl::Status status = Wait(first);
    if (faster || GetParam().masked) {
      EXPECT_OK(status);
    } else {
      EXPECT_TRUE(status.ok() || status == CancelledStatus()) << status;
      if (!status.ok()) {
        EXPECT_OK(Run(GetParam().run(&scene))) << "again";
      }
    }
    EXPECT_OK(Wait(feed));
    EXPECT_TRUE(GetParam().check(scene)) << "received \"" << scene.received << "\"";
    return faster;
  }
};

TEST_P(CancelEverywhereTest, AndMadeAgainItEndsAsIfNothingHadHappened) {
  for (int turns = 0; turns < 400; turns += 1 + turns / 16) {
    SCOPED_TRACE(turns);
    if (RunCancelledAfter(turns) || HasFailure()) return;
  }
}

// In a scope that is cancelled already, nothing is done.
TEST_P(CancelEverywhereTest, BeforehandItDoesNothing) {
  if (GetParam().masked) return;
  TcpListener listener = Listen();
  TcpStream near = Connect(listener.LocalAddress());
  TcpStream far = Accept(listener);
  Scene scene(std::move(listener), std::move(near), std::move(far));
  auto feed = Start(GetParam().feed(&scene));
  Settle();  // What the case would wait for is there.
  auto run = Start(GetParam().run(&scene));
  run->Cancel();
  EXPECT_EQ(Wait(run), CancelledStatus());
  EXPECT_EQ(scene.received, "");
  EXPECT_EQ(scene.count, 0);
  EXPECT_FALSE(scene.connected.has_value());

  EXPECT_OK(Run(GetParam().run(&scene)));
  EXPECT_OK(Wait(feed));
}

INSTANTIATE_TEST_SUITE_P(
    Calls, CancelEverywhereTest,
    ::testing::Values(
        Case{"Read", &Read, &WriteText, &GotText}, Case{"Receive", &Receive, &WriteText, &GotText},
        Case{"Peek", &Peek, &WriteText, &GotText}, Case{"ReadExactly", &ReadExactly, &WriteText, &GotText},
        Case{"BufferedReadUntil", &ReadUntil, &WriteText, &GotText},
        Case{"BufferedRead", &ReadBuffered, &WriteText, &GotText}, Case{"Lines", &ReadLines, &WriteText, &GotText},
        Case{"PipeRead", &ReadFromPipe, &WritePipe, &GotText},
        Case{"ReceiveFrom", &ReceiveFrom, &SendDatagrams, &GotText},
        Case{"ReceiveMany", &ReceiveMany, &SendDatagrams, &GotText},
        Case{"Write", &Write, &ReadAllSlowly, &SentWhatArrived},
        Case{"WriteAll", &WriteAll, &ReadAllSlowly, &SentWhatArrived},
        Case{"WriteRest", &WriteRest, &ReadAllSlowly, &SentWhatArrived},
        Case{"WriteSlices", &WriteSlices, &ReadAllSlowly, &SentWhatArrived},
        Case{"SendFile", &SendFile, &ReadAllSlowly, &SentWhatArrived},
        Case{"BufferedWrite", &WriteBuffered, &ReadAllSlowly, &SentWhatArrived},
        Case{"PipeWrite", &WriteToPipe, &ReadPipe, &TextArrived},
        Case{"SendTo", &SendTo, &ReceiveDatagrams, &TextArrived}, Case{"Connect", &Connect, &Nothing, &Always},
        Case{"ConnectToName", &ConnectToName, &Nothing, &Always},
        Case{"ConnectToAny", &ConnectToOneOfTwo, &Nothing, &Always}, Case{"Accept", &Accept, &ConnectLater, &Always},
        Case{"PoolAcquire", &Acquire, &HoldTheConnection, &Always}, Case{"Resolve", &Resolve, &Nothing, &Always},
        Case{"Close", &Close, &Nothing, &Always, /*masked=*/true}, Case{"Sleep", &SleepAndYield, &Nothing, &Always},
        Case{"Lock", &Lock, &HoldTheLock, &Always}, Case{"ChannelReceive", &ReceiveFromChannel, &SendNumbers, &Always},
        Case{"ChannelSend", &SendToChannel, &ReceiveNumbers, &Always},
        Case{"Semaphore", &AcquirePermits, &LetGo, &Always}, Case{"Event", &WaitForEvents, &LetGo, &Always},
        Case{"Ticker", &TickAndAcquire, &Nothing, &Always}, Case{"RunBlocking", &Block, &Nothing, &Always},
        Case{"WithTimeout", &ReadUnderTimeouts, &WriteText, &GotText},
        Case{"WithTaskGroup", &ReadInAGroup, &WriteText, &GotText},
        Case{"WhenAll", &ReadBesideSleep, &WriteText, &GotText}, Case{"WhenAny", &ReadOrSleep, &WriteText, &GotText},
        Case{"Shield", &ShieldedRead, &WriteText, &GotText, /*masked=*/true}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace tandem::testing
