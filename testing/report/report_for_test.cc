// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/report_for_test.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::testing {
namespace {

using Event = RecordedEvent;
using sim::TraceKind;

constexpr int64_t kMicrosecond = 1'000;
constexpr int64_t kMillisecond = 1'000'000;
constexpr uint16_t kServerPort = 7000;
constexpr uint32_t kWindow = 65'536;

constexpr int32_t kN1 = 0;
constexpr int32_t kN2 = 1;
constexpr int32_t kN3 = 2;
constexpr int32_t kAnn = 3;
constexpr int32_t kBob = 4;
constexpr int32_t kHosts = 5;
constexpr std::array<absl::string_view, kHosts> kNames = {"n1", "n2", "n3", "ann", "bob"};

// Clients connect to servers, and the leader to its followers.
bool Connects(int32_t from, int32_t to) { return from >= kAnn || (to < kAnn && from < to); }

std::string Seconds(int64_t time_ns) { return std::string(sim::VirtualTimeText(time_ns).view()); }

std::string Quoted(absl::string_view bytes) {
  constexpr size_t kFirst = 16;
  return absl::StrCat("\"", absl::CHexEscape(bytes.substr(0, kFirst)), "\"", bytes.size() > kFirst ? "..." : "");
}

// What goes over a connection: the length in four bytes, and the text. Most of it is not UTF-8.
std::string Framed(absl::string_view text) {
  return absl::StrCat(absl::string_view("\x00\x00\x80", 3), std::string(1, static_cast<char>(text.size() | 0x80)),
                      text);
}

// What one host sends another.
struct Flow {
  uint32_t packets = 0;
  uint64_t bytes = 0;  // And the SYN.
};

class Story {
 public:
  explicit Story(size_t events) : events_(events) {
    CHECK_GE(events, kFewestEventsForTest);
    for (const absl::string_view name : kNames) report_.recording.hosts.emplace_back(name);
  }

  Report Tell() {
    LiveOn();
    Fail();
    CHECK_EQ(report_.recording.events.size(), events_);
    report_.recording.end_ns = now_;
    SayWhatFailed();
    return std::move(report_);
  }

 private:
  using Then = std::function<void(uint64_t)>;  // Of an event's number.

  // --- Time and chance ---

  void At(int64_t time_ns, std::function<void()> what) { queue_.emplace(time_ns, std::move(what)); }
  void After(int64_t delay_ns, std::function<void()> what) { At(now_ + delay_ns, std::move(what)); }
  // Whether there was something to do.
  bool Step() {
    const auto first = queue_.begin();
    if (first == queue_.end()) return false;
    now_ = first->first;
    const std::function<void()> what = std::move(first->second);
    queue_.erase(first);
    what();
    return true;
  }
  uint64_t Draw(uint64_t bound) { return ReduceToRange(MixBits(++draws_ * 0x9e3779b97f4a7c15u), bound); }
  int64_t Latency() { return 150 * kMicrosecond + static_cast<int64_t>(Draw(400)) * kMicrosecond + 7; }

  // --- Events ---

  uint64_t Add(Event event) {
    event.number = report_.recording.events.size();
    event.time_ns = now_;
    report_.recording.events.push_back(std::move(event));
    return report_.recording.events.back().number;
  }
  // Of the task of `host`, which is at `place`.
  static Event Of(int32_t host, absl::string_view place, uint64_t cause) {
    static constexpr std::array<absl::string_view, kHosts> kTasks = {"Lead", "Follow", "Follow", "Client", "Client"};
    Event event;
    event.host = host;
    event.task = kTasks[static_cast<size_t>(host)];
    event.task_id = static_cast<uint64_t>(host) + 1;
    event.place = place;
    event.cause = cause;
    return event;
  }
  uint64_t Detail(TraceKind kind, absl::string_view verb, absl::string_view text, Event event) {
    event.kind = kind;
    event.detail = true;
    event.verb = verb;
    event.text = text;
    return Add(std::move(event));
  }
  uint64_t Log(int32_t host, absl::string_view severity, absl::string_view place, absl::string_view text,
               uint64_t cause) {
    Event event = Of(host, place, cause);
    event.source = Event::Source::kLog;
    event.verb = severity;
    event.text = text;
    return Add(std::move(event));
  }
  uint64_t Note(absl::string_view text) {
    Event event;
    event.source = Event::Source::kNote;
    event.text = text;
    return Add(std::move(event));
  }

