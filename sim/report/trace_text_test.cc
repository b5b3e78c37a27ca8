// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/report/trace_text.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/operation.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/core/io/source.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

class CollectedTrace final : public TraceText {
 public:
  explicit CollectedTrace(Detail detail = Detail::kEvents) : TraceText(detail) {}

  std::vector<std::string> Lines() const { return absl::StrSplit(text, '\n', absl::SkipEmpty()); }
  std::string Last() const { return Lines().back(); }

  std::string text;

 private:
  void Write(absl::string_view lines) override { text.append(lines.data(), lines.size()); }
};

constexpr int64_t kTime = 1'500'000'000;

// Two hosts that do nothing, to speak about.
class TraceTextTest : public ::testing::Test {
 protected:
  TraceTextTest() {
    world.AddHost("server", [] { return DoNothing(); });
    world.AddHost("client", [] { return DoNothing(); });
  }

  static Task<absl::Status> DoNothing() { co_return co_await Sleep(absl::Seconds(1)); }

  // What happened by the line of this record, without the columns before it; empty: there is no line.
  std::string Told(TraceKind kind, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, absl::string_view bytes = "") {
    CollectedTrace trace;
    if (!bytes.empty()) trace.OnAbout({nullptr, nullptr, bytes});
    trace.OnRecord(TraceRecord{0, kTime, kind, 0, a, b, c}, TraceDigest());
    return Event(trace);
  }
  std::string ToldOf(const Packet& packet, TraceKind kind, uint64_t b = 0, const PacketFate* fate = nullptr) {
    CollectedTrace trace;
    trace.OnAbout({&packet, fate, {}});
    trace.OnRecord(TraceRecord{0, kTime, kind, 0, uint64_t{1} << 32 | 7, b, 0}, TraceDigest());
    return Event(trace);
  }
  static std::string Event(const CollectedTrace& trace) {
    if (trace.Lines().size() < 2) return "";
    const std::string begin = "  1.500000000  server     ";
    EXPECT_EQ(trace.Last().substr(0, begin.size()), begin);
    return trace.Last().substr(66);
  }

  Packet& NewPacket(absl::string_view bytes, Packet::Protocol protocol = Packet::kTcp, uint8_t flags = Packet::kAck) {
    Packet& packet = world.network().NewPacket();
    packet.from = &world.network().host(0);
    packet.to = &world.network().host(1);
    packet.source = SocketAddress::Ipv4({10, 0, 0, 1}, 80);
    packet.destination = SocketAddress::Ipv4({10, 0, 0, 2}, 5000);
    packet.protocol = protocol;
    packet.flags = flags;
    packet.window = 1000;
    packet.size = static_cast<uint32_t>(bytes.size());
    if (!bytes.empty()) packet.payload = world.network().buffers().Copy(bytes).ReleaseBlock();
    return packet;
  }

  World world;
};

uint64_t Minus(int error) { return static_cast<uint64_t>(-int64_t{error}); }
template <typename Enum>
uint64_t Number(Enum value) {
  return static_cast<uint64_t>(value);
}

TEST_F(TraceTextTest, TheFirstLineSaysWhereTheKeyIs) {
  CollectedTrace trace;
  trace.OnRecord(TraceRecord{0, kTime, TraceKind::kClose, 1, 4, 0, 0}, TraceDigest());
  trace.OnRecord(TraceRecord{1, kTime, TraceKind::kClose, 1, 5, 0, 0}, TraceDigest());

  ASSERT_EQ(trace.Lines().size(), 3u);
  EXPECT_EQ(trace.Lines()[0], "# seconds, host, task and its await, what happened; docs/debugging.md has the key");
  EXPECT_EQ(trace.Lines()[2], "  1.500000000  client" + std::string(45, ' ') + "closes     socket 5");
}

