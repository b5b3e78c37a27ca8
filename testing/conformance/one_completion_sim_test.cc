// SPDX-License-Identifier: Apache-2.0
//
// Exactly one terminal completion, whatever the reactor does within its contract. Random programs of connects, accepts,
// reads, writes, datagrams, timeouts, scopes that end, aborts and closes run over reactors in chaos
// (sim/faults/chaos.h). The reactor CHECKs that no operation ends twice and none is destroyed in flight; here is shown
// that each ends, that bytes arrive without gap or repeat, and that descriptors, buffers and operations are as many
// after a case as before.
//
// A seed is a process that runs kRounds rounds of kConnections cases, each both ends of one connection: 50 cases, so
// that 2,000 seeds are 10^5. Beside them a task of each round sends datagrams to another.

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/random.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/datagram_operations.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/faults/chaos.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

constexpr int kRounds = 10;
constexpr uint64_t kConnections = 5;
constexpr uint16_t kPort = 7000;
constexpr uint16_t kDatagramPort = 7001;
static_assert(kRounds * kConnections == 50);
constexpr size_t kStreamMax = 60'000;

// What every stream consists of: no stretch of it repeats.
const std::string& StreamBytes() {
  static const std::string* const bytes = [] {
    auto* made = new std::string();
    made->reserve(kStreamMax + sizeof(uint64_t));
    for (uint64_t i = 0; made->size() < kStreamMax; ++i) {
      const uint64_t word = MixBits(i + 1);
      made->append(reinterpret_cast<const char*>(&word), sizeof(word));
    }
    return made;
  }();
  return *bytes;
}

// One direction of one connection.
struct Flow {
  size_t sent = 0;      // As the writer was told.
  size_t received = 0;  // As the reader was told.
  size_t mistakes = 0;  // Bytes in the wrong place.
  bool writer_ended = false;
  bool aborted = false;    // By the writer's end.
  bool saw_end = false;    // By the reader, and no error before.
  bool saw_error = false;  // Likewise.
  // The end of the stream says nothing: the reader's end shut its half down, or a write there took the error.
  bool no_proof = false;
};

// What both ends know of a connection; its name is the client's address.
struct Connection {
  Flow to_server;
  Flow to_client;
};

// The memory of a round, outside of both hosts.
struct Round {
  std::map<SocketAddress, Connection> connections;
  bool client_done = false;
  int leaks = 0;
  uint64_t next_datagram = 1;  // The number of the one that may come next.
  int datagram_mistakes = 0;   // Torn, repeated or out of order. Some are lost.
};

// One end of a connection, and what its tasks share.
struct End {
  TcpStream stream;
  Flow* in = nullptr;
  Flow* out = nullptr;
  uint64_t entity = 0;
};

uint64_t Draw(absl::string_view domain, const End& end, uint64_t limit) {
  return Random(domain, end.entity).Below(limit);
}

// Mostly about as long as what it is for.
absl::Duration DrawTime(absl::string_view domain, uint64_t entity) {
  RandomStream& random = Random(domain, entity);
  const int64_t max_us = random.Below(4) == 0 ? 20'000 : 600;
  return absl::Microseconds(random.Between(0, max_us));
}

bool WasStopped(const absl::Status& status) { return absl::IsDeadlineExceeded(status) || absl::IsCancelled(status); }

// --- Writing ---

struct Sent {
  absl::Status status;
  size_t bytes = 0;
};

Sent FromCount(const absl::StatusOr<size_t>& count) { return Sent{count.status(), count.value_or(0)}; }
Sent FromResult(const IoResult& result) { return Sent{result.status, result.bytes}; }

Task<IoResult> WriteAllInScope(End* end, absl::string_view data) {
  IoResult result = co_await end->stream.WriteAll(data);
  co_return result;
}

