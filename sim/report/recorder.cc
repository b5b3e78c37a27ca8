// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/report/recorder.h"

#include <cstddef>
#include <cstring>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/base/cut_text.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/report/event_text.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

// Without a value: the padding is sent too.
RecordedFrame NewFrame(RecordedFrame::What what, int64_t time_ns, uint32_t host) {
  RecordedFrame frame;
  std::memset(&frame, 0, sizeof(frame));
  frame.what = what;
  frame.time_ns = time_ns;
  frame.host = host;
  frame.socket = kNoSocket;
  frame.from = kNoTraceHost;
  frame.to = kNoTraceHost;
  frame.arrival_ns = -1;
  frame.duplicate_arrival_ns = -1;
  if (World::Current() != nullptr) frame.step = World::Current()->events();
  if (Executor::HasCurrent() && Executor::Current().running_task() != nullptr) {
    frame.task = Executor::Current().running_task()->path;
  }
  return frame;
}

RecordedAddress ToRecorded(const SocketAddress& address) {
  RecordedAddress recorded;
  std::memset(&recorded, 0, sizeof(recorded));
  recorded.bytes = address.bytes();
  recorded.port = address.port();
  recorded.family = static_cast<uint8_t>(address.family());
  return recorded;
}

void DescribePacket(RecordedFrame& frame, const TraceRecord& record, const Packet& packet, const PacketFate* fate) {
  frame.has_packet = 1;
  frame.protocol = packet.protocol;
  frame.flags = packet.flags;
  frame.from = packet.from == nullptr ? kNoTraceHost : packet.from->index();
  frame.to = packet.to == nullptr ? kNoTraceHost : packet.to->index();
  frame.ordinal = static_cast<uint32_t>(record.a);
  frame.window = packet.window;
  frame.sequence = packet.sequence;
  frame.acknowledgement = packet.acknowledgement;
  frame.local = ToRecorded(packet.source);
  frame.remote = ToRecorded(packet.destination);
  if (fate == nullptr || fate->dropped) return;
  frame.arrival_ns = fate->arrival_ns;
  frame.duplicate_arrival_ns = fate->duplicate_arrival_ns.value_or(-1);
}

// The beginning of `text`, as the text of `frame`.
absl::string_view Cut(RecordedFrame& frame, absl::string_view text, size_t max) {
  const absl::string_view beginning = internal::BeginningOf(text, max);
  frame.left_out = text.size() - beginning.size();
  return beginning;
}

// Parts a line at its first two spaces.
std::pair<absl::string_view, absl::string_view> VerbAndRest(absl::string_view line) {
  const size_t end = line.find("  ");
  if (end == absl::string_view::npos) return {line, ""};
  return {line.substr(0, end), absl::StripAsciiWhitespace(line.substr(end))};
}

}  // namespace

void Recorder::OnRecord(const TraceRecord& record, const TraceDigest& /*digest*/) {
  const TraceAbout about = std::exchange(about_, TraceAbout());
  if (!IsEvent(record)) return;
  WriteHosts();
  RecordedFrame frame = NewFrame(RecordedFrame::What::kTrace, record.time_ns, record.host);
  frame.kind = static_cast<uint16_t>(record.kind);
  frame.detail = IsDetail(record.kind) ? 1 : 0;
  frame.a = record.a;
  frame.b = record.b;
  frame.c = record.c;
  Texts texts;
  if (about.packet != nullptr) {
    DescribePacket(frame, record, *about.packet, about.fate);
    if (about.packet->payload != nullptr) texts[RecordedFrame::kPayload] = PayloadOf(*about.packet);
    if (record.kind == TraceKind::kPacketLost) {
      texts[RecordedFrame::kWhyLost] = WhyLost(static_cast<DropReason>(record.b));
    } else if (about.fate != nullptr && about.fate->dropped) {
      texts[RecordedFrame::kWhyLost] = WhyLost(about.fate->reason);
    }
  } else if (const SocketId socket = SocketOf(record); socket != kNoSocket) {
    frame.socket = socket;
    SocketAddress local;
    SocketAddress remote;
    if (record.host != kNoTraceHost && EndsOf(record.host, socket, &local, &remote)) {
      frame.local = ToRecorded(local);
      frame.remote = ToRecorded(remote);
    }
  }
  TextLine task;
  TextLine place;
  TextLine what;
  WriteTaskName(task);
  WriteTaskPlace(place);
  if (WriteEvent(what, record, about)) {
    std::tie(texts[RecordedFrame::kVerb], texts[RecordedFrame::kText]) = VerbAndRest(what.view());
  } else {
    WriteSilentEvent(what, record);
    texts[RecordedFrame::kText] = what.view();  // Nobody is shown what has no verb, unless everything is.
  }
  texts[RecordedFrame::kTask] = task.view();
  texts[RecordedFrame::kPlace] = place.view();
  WriteFrame(frame, texts);
}