TEST_F(TraceTextTest, Packets) {
  Packet& data = NewPacket("GET /\r\n\"\\\x01\xff");
  PacketFate fate;
  fate.arrival_ns = kTime + 1;
  EXPECT_EQ(ToldOf(data, TraceKind::kPacketSent, 0, &fate),
            "sends      server:80 > client:5000 #7 11 bytes, ACK, window 1000; arrives 1.500000001: "
            "\"GET /\\r\\n\\\"\\\\\\x01\\xff\"");
  fate.reordered = true;
  fate.duplicate_arrival_ns = kTime + 2;
  Packet& datagram = NewPacket("seventeen bytes..", Packet::kUdp);
  EXPECT_EQ(
      ToldOf(datagram, TraceKind::kPacketSent, 0, &fate),
      "sends      server:80 > client:5000 #7 datagram, 17 bytes; arrives 1.500000001, may be overtaken, and again "
      "1.500000002: \"seventeen bytes.\"...");
  fate.dropped = true;
  fate.reason = DropReason::kLoss;
  Packet& syn = NewPacket("", Packet::kTcp, Packet::kSyn);
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketSent, 0, &fate),
            "sends      server:80 > client:5000 #7 SYN; lost: the link loses it");
  fate.reason = DropReason::kQueueFull;
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketSent, 0, &fate),
            "sends      server:80 > client:5000 #7 SYN; lost: the queue of the link is full");
  fate.reason = DropReason::kBlocked;
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketSent, 0, &fate),
            "sends      server:80 > client:5000 #7 SYN; lost: a partition");
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketUnreachable),
            "sends      server:80 > client:5000; lost: nobody has this address");
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketDelivered), "gets       server:80 > client:5000 #7 SYN");
  // The line of its send has told it.
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketLost, Number(DropReason::kLoss)), "");
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketLost, Number(DropReason::kBlockedOnArrival)),
            "lost       server:80 > client:5000 #7 SYN: a partition");
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketLost, Number(DropReason::kHostDown)),
            "lost       server:80 > client:5000 #7 SYN: the machine is down");
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketLost, Number(DropReason::kConnectFault)),
            "lost       server:80 > client:5000 #7 SYN: a fault leaves this connect without an answer");
  syn.flags = Packet::kReset | Packet::kAck;
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketDelivered), "gets       server:80 > client:5000 #7 RST");
  syn.flags = Packet::kFin | Packet::kAck | Packet::kProbe;
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketDelivered),
            "gets       server:80 > client:5000 #7 FIN, probe, ACK, window 1000");
  syn.protocol = Packet::kUnreachable;
  EXPECT_EQ(ToldOf(syn, TraceKind::kPacketDelivered), "gets       server:80 > client:5000 #7 port unreachable");
  for (Packet* packet : {&data, &datagram, &syn}) world.network().FreePacket(*packet);
}

TEST_F(TraceTextTest, AddressesAreThoseOfHostsByName) {
  Packet& packet = NewPacket("", Packet::kTcp, Packet::kSyn);
  const auto ends = [&](const SocketAddress& source, const SocketAddress& destination) {
    packet.source = source;
    packet.destination = destination;
    return ToldOf(packet, TraceKind::kPacketDelivered).substr(11);
  };
  std::array<uint8_t, 16> bytes = {0xfd};
  bytes[15] = 2;

  EXPECT_EQ(ends(SocketAddress::Ipv6(bytes, 80), SocketAddress::LoopbackIpv6(1)), "[client]:80 > [localhost]:1 #7 SYN");
  EXPECT_EQ(ends(SocketAddress::LoopbackIpv4(2), SocketAddress::AnyIpv4(3)), "localhost:2 > *:3 #7 SYN");
  EXPECT_EQ(ends(SocketAddress::AnyIpv6(4), SocketAddress::Ipv4({239, 1, 2, 3}, 5)), "[*]:4 > 239.1.2.3:5 #7 SYN");
  bytes = {0xff, 0x15, 0, 0, 0, 0, 0, 9};
  EXPECT_EQ(ends(SocketAddress::Ipv6(bytes, 6), SocketAddress::Ipv4({0, 0, 0, 9}, 7)),
            "[ff15::9:0:0:0:0]:6 > 0.0.0.9:7 #7 SYN");
  world.network().FreePacket(packet);
}

TEST_F(TraceTextTest, Links) {
  EXPECT_EQ(Told(TraceKind::kConditions, 1, 2'500'000), "link       to client: median latency 0.002500000");
  EXPECT_EQ(Told(TraceKind::kConditions, ~uint32_t{0}, 100, 5000),
            "link       to all: median latency 0.000000100, 5000 bytes/s");
  EXPECT_EQ(Told(TraceKind::kBlock, 1, 1), "link       to client: nothing passes");
  EXPECT_EQ(Told(TraceKind::kBlock, 1, 2), "link       to client: what arrives is held");
  EXPECT_EQ(Told(TraceKind::kBlock, 1, 0), "link       to client: open again");
}