Task<Sent> WriteOnce(End* end, absl::string_view data) {
  const absl::Duration timeout = DrawTime("write timeout", end->entity);
  switch (Draw("write", *end, 6)) {
    case 0: {
      const absl::StatusOr<size_t> count = co_await WithTimeout(timeout, end->stream.WriteSome(data));
      co_return FromCount(count);
    }
    case 1: {
      const IoResult result = co_await WithTimeout(timeout, end->stream.WriteAll(data));
      co_return FromResult(result);
    }
    case 2: {
      const size_t half = data.size() / 2;
      const char* const bytes = data.data();
      const std::vector<IoSlice> slices = {{bytes, half}, {bytes + half, data.size() - half}};
      const absl::Span<const IoSlice> used = absl::MakeConstSpan(slices).subspan(half == 0 ? 1 : 0);
      const IoResult result = co_await WithTimeout(timeout, end->stream.WriteAll(used));
      co_return FromResult(result);
    }
    case 3: {
      Buffer buffer = Reactor::Current().heap_buffers().Copy(data);
      const IoResult result = co_await WithTimeout(timeout, end->stream.WriteAll(std::move(buffer)));
      co_return FromResult(result);
    }
    case 4: {
      const absl::StatusOr<std::optional<size_t>> count = end->stream.TryWrite(data);
      if (!count.ok()) co_return Sent{count.status(), 0};
      co_return Sent{absl::OkStatus(), count->value_or(0)};
    }
    default: {
      const IoResult result = co_await WithTimeout(timeout, WriteAllInScope(end, data));
      co_return FromResult(result);
    }
  }
}

Task<absl::Status> WriteSome(End* end) {
  const uint64_t steps = Draw("writes", *end, 12);
  for (uint64_t step = 0; step < steps; ++step) {
    const uint64_t most = Draw("large write", *end, 8) == 0 ? 30'000 : 2000;
    const size_t room = kStreamMax - end->out->sent;
    const size_t size = std::min<size_t>(room, 1 + Draw("write size", *end, most));
    if (size == 0) break;
    const Sent sent = co_await WriteOnce(end, absl::string_view(StreamBytes()).substr(end->out->sent, size));
    end->out->sent += sent.bytes;
    if (!sent.status.ok() && !WasStopped(sent.status)) {
      end->in->no_proof = true;
      break;
    }
    end->stream.AcceptPartial();
    const absl::Duration pause = DrawTime("write pause", end->entity);
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) break;
  }
  if (Draw("shutdown", *end, 2) == 0) {
    const absl::Duration timeout = DrawTime("shutdown timeout", end->entity);
    const absl::Status status = co_await WithTimeout(timeout, end->stream.ShutdownWrite());
    if (!status.ok() && !WasStopped(status)) end->in->no_proof = true;
  }
  end->out->writer_ended = true;
  co_return absl::OkStatus();
}

// --- Reading ---

// Counts what was read and compares it; an empty read is the end of the stream.
void Take(End* end, absl::string_view bytes) {
  Flow& flow = *end->in;
  if (bytes.empty()) {
    if (!flow.saw_error) flow.saw_end = true;
    return;
  }
  if (absl::string_view(StreamBytes()).substr(flow.received, bytes.size()) != bytes) ++flow.mistakes;
  flow.received += bytes.size();
}

// False when reading is over.
bool TakeCount(End* end, const absl::StatusOr<size_t>& count, absl::string_view target) {
  if (!count.ok()) {
    if (WasStopped(count.status())) return true;
    end->in->saw_error = true;
    return false;
  }
  Take(end, target.substr(0, *count));
  return *count > 0;
}

Task<bool> ReadOnce(End* end, std::string* target, std::vector<Buffer>* kept) {
  const absl::Duration timeout = DrawTime("read timeout", end->entity);
  const size_t size = 1 + Draw("read size", *end, Draw("large read", *end, 4) == 0 ? target->size() : 500);
  const absl::Span<char> span(target->data(), size);
  switch (Draw("read", *end, 5)) {
    case 0: {
      const absl::StatusOr<size_t> count = co_await WithTimeout(timeout, end->stream.Read(span));
      co_return TakeCount(end, count, *target);
    }
    case 1: {
      absl::StatusOr<Buffer> buffer = co_await WithTimeout(timeout, end->stream.Receive());
      if (!buffer.ok()) co_return TakeCount(end, buffer.status(), "");
      Take(end, buffer->view());
      const bool over = buffer->empty();
      if (kept->size() < 8) kept->push_back(*std::move(buffer));
      co_return !over;
    }
    case 2: {
      const IoResult result = co_await WithTimeout(timeout, end->stream.ReadExactly(span));
      if (result.bytes > 0) Take(end, absl::string_view(*target).substr(0, result.bytes));
      if (absl::IsOutOfRange(result.status)) Take(end, "");
      if (result.ok() || WasStopped(result.status)) co_return true;
      if (!absl::IsOutOfRange(result.status)) end->in->saw_error = true;
      co_return false;
    }
    case 3: {
      const absl::StatusOr<size_t> count = co_await WithTimeout(timeout, end->stream.Peek(span));
      const size_t peeked = count.value_or(0);
      const absl::string_view expected = absl::string_view(StreamBytes()).substr(end->in->received, peeked);
      if (absl::string_view(*target).substr(0, peeked) != expected) ++end->in->mistakes;
      co_return true;
    }
    default: {
      const absl::StatusOr<std::optional<size_t>> count = end->stream.TryRead(span);
      if (!count.ok()) co_return TakeCount(end, count.status(), "");
      if (count->has_value()) co_return TakeCount(end, **count, *target);
      const absl::Status slept = co_await Sleep(timeout);
      co_return slept.ok();
    }
  }
}

