// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/report_json.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/json.h"

namespace tandem::testing {
namespace {

using Source = RecordedEvent::Source;

template <typename Items, typename Predicate>
uint64_t Count(const Items& items, Predicate predicate) {
  return static_cast<uint64_t>(std::count_if(items.begin(), items.end(), predicate));
}

void Events(JsonWriter& json, const Recording& recording, const Excerpt& excerpt) {
  const auto of = [&](Source source) {
    return Count(recording.events, [source](const RecordedEvent& event) { return event.source == source; });
  };
  json.Key("events").BeginObject().Key("all").Number(uint64_t{recording.events.size()});
  json.Key("trace").Number(of(Source::kTrace)).Key("log").Number(of(Source::kLog));
  json.Key("note").Number(of(Source::kNote)).Key("failure").Number(of(Source::kFailure));
  json.Key("left_out").BeginArray();
  for (const Excerpt::Gap& gap : excerpt.gaps()) {
    json.BeginObject().Key("first").Number(gap.first).Key("last").Number(gap.last).EndObject();
  }
  json.EndArray().EndObject();
}

void Packets(JsonWriter& json, const Recording& recording) {
  const auto of = [&](sim::TraceKind kind) {
    return Count(recording.events,
                 [kind](const RecordedEvent& event) { return event.source == Source::kTrace && event.kind == kind; });
  };
  json.Key("packets").BeginObject();
  json.Key("sent").Number(of(sim::TraceKind::kPacketSent) + of(sim::TraceKind::kPacketUnreachable));
  json.Key("arrived").Number(of(sim::TraceKind::kPacketDelivered)).EndObject();
}

void Operations(JsonWriter& json, const Report& report) {
  json.Key("operations").BeginObject().Key("all").Number(uint64_t{report.recording.operations.size()});
  json.Key("open").Number(
      Count(report.recording.operations, [](const RecordedOperation& one) { return one.end_ns < 0; }));
  json.Key("bad")
      .Number(Count(report.recording.operations, [](const RecordedOperation& one) { return one.bad; }))
      .EndObject();
}

void Faults(JsonWriter& json, const Recording& recording) {
  json.Key("faults").BeginArray();
  for (const RecordedBand& band : recording.bands) {
    json.BeginObject().Key("text").String(band.text).Key("begin_ns").Number(band.begin_ns);
    json.Key("end_ns").Number(band.end_ns).Key("hits").Number(band.hits).Key("hosts").BeginArray();
    for (const int32_t host : band.hosts) json.String(HostName(recording, host, ""));
    json.EndArray().EndObject();
  }
  json.EndArray();
}

void Strings(JsonWriter& json, absl::string_view key, absl::Span<const std::string> strings) {
  json.Key(key).BeginArray();
  for (const std::string& string : strings) json.String(string);
  json.EndArray();
}

}  // namespace

std::string ReportJson(const Report& report, absl::Span<const std::string> files, const Excerpt& excerpt) {
  std::string out;
  JsonWriter json(&out);
  json.BeginObject().Key("schema_version").Number(kReportSchemaVersion);
  json.Key("test").String(report.test).Key("seed").Number(report.seed).Key("digest").String(report.digest);
  json.Key("message").String(report.message).Key("place").String(report.place);
  json.Key("replay").String(report.replay).Key("scenario").String(report.scenario);
  json.Key("sentences").String(report.sentences);
  json.Key("end_ns").Number(report.recording.end_ns);
  Strings(json, "hosts", report.recording.hosts);
  Faults(json, report.recording);
  json.Key("slice").BeginArray();
  for (const uint64_t event : report.slice) json.Number(event);
  json.EndArray();
  json.Key("likelihood").BeginArray();
  for (const RecordedLikelihood& at : report.likelihood) {
    json.BeginObject().Key("first").Number(at.first).Key("last").Number(at.last);
    json.Key("failed").Number(at.failed).Key("branches").Number(at.branches);
    json.Key("otherwise").Number(at.otherwise).EndObject();
  }
  json.EndArray();
  if (report.passing.has_value()) {
    json.Key("passing").BeginObject().Key("how").String(report.passing->how);
    json.Key("differs_at").Number(report.passing->differs_at).EndObject();
  }
  Events(json, report.recording, excerpt);
  Packets(json, report.recording);
  Operations(json, report);
  Strings(json, "files", files);
  json.EndObject();
  return out + "\n";
}

}  // namespace tandem::testing
