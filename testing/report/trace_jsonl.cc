// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/trace_jsonl.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/json.h"

namespace tandem::testing {
namespace {

void Text(JsonWriter& json, absl::string_view key, absl::string_view text) {
  if (!text.empty()) json.Key(key).String(text);
}

// In a string: many readers of JSON know only numbers of 53 bits.
void Bits64(JsonWriter& json, absl::string_view key, uint64_t number) {
  if (number != 0) json.Key(key).String(absl::StrCat(number));
}

absl::string_view SourceName(RecordedEvent::Source source) {
  switch (source) {
    case RecordedEvent::Source::kTrace:
      return "trace";
    case RecordedEvent::Source::kLog:
      return "log";
    case RecordedEvent::Source::kNote:
      return "note";
    case RecordedEvent::Source::kFailure:
      return "failure";
  }
  return "";
}

absl::string_view ProtocolName(RecordedPacket::Protocol protocol) {
  switch (protocol) {
    case RecordedPacket::Protocol::kTcp:
      return "tcp";
    case RecordedPacket::Protocol::kUdp:
      return "udp";
    case RecordedPacket::Protocol::kUnreachable:
      return "unreachable";
  }
  return "";
}

void Segment(JsonWriter& json, const RecordedPacket& packet) {
  json.Key("flags").BeginArray();
  if ((packet.flags & RecordedPacket::kSyn) != 0) json.String("syn");
  if ((packet.flags & RecordedPacket::kAck) != 0) json.String("ack");
  if ((packet.flags & RecordedPacket::kFin) != 0) json.String("fin");
  if ((packet.flags & RecordedPacket::kReset) != 0) json.String("rst");
  json.EndArray().Key("sequence").Number(packet.sequence);
  if ((packet.flags & RecordedPacket::kAck) != 0) json.Key("acknowledgement").Number(packet.acknowledgement);
  json.Key("window").Number(packet.window);
}

void Packet(JsonWriter& json, const Recording& recording, const RecordedPacket& packet) {
  json.BeginObject().Key("protocol").String(ProtocolName(packet.protocol));
  Text(json, "from", HostName(recording, packet.from, ""));
  Text(json, "to", HostName(recording, packet.to, ""));
  json.Key("ordinal").Number(packet.ordinal);
  json.Key("source").String(packet.source.ToString()).Key("destination").String(packet.destination.ToString());
  if (packet.protocol == RecordedPacket::Protocol::kTcp) Segment(json, packet);
  json.Key("size").Number(uint64_t{packet.payload.size()});
  const absl::string_view first = absl::string_view(packet.payload).substr(0, kMaxPayloadInJson);
  if (IsText(first)) {
    Text(json, "payload", first);
  } else {
    json.Key("payload_base64").String(absl::Base64Escape(first));
  }
  Text(json, "lost", packet.lost);
  if (packet.arrival_ns >= 0) json.Key("arrival_ns").Number(packet.arrival_ns);
  if (packet.duplicate_arrival_ns.has_value()) {
    json.Key("duplicate_arrival_ns").Number(*packet.duplicate_arrival_ns);
  }
  json.EndObject();
}

void Event(JsonWriter& json, const Recording& recording, const RecordedEvent& event) {
  const bool is_trace = event.source == RecordedEvent::Source::kTrace;
  json.BeginObject().Key("event").Number(event.number).Key("time_ns").Number(event.time_ns);
  json.Key("source").String(SourceName(event.source));
  if (is_trace) json.Key("kind").String(sim::TraceKindName(event.kind));
  if (event.detail) json.Key("detail").Bool(true);
  Text(json, "host", HostName(recording, event.host, ""));
  Text(json, "task", event.task);
  if (event.task_id != 0) json.Key("task_id").String(absl::StrCat(absl::Hex(event.task_id, absl::kZeroPad16)));
  Text(json, "place", event.place);
  Text(json, "verb", event.verb);
  Text(json, "text", event.text);
  if (is_trace) {
    Bits64(json, "a", event.a);
    Bits64(json, "b", event.b);
    Bits64(json, "c", event.c);
  }
  if (event.socket >= 0) json.Key("socket").Number(event.socket);
  Text(json, "connection", event.connection);
  if (event.cause != kNoEvent) json.Key("cause").Number(event.cause);
  if (!event.written_by.empty()) {
    json.Key("written_by").BeginArray();
    for (const RecordedWriter& writer : event.written_by) {
      json.BeginObject().Key("event").Number(writer.event).Key("bytes").Number(writer.bytes).EndObject();
    }
    json.EndArray();
  }
  if (event.packet.has_value()) {
    json.Key("packet");
    Packet(json, recording, *event.packet);
  }
  json.EndObject();
}

}  // namespace

std::string TraceJsonl(const Recording& recording, const Excerpt& excerpt) {
  std::string lines;
  excerpt.Visit(
      recording,
      [&](const RecordedEvent& event) {
        JsonWriter json(&lines);
        Event(json, recording, event);
        lines += '\n';
      },
      [&](const Excerpt::Gap& gap) {
        JsonWriter json(&lines);
        json.BeginObject().Key("left_out").BeginObject();
        json.Key("first").Number(gap.first).Key("last").Number(gap.last).EndObject().EndObject();
        lines += '\n';
      });
  return lines;
}

}  // namespace tandem::testing