TEST_F(TraceTextTest, Sockets) {
  EXPECT_EQ(Told(TraceKind::kOpen, 4), "opens      socket 4");
  EXPECT_EQ(Told(TraceKind::kOpen, 4, 1), "opens      datagram socket 4");
  EXPECT_EQ(Told(TraceKind::kBind, 4, 80), "binds      socket 4");
  EXPECT_EQ(Told(TraceKind::kBind, 4, 80, Minus(EADDRINUSE)), "binds      socket 4: EADDRINUSE");
  EXPECT_EQ(Told(TraceKind::kListen, 4, 128), "listens    socket 4, backlog 128");
  EXPECT_EQ(Told(TraceKind::kConnect, 4, 80), "connects   socket 4 to port 80");
  EXPECT_EQ(Told(TraceKind::kConnect, 4, 80, Minus(ENETUNREACH)), "connects   socket 4 to port 80: ENETUNREACH");
  EXPECT_EQ(Told(TraceKind::kConnected, 4), "connected  socket 4");
  EXPECT_EQ(Told(TraceKind::kConnected, 4, ECONNREFUSED), "connected  socket 4: ECONNREFUSED");
  EXPECT_EQ(Told(TraceKind::kAccept, 4, 5), "accepts    socket 5 on socket 4");
  EXPECT_EQ(Told(TraceKind::kSend, 4, 12), "writes     12 bytes to socket 4");
  EXPECT_EQ(Told(TraceKind::kSend, 4, Minus(EPIPE)), "writes     socket 4: EPIPE");
  EXPECT_EQ(Told(TraceKind::kReceive, 4, 3, 0, "abc"), "reads      3 bytes from socket 4: \"abc\"");
  EXPECT_EQ(Told(TraceKind::kReceiveEnd, 4, Number(SourceEnd::kEndOfStream)), "end        of the stream on socket 4");
  EXPECT_EQ(Told(TraceKind::kReceiveEnd, 4, Number(SourceEnd::kError), ECONNRESET),
            "error      on socket 4: ECONNRESET");
  EXPECT_EQ(Told(TraceKind::kReceiveEnd, 4, Number(SourceEnd::kBudget)), "");
  EXPECT_EQ(Told(TraceKind::kShutdown, 4, Number(ShutdownHow::kWrite)), "shuts      writing of socket 4");
  EXPECT_EQ(Told(TraceKind::kClose, 4), "closes     socket 4");
  EXPECT_EQ(Told(TraceKind::kSocketOption, 4, Number(SocketOption::kLinger), Minus(1)),
            "sets       linger = -1 on socket 4");
  EXPECT_EQ(Told(TraceKind::kSocketError, 4), "over       socket 4");
  EXPECT_EQ(Told(TraceKind::kSocketError, ~uint64_t{0}, ECONNRESET),
            "over       a connection that the program does not have: ECONNRESET");
  EXPECT_EQ(Told(TraceKind::kRetransmit, 4, 1000, 2),
            "again      what follows, of socket 4: no answer came in time, try 2");
  EXPECT_EQ(Told(TraceKind::kConnectFault, 4, 1), "fault      refuses the connect of socket 4");
  EXPECT_EQ(Told(TraceKind::kConnectFault, 4, 2), "fault      leaves without an answer the connect of socket 4");
  EXPECT_EQ(Told(TraceKind::kResetFault, 4), "fault      resets socket 4");
  EXPECT_EQ(Told(TraceKind::kDatagramDropped, 4, 100),
            "lost       a datagram of 100 bytes: the receive buffer is full, of socket 4");
  EXPECT_EQ(Told(TraceKind::kMembership, 4, 2 << 1 | 1), "joins      a group on interface 2 by socket 4");
  EXPECT_EQ(Told(TraceKind::kMembership, 4, 2 << 1), "leaves     a group on interface 2 by socket 4");
}

