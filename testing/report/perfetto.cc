// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/perfetto.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/json.h"

namespace tandem::testing {
namespace {

// Of an event.
constexpr int64_t kWidthNs = 1;
constexpr int kFaults = 1;  // The first process.

class PerfettoWriter {
 public:
  PerfettoWriter(const Report& report, const Excerpt& excerpt)
      : report_(report), recording_(report.recording), excerpt_(excerpt), threads_(ClientProcess()) {}

  std::string Write() {
    json_.BeginObject().Key("displayTimeUnit").String("ns").Key("traceEvents").BeginArray();
    NameProcesses();
    MakeTracks();
    excerpt_.Visit(recording_, [this](const RecordedEvent& event) { Event(event); }, [](const Excerpt::Gap&) {});
    Arrows();
    Faults();
    Operations();
    json_.EndArray().Key("otherData").BeginObject();
    json_.Key("test").String(report_.test).Key("seed").String(absl::StrCat(report_.seed));
    json_.Key("message").String(report_.message);
    json_.Key("events_left_out").String(absl::StrCat(excerpt_.left_out()));
    json_.EndObject().EndObject();
    return out_ + "\n";
  }

 private:
  // A thread.
  struct Track {
    int process = 0;
    int thread = 0;
    std::string name;
    // Of its last event, if it had one: its time, and where it ends on the screen.
    std::optional<int64_t> last_ns;
    int64_t drawn_until_ns = 0;
  };
  using TrackKey = std::pair<int32_t, uint64_t>;  // The host, and the task.

  int HostProcess(int32_t host) const {
    return host == kNoHost ? kFaults + 1 + static_cast<int>(recording_.hosts.size()) : kFaults + 1 + host;
  }
  int ClientProcess() const { return HostProcess(kNoHost) + 1; }

  // --- Parts of the format ---

  // Begins an event of the format.
  JsonWriter& Begin(absl::string_view phase, absl::string_view name, int process, int thread) {
    json_.BeginObject().Key("ph").String(phase).Key("name").String(name);
    return json_.Key("pid").Number(process).Key("tid").Number(thread);
  }
  // In microseconds. Some versions of Perfetto cut off what is behind the nanosecond of a product of doubles: the digit
  // behind it keeps 1.001 from becoming 1.000.
  void At(int64_t time_ns) { json_.Key("ts").Raw(absl::StrFormat("%d.%03d2", time_ns / 1000, time_ns % 1000)); }
  void Lasts(int64_t time_ns) { json_.Key("dur").Raw(absl::StrFormat("%d.%03d", time_ns / 1000, time_ns % 1000)); }
  void Name(absl::string_view what, absl::string_view name, int process, int thread) {
    Begin("M", what, process, thread).Key("args").BeginObject().Key("name").String(name).EndObject().EndObject();
  }
  // The order on the screen.
  void Sort(absl::string_view what, int process, int thread) {
    const int index = what == "process_sort_index" ? process : thread;
    Begin("M", what, process, thread).Key("args").BeginObject().Key("sort_index").Number(index).EndObject().EndObject();
  }

  // --- Processes and threads ---

  void NameProcess(absl::string_view name, int process) {
    Name("process_name", name, process, process);
    Sort("process_sort_index", process, process);
  }
  void NameProcesses() {
    NameProcess("faults", kFaults);
    for (size_t i = 0; i < recording_.hosts.size(); ++i) {
      NameProcess(recording_.hosts[i], HostProcess(static_cast<int32_t>(i)));
    }
    NameProcess("outside of any host", HostProcess(kNoHost));
    if (!report_.recording.operations.empty()) NameProcess("clients", ClientProcess());
  }

  static TrackKey KeyOf(const RecordedEvent& event) { return {event.host, event.task_id}; }

  // In the order in which they come up; a task has its last name.
  void MakeTracks() {
    std::vector<TrackKey> order;
    excerpt_.Visit(
        recording_,
        [&](const RecordedEvent& event) {
          const auto [found, is_new] = tracks_.try_emplace(KeyOf(event));
          if (is_new) order.push_back(KeyOf(event));
          if (!event.task.empty()) found->second.name = event.task;
        },
        [](const Excerpt::Gap&) {});
    for (const TrackKey& key : order) {
      Track& track = tracks_[key];
      if (key.second == 0) track.name = "network, timers";
      if (track.name.empty()) track.name = "a new task";
      track.process = HostProcess(key.first);
      track.thread = ++threads_;
      Name("thread_name", track.name, track.process, track.thread);
      Sort("thread_sort_index", track.process, track.thread);
    }
  }

  // --- Events ---

