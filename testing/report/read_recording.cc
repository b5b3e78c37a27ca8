// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/read_recording.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tandem/core/base/cut_text.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/report/recorded_frame.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/causes.h"
#include "tandem/testing/report/read_operations.h"
#include "tandem/testing/report/writers.h"

namespace tandem::testing {
namespace {

using Frame = sim::RecordedFrame;
using Texts = std::array<absl::string_view, Frame::kTexts>;

SocketAddress ToAddress(const sim::RecordedAddress& recorded) {
  switch (static_cast<AddressFamily>(recorded.family)) {
    case AddressFamily::kIpv4: {
      std::array<uint8_t, 4> bytes;
      std::copy_n(recorded.bytes.begin(), bytes.size(), bytes.begin());
      return SocketAddress::Ipv4(bytes, recorded.port);
    }
    case AddressFamily::kIpv6:
      return SocketAddress::Ipv6(recorded.bytes, recorded.port);
    default:
      return SocketAddress();
  }
}

int32_t HostOf(uint32_t host) { return host == sim::kNoTraceHost ? kNoHost : static_cast<int32_t>(host); }

RecordedPacket ToPacket(const Frame& frame, const Texts& texts) {
  RecordedPacket packet;
  packet.protocol = static_cast<RecordedPacket::Protocol>(frame.protocol);
  constexpr uint8_t kAllFlags =
      RecordedPacket::kSyn | RecordedPacket::kAck | RecordedPacket::kFin | RecordedPacket::kReset;
  packet.flags = frame.flags & kAllFlags;
  packet.from = HostOf(frame.from);
  packet.to = HostOf(frame.to);
  packet.ordinal = frame.ordinal;
  packet.source = ToAddress(frame.local);
  packet.destination = ToAddress(frame.remote);
  packet.sequence = frame.sequence;
  packet.acknowledgement = frame.acknowledgement;
  packet.window = frame.window;
  packet.payload = std::string(texts[Frame::kPayload]);
  packet.lost = std::string(texts[Frame::kWhyLost]);
  packet.arrival_ns = frame.arrival_ns;
  if (frame.duplicate_arrival_ns >= 0) packet.duplicate_arrival_ns = frame.duplicate_arrival_ns;
  return packet;
}

RecordedEvent ToEvent(const Frame& frame, const Texts& texts) {
  RecordedEvent event;
  switch (frame.what) {
    case Frame::What::kLog:
      event.source = RecordedEvent::Source::kLog;
      break;
    case Frame::What::kNote:
      event.source = RecordedEvent::Source::kNote;
      break;
    case Frame::What::kFailure:
      event.source = RecordedEvent::Source::kFailure;
      break;
    default:
      event.source = RecordedEvent::Source::kTrace;
      break;
  }
  event.kind = static_cast<sim::TraceKind>(frame.kind);
  event.detail = frame.detail != 0;
  event.time_ns = frame.time_ns;
  event.step = frame.step;
  event.host = HostOf(frame.host);
  event.task_id = frame.task;
  event.task = std::string(texts[Frame::kTask]);
  event.place = std::string(texts[Frame::kPlace]);
  event.verb = std::string(texts[Frame::kVerb]);
  event.text = absl::StrCat(texts[Frame::kText], ::tandem::internal::BytesMore(frame.left_out));
  event.a = frame.a;
  event.b = frame.b;
  event.c = frame.c;
  event.socket = frame.socket;
  const SocketAddress local = ToAddress(frame.local);
  const SocketAddress remote = ToAddress(frame.remote);
  if (frame.has_packet != 0) {
    event.packet = ToPacket(frame, texts);
    // Its own end first: who gets it is the destination.
    const bool arrives = event.kind == sim::TraceKind::kPacketDelivered;
    event.connection = arrives ? ConnectionName(remote, local) : ConnectionName(local, remote);
  } else if (frame.socket >= 0) {
    event.connection = ConnectionName(local, remote);
  }
  return event;
}

// Whether it is over as soon as it has begun.
bool IsInstant(absl::string_view fault) {
  for (const absl::string_view kind : {"crash", "kill", "stop", "reset", "clock step"}) {
    if (absl::StartsWith(fault, kind)) return true;
  }
  return false;
}

// The hosts whose names are words of `text`.
std::vector<int32_t> HostsIn(absl::string_view text, const std::vector<std::string>& hosts) {
  std::vector<int32_t> found;
  for (const absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" ,|>"), absl::SkipEmpty())) {
    const auto host = std::find(hosts.begin(), hosts.end(), word);
    if (host == hosts.end()) continue;
    const auto index = static_cast<int32_t>(host - hosts.begin());
    if (std::find(found.begin(), found.end(), index) == found.end()) found.push_back(index);
  }
  return found;
}

// The remarks of the world say when a fault begins and ends.
void FindBands(Recording& recording, const std::map<std::string, uint64_t, std::less<>>& hits) {
  for (const RecordedEvent& event : recording.events) {
    if (event.source != RecordedEvent::Source::kNote) continue;
    absl::string_view fault = event.text;
    if (absl::ConsumePrefix(&fault, "fault begins: ")) {
      RecordedBand band;
      band.begin_ns = event.time_ns;
      band.end_ns = IsInstant(fault) ? event.time_ns : -1;
      band.text = std::string(fault);
      band.hosts = HostsIn(fault, recording.hosts);
      if (const auto found = hits.find(fault); found != hits.end()) band.hits = found->second;
      recording.bands.push_back(std::move(band));
    } else if (absl::ConsumePrefix(&fault, "fault ends: ")) {
      for (RecordedBand& band : recording.bands) {
        if (band.end_ns < 0 && band.text == fault) band.end_ns = event.time_ns;
      }
    }
  }
  for (RecordedBand& band : recording.bands) {
    if (band.end_ns < 0) band.end_ns = recording.end_ns;
  }
}

}  // namespace

absl::StatusOr<Recording> ReadRecording(absl::string_view bytes) {
  Recording recording;
  std::map<std::string, uint64_t, std::less<>> hits;
  OperationReader operations;
  while (bytes.size() >= sizeof(Frame)) {
    Frame frame;
    std::memcpy(&frame, bytes.data(), sizeof(frame));
    if (frame.what > Frame::What::kMisfit) return absl::DataLossError("this is no recording of a run");
    uint64_t size = sizeof(frame);
    Texts texts;
    for (size_t i = 0; i < texts.size() && size <= bytes.size(); ++i) {
      texts[i] = bytes.substr(size, frame.sizes[i]);
      size += frame.sizes[i];
    }
    if (size > bytes.size()) break;
    bytes.remove_prefix(size);
    switch (frame.what) {
      case Frame::What::kHost:
        recording.hosts.emplace_back(texts[0]);
        break;
      case Frame::What::kHits:
        hits[std::string(texts[Frame::kText])] = frame.a;
        break;
      case Frame::What::kOperation:
        operations.Add(frame, texts);
        break;
      case Frame::What::kMisfit:
        operations.AddMisfit(frame, texts);
        break;
      default: {
        RecordedEvent event = ToEvent(frame, texts);
        event.number = recording.events.size();
        recording.end_ns = std::max(recording.end_ns, event.time_ns);
        recording.events.push_back(std::move(event));
        break;
      }
    }
  }
  recording.operations = operations.Take();
  FindBands(recording, hits);
  FindWriters(recording);
  FindCauses(recording);
  return recording;
}

}  // namespace tandem::testing
