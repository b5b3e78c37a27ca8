// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/event_words.h"

#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/gist.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {
namespace {

// "SYN", "12 bytes "GET x\r\n"".
std::string SayPacket(const RecordedPacket& packet) {
  std::string text;
  const auto add = [&text](absl::string_view part) { absl::StrAppend(&text, text.empty() ? "" : " ", part); };
  if (packet.protocol == RecordedPacket::Protocol::kUnreachable) return "port unreachable";
  if ((packet.flags & RecordedPacket::kReset) != 0) add("RST");
  if ((packet.flags & RecordedPacket::kSyn) != 0) add("SYN");
  if ((packet.flags & RecordedPacket::kFin) != 0) add("FIN");
  const bool datagram = packet.protocol == RecordedPacket::Protocol::kUdp;
  if (packet.payload.empty() && !datagram) {
    if (text.empty()) add("ACK");
    return text;
  }
  constexpr size_t kShown = 24;
  add(absl::StrCat(packet.payload.size(), packet.payload.size() == 1 ? " byte" : " bytes"));
  add(absl::StrCat("\"", absl::CHexEscape(packet.payload.substr(0, kShown)),
                   packet.payload.size() > kShown ? "...\"" : "\""));
  return text;
}

// "reads 8 bytes of e17: "GET x"".
std::string SayRead(const RecordedEvent& event) {
  const uint64_t first = event.written_by.front().event;
  const uint64_t last = event.written_by.back().event;
  const absl::string_view text = OwnText(event);
  const size_t bytes = text.find(": \"");
  return absl::StrCat("reads ", event.b, event.b == 1 ? " byte of " : " bytes of ", EventName(first),
                      first == last ? "" : absl::StrCat(" to ", EventName(last)),
                      bytes == text.npos ? "" : text.substr(bytes));
}

std::string NameOf(const Recording& recording, int32_t host, const SocketAddress& address) {
  return host < 0 ? address.ToString() : recording.hosts[static_cast<size_t>(host)];
}

}  // namespace

std::string EventName(uint64_t event) { return absl::StrCat("e", event); }

std::string TimeName(int64_t time_ns) { return std::string(sim::VirtualTimeText(time_ns).view()); }

absl::string_view HostName(const Recording& recording, int32_t host, absl::string_view none) {
  return host == kNoHost ? none : absl::string_view(recording.hosts.at(static_cast<size_t>(host)));
}

std::string WhatHappened(const RecordedEvent& event) {
  switch (event.source) {
    case RecordedEvent::Source::kLog:
      return absl::StrCat("logs ", event.verb, ": ", event.text);
    case RecordedEvent::Source::kNote:
      return event.text;
    case RecordedEvent::Source::kFailure:
      return absl::StrCat("FAILURE: ", event.text);
    case RecordedEvent::Source::kTrace:
      break;
  }
  return absl::StrCat(event.verb, event.verb.empty() || event.text.empty() ? "" : " ", event.text);
}

absl::string_view OwnText(const RecordedEvent& event) {
  const absl::string_view text = event.text;
  return event.written_by.empty() ? text : text.substr(0, text.rfind(kWrittenIn));
}

std::string InBrief(const Recording& recording, const RecordedEvent& event) {
  switch (event.source) {
    case RecordedEvent::Source::kLog:
      return absl::StrCat("logs ", event.text);
    case RecordedEvent::Source::kFailure:
      return absl::StrCat("FAILS: ", FailureGist(event.text));
    case RecordedEvent::Source::kNote:
      return event.text;
    case RecordedEvent::Source::kTrace:
      break;
  }
  if (event.kind == sim::TraceKind::kTaskResume) {
    return absl::StrCat(event.task.empty() ? "a new task" : event.task, " goes on");
  }
  if (event.kind == sim::TraceKind::kReceive && !event.written_by.empty()) return SayRead(event);
  if (!event.packet.has_value()) return event.text.empty() ? event.verb : absl::StrCat(event.verb, " ", event.text);
  const RecordedPacket& packet = *event.packet;
  if (event.kind == sim::TraceKind::kPacketDelivered) {
    return absl::StrCat("< ", NameOf(recording, packet.from, packet.source), ": ", SayPacket(packet));
  }
  return absl::StrCat("> ", NameOf(recording, packet.to, packet.destination), ": ",
                      packet.lost.empty() ? "" : absl::StrCat("LOST, ", packet.lost, ": "), SayPacket(packet));
}

bool IsHousekeeping(const RecordedEvent& event) {
  switch (event.kind) {
    case sim::TraceKind::kOpen:
    case sim::TraceKind::kBind:
    case sim::TraceKind::kSocketOption:
    case sim::TraceKind::kConditions:
      return true;
    default:
      return false;
  }
}

bool IsTold(const RecordedEvent& event) {
  const bool is_silent = event.source == RecordedEvent::Source::kTrace && event.verb.empty();
  return !event.detail && !is_silent && !IsHousekeeping(event);
}

}  // namespace tandem::testing
