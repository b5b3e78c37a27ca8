// SPDX-License-Identifier: Apache-2.0
//
// The data of the page are JSON: the events by columns, texts by their index in one table, times and causes as
// differences. timeline_data.js reads it.

#include "tandem/testing/report/timeline_html.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/log/check.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/json.h"
#include "tandem/testing/report/passing.h"
#include "tandem/testing/report/timeline_page.h"

namespace tandem::testing {
namespace {

// In bytes, of the slice and of other events.
constexpr size_t kSliceTextMax = 4096;
constexpr size_t kTextMax = 240;
constexpr size_t kSlicePayloadMax = 2048;
constexpr size_t kPayloadMax = 48;

// At most `size` bytes, and whole characters.
absl::string_view Cut(absl::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

class Data {
 public:
  Data(const Report& report, const Excerpt& excerpt) : report_(report), excerpt_(excerpt), slice_(report.slice) {
    std::sort(slice_.begin(), slice_.end());
    const auto show = [this](const RecordedEvent& event) { events_.push_back(&event); };
    excerpt.Visit(report.recording, show, [](const Excerpt::Gap&) {});
  }

  // Nothing in it ends the element of the page that it is in: there is no "<".
  std::string Json() && {
    json_.BeginObject();
    json_.Key("test").String(report_.test);
    json_.Key("seed").String(absl::StrCat(report_.seed));
    json_.Key("message").String(Cut(report_.message, kSliceTextMax));
    json_.Key("place").String(report_.place);
    json_.Key("scenario").String(report_.scenario);
    json_.Key("sentences").String(report_.sentences);
    json_.Key("replay").String(report_.replay);
    json_.Key("digest").String(report_.digest);
    json_.Key("passing").String(report_.passing.has_value() ? report_.passing->how : "");
    json_.Key("beside").String(report_.passing.has_value() ? SideBySide(report_.recording, *report_.passing) : "");
    json_.Key("left_out").Number(uint64_t{report_.recording.events.size() - events_.size()});
    json_.Key("end").Number(report_.recording.end_ns);
    json_.Key("events").BeginObject();
    Events();
    json_.EndObject();
    Packets();
    List("hosts", report_.recording.hosts, [this](absl::string_view host) { json_.String(host); });
    Bands();
    Operations();
    Slice();
    List("strings", strings_, [this](absl::string_view text) { json_.String(text); });
    json_.EndObject();
    return absl::StrReplaceAll(text_, {{"<", "\\u003c"}, {"\xe2\x80\xa8", "\\u2028"}, {"\xe2\x80\xa9", "\\u2029"}});
  }

 private:
  bool InSlice(uint64_t number) const { return std::binary_search(slice_.begin(), slice_.end(), number); }
  // events_.size() for what was left out.
  size_t IndexOf(uint64_t number) const {
    const auto found = std::lower_bound(events_.begin(), events_.end(), number,
                                        [](const RecordedEvent* event, uint64_t n) { return event->number < n; });
    const bool here = found != events_.end() && (*found)->number == number;
    return here ? static_cast<size_t>(found - events_.begin()) : events_.size();
  }

  template <typename Values, typename Write>
  void List(absl::string_view name, const Values& values, Write write) {
    json_.Key(name).BeginArray();
    for (const auto& value : values) write(value);
    json_.EndArray();
  }
  // The index of `text` in the table.
  uint64_t Index(absl::string_view text) {
    const auto [found, added] = indices_.try_emplace(text, strings_.size());
    if (added) strings_.emplace_back(text);
    return found->second;
  }
  // What a number of the script cannot hold is a text.
  void Field(uint64_t value) {
    constexpr uint64_t kExact = uint64_t{1} << 53;
    if (value <= kExact) {
      json_.Number(value);
    } else {
      json_.String(absl::StrCat("0x", absl::Hex(value)));
    }
  }

  // A number of each event.
  template <typename Value>
  void Column(absl::string_view name, Value value) {
    List(name, events_, [this, &value](const RecordedEvent* event) { json_.Number(value(*event)); });
  }
  // A text of each event, by its index.
  template <typename Text>
  void Texts(absl::string_view name, Text text) {
    List(name, events_, [this, &text](const RecordedEvent* event) { json_.Number(Index(text(*event))); });
  }

  void Events() {
    uint64_t number = 0;
    Column("number", [&number](const RecordedEvent& e) { return e.number - std::exchange(number, e.number); });
    int64_t time_ns = 0;
    Column("time", [&time_ns](const RecordedEvent& e) { return e.time_ns - std::exchange(time_ns, e.time_ns); });
    Column("source", [](const RecordedEvent& e) { return static_cast<int>(e.source); });
    Column("detail", [](const RecordedEvent& e) { return e.detail ? 1 : 0; });
    Column("host", [](const RecordedEvent& e) { return e.host; });
    Texts("task", [](const RecordedEvent& e) { return e.task; });
    Texts("task_id", [](const RecordedEvent& e) {  // As trace.jsonl has it.
      return e.task_id == 0 ? "" : absl::StrCat(absl::Hex(e.task_id, absl::kZeroPad16));
    });
    Texts("place", [](const RecordedEvent& e) { return e.place; });
    Texts("verb", [](const RecordedEvent& e) { return e.verb; });
    Texts("text", [this](const RecordedEvent& e) { return TextOf(e); });
    Texts("kind", [](const RecordedEvent& e) { return KindOf(e); });
    List("a", events_, [this](const RecordedEvent* e) { Field(e->a); });
    List("b", events_, [this](const RecordedEvent* e) { Field(e->b); });
    List("c", events_, [this](const RecordedEvent* e) { Field(e->c); });
    Column("socket", [](const RecordedEvent& e) { return e.socket; });
    Texts("connection", [](const RecordedEvent& e) { return e.connection; });
    // How many events before; 0: none.
    uint64_t index = 0;
    Column("cause", [this, &index](const RecordedEvent& e) {
      const uint64_t cause = IndexOf(e.cause);
      const uint64_t back = cause < index ? index - cause : 0;
      ++index;
      return back;
    });
  }
  std::string TextOf(const RecordedEvent& event) const {
    const absl::string_view text = Cut(event.text, InSlice(event.number) ? kSliceTextMax : kTextMax);
    return absl::StrCat(text, text.size() < event.text.size() ? "..." : "");
  }
  static absl::string_view KindOf(const RecordedEvent& event) {
    return event.source == RecordedEvent::Source::kTrace ? sim::TraceKindName(event.kind) : "";
  }

  void Packets() {
    json_.Key("packets").BeginArray();
    for (uint64_t i = 0; i < events_.size(); ++i) {
      if (events_[i]->packet.has_value()) Packet(i, *events_[i], *events_[i]->packet);
    }
    json_.EndArray();
  }
  void Packet(uint64_t index, const RecordedEvent& event, const RecordedPacket& packet) {
    const size_t payload_max = InSlice(event.number) ? kSlicePayloadMax : kPayloadMax;
    const absl::string_view payload = absl::string_view(packet.payload).substr(0, payload_max);
    json_.BeginArray().Number(index).Number(Step(event.kind));
    json_.Number(static_cast<int>(packet.protocol)).Number(int{packet.flags});
    json_.Number(packet.from).Number(packet.to).Number(packet.ordinal);
    json_.Number(Index(packet.source.ToString())).Number(Index(packet.destination.ToString()));
    json_.Number(packet.sequence).Number(packet.acknowledgement).Number(packet.window);
    json_.Number(Index(absl::Base64Escape(payload))).Number(uint64_t{packet.payload.size()});
    json_.Number(Index(packet.lost)).Number(packet.arrival_ns).Number(packet.duplicate_arrival_ns.value_or(-1));
    json_.EndArray();
  }
  // Where the packet is: 0 it is sent, 1 it arrives, 2 it is lost on the way.
  static int Step(sim::TraceKind kind) {
    if (kind == sim::TraceKind::kPacketDelivered) return 1;
    return kind == sim::TraceKind::kPacketLost ? 2 : 0;
  }

  void Bands() {
    List("bands", report_.recording.bands, [this](const RecordedBand& band) {
      json_.BeginArray().Number(band.begin_ns).Number(band.end_ns).String(Cut(band.text, kTextMax)).BeginArray();
      for (const int32_t host : band.hosts) json_.Number(host);
      json_.EndArray().Number(band.hits).EndArray();
    });
  }

  void Operations() {
    json_.Key("operations").BeginArray();
    for (size_t i = 0; i < report_.recording.operations.size(); ++i) {
      if (!excerpt_.HasOperation(i)) continue;
      const RecordedOperation& operation = report_.recording.operations[i];
      json_.BeginArray().Number(Index(operation.client)).Number(Index(Cut(operation.text, kTextMax)));
      json_.Number(operation.begin_ns).Number(operation.end_ns).Number(operation.bad ? 1 : 0).EndArray();
    }
    json_.EndArray();
  }

  void Slice() {
    List("slice", slice_, [this](uint64_t number) {
      const uint64_t index = IndexOf(number);
      if (index < events_.size()) json_.Number(index);
    });
  }

  const Report& report_;
  const Excerpt& excerpt_;
  std::vector<uint64_t> slice_;               // Sorted.
  std::vector<const RecordedEvent*> events_;  // Those of the page.
  std::vector<std::string> strings_;
  absl::flat_hash_map<std::string, uint64_t> indices_;
  std::string text_;
  JsonWriter json_{&text_};
};

}  // namespace

std::string TimelineHtml(const Report& report, const Excerpt& excerpt) {
  constexpr absl::string_view kPlaceOfData = "@data@";
  const size_t data = kTimelinePage.find(kPlaceOfData);
  CHECK_NE(data, absl::string_view::npos);
  return absl::StrCat(kTimelinePage.substr(0, data), Data(report, excerpt).Json(),
                      kTimelinePage.substr(data + kPlaceOfData.size()));
}

std::string TimelineHtml(const Report& report) { return TimelineHtml(report, Excerpt(report, kTimelineEventsMax)); }

}  // namespace tandem::testing
