// SPDX-License-Identifier: Apache-2.0
//
// A run of the simulator, its recording, what led to what in it, and the table.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/report/log_lines.h"
#include "tandem/sim/report/recorder.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/report/causes.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/read_recording.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/table.h"

namespace tandem::testing {
namespace {

using sim::TraceKind;

constexpr uint16_t kPort = 7;
constexpr absl::string_view kQuestion = "how many?";
constexpr absl::string_view kAnswer = "seven";

Task<absl::Status> AnswerOnce() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  absl::StatusOr<TcpStream> stream = co_await listener->Accept();
  if (!stream.ok()) co_return stream.status();
  std::array<char, 64> question;
  const absl::StatusOr<size_t> size = co_await stream->Read(absl::MakeSpan(question));
  if (!size.ok()) co_return size.status();
  LOG(INFO) << "was asked";
  const IoResult written = co_await stream->WriteAll(kAnswer);
  co_return written.status;
}

Task<absl::Status> AskOnce(SocketAddress server) {
  const absl::Status slept = co_await Sleep(absl::Milliseconds(10));
  if (!slept.ok()) co_return slept;
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  if (!stream.ok()) co_return stream.status();
  const IoResult written = co_await stream->WriteAll(kQuestion);
  if (!written.ok()) co_return written.status;
  std::array<char, kAnswer.size()> answer;
  const IoResult read = co_await stream->ReadExactly(absl::MakeSpan(answer));
  co_return read.status;
}

Task<absl::Status> DoNothing() { co_return co_await Sleep(absl::Hours(1)); }

class KeptRecorder final : public sim::Recorder {
 public:
  std::string bytes;