  void Event(const RecordedEvent& event) {
    Track& track = tracks_[KeyOf(event)];
    const int64_t begin_ns = std::max(event.time_ns, next_ns_);
    next_ns_ = begin_ns + kWidthNs;
    if (event.task_id != 0 && track.last_ns.has_value() && *track.last_ns < event.time_ns) {
      Begin("X", absl::StrCat("awaits ", event.place), track.process, track.thread).Key("cat").String("await");
      At(track.drawn_until_ns);
      Lasts(begin_ns - track.drawn_until_ns);
      json_.EndObject();
    }
    track.last_ns = event.time_ns;
    track.drawn_until_ns = begin_ns + kWidthNs;
    drawn_at_ns_[event.number] = begin_ns;

    Begin("X", SliceName(event), track.process, track.thread);
    json_.Key("cat").String(event.source == RecordedEvent::Source::kTrace ? sim::TraceKindName(event.kind) : "program");
    At(begin_ns);
    Lasts(kWidthNs);
    json_.Key("args").BeginObject().Key("event").Number(event.number).Key("time_ns").Number(event.time_ns);
    json_.Key("what").String(WhatHappened(event));
    if (!event.place.empty()) json_.Key("place").String(event.place);
    if (event.cause != kNoEvent) json_.Key("cause").Number(event.cause);
    if (std::binary_search(report_.slice.begin(), report_.slice.end(), event.number)) json_.Key("slice").Bool(true);
    json_.EndObject().EndObject();
  }

  static std::string SliceName(const RecordedEvent& event) {
    const bool is_trace = event.source == RecordedEvent::Source::kTrace;
    if (is_trace && !event.verb.empty()) return event.verb;
    return is_trace ? std::string(sim::TraceKindName(event.kind)) : WhatHappened(event);
  }

  void Arrows() {
    excerpt_.Visit(
        recording_,
        [this](const RecordedEvent& event) {
          const auto cause = drawn_at_ns_.find(event.cause);
          if (cause == drawn_at_ns_.end()) return;
          const Track& from = tracks_[KeyOf(recording_.events[event.cause])];
          const Track& to = tracks_[KeyOf(event)];
          if (from.thread == to.thread) return;
          const bool is_packet = event.kind == sim::TraceKind::kPacketDelivered;
          Arrow(is_packet ? "packet" : "cause", event.number, "s", from, cause->second);
          json_.EndObject();
          Arrow(is_packet ? "packet" : "cause", event.number, "f", to, drawn_at_ns_[event.number]);
          json_.Key("bp").String("e").EndObject();
        },
        [](const Excerpt::Gap&) {});
  }
  void Arrow(absl::string_view name, uint64_t id, absl::string_view phase, const Track& track, int64_t at_ns) {
    Begin(phase, name, track.process, track.thread).Key("cat").String("flow").Key("id").Number(id);
    At(at_ns);
  }

  // --- Faults and operations ---

  void Faults() {
    int id = 0;
    for (const RecordedBand& band : recording_.bands) {
      ++id;
      const auto half = [&](absl::string_view phase, int64_t at_ns) {
        Begin(phase, band.text, kFaults, kFaults).Key("cat").String("fault").Key("id").Number(id);
        At(at_ns);
      };
      half("b", band.begin_ns);
      json_.Key("args").BeginObject().Key("hits").Number(band.hits).Key("hosts").BeginArray();
      for (const int32_t host : band.hosts) json_.String(HostName(recording_, host, ""));
      json_.EndArray().EndObject().EndObject();
      half("e", std::max(band.begin_ns, band.end_ns));
      json_.EndObject();
    }
  }

  // A thread for each client, and more where it has several operations at a time.
  void Operations() {
    struct Lane {
      int thread;
      int64_t busy_until_ns;
    };
    std::map<std::string, std::vector<Lane>> clients;
    for (size_t i = 0; i < report_.recording.operations.size(); ++i) {
      if (!excerpt_.HasOperation(i)) continue;
      const RecordedOperation& operation = report_.recording.operations[i];
      const int64_t end_ns = operation.end_ns < 0 ? recording_.end_ns : operation.end_ns;
      std::vector<Lane>& lanes = clients[operation.client];
      auto lane = std::find_if(lanes.begin(), lanes.end(),
                               [&](const Lane& other) { return other.busy_until_ns <= operation.begin_ns; });
      if (lane == lanes.end()) {
        lane = lanes.insert(lane, {++threads_, 0});
        Name("thread_name", operation.client, ClientProcess(), lane->thread);
      }
      lane->busy_until_ns = end_ns;
      Begin("X", operation.text, ClientProcess(), lane->thread).Key("cat").String("operation");
      At(operation.begin_ns);
      Lasts(std::max(end_ns - operation.begin_ns, int64_t{0}));
      json_.Key("args").BeginObject().Key("operation").Number(uint64_t{i});
      json_.Key("open").Bool(operation.end_ns < 0).Key("bad").Bool(operation.bad).EndObject().EndObject();
    }
  }

  const Report& report_;
  const Recording& recording_;
  const Excerpt& excerpt_;
  std::string out_;
  JsonWriter json_{&out_};
  std::map<TrackKey, Track> tracks_;
  int threads_;  // The last number of one. None is the number of a process, which would make it that one's main thread.
  int64_t next_ns_ = 0;                      // Where there is room for an event.
  std::map<uint64_t, int64_t> drawn_at_ns_;  // By event.
};

}  // namespace

std::string PerfettoJson(const Report& report, const Excerpt& excerpt) {
  return PerfettoWriter(report, excerpt).Write();
}

}  // namespace tandem::testing