TEST_F(TraceTextTest, OperationsTasksAndHosts) {
  EXPECT_EQ(Told(TraceKind::kCancel, Number(OperationKind::kConnect), 4), "cancels    connect on socket 4");
  EXPECT_EQ(Told(TraceKind::kCancel, Number(OperationKind::kResolve), ~uint64_t{0}), "cancels    lookup");
  EXPECT_EQ(Told(TraceKind::kComplete, Number(OperationKind::kSend), 4, 12), "");
  EXPECT_EQ(Told(TraceKind::kComplete, Number(OperationKind::kSend), 4, Minus(EPIPE)),
            "fails      send on socket 4: EPIPE");
  EXPECT_EQ(Told(TraceKind::kSignal, 15), "signal     15");
  EXPECT_EQ(Told(TraceKind::kWork, 3, 1), "work       #3 waits for a thread");
  EXPECT_EQ(Told(TraceKind::kWork, 3, 2, 2'000'000'000), "work       #3 has a thread, done at 2.000000000");
  EXPECT_EQ(Told(TraceKind::kWork, 3, 0), "work       #3 is called");
  EXPECT_EQ(Told(TraceKind::kLookup, 1, 0, 2'000'000'000, "server"), "looks up   \"server\"; answer at 2.000000000");
  EXPECT_EQ(Told(TraceKind::kLookedUp, 1, ENOENT, 0, "nobody"), "looked up  \"nobody\": ENOENT");
  EXPECT_EQ(Told(TraceKind::kHostStart), "starts     with the addresses 10.0.0.1 fd00::1");
  EXPECT_EQ(Told(TraceKind::kHostStart, 1), "starts     again, with the addresses 10.0.0.1 fd00::1");
  EXPECT_EQ(Told(TraceKind::kHostCrash, 0), "crashes");
  EXPECT_EQ(Told(TraceKind::kHostCrash, 1), "is killed");
  EXPECT_EQ(Told(TraceKind::kHostExit, 0), "ends       main returned OK");
  EXPECT_EQ(Told(TraceKind::kHostExit, 13), "ends       main returned an error");
  EXPECT_EQ(Told(TraceKind::kHostPause, 2'000'000'000), "pauses     until 2.000000000");
  EXPECT_EQ(Told(TraceKind::kClockStep, 2'000'000'000), "clock      of the wall is off by 2.000000000 s");
  EXPECT_EQ(Told(TraceKind::kUser, 1, 2, 3), "user       1 2 3");
}

TEST_F(TraceTextTest, RecordsHaveAllTheirNumbersAndTheDigest) {
  CollectedTrace trace(TraceText::Detail::kRecords);
  trace.OnRecord(TraceRecord{12, kTime, TraceKind::kHostTurn, 1, 3, Minus(1), 5}, TraceDigest{1, 0xab});

  EXPECT_EQ(trace.Last(), "  1.500000000  client" + std::string(45, ' ') +
                              "host_turn  #12 3 -1 5 digest=000000000000000100000000000000ab");
}

// --- In a run ---

Task<absl::Status> SleepAndEnd() { co_return co_await Sleep(absl::Milliseconds(250)); }

TEST(TraceTextRunTest, TasksAndFaultsAreNamed) {
  CollectedTrace trace;
  World world(WorldOptions().set_trace_sink(&trace));
  Host& host = world.AddHost("host", [] { return SleepAndEnd(); });
  world.Inject(*FaultPlan::Parse("pause host from 0.1s to 0.2s\nreset host from 0.15s strength 1"));

  EXPECT_TRUE(world.RunUntilDone(host, absl::Seconds(1)).ok());

  const auto line = [](absl::string_view time, absl::string_view host_name, absl::string_view rest) {
    std::string text = absl::StrCat("  ", time, "  ", host_name);
    text.resize(66, ' ');
    return absl::StrCat(text, rest);
  };
  std::vector<std::string> lines = trace.Lines();
  lines.erase(lines.begin());
  std::string resumed = lines[6];
  EXPECT_TRUE(absl::StartsWith(resumed, "  0.250000000  host       SleepAndEnd trace_text_test.cc:")) << trace.text;
  EXPECT_EQ(resumed.substr(66), "resumes");
  EXPECT_EQ(lines, (std::vector<std::string>{
                       line("0.000000000", "host", "starts     with the addresses 10.0.0.1 fd00::1"),
                       lines[1],
                       line("0.100000000", "-", "fault begins: pause host from 0.1s to 0.2s"),
                       line("0.100000000", "host", "pauses     until 0.200000000"),
                       line("0.150000000", "-", "fault begins: reset host from 0.15s strength 1"),
                       line("0.200000000", "-", "fault ends: pause host from 0.1s to 0.2s"),
                       resumed,
                       line("0.250000000", "host", "ends       main returned OK"),
                   }));
  EXPECT_EQ(lines[1].substr(0, 40), "  0.000000000  host       (a new task)  ");
}

TEST(TraceTextRunTest, WhatFollowsTheFirstLineOfANoteIsKept) {
  CollectedTrace trace;
  World world;
  trace.OnNote(kTime, "livelock:\nhost a\n  task 1");

  EXPECT_EQ(trace.Lines()[1], "  1.500000000  -" + std::string(50, ' ') + "livelock:");
  EXPECT_EQ(trace.Lines()[2], "host a");
  EXPECT_EQ(trace.text.substr(trace.text.size() - 9), "  task 1\n");
}

}  // namespace
}  // namespace tandem::sim