 private:
  void Write(absl::string_view more) override { bytes.append(more.data(), more.size()); }
};

struct Traced {
  std::string bytes;
  sim::TraceDigest digest;
  sim::TraceDigest fine_digest;
};

// A question and its answer, while the link to the client loses everything for a moment.
Traced RunOnce(bool recorded) {
  KeptRecorder recorder;
  sim::WorldOptions options;
  options.set_seed(3).set_trace_details(true).set_schedule(sim::ScheduleKind::kFifo);
  if (recorded) options.set_trace_sink(&recorder);
  sim::World world(options);
  const sim::LogLines log(
      [&world] {
        const sim::Host* const host = world.running_host();
        if (host == nullptr) return sim::LogLines::Where{world.Now().nanoseconds(), ""};
        return sim::LogLines::Where{world.Now().nanoseconds(), host->name(), host->index()};
      },
      recorded ? &recorder : nullptr);
  world.AddHost("bystander", [] { return DoNothing(); });
  sim::Host& server = world.AddHost("server", [] { return AnswerOnce(); });
  const SocketAddress address = server.address(kPort);
  sim::Host& client = world.AddHost("client", [address] { return AskOnce(address); });
  world.Inject(*sim::FaultPlan::Parse("partition-one-way server client from 0.010250s to 0.5s"));
  EXPECT_TRUE(world.RunUntilDone(client, absl::Minutes(1)).ok());
  if (recorded) {
    recorder.OnFailure(world.Now().nanoseconds(), sim::kNoTraceHost, "some_test.cc:7",
                       "Expected: eight\n  Actual: seven");
    recorder.OnHits(world.fault_plan().entries()[0].ToString(), world.fault_hits(0));
  }
  return {std::move(recorder.bytes), world.digest(), world.fine_digest()};
}

Recording RecordOnce() {
  absl::StatusOr<Recording> recording = ReadRecording(RunOnce(/*recorded=*/true).bytes);
  EXPECT_TRUE(recording.ok()) << recording.status();
  return *std::move(recording);
}

const RecordedEvent* FindEvent(const Recording& recording, TraceKind kind, absl::string_view host) {
  for (const RecordedEvent& event : recording.events) {
    if (event.source != RecordedEvent::Source::kTrace || event.kind != kind || event.host < 0) continue;
    if (recording.hosts[static_cast<size_t>(event.host)] == host) return &event;
  }
  return nullptr;
}

TEST(RecordedRunTest, IsTheSameRun) {
  RunOnce(/*recorded=*/false);  // The first line that is logged reads the time zone.
  const Traced plain = RunOnce(/*recorded=*/false);
  const Traced recorded = RunOnce(/*recorded=*/true);
  EXPECT_EQ(plain.digest, recorded.digest);
  EXPECT_EQ(plain.fine_digest, recorded.fine_digest);
  EXPECT_EQ(recorded.bytes, RunOnce(/*recorded=*/true).bytes);
}

// The number of a listener's draw is the hash of an address, which has more bits than there is room for.
TEST(RecordedRunTest, NamesWhatIsDrawn) {
  const Recording recording = RecordOnce();
  const auto drawn = [&recording](absl::string_view what) {
    return std::any_of(recording.events.begin(), recording.events.end(), [what](const RecordedEvent& event) {
      return event.kind == TraceKind::kDraw && event.text == what;
    });
  };
  EXPECT_TRUE(drawn("latency"));
  EXPECT_TRUE(drawn("listener"));
}

TEST(RecordedRunTest, HasHostsNumbersAndTimes) {
  const Recording recording = RecordOnce();
  EXPECT_EQ(recording.hosts, (std::vector<std::string>{"bystander", "server", "client"}));
  int64_t before_ns = 0;
  for (size_t i = 0; i < recording.events.size(); ++i) {
    EXPECT_EQ(recording.events[i].number, i);
    EXPECT_GE(recording.events[i].time_ns, before_ns);
    before_ns = recording.events[i].time_ns;
  }
  EXPECT_EQ(recording.end_ns, before_ns);
}

// Those that nobody is shown, unless everything is, have words too, and no verb.
TEST(RecordedRunTest, EveryEventHasWords) {
  const Recording recording = RecordOnce();
  size_t silent = 0;
  for (const RecordedEvent& event : recording.events) {
    EXPECT_FALSE(event.verb.empty() && event.text.empty()) << event.number;
    if (event.source != RecordedEvent::Source::kTrace || !event.verb.empty()) continue;
    ++silent;
    EXPECT_NE(event.text, sim::TraceKindName(event.kind)) << event.number;
  }
  EXPECT_GT(silent, 10u);
}

TEST(RecordedRunTest, PacketsComeFromWhereTheyWereSent) {
  const Recording recording = RecordOnce();
  size_t arrived = 0;
  size_t lost = 0;
  for (const RecordedEvent& event : recording.events) {
    if (event.kind == TraceKind::kPacketSent) {
      ASSERT_TRUE(event.packet.has_value());
      EXPECT_EQ(event.packet->from, event.host);
      if (!event.packet->lost.empty()) ++lost;
      EXPECT_EQ(event.packet->lost.empty(), event.packet->arrival_ns >= event.time_ns) << event.text;
    }
    if (event.kind != TraceKind::kPacketDelivered) continue;
    ++arrived;
    ASSERT_LT(event.cause, event.number);
    const RecordedEvent& sent = recording.events[event.cause];
    EXPECT_EQ(sent.kind, TraceKind::kPacketSent);
    EXPECT_EQ(sent.packet->payload, event.packet->payload);
    EXPECT_EQ(sent.packet->sequence, event.packet->sequence);
    EXPECT_EQ(sent.packet->arrival_ns, event.time_ns);
    EXPECT_EQ(event.packet->to, event.host);
  }
  EXPECT_GT(arrived, 4u);
  EXPECT_GT(lost, 0u);
}

TEST(RecordedRunTest, AReadSaysWhoWroteItsBytes) {
  const Recording recording = RecordOnce();
  for (const auto& [reader, writer] : {std::pair("server", "client"), std::pair("client", "server")}) {
    const RecordedEvent* const read = FindEvent(recording, TraceKind::kReceive, reader);
    ASSERT_NE(read, nullptr);
    ASSERT_EQ(read->written_by.size(), 1u) << read->text;
    EXPECT_EQ(read->written_by[0].bytes, read->b);
    const RecordedEvent& write = recording.events[read->written_by[0].event];
    EXPECT_EQ(&write, FindEvent(recording, TraceKind::kSend, writer));
    EXPECT_EQ(write.b, read->b);
    EXPECT_TRUE(absl::StrContains(read->text, absl::StrCat(", written in e", write.number))) << read->text;
  }
}

TEST(RecordedRunTest, TasksGoOnBecauseOfWhatMadeThemReady) {
  const Recording recording = RecordOnce();
  size_t resumed = 0;
  for (const RecordedEvent& event : recording.events) {
    if (event.kind != TraceKind::kTaskResume) continue;
    ++resumed;
    ASSERT_LT(event.cause, event.number);
    EXPECT_EQ(recording.events[event.cause].kind, TraceKind::kTaskReady);
    EXPECT_EQ(recording.events[event.cause].a, event.a);
    EXPECT_TRUE(event.detail);
  }
  EXPECT_GT(resumed, 5u);

  // The bytes came with a packet, and made the task ready.
  const RecordedEvent* const read = FindEvent(recording, TraceKind::kReceive, "client");
  ASSERT_NE(read, nullptr);
  ASSERT_LT(read->cause, read->number);
  EXPECT_EQ(recording.events[read->cause].kind, TraceKind::kPacketDelivered);
  EXPECT_EQ(recording.events[read->cause].packet->payload, kAnswer);
  const RecordedEvent& woken = recording.events[read->number + 1];
  EXPECT_EQ(woken.kind, TraceKind::kTaskReady);
  EXPECT_EQ(woken.cause, read->number);

  // A timer is due because it was armed.
  for (const RecordedEvent& event : recording.events) {
    if (event.kind != TraceKind::kTimer || event.b == 0) continue;
    ASSERT_LT(event.cause, event.number);
    EXPECT_EQ(recording.events[event.cause].a, event.a);
    EXPECT_EQ(recording.events[event.cause].b, 0u);
    const std::string time = TimeName(static_cast<int64_t>(event.a));
    EXPECT_EQ(WhatHappened(recording.events[event.cause]), absl::StrCat("arms a timer until ", time));
    EXPECT_EQ(WhatHappened(event), absl::StrCat("is due a timer for ", time));
  }
}

TEST(RecordedRunTest, WhatIsRepeatedWasLost) {
  const Recording recording = RecordOnce();
  size_t repeated = 0;
  for (const RecordedEvent& event : recording.events) {
    if (event.kind != TraceKind::kPacketSent || event.cause == kNoEvent) continue;
    const RecordedEvent& cause = recording.events[event.cause];
    if (cause.kind != TraceKind::kPacketSent || cause.packet->lost.empty()) continue;
    ++repeated;
    EXPECT_EQ(cause.packet->lost, "a partition");
    EXPECT_EQ(cause.packet->sequence, event.packet->sequence);
  }
  EXPECT_GT(repeated, 0u);
}

TEST(RecordedRunTest, HasTheLogTheFaultsAndTheFailure) {
  const Recording recording = RecordOnce();
  size_t logs = 0;
  for (const RecordedEvent& event : recording.events) {
    if (event.source != RecordedEvent::Source::kLog) continue;
    ++logs;
    EXPECT_EQ(event.text, "was asked");
    EXPECT_EQ(event.verb, "I");
    EXPECT_EQ(event.task, "AnswerOnce");
    EXPECT_TRUE(absl::StartsWith(event.place, "recorded_run_test.cc:")) << event.place;
    EXPECT_EQ(event.host, 1);
    EXPECT_LT(event.cause, event.number);
  }
  EXPECT_EQ(logs, 1u);
  ASSERT_EQ(recording.bands.size(), 1u);
  EXPECT_EQ(recording.bands[0].begin_ns, 10'250'000);
  EXPECT_EQ(recording.bands[0].end_ns, 500'000'000);
  EXPECT_EQ(recording.bands[0].hosts, (std::vector<int32_t>{1, 2}));
  EXPECT_GT(recording.bands[0].hits, 0u);
  const RecordedEvent& failure = recording.events.back();
  EXPECT_EQ(failure.source, RecordedEvent::Source::kFailure);
  EXPECT_EQ(failure.place, "some_test.cc:7");
}

TEST(RecordedRunTest, TheSliceLeadsFromTheQuestionToTheFailure) {
  Report report;
  report.recording = RecordOnce();
  report.slice = SliceOf(report.recording, 1000);
  ASSERT_FALSE(report.slice.empty());
  EXPECT_EQ(report.slice.back(), report.recording.events.size() - 1);
  std::map<TraceKind, int> kinds;
  for (const uint64_t number : report.slice) ++kinds[report.recording.events[number].kind];
  EXPECT_GT(kinds[TraceKind::kHostStart], 1);
  EXPECT_GT(kinds[TraceKind::kConnect], 0);
  EXPECT_GT(kinds[TraceKind::kPacketSent], 2);
  EXPECT_LT(report.slice.size(), report.recording.events.size());

  const std::string table = SliceTable(report, {.columns = 200});
  EXPECT_TRUE(absl::StrContains(table, "> client: LOST, a partition: 5 bytes \"seven\"")) << table;
  EXPECT_TRUE(absl::StrContains(table, "FAILS: Expected: eight")) << table;
  EXPECT_TRUE(absl::StrContains(table, "< server: FIN 5 bytes \"seven\"")) << table;
  EXPECT_FALSE(absl::StrContains(table, "bystander")) << "it has done nothing:\n" << table;

  // The last events stay, and what is left out is said.
  report.slice = SliceOf(report.recording, 3);
  EXPECT_EQ(report.slice.size(), 3u);
  report.slice = SliceOf(report.recording, 1000);
  const std::string cut = SliceTable(report, {.rows = 2});
  EXPECT_TRUE(absl::StartsWith(cut, "... ")) << cut;
  EXPECT_TRUE(absl::StrContains(cut, "FAILS: ")) << cut;
  EXPECT_EQ(std::count(cut.begin(), cut.end(), '\n'), 4) << cut;
}

TEST(RecordedRunTest, ATableShowsWhereTheFailureBecameInevitable) {
  Report report;
  report.recording.hosts.push_back("host");
  for (uint64_t i = 0; i < 100; ++i) {
    RecordedEvent event;
    event.number = i;
    event.kind = TraceKind::kHostCrash;
    event.host = 0;
    event.verb = "crashes";
    report.recording.events.push_back(event);
    report.slice.push_back(i);
  }
  const auto rows = [&report](uint64_t cause) {
    report.cause = cause;
    return SliceRows(report, {.rows = 12});
  };
  EXPECT_EQ(rows(kNoEvent), (std::vector<uint64_t>{88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99}));
  EXPECT_EQ(rows(95), rows(kNoEvent));
  EXPECT_EQ(rows(50), (std::vector<uint64_t>{46, 47, 48, 49, 50, 51, 94, 95, 96, 97, 98, 99}));
  EXPECT_EQ(rows(2), (std::vector<uint64_t>{0, 1, 2, 3, 4, 5, 94, 95, 96, 97, 98, 99}));
  EXPECT_EQ(rows(91), (std::vector<uint64_t>{87, 88, 89, 90, 91, 92, 94, 95, 96, 97, 98, 99}));

  report.cause = 50;
  const std::string table = SliceTable(report, {.rows = 12});
  EXPECT_TRUE(absl::StartsWith(table, "... 46 events before\n")) << table;
  EXPECT_TRUE(absl::StrContains(table, "crashes\n... 42 events between\ne94 ")) << table;
}

// Each needs no row of its own, but for those that a reader looks for first.
TEST(RecordedRunTest, OfALongStoryTheMilestonesStay) {
  Report report;
  report.recording.hosts.push_back("host");
  for (uint64_t i = 0; i < 100; ++i) {
    RecordedEvent event;
    event.number = i;
    event.host = 0;
    event.kind = i == 20 ? TraceKind::kHostCrash : TraceKind::kHostExit;
    event.verb = "ends";
    if (i == 10) event.source = RecordedEvent::Source::kNote;
    if (i == 30) event.source = RecordedEvent::Source::kLog;
    report.recording.events.push_back(event);
    report.slice.push_back(i);
  }
  EXPECT_EQ(SliceRows(report, {.rows = 9}), (std::vector<uint64_t>{10, 20, 30, 94, 95, 96, 97, 98, 99}));
  const std::string table = SliceTable(report, {.rows = 9});
  EXPECT_TRUE(absl::StartsWith(table, "... 10 events before\n")) << table;
  EXPECT_TRUE(absl::StrContains(table, "\n... 63 events between\ne94")) << table;
}

TEST(RecordedRunTest, ATableOfManyHostsIsWide) {
  constexpr uint64_t kHosts = 200;
  Report report;
  for (uint64_t i = 0; i < kHosts; ++i) {
    report.recording.hosts.push_back(absl::StrCat("host", i));
    RecordedEvent event;
    event.number = i;
    event.kind = TraceKind::kHostCrash;
    event.host = static_cast<int32_t>(i);
    event.verb = "crashes";
    report.recording.events.push_back(event);
    report.slice.push_back(i);
  }
  const std::string table = SliceTable(report, {.rows = kHosts});
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), kHosts + 1);
  EXPECT_LT(table.size(), 2'000'000u);
}

TEST(RecordedRunTest, AProcessMayDieInTheMiddleOfAFrame) {
  const std::string bytes = RunOnce(/*recorded=*/true).bytes;
  size_t events = 0;
  for (size_t size = 0; size < bytes.size(); size += 97) {
    const absl::StatusOr<Recording> recording = ReadRecording(absl::string_view(bytes).substr(0, size));
    ASSERT_TRUE(recording.ok()) << recording.status();
    EXPECT_GE(recording->events.size(), events);
    events = recording->events.size();
  }
  EXPECT_GT(events, 100u);
}

TEST(RecordedRunTest, WhatIsNoRecordingIsRefused) {
  EXPECT_EQ(ReadRecording(std::string(10'000, 'x')).status().code(), absl::StatusCode::kDataLoss);
  const absl::StatusOr<Recording> empty = ReadRecording("");
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(empty->events.empty());
  EXPECT_TRUE(SliceOf(*empty, 10).empty());
  EXPECT_EQ(SliceTable(Report()), "");
}

}  // namespace
}  // namespace tandem::testing