Task<absl::Status> ReadSome(End* end) {
  std::string target(20'000, ' ');
  std::vector<Buffer> kept;  // A program may hold on to what it received.
  kept.reserve(8);
  const uint64_t steps = Draw("patience", *end, 3) == 0 ? Draw("reads", *end, 10) : 60;
  for (uint64_t step = 0; step < steps; ++step) {
    const bool goes_on = co_await ReadOnce(end, &target, &kept);
    if (!goes_on) break;
  }
  co_return absl::OkStatus();
}

// --- Connections ---

// Something that ends the connection while it is used.
Task<absl::Status> Disturb(End* end) {
  const absl::Duration pause = 4 * DrawTime("disturbance", end->entity);
  const absl::Status slept = co_await Sleep(pause);
  if (!slept.ok()) co_return absl::OkStatus();
  switch (Draw("disturb", *end, 8)) {
    case 0:
      end->out->aborted = true;
      end->stream.Abort();
      break;
    case 1:
      static_cast<void>(co_await end->stream.Close());
      break;
    case 2:
      end->in->no_proof = true;
      static_cast<void>(end->stream.ShutdownRead());
      break;
    case 3:
      co_return absl::AbortedError("the group ends");
    default:
      break;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> SpawnUsers(TaskGroup* group, End* end) {
  group->Spawn(ReadSome, end);
  group->Spawn(WriteSome, end);
  group->Spawn(Disturb, end);
  co_return absl::OkStatus();
}

Task<absl::Status> UseStream(TcpStream stream, Flow* in, Flow* out, uint64_t entity) {
  End end;
  end.stream = std::move(stream);
  end.in = in;
  end.out = out;
  end.entity = entity;
  End* const shared = &end;
  // Little room, so that sends wait and are cut short.
  if (Draw("little room", end, 2) == 0) static_cast<void>(end.stream.set_send_buffer_size(4000));
  if (Draw("little to come", end, 2) == 0) static_cast<void>(end.stream.set_receive_buffer_size(4000));
  const auto tasks = [shared](TaskGroup& group) { return SpawnUsers(&group, shared); };
  static_cast<void>(co_await WithTaskGroup(tasks));
  end.out->writer_ended = true;
  switch (Draw("the end", end, 4)) {
    case 0:
      end.out->aborted = true;
      end.stream.Abort();
      break;
    case 1:
      break;  // The destructor closes.
    default:
      static_cast<void>(co_await end.stream.Close());
      break;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ConnectAndUse(Round* round, SocketAddress server, uint64_t entity) {
  for (int tries = 0; tries < 3; ++tries) {
    const absl::Duration timeout = 2 * DrawTime("connect timeout", entity);
    absl::StatusOr<TcpStream> stream = co_await WithTimeout(timeout, TcpStream::Connect(server));
    if (!stream.ok()) continue;
    const absl::StatusOr<SocketAddress> local = stream->LocalAddress();
    if (!local.ok()) co_return local.status();
    Connection& connection = round->connections[*local];
    co_return co_await UseStream(*std::move(stream), &connection.to_client, &connection.to_server, entity);
  }
  co_return absl::OkStatus();
}

// --- Datagrams ---

// A number, a size, and so many bytes that fit both.
std::string MakeDatagram(uint64_t number, uint16_t size) {
  const uint64_t head = number << 16 | size;
  std::string data(reinterpret_cast<const char*>(&head), sizeof(head));
  data.append(StreamBytes(), number, size);
  return data;
}

void TakeDatagram(Round* round, absl::string_view data) {
  uint64_t head = 0;
  const absl::string_view first = data.substr(0, sizeof(head));
  std::copy(first.begin(), first.end(), reinterpret_cast<char*>(&head));
  const uint64_t number = head >> 16;
  const bool whole = data == MakeDatagram(number, static_cast<uint16_t>(head & 0xffff));
  if (!whole || number < round->next_datagram) ++round->datagram_mistakes;
  round->next_datagram = number + 1;
}

Task<absl::Status> SendDatagrams(SocketAddress server) {
  constexpr uint64_t kEntity = 1000;
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(0));
  if (!socket.ok()) co_return socket.status();
  uint64_t number = 1;
  for (int step = 0; step < 15; ++step) {
    std::vector<std::string> data(1 + Random("batch").Below(4));
    std::vector<OutgoingDatagram> batch(data.size());
    for (size_t i = 0; i < data.size(); ++i) {
      data[i] = MakeDatagram(number + i, static_cast<uint16_t>(Random("datagram size").Below(3000)));
      batch[i] = OutgoingDatagram(data[i], server);
    }
    const absl::Duration timeout = DrawTime("send timeout", kEntity);
    if (Random("send").Below(2) == 0) {
      const absl::Status status = co_await WithTimeout(timeout, socket->SendTo(data[0], server));
      if (status.ok()) ++number;
    } else {
      const SendManyResult result = co_await WithTimeout(timeout, socket->SendMany(batch));
      number += result.sent;
    }
    const absl::Duration pause = DrawTime("send pause", kEntity);
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReceiveDatagramsOnce(Round* round, UdpSocket* socket, std::string* target) {
  const absl::Duration timeout = DrawTime("receive timeout", 0);
  const absl::Span<char> span = absl::MakeSpan(*target);
  switch (Random("receive").Below(4)) {
    case 0: {
      const absl::StatusOr<ReceivedDatagram> received = co_await WithTimeout(timeout, socket->ReceiveFrom(span));
      if (received.ok()) TakeDatagram(round, absl::string_view(*target).substr(0, received->size));
      co_return received.status();
    }
    case 1: {
      const absl::StatusOr<Datagram> received = co_await WithTimeout(timeout, socket->ReceiveDatagram());
      if (received.ok()) TakeDatagram(round, received->data.view());
      co_return received.status();
    }
    case 2: {
      const absl::StatusOr<std::vector<Datagram>> many = co_await WithTimeout(timeout, socket->ReceiveMany(5));
      if (!many.ok()) co_return many.status();
      for (const Datagram& received : *many) TakeDatagram(round, received.data.view());
      co_return absl::OkStatus();
    }
    default: {
      const absl::StatusOr<std::optional<ReceivedDatagram>> received = socket->TryReceiveFrom(span);
      if (!received.ok()) co_return received.status();
      if (received->has_value()) TakeDatagram(round, absl::string_view(*target).substr(0, (*received)->size));
      co_return co_await Sleep(timeout);
    }
  }
}

Task<absl::Status> ReceiveDatagrams(Round* round) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(kDatagramPort));
  if (!socket.ok()) co_return socket.status();
  std::string target(4000, ' ');
  while (!round->client_done) {
    const absl::Status status = co_await ReceiveDatagramsOnce(round, &*socket, &target);
    if (!status.ok() && !WasStopped(status)) co_return status;
  }
  if (Random("close the datagrams").Below(2) == 0) static_cast<void>(co_await socket->Close());
  co_return absl::OkStatus();
}

// --- The two programs ---

// The operations of this host must end by themselves; what is closed in the background takes a little.
Task<absl::Status> CheckNothingIsLeft(Round* round) {
  for (int tries = 0; tries < 1000 && Reactor::Current().in_flight() > 0; ++tries) {
    const absl::Status slept = co_await Sleep(absl::Milliseconds(1));
    if (!slept.ok()) co_return slept;
  }
  round->leaks += static_cast<int>(Reactor::Current().in_flight());
  co_return absl::OkStatus();
}

Task<absl::Status> SpawnConnections(TaskGroup* group, Round* round, SocketAddress server) {
  for (uint64_t i = 0; i < kConnections; ++i) group->Spawn(ConnectAndUse, round, server, i);
  group->Spawn(SendDatagrams, server.WithPort(kDatagramPort));
  co_return absl::OkStatus();
}

Task<absl::Status> RunClient(Round* round, SocketAddress server) {
  const auto connections = [round, &server](TaskGroup& group) { return SpawnConnections(&group, round, server); };
  static_cast<void>(co_await WithTaskGroup(connections));
  round->client_done = true;
  co_return co_await CheckNothingIsLeft(round);
}

Task<absl::Status> AcceptAll(Round* round, TaskGroup* group) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  uint64_t entity = kConnections;
  while (!round->client_done) {
    const absl::Duration timeout = DrawTime("accept timeout", 0);
    absl::StatusOr<TcpStream> stream = co_await WithTimeout(timeout, listener->Accept());
    if (!stream.ok() && !WasStopped(stream.status())) co_return stream.status();
    if (!stream.ok()) continue;
    SocketAddress name = stream->PeerAddress();
    // One that was reset in the queue has no peer any more.
    if (name.family() == AddressFamily::kNone) name = SocketAddress::AnyIpv4(static_cast<uint16_t>(entity));
    Connection& connection = round->connections[name];
    group->Spawn(UseStream, *std::move(stream), &connection.to_server, &connection.to_client, entity++);
  }
  if (Random("close the listener").Below(2) == 0) static_cast<void>(co_await listener->Close());
  co_return absl::OkStatus();
}

Task<absl::Status> RunServer(Round* round) {
  const auto serve = [round](TaskGroup& group) -> Task<absl::Status> {
    group.Spawn(ReceiveDatagrams, round);
    return AcceptAll(round, &group);
  };
  const absl::Status status = co_await WithTaskGroup(serve);
  if (!status.ok()) co_return status;
  co_return co_await CheckNothingIsLeft(round);
}

// --- What must hold ---

void CheckFlow(const Flow& flow, bool was_used_by_both) {
  EXPECT_EQ(flow.mistakes, 0u);
  if (!was_used_by_both) return;
  EXPECT_LE(flow.received, flow.sent);
  if (flow.saw_end && !flow.aborted && !flow.no_proof) {
    EXPECT_EQ(flow.received, flow.sent);
  }
}

}  // namespace

SIM_TEST(OneCompletion, EachOperationEndsOnceAndNothingIsLostOrLeft) {
  Round round;
  RandomStream& random = world.random("rounds");
  sim::Host& server = world.AddHost("server", [&round] { return RunServer(&round); });
  const SocketAddress address = world.Resolve(absl::StrCat("server:", kPort)).value();
  sim::Host& client = world.AddHost("client", [&round, address] { return RunClient(&round, address); });
  for (int i = 0; i < kRounds && !::testing::Test::HasFailure(); ++i) {
    round = Round();
    for (sim::Host* host : {&server, &client}) {
      if (i > 0) host->Restart();
      host->stack().faults() = sim::DrawChaos(RandomStream(random.Next()));
    }
    sim::LinkConditions conditions;
    conditions.latency = sim::LatencyDistribution::Uniform(20'000, 500'000);
    if (random.Below(4) == 0) conditions.loss = Probability::Ratio(1, 50);
    world.network().SetDefaultConditions(conditions);
    EXPECT_OK(world.RunFor(absl::Nanoseconds(1)));  // They start.

    EXPECT_OK(world.RunUntilDone(client, absl::Hours(1)));
    EXPECT_OK(world.RunUntilDone(server, absl::Hours(1)));
    EXPECT_OK(world.RunUntilQuiescent(absl::Hours(1)));
    EXPECT_EQ(round.leaks, 0);
    EXPECT_EQ(round.datagram_mistakes, 0);
    EXPECT_EQ(client.stack().open_descriptors(), 0u);
    EXPECT_EQ(server.stack().open_descriptors(), 0u);
    EXPECT_EQ(world.network().buffers().outstanding(), 0u);
    for (const auto& [name, connection] : round.connections) {
      const bool both = connection.to_server.writer_ended && connection.to_client.writer_ended;
      CheckFlow(connection.to_server, both);
      CheckFlow(connection.to_client, both);
    }
  }
}

}  // namespace tandem::testing
