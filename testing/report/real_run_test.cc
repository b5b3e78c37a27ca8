// SPDX-License-Identifier: Apache-2.0
//
// The files about real runs of the simulator, over a network that loses, doubles and reorders packets, as other
// programs read them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/log/check.h"
#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/async/timeout.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/report/log_lines.h"
#include "tandem/sim/report/recorder.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/report/command_for_test.h"
#include "tandem/testing/report/folder.h"
#include "tandem/testing/report/pcapng.h"
#include "tandem/testing/report/read_recording.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/tshark_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

// Ports that tshark does not take for anything.
constexpr uint16_t kPort = 40'001;
constexpr uint16_t kClosedPort = 40'002;

// What the program has read from each of its sockets.
std::vector<std::string>& BytesRead() {
  static auto& bytes = *new std::vector<std::string>;
  return bytes;
}

Task<void> Echo(TcpStream stream) {
  const size_t socket = BytesRead().size();
  BytesRead().emplace_back();
  std::array<char, 20'000> buffer;
  while (true) {
    const absl::StatusOr<size_t> size = co_await stream.Read(absl::MakeSpan(buffer));
    if (!size.ok() || *size == 0) co_return;
    BytesRead()[socket].append(buffer.data(), *size);
    const IoResult written = co_await stream.WriteAll(absl::string_view(buffer.data(), *size));
    if (!written.ok()) co_return;
  }
}

Task<void> EchoDatagrams() {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv6(kPort));
  std::array<char, 2'000> buffer;
  while (socket.ok()) {
    const absl::StatusOr<ReceivedDatagram> received = co_await socket->ReceiveFrom(absl::MakeSpan(buffer));
    if (!received.ok()) co_return;
    (void)co_await socket->SendTo(absl::string_view(buffer.data(), received->size), received->source);
  }
}

Task<void> EchoStreams() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv6(kPort));
  while (listener.ok()) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return;
    LOG(INFO) << "somebody is here";
    Spawn(Echo, *std::move(stream));
  }
}

Task<absl::Status> Serve() {
  Spawn(EchoDatagrams);
  Spawn(EchoStreams);
  co_return co_await Sleep(absl::Hours(1));
}

std::string Story(int size) {
  std::string story;
  for (int i = 0; i < size; ++i) absl::StrAppend(&story, "and then ", i, ", ");
  return story;
}

// Until it is reset, at the latest.
Task<void> Talk(SocketAddress server, int size) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  if (!stream.ok()) co_return;
  const size_t socket = BytesRead().size();
  BytesRead().emplace_back();
  const std::string story = Story(size);
  std::array<char, 9'000> buffer;
  size_t written = 0;
  size_t read = 0;
  while (read < story.size()) {
    if (written < story.size()) {
      const absl::string_view part = absl::string_view(story).substr(written, 5'000);
      const IoResult result = co_await stream->WriteAll(part);
      if (!result.ok()) co_return;
      written += part.size();
    }
    const absl::StatusOr<size_t> got = co_await stream->Read(absl::MakeSpan(buffer));
    if (!got.ok() || *got == 0) co_return;
    BytesRead()[socket].append(buffer.data(), *got);
    read += *got;
  }
}

// Some to a port that nobody has.
Task<void> SendDatagrams(SocketAddress server) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv6(0));
  std::array<char, 2'000> buffer;
  for (int i = 0; socket.ok() && i < 40; ++i) {
    const SocketAddress to = i % 10 == 9 ? server.WithPort(kClosedPort) : server;
    (void)co_await socket->SendTo(absl::StrCat("datagram ", i, std::string(static_cast<size_t>(i) * 20, '\xff')), to);
    (void)co_await WithTimeout(absl::Milliseconds(20), socket->ReceiveFrom(absl::MakeSpan(buffer)));
  }
}

