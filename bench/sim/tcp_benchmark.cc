// SPDX-License-Identifier: Apache-2.0
//
// How many echo round trips of 64 bytes the simulated network makes per second of real time, without coroutines: the
// floor under what a program above it can reach. The argument is the number of connections.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "benchmark/benchmark.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {
namespace {

// Sends back what arrives.
class EchoEnd final : public Source, public Operation {
 public:
  EchoEnd(SimReactor& reactor, SocketId id) : Source(Kind::kReceive), reactor_(reactor) {
    Source::socket = Operation::socket = id;
    Operation::kind = OperationKind::kSend;
    budget = 1 << 30;
    reactor_.Arm(*this);
  }
  ~EchoEnd() override = default;

  void Send(absl::string_view bytes) {
    message_.assign(bytes.data(), bytes.size());
    slice_ = IoSlice{message_.data(), message_.size()};
    slices = absl::MakeConstSpan(&slice_, 1);
    reactor_.Submit(*this);
  }
  uint64_t messages() const { return messages_; }

 private:
  void OnReceived(Buffer buffer) override {
    ++messages_;
    Send(buffer.view());
  }
  void OnComplete(int64_t) override {}
  void OnEnd(SourceEnd, int) override {
    delivered = 0;
    reactor_.Arm(*this);
  }
  void OnAbandon() override {}

  SimReactor& reactor_;
  std::string message_;
  IoSlice slice_;
  uint64_t messages_ = 0;
};

void BM_EchoRoundTrip(benchmark::State& state) {
  const auto pairs = static_cast<size_t>(state.range(0));
  MachineRoom room(1);
  TestHost server(room.events, room.network, "server", SocketAddress::Ipv4({10, 0, 0, 1}, 0));
  TestHost client(room.events, room.network, "client", SocketAddress::Ipv4({10, 0, 0, 2}, 0));
  const auto listener = static_cast<SocketId>(server.reactor().OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  server.reactor().Bind(listener, SocketAddress::AnyIpv4(80));
  server.reactor().Listen(listener, 4096);
  TestSource accept(Source::Kind::kAccept);
  accept.socket = listener;
  server.reactor().Arm(accept);
  std::vector<std::unique_ptr<EchoEnd>> clients;
  std::vector<std::unique_ptr<EchoEnd>> servers;
  for (size_t i = 0; i < pairs; ++i) {
    TestOperation connect;
    connect.kind = OperationKind::kConnect;
    connect.socket = static_cast<SocketId>(client.reactor().OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
    connect.address = server.Address(80);
    client.reactor().Submit(connect);
    room.RunUntil([&] { return connect.completions == 1 && accept.accepted.size() == i + 1; });
    clients.push_back(std::make_unique<EchoEnd>(client.reactor(), connect.socket));
    servers.push_back(std::make_unique<EchoEnd>(server.reactor(), accept.accepted.back()));
    client.reactor().SetOption(connect.socket, SocketOption::kNoDelay, 1);
  }
  for (const auto& end : clients) end->Send(std::string(64, 'x'));

  uint64_t events = 0;
  const auto total = [&] {
    uint64_t count = 0;
    for (const auto& end : clients) count += end->messages();
    return count;
  };
  const uint64_t before = total();
  for (auto _ : state) {
    for (int i = 0; i < 1000; ++i) room.events.RunNext();
    events += 1000;
  }
  state.counters["round_trips"] =
      benchmark::Counter(static_cast<double>(total() - before), benchmark::Counter::kIsRate);
  state.counters["events"] = benchmark::Counter(static_cast<double>(events), benchmark::Counter::kIsRate);
  state.counters["events_per_round_trip"] = static_cast<double>(events) / static_cast<double>(total() - before);
  client.Crash();
  server.Crash();
}
BENCHMARK(BM_EchoRoundTrip)->Arg(1)->Arg(100)->Arg(1000)->UseRealTime();

}  // namespace
}  // namespace tandem::sim