  // --- Connections ---

  Flow& FlowOf(int32_t from, int32_t to) { return flows_[static_cast<size_t>(from * kHosts + to)]; }
  // Of the connection between `own` and `peer`, at `own`.
  static SocketAddress AddressOf(int32_t own, int32_t peer) {
    return SocketAddress::Ipv4({10, 0, 0, static_cast<uint8_t>(own + 1)},
                               Connects(own, peer) ? static_cast<uint16_t>(49'152 + own * kHosts + peer) : kServerPort);
  }
  static std::string NameOf(int32_t own, int32_t peer) {
    return absl::StrCat(kNames[static_cast<size_t>(own)], ":", AddressOf(own, peer).port());
  }
  static int32_t SocketOf(int32_t own, int32_t peer) { return Connects(own, peer) ? peer : 10 + peer; }
  static std::string SocketText(int32_t own, int32_t peer) {
    return absl::StrCat("socket ", SocketOf(own, peer), " (", NameOf(own, peer), " - ", NameOf(peer, own), ")");
  }
  // Something that `event.host` does with its connection to `peer`.
  uint64_t AddOfSocket(TraceKind kind, absl::string_view verb, std::string text, int32_t peer, Event event) {
    const int32_t own = event.host;
    event.kind = kind;
    event.verb = verb;
    event.text = std::move(text);
    event.socket = SocketOf(own, peer);
    event.a = static_cast<uint64_t>(event.socket);
    event.connection = absl::StrCat("tcp ", AddressOf(own, peer).ToString(), " ", AddressOf(peer, own).ToString());
    return Add(std::move(event));
  }

  uint64_t Writes(int32_t from, int32_t to, absl::string_view place, const std::string& bytes, uint64_t cause) {
    return AddOfSocket(TraceKind::kSend, "writes", absl::StrCat(bytes.size(), " bytes to ", SocketText(from, to)), to,
                       Of(from, place, cause));
  }
  uint64_t Reads(int32_t to, int32_t from, absl::string_view place, const std::string& bytes, uint64_t cause) {
    Event event = Of(to, place, cause);
    event.b = bytes.size();
    return AddOfSocket(TraceKind::kReceive, "reads",
                       absl::StrCat(bytes.size(), " bytes from ", SocketText(to, from), ": ", Quoted(bytes)), from,
                       std::move(event));
  }

  RecordedPacket NextPacket(int32_t from, int32_t to, uint8_t flags, const std::string& bytes) {
    Flow& flow = FlowOf(from, to);
    RecordedPacket packet;
    packet.flags = flags;
    packet.from = from;
    packet.to = to;
    packet.ordinal = ++flow.packets;
    packet.source = AddressOf(from, to);
    packet.destination = AddressOf(to, from);
    packet.sequence = 1'000'000 * static_cast<uint64_t>(from + 1) + flow.bytes;
    packet.acknowledgement = 1'000'000 * static_cast<uint64_t>(to + 1) + FlowOf(to, from).bytes;
    packet.window = kWindow;
    packet.payload = bytes;
    flow.bytes += bytes.size() + ((flags & RecordedPacket::kSyn) != 0 ? 1 : 0);
    return packet;
  }
  static std::string PacketText(const RecordedPacket& packet) {
    std::string text = absl::StrCat(NameOf(packet.from, packet.to), " > ", NameOf(packet.to, packet.from), " #",
                                    packet.ordinal, (packet.flags & RecordedPacket::kSyn) != 0 ? " SYN" : "");
    if (!packet.payload.empty()) absl::StrAppend(&text, " ", packet.payload.size(), " bytes");
    if ((packet.flags & RecordedPacket::kAck) != 0) absl::StrAppend(&text, " ACK, window ", packet.window);
    return text;
  }
  static void SetPacket(Event& event, TraceKind kind, RecordedPacket packet) {
    const int32_t other = kind == TraceKind::kPacketSent ? packet.to : packet.from;
    event.kind = kind;
    event.a = static_cast<uint64_t>(other) << 32 | packet.ordinal;
    event.b = uint64_t{packet.flags} << 32 | packet.payload.size();
    event.c = packet.sequence;
    event.packet = std::move(packet);
  }

  // As `packet.lost`, `.arrival_ns` and `.duplicate_arrival_ns` say.
  uint64_t Sends(RecordedPacket packet, absl::string_view place, uint64_t cause) {
    Event event = Of(packet.from, place, cause);
    event.verb = "sends";
    event.text = PacketText(packet);
    if (!packet.lost.empty()) {
      absl::StrAppend(&event.text, "; lost: ", packet.lost);
    } else {
      absl::StrAppend(&event.text, "; arrives ", Seconds(packet.arrival_ns));
    }
    if (packet.duplicate_arrival_ns.has_value()) {
      absl::StrAppend(&event.text, ", and again ", Seconds(*packet.duplicate_arrival_ns));
    }
    if (!packet.payload.empty()) absl::StrAppend(&event.text, ": ", Quoted(packet.payload));
    SetPacket(event, TraceKind::kPacketSent, std::move(packet));
    return Add(std::move(event));
  }
  uint64_t Gets(uint64_t sent) {
    RecordedPacket packet = *report_.recording.events[sent].packet;
    packet.lost.clear();
    packet.arrival_ns = -1;
    packet.duplicate_arrival_ns.reset();
    Event event;
    event.host = packet.to;
    event.cause = sent;
    event.verb = "gets";
    event.text = PacketText(packet);
    if (!packet.payload.empty()) absl::StrAppend(&event.text, ": ", Quoted(packet.payload));
    SetPacket(event, TraceKind::kPacketDelivered, std::move(packet));
    return Add(std::move(event));
  }

  // Sends, again if it is lost, and goes on once it has arrived.
  void Transmit(RecordedPacket packet, std::string place, uint64_t cause, const Then& then) {
    Detail(TraceKind::kDraw, "draws", "latency", Of(packet.from, place, cause));
    packet.lost = Draw(25) == 0 ? "the link loses it" : "";
    packet.arrival_ns = packet.lost.empty() ? now_ + Latency() : -1;
    packet.duplicate_arrival_ns.reset();
    if (packet.lost.empty() && Draw(40) == 0) packet.duplicate_arrival_ns = packet.arrival_ns + Latency();
    const uint64_t sent = Sends(packet, place, cause);
    if (packet.duplicate_arrival_ns.has_value()) At(*packet.duplicate_arrival_ns, [this, sent] { Gets(sent); });
    if (packet.lost.empty()) {
      At(packet.arrival_ns, [this, sent, then] { then(Gets(sent)); });
      return;
    }
    constexpr int64_t kRetransmitAfter = 200 * kMillisecond;
    After(kRetransmitAfter, [this, packet, place, sent, then]() mutable {
      const uint64_t again =
          AddOfSocket(TraceKind::kRetransmit, "again",
                      absl::StrCat("what follows, of ", SocketText(packet.from, packet.to), ": no answer came in time"),
                      packet.to, Of(packet.from, place, sent));
      packet.ordinal = ++FlowOf(packet.from, packet.to).packets;
      Transmit(std::move(packet), place, again, then);
    });
  }

  // `from` writes `bytes` at `place`, `to` reads them at `reader`.
  void Message(int32_t from, int32_t to, const std::string& place, std::string reader, const std::string& bytes,
               uint64_t cause, Then then) {
    const uint64_t written = Writes(from, to, place, bytes, cause);
    Transmit(NextPacket(from, to, RecordedPacket::kAck, bytes), place, written,
             [this, from, to, reader = std::move(reader), bytes, then = std::move(then)](uint64_t got) {
               const uint64_t read = Reads(to, from, reader, bytes, got);
               then(Detail(TraceKind::kTaskResume, "resumes", "", Of(to, reader, read)));
             });
  }

  // --- The time before the failure ---

  void Connect(int32_t from, int32_t to) {
    const uint64_t connects = AddOfSocket(TraceKind::kConnect, "connects",
                                          absl::StrCat("socket ", SocketOf(from, to), " to ", NameOf(to, from)), to,
                                          Of(from, "peer.cc:19", kNoEvent));
    Transmit(NextPacket(from, to, RecordedPacket::kSyn, ""), "peer.cc:19", connects, [this, from, to](uint64_t syn) {
      Transmit(NextPacket(to, from, RecordedPacket::kSyn | RecordedPacket::kAck, ""), "", syn,
               [this, from, to](uint64_t answer) {
                 AddOfSocket(TraceKind::kConnected, "connected", SocketText(from, to), to,
                             Of(from, "peer.cc:19", answer));
                 Transmit(NextPacket(from, to, RecordedPacket::kAck, ""), "", answer, [this, from, to](uint64_t ack) {
                   AddOfSocket(TraceKind::kAccept, "accepts", SocketText(to, from), from, Of(to, "server.cc:24", ack));
                 });
               });
    });
  }

  // Ann's next put, which both followers have before n1 answers; then the one after it.
  void PutOn() {
    const std::string text = absl::StrCat("put x ", ++value_);
    const size_t operation = Begin(kAnn, text);
    Message(kAnn, kN1, "client.cc:31", "server.cc:58", Framed(text), kNoEvent, [this, text, operation](uint64_t asked) {
      Log(kN1, "I", "server.cc:60", text, asked);
      const auto missing = std::make_shared<int>(2);
      for (const int32_t follower : {kN2, kN3}) {
        Message(kN1, follower, "server.cc:66", "server.cc:81", Framed(text), asked,
                [this, missing, follower, operation](uint64_t applied) {
                  Message(follower, kN1, "server.cc:84", "server.cc:68", Framed("done"), applied,
                          [this, missing, operation](uint64_t done) {
                            if (--*missing == 0) AnswerPut(operation, done);
                          });
                });
      }
    });
  }
  void AnswerPut(size_t operation, uint64_t done) {
    Message(kN1, kAnn, "server.cc:71", "client.cc:33", Framed("ok"), done, [this, operation](uint64_t) {
      End(operation, " -> ok");
      Pause(kAnn, [this] { PutOn(); });
    });
  }
  void GetOn() {
    const size_t operation = Begin(kBob, "get x");
    Message(kBob, kN2, "client.cc:42", "server.cc:90", Framed("get x"), kNoEvent, [this, operation](uint64_t asked) {
      const std::string answer = absl::StrCat("x = ", value_);
      Message(kN2, kBob, "server.cc:92", "client.cc:44", Framed(answer), asked, [this, operation, answer](uint64_t) {
        End(operation, absl::StrCat(" -> ", answer.substr(4)));
        Pause(kBob, [this] { GetOn(); });
      });
    });
  }
  void Pause(int32_t client, const std::function<void()>& then) {
    if (ending_) return;
    const int64_t delay = kMillisecond + static_cast<int64_t>(Draw(20)) * kMillisecond;
    const std::string text = Seconds(now_ + delay);
    const uint64_t armed =
        Detail(TraceKind::kTimer, "arms", absl::StrCat("a timer until ", text), Of(client, "client.cc:50", kNoEvent));
    After(delay, [this, client, text, armed, then] {
      Event due;
      due.host = client;
      due.cause = armed;
      Detail(TraceKind::kTimer, "is due", absl::StrCat("a timer for ", text), std::move(due));
      if (!ending_) then();
    });
  }

  size_t Begin(int32_t client, absl::string_view text) {
    RecordedOperation operation;
    operation.client = kNames[static_cast<size_t>(client)];
    operation.text = text;
    operation.begin_ns = now_;
    operation.json_line = "{}\n";
    report_.recording.operations.push_back(std::move(operation));
    return report_.recording.operations.size() - 1;
  }
  void End(size_t operation, absl::string_view result) {
    absl::StrAppend(&report_.recording.operations[operation].text, result);
    report_.recording.operations[operation].end_ns = now_;
  }

  // A fault that leaves everything as it is, and the next one.
  void HarmOn() {
    if (ending_) return;
    const auto host = static_cast<int32_t>(Draw(kAnn));
    const std::string& name = report_.recording.hosts[static_cast<size_t>(host)];
    RecordedBand band;
    band.begin_ns = now_;
    band.end_ns = now_ + static_cast<int64_t>(20 + Draw(400)) * kMillisecond;
    band.hosts = {host};
    band.text = absl::StrCat(Draw(2) == 0 ? "pause " : "slow disk of ", name);
    band.hits = Draw(9);
    Note(absl::StrCat("fault begins: ", band.text));
    At(band.end_ns, [this, text = band.text] {
      Note(absl::StrCat("fault ends: ", text));
      After(300 * kMillisecond, [this] { HarmOn(); });
    });
    report_.recording.bands.push_back(std::move(band));
  }

  // All events but those of Fail().
  void LiveOn() {
    constexpr size_t kInFlight = 80;  // At most, when it begins to end.
    if (events_ >= kFewestEventsForTest + 2 * kInFlight) {
      for (const auto& [from, to] : {std::pair(kAnn, kN1), {kBob, kN2}, {kN1, kN2}, {kN1, kN3}}) Connect(from, to);
      At(2000 * kMillisecond, [this] { PutOn(); });
      At(2003 * kMillisecond, [this] { GetOn(); });
      At(2010 * kMillisecond, [this] { HarmOn(); });
      while (Step()) {
        ending_ = report_.recording.events.size() + kFewestEventsForTest + kInFlight > events_;
      }
    }
    while (report_.recording.events.size() + kFewestEventsForTest < events_) {
      now_ += 100 * kMicrosecond;
      Event tick;
      tick.host = static_cast<int32_t>(Draw(kHosts));
      Detail(TraceKind::kTimer, "is due", absl::StrCat("a timer for ", Seconds(now_)), std::move(tick));
    }
    now_ += 100 * kMillisecond;
  }

  // --- The failure ---

  // `from` writes, `to` reads, in the slice; gives the read.
  uint64_t MessageOfSlice(int32_t from, int32_t to, absl::string_view place, absl::string_view reader,
                          const std::string& bytes, uint64_t cause, bool twice) {
    const uint64_t written = Writes(from, to, place, bytes, cause);
    RecordedPacket packet = NextPacket(from, to, RecordedPacket::kAck, bytes);
    packet.arrival_ns = now_ + Latency();
    if (twice) packet.duplicate_arrival_ns = packet.arrival_ns + 3 * kMicrosecond;
    now_ += 2 * kMicrosecond;
    const uint64_t sent = Sends(packet, place, written);
    now_ = packet.arrival_ns;
    const uint64_t got = Gets(sent);
    const uint64_t read = Reads(to, from, reader, bytes, got);
    if (twice) {
      now_ = *packet.duplicate_arrival_ns;
      Gets(sent);
    }
    report_.slice.insert(report_.slice.end(), {written, sent, got, read});
    return read;
  }

  void Fail() {
    std::vector<uint64_t>& slice = report_.slice;
    RecordedBand partition;
    partition.text = "partition n1 | n2, n3";
    partition.hosts = {kN1, kN2, kN3};
    partition.begin_ns = now_;
    partition.hits = 2;
    slice.push_back(Note(absl::StrCat("fault begins: ", partition.text)));
    now_ += kMillisecond;

    const std::string value = absl::StrCat(value_ + 1);
    const size_t put = Begin(kAnn, absl::StrCat("put x ", value));
    const uint64_t asked =
        MessageOfSlice(kAnn, kN1, "client.cc:31", "server.cc:58", Framed("put x " + value), kNoEvent, false);
    for (const int32_t follower : {kN2, kN3}) {
      RecordedPacket packet = NextPacket(kN1, follower, RecordedPacket::kAck, Framed("put x " + value));
      packet.lost = "a partition";
      slice.push_back(Sends(packet, "server.cc:66", asked));
    }
    Detail(TraceKind::kTimer, "arms", absl::StrCat("a timer until ", Seconds(now_ + 50 * kMillisecond)),
           Of(kN1, "server.cc:68", asked));
    now_ += 50 * kMillisecond;
    const uint64_t alone = Log(kN1, "W", "server.cc:70", "no follower answers, going on alone", asked);
    slice.push_back(alone);
    MessageOfSlice(kN1, kAnn, "server.cc:71", "client.cc:33", Framed("ok"), alone, false);
    End(put, " -> ok");
    report_.recording.operations[put].bad = true;

    now_ += 20 * kMillisecond;
    Event due;
    due.host = kN2;
    const uint64_t silent = Detail(TraceKind::kTimer, "is due", absl::StrCat("a timer for ", Seconds(now_)), due);
    Log(kN2, "I", "server.cc:101", "n1 is silent, I lead from now on", silent);
    now_ += 4 * kMillisecond;
    const size_t get = Begin(kBob, "get x");
    const std::string old = absl::StrCat(value_);
    const uint64_t get_asked =
        MessageOfSlice(kBob, kN2, "client.cc:42", "server.cc:90", Framed("get x"), kNoEvent, false);
    const uint64_t answered =
        MessageOfSlice(kN2, kBob, "server.cc:92", "client.cc:44", Framed("x = " + old), get_asked, true);
    End(get, absl::StrCat(" -> ", old));
    report_.recording.operations[get].bad = true;

    Event failure = Of(kBob, "register_sim_test.cc:87", answered);
    failure.source = Event::Source::kFailure;
    failure.text = absl::StrCat("Expected equality of these values:\n  *value\n    Which is: ", old,
                                "\n  last_put\n    Which is: ", value);
    slice.push_back(Add(std::move(failure)));
    std::sort(slice.begin(), slice.end());
    partition.end_ns = now_;
    report_.recording.bands.push_back(std::move(partition));
  }

  void SayWhatFailed() {
    const Event& failure = report_.recording.events.back();
    const RecordedBand& partition = report_.recording.bands.back();
    report_.test = "Register.ReadsSeeTheLastPut";
    report_.seed = 1234;
    report_.message = failure.text;
    report_.place = failure.place;
    report_.scenario = absl::StrCat("seed 1234\ntest ", report_.test, "\npartition n1 n2,n3 from ",
                                    Seconds(partition.begin_ns), "s to ", Seconds(partition.end_ns), "s\n");
    report_.sentences = absl::StrCat("From ", Seconds(partition.begin_ns),
                                     " s on no packet passes between n1 and n2, n3.\nNothing else goes wrong.\n");
    report_.replay =
        "bazel test //examples/register:register_sim_test --test_arg=--gtest_filter=Register.ReadsSeeTheLastPut "
        "--test_arg=--seed=1234";
    report_.digest = "00c0ffee5eed1234000102030405f00d";
  }

  const size_t events_;
  Report report_;
  int64_t now_ = 0;
  uint64_t draws_ = 0;
  std::multimap<int64_t, std::function<void()>> queue_;
  std::array<Flow, kHosts * kHosts> flows_;
  int value_ = 6;
  bool ending_ = false;
};

}  // namespace

Report ReportForTest(size_t events) { return Story(events).Tell(); }

}  // namespace tandem::testing
