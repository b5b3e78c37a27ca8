// SPDX-License-Identifier: Apache-2.0
//
// Datagrams that are lost, doubled and overtaken, in the recording of a run: each read leads to the one it got.

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/report/recorder.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/report/read_recording.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {
namespace {

using sim::TraceKind;

constexpr uint16_t kPort = 7;
constexpr uint16_t kOtherPort = 8;
constexpr int kDatagrams = 330;

// Reads slowly, so that some find no room.
Task<absl::Status> Receive(uint16_t port) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(port));
  while (socket.ok()) {
    std::array<char, 100> bytes;
    const absl::StatusOr<ReceivedDatagram> datagram = co_await socket->ReceiveFrom(absl::MakeSpan(bytes));
    if (!datagram.ok()) co_return datagram.status();
    const absl::Status slept = co_await Sleep(absl::Milliseconds(5));
    if (!slept.ok()) co_return slept;
  }
  co_return socket.status();
}

// All of one size; some of them after those that found no room.
Task<absl::Status> Send(SocketAddress server) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Open(AddressFamily::kIpv4);
  if (!socket.ok()) co_return socket.status();
  for (int i = 0; i < kDatagrams; ++i) {
    const absl::Status sent = co_await socket->SendTo(absl::StrFormat("datagram %05d", i), server);
    if (!sent.ok()) co_return sent;
    if (i % 100 != 99) continue;
    const absl::Status slept = co_await Sleep(i < 200 ? absl::Milliseconds(50) : absl::Seconds(2));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

class KeptRecorder final : public sim::Recorder {
 public:
  std::string bytes;

 private:
  void Write(absl::string_view more) override { bytes.append(more.data(), more.size()); }
};

Recording Record() {
  KeptRecorder recorder;
  sim::WorldOptions options;
  options.set_seed(5).set_trace_details(true).set_trace_sink(&recorder);
  sim::World world(options);
  sim::Host& server = world.AddHost("server", [] { return Receive(kPort); });
  sim::Host& other = world.AddHost("other", [] { return Receive(kOtherPort); });
  for (const auto& [name, address] : {std::pair("one", server.address(kPort)), std::pair("two", server.address(kPort)),
                                      std::pair("three", other.address(kOtherPort))}) {
    world.AddHost(name, [address] { return Send(address); });
  }
  EXPECT_TRUE(world.RunFor(absl::Milliseconds(1)).ok());
  world.Inject(
      *sim::FaultPlan::Parse("loss * * from 0s to 9s strength 100000\n"
                             "reorder * * from 0s to 9s strength 300000\n"
                             "duplicate * * from 0s to 9s strength 100000\n"));
  EXPECT_TRUE(world.RunFor(absl::Seconds(10)).ok());
  absl::StatusOr<Recording> recording = ReadRecording(recorder.bytes);
  EXPECT_TRUE(recording.ok()) << recording.status();
  return *std::move(recording);
}

TEST(RecordedDatagramsTest, AReadLeadsToItsDatagramAndToWhoSentIt) {
  const Recording recording = Record();
  size_t reads = 0;
  std::set<uint64_t> read_packets;
  std::set<std::string> writers;
  uint64_t dropped = 0;
  for (const RecordedEvent& event : recording.events) {
    dropped += event.kind == TraceKind::kDatagramDropped ? 1 : 0;
    if (event.source != RecordedEvent::Source::kTrace || event.kind != TraceKind::kReceive) continue;
    ++reads;
    ASSERT_LT(event.datagram, event.number) << event.text;
    EXPECT_EQ(event.cause, event.datagram);
    EXPECT_TRUE(read_packets.insert(event.datagram).second) << "read twice: e" << event.datagram;
    const RecordedEvent& arrived = recording.events[event.datagram];
    EXPECT_EQ(arrived.kind, TraceKind::kPacketDelivered);
    EXPECT_EQ(arrived.host, event.host);
    EXPECT_TRUE(absl::StrContains(event.text, arrived.packet->payload))
        << event.text << "; " << arrived.packet->payload;

    ASSERT_EQ(event.written_by.size(), 1u) << event.text;
    EXPECT_EQ(event.written_by[0].bytes, event.b);
    const RecordedEvent& write = recording.events[event.written_by[0].event];
    EXPECT_EQ(write.kind, TraceKind::kSend);
    EXPECT_EQ(write.host, arrived.packet->from);
    EXPECT_LT(arrived.cause, write.number);
    EXPECT_TRUE(absl::StrContains(event.text, absl::StrCat(", written in e", write.number))) << event.text;
    writers.insert(recording.hosts[static_cast<size_t>(write.host)]);
  }
  EXPECT_GT(reads, 300u);
  EXPECT_GT(dropped, 10u);
  EXPECT_EQ(writers.size(), 3u);
}

}  // namespace
}  // namespace tandem::testing