void Recorder::OnNote(int64_t time_ns, absl::string_view text) {
  WriteHosts();
  RecordedFrame frame = NewFrame(RecordedFrame::What::kNote, time_ns, kNoTraceHost);
  Texts texts;
  texts[RecordedFrame::kText] = text;
  WriteFrame(frame, texts);
}

void Recorder::OnLog(const LoggedLine& line) {
  WriteHosts();
  RecordedFrame frame = NewFrame(RecordedFrame::What::kLog, line.time_ns, line.host);
  TextLine task;
  TextLine place;
  WriteTaskName(task);
  place << line.file << ":" << line.line;
  Texts texts;
  texts[RecordedFrame::kTask] = task.view();
  texts[RecordedFrame::kPlace] = place.view();
  texts[RecordedFrame::kVerb] = absl::string_view(&line.severity, 1);
  texts[RecordedFrame::kText] = Cut(frame, line.message, internal::kTextMax);
  WriteFrame(frame, texts);
}

void Recorder::OnFailure(int64_t time_ns, uint32_t host, absl::string_view place, absl::string_view text) {
  WriteHosts();
  RecordedFrame frame = NewFrame(RecordedFrame::What::kFailure, time_ns, host);
  TextLine task;
  WriteTaskName(task);
  Texts texts;
  texts[RecordedFrame::kTask] = task.view();
  texts[RecordedFrame::kPlace] = place;
  texts[RecordedFrame::kText] = Cut(frame, text, internal::kMessageMax);
  WriteFrame(frame, texts);
}

void Recorder::OnOperation(int64_t time_ns, const RecordedCall& call) {
  WriteHosts();
  const auto what = call.misfit ? RecordedFrame::What::kMisfit : RecordedFrame::What::kOperation;
  RecordedFrame frame = NewFrame(what, time_ns, kNoTraceHost);
  frame.a = call.history;
  frame.b = call.number;
  frame.c = call.outcome;
  frame.task = call.invoked;
  frame.sequence = call.returned;
  Texts texts;
  texts[RecordedFrame::kTask] = call.client;
  texts[RecordedFrame::kPlace] = call.object;
  texts[RecordedFrame::kVerb] = call.name;
  texts[RecordedFrame::kText] = call.arguments;
  texts[RecordedFrame::kPayload] = call.answer;
  WriteFrame(frame, texts);
}

void Recorder::OnHits(absl::string_view fault, uint64_t hits) {
  RecordedFrame frame = NewFrame(RecordedFrame::What::kHits, 0, kNoTraceHost);
  frame.a = hits;
  Texts texts;
  texts[RecordedFrame::kText] = fault;
  WriteFrame(frame, texts);
}

void Recorder::WriteHosts() {
  const World* const world = World::Current();
  if (world == nullptr) return;
  for (; hosts_ < world->hosts().size(); ++hosts_) {
    RecordedFrame frame = NewFrame(RecordedFrame::What::kHost, 0, hosts_);
    Texts texts;
    texts[0] = world->hosts()[hosts_]->name();
    WriteFrame(frame, texts);
  }
}

void Recorder::WriteFrame(RecordedFrame& frame, const Texts& texts) {
  for (size_t i = 0; i < texts.size(); ++i) frame.sizes[i] = static_cast<uint32_t>(texts[i].size());
  Write(absl::string_view(reinterpret_cast<const char*>(&frame), sizeof(frame)));
  for (const absl::string_view text : texts) {
    if (!text.empty()) Write(text);
  }
}

}  // namespace tandem::sim