Task<absl::Status> DoAll(SocketAddress ipv4, SocketAddress ipv6) {
  Spawn(Talk, ipv4, 30'000);
  Spawn(Talk, ipv6, 3'000);
  Spawn(SendDatagrams, ipv4);
  Spawn(SendDatagrams, ipv6);
  Spawn(EchoStreams);
  const absl::Status slept = co_await Sleep(absl::Milliseconds(1));  // Until they listen.
  if (!slept.ok()) co_return slept;
  Spawn(Talk, SocketAddress::LoopbackIpv4(kPort), 9'000);
  co_return co_await Sleep(absl::Seconds(20));
}

class KeptRecorder final : public sim::Recorder {
 public:
  std::string bytes;

 private:
  void Write(absl::string_view more) override { bytes.append(more.data(), more.size()); }
};

Report RunAndRecord(uint64_t seed) {
  BytesRead().clear();
  KeptRecorder recorder;
  sim::WorldOptions options;
  options.set_seed(seed).set_trace_details(true).set_trace_sink(&recorder);
  sim::World world(options);
  const sim::LogLines log(
      [&world] {
        const sim::Host* const host = world.running_host();
        if (host == nullptr) return sim::LogLines::Where{world.Now().nanoseconds(), ""};
        return sim::LogLines::Where{world.Now().nanoseconds(), host->name(), host->index()};
      },
      &recorder);
  sim::Host& server = world.AddHost("server", [] { return Serve(); });
  sim::Host& client = world.AddHost(
      "client", [ipv4 = server.address(kPort), ipv6 = server.address_ipv6(kPort)] { return DoAll(ipv4, ipv6); });
  const absl::StatusOr<sim::FaultPlan> plan = sim::FaultPlan::Parse(
      "loss server client from 0s to 9s strength 50000\n"
      "segment-duplicate server client from 0s to 9s strength 50000\n"
      "segment-reorder server client from 0s to 9s strength 100000\n"
      "partition server client from 0.100s to 0.900s\n"
      "reset client from 0.950s strength 1000000\n");
  CHECK_OK(plan.status());
  world.Inject(*plan);
  EXPECT_OK(world.RunUntilDone(client, absl::Minutes(1)));
  recorder.OnFailure(world.Now().nanoseconds(), sim::kNoTraceHost, "real_run_test.cc:1", "as planned");

  Report report;
  report.test = "RealRunTest.All";
  report.seed = seed;
  report.digest = world.digest().ToString();
  absl::StatusOr<Recording> recording = ReadRecording(recorder.bytes);
  CHECK_OK(recording.status());
  report.recording = *std::move(recording);
  report.slice = {report.recording.events.back().number};
  return report;
}

bool IsPacket(const RecordedEvent& event, sim::TraceKind kind, RecordedPacket::Protocol protocol) {
  return event.kind == kind && event.packet.has_value() && event.packet->protocol == protocol;
}

TEST(RealRunTest, TsharkReadsWhatHasArrived) {
  for (const uint64_t seed : {1, 2}) {
    const Recording recording = RunAndRecord(seed).recording;
    const std::string file = FileForTest(absl::StrCat(seed, ".pcapng"), PcapNg(recording));

    ExpectNoComplaint(file);
    const std::vector<Stream> streams = Arrived(recording);
    EXPECT_EQ(streams.size(), 3u);
    const std::vector<Stream> followed = FollowAll(file);
    EXPECT_TRUE(followed == streams);
    ASSERT_EQ(BytesRead().size(), 6u) << "two ends of three connections";
    size_t whole = 0;
    for (const std::string& read : BytesRead()) {
      const auto has_read = [&read](absl::string_view sent) { return !read.empty() && absl::StartsWith(sent, read); };
      EXPECT_TRUE(absl::c_any_of(followed, [&](const Stream& stream) {
        return has_read(stream.from_first) || has_read(stream.from_second);
      })) << read.substr(0, 50);
      whole += absl::c_count_if(followed, [&](const Stream& stream) {
                 return stream.from_first == read || stream.from_second == read;
               }) > 0;
    }
    EXPECT_GE(whole, 4u) << "one connection may be reset before all is read";
    EXPECT_FALSE(Fields(file, "tcp.analysis.retransmission", "frame.number").empty());
    EXPECT_FALSE(Fields(file, "frame.comment contains \"lost\"", "frame.number").empty());
    EXPECT_FALSE(Fields(file, "icmp.type == 3 || icmpv6.type == 1", "frame.number").empty());
    EXPECT_FALSE(Fields(file, "tcp.flags.reset == 1", "frame.number").empty());
    std::vector<std::string> datagrams;
    for (const RecordedEvent& event : recording.events) {
      if (!IsPacket(event, sim::TraceKind::kPacketDelivered, RecordedPacket::Protocol::kUdp)) continue;
      datagrams.push_back(absl::BytesToHexString(event.packet->payload));
    }
    EXPECT_EQ(Fields(file, "udp && !icmp && !icmpv6", "udp.payload"), datagrams);
  }
}

TEST(RealRunTest, EachPacketHasTheNumberTimeAndHostOfItsEvent) {
  const Recording recording = RunAndRecord(2).recording;
  const std::string file = FileForTest("pcapng", PcapNg(recording));

  // The last comment is its own; before it may be those of faults.
  const std::vector<std::string> packets = LinesForTest(
      Tshark(file, "-T fields -E occurrence=l -e frame.time_epoch -e frame.interface_name -e frame.comment"));

  EXPECT_GT(packets.size(), 500u);
  for (const std::string& packet : packets) {
    const std::vector<std::string> fields = absl::StrSplit(packet, '\t');
    ASSERT_EQ(fields.size(), 3u) << packet;
    size_t number = 0;
    ASSERT_TRUE(absl::SimpleAtoi(fields[2].substr(1, fields[2].find(',') - 1), &number)) << packet;
    const RecordedEvent& event = recording.events.at(number);
    ASSERT_TRUE(event.packet.has_value()) << packet;
    EXPECT_EQ(fields[0], sim::VirtualTimeText(event.time_ns).view());
    EXPECT_EQ(fields[1], recording.hosts.at(static_cast<size_t>(event.host)));
  }
}

TEST(RealRunTest, TheFolderIsValid) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/real");

  ASSERT_OK(WriteFolder(RunAndRecord(3), folder));

  EXPECT_THAT(
      RunForTest("python3", absl::StrCat("python3 testing/report/check_files.py '", folder, "' testing/report")),
      ::testing::HasSubstr("events: "));
}

}  // namespace
}  // namespace tandem::testing
