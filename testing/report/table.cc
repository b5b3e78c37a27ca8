// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/table.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/json.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {
namespace {

constexpr size_t kGap = 2;
// What is of no host, or concerns all, begins with this, left of all columns.
constexpr absl::string_view kOfAll = "* ";
// More are not read at a glance, and make lines that no screen has.
constexpr size_t kColumnsMax = 8;
constexpr size_t kNarrowest = 24;
// Of a text: more of it is in the files.
constexpr size_t kWidest = 64;
constexpr size_t kPlaceMax = 28;

void PadTo(std::string& line, size_t column) {
  if (line.size() < column) line.resize(column, ' ');
}

// Of TCP, and it resets nothing.
bool IsPacketWithoutBytes(const RecordedEvent& event) {
  return event.packet.has_value() && event.packet->payload.empty() && event.packet->lost.empty() &&
         event.packet->protocol == RecordedPacket::Protocol::kTcp &&
         (event.packet->flags & RecordedPacket::kReset) == 0;
}

// How bytes come from one host to another, beside the packets that carry them: what a long story does without.
bool IsPlumbing(const RecordedEvent& event) {
  switch (event.kind) {
    case sim::TraceKind::kPacketSent:
    case sim::TraceKind::kPacketDelivered:
      return IsPacketWithoutBytes(event) && (event.packet->flags & RecordedPacket::kFin) == 0;
    case sim::TraceKind::kConnected:
      return event.b == 0;  // Without an error.
    case sim::TraceKind::kConnect:
      return static_cast<int64_t>(event.c) >= 0;
    case sim::TraceKind::kSend:
      return static_cast<int64_t>(event.b) >= 0;
    case sim::TraceKind::kAccept:
    case sim::TraceKind::kReceive:
    case sim::TraceKind::kShutdown:
    case sim::TraceKind::kClose:
    case sim::TraceKind::kLookup:
      return true;
    case sim::TraceKind::kLookedUp:
      return event.b == 0;
    default:
      return false;
  }
}

// So many events of the slice before that of a row have none themselves, by the row's.
using LeftOut = std::map<uint64_t, size_t>;

// What a fault does, and what a program has found worth telling.
bool IsMilestone(const RecordedEvent& event) {
  return event.source == RecordedEvent::Source::kNote || event.source == RecordedEvent::Source::kLog ||
         event.kind == sim::TraceKind::kHostCrash || event.kind == sim::TraceKind::kHostPause;
}

// Leaves of `rows` the last `rows_max`, and of those before as many more the fewer of the last: the milestones, where
// there are not many, and those around `cause`.
LeftOut CutRows(std::vector<const RecordedEvent*>& rows, size_t rows_max, uint64_t cause) {
  constexpr size_t kBeforeCause = 4;
  LeftOut left_out;
  if (rows.size() <= rows_max) return left_out;
  std::vector<bool> stays(rows.size());
  size_t count = 0;
  const auto keep = [&](size_t row) {
    if (stays[row]) return;
    stays[row] = true;
    ++count;
  };
  const size_t tail = rows.size() - rows_max;
  const auto has_happened = [cause](const RecordedEvent* row) { return row->number < cause; };
  const auto at = static_cast<size_t>(std::partition_point(rows.begin(), rows.end(), has_happened) - rows.begin());
  const size_t around = rows_max / 2;
  if (cause != kNoEvent && at < tail + std::min(around, kBeforeCause)) {
    const size_t first = at - std::min(at, kBeforeCause);
    for (size_t row = first; row < first + around; ++row) keep(row);
  }
  std::vector<size_t> milestones;
  for (size_t row = 0; row < rows.size(); ++row) {
    if (IsMilestone(*rows[row])) milestones.push_back(row);
  }
  if (milestones.size() <= rows_max / 3) {
    for (const size_t row : milestones) keep(row);
  }
  for (size_t row = rows.size(); row > 0 && count < rows_max; --row) keep(row - 1);
  std::vector<const RecordedEvent*> left;
  size_t gone = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    if (!stays[row]) {
      ++gone;
      continue;
    }
    if (gone > 0) left_out[rows[row]->number] = std::exchange(gone, 0);
    left.push_back(rows[row]);
  }
  rows = std::move(left);
  return left_out;
}

// The rows, in order: of the slice what is no detail, and while there is room the steps of tasks, first those of the
// slice, then those of others.
std::vector<const RecordedEvent*> RowsOf(const Report& report, size_t rows_max, LeftOut* left_out) {
  const Recording& recording = report.recording;
  std::vector<const RecordedEvent*> rows;
  std::vector<const RecordedEvent*> steps;
  std::vector<bool> does_something(recording.hosts.size());
  for (const uint64_t number : report.slice) {
    const RecordedEvent& event = recording.events[number];
    if (event.kind == sim::TraceKind::kTaskResume) steps.push_back(&event);
    if (!IsTold(event)) continue;
    rows.push_back(&event);
    if (event.host >= 0 && event.kind != sim::TraceKind::kHostStart) {
      does_something[static_cast<size_t>(event.host)] = true;
    }
  }
  // A host that has only started has nothing to do with it.
  const bool any = std::find(does_something.begin(), does_something.end(), true) != does_something.end();
  const auto is_idle = [&](const RecordedEvent* row) {
    return any && row->number != report.cause && row->host >= 0 && !does_something[static_cast<size_t>(row->host)];
  };
  std::erase_if(rows, is_idle);
  std::erase_if(steps, is_idle);
  for (const auto is_plumbing : {&IsPlumbing, &IsPacketWithoutBytes}) {
    if (rows.size() <= rows_max) break;
    std::erase_if(rows, [&](const RecordedEvent* row) { return row->number != report.cause && is_plumbing(*row); });
  }
  uint64_t turn = report.cause;
  if (turn == kNoEvent && report.passing.has_value()) turn = report.passing->differs_at;
  *left_out = CutRows(rows, rows_max, turn);
  if (rows.empty()) return rows;
  // Where tasks go on in the order in which they become ready, their steps say little: not so in what only runs in a
  // circle, or of which hardly anything else is seen.
  constexpr size_t kHardlyAnything = 3;
  if (absl::StrContains(report.scenario, "\nschedule fifo\n") && rows.size() > kHardlyAnything) return rows;
  constexpr size_t kStepsOfACircle = 10;
  if (rows.size() == 1 && steps.size() > kStepsOfACircle) steps.erase(steps.begin(), steps.end() - kStepsOfACircle);
  constexpr size_t kFew = 10;
  if (rows.size() <= kFew && rows.size() + steps.size() > rows_max) {
    // A race in the memory of one host is nothing but steps: the last ones there.
    const int32_t host = rows.back()->host;
    std::erase_if(steps, [host](const RecordedEvent* step) { return step->host != host; });
    const size_t gone = steps.size() - std::min(steps.size(), rows_max - rows.size());
    steps.erase(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(gone));
    if (gone > 0 && !steps.empty()) (*left_out)[steps.front()->number] = gone;
  }
  if (rows.size() + steps.size() <= rows_max) rows.insert(rows.end(), steps.begin(), steps.end());
  const auto earlier = [](const RecordedEvent* a, const RecordedEvent* b) { return a->number < b->number; };
  std::sort(rows.begin(), rows.end(), earlier);
  std::vector<const RecordedEvent*> others;
  for (const RecordedEvent& event : recording.events) {
    const bool step = event.kind == sim::TraceKind::kTaskResume && event.host >= 0 &&
                      does_something[static_cast<size_t>(event.host)] && event.number > rows.front()->number &&
                      event.number < rows.back()->number;
    if (step && !std::binary_search(rows.begin(), rows.end(), &event, earlier)) others.push_back(&event);
  }
  if (rows.size() + others.size() <= rows_max) rows.insert(rows.end(), others.begin(), others.end());
  std::sort(rows.begin(), rows.end(), earlier);
  return rows;
}

// `text` in `width` characters: without what stands in parentheses, if it is too long with it.
std::string Shorten(std::string text, size_t width) {
  while (text.size() > width) {
    const size_t open = text.find(" (");
    const size_t close = open == std::string::npos ? open : text.find(')', open);
    if (close == std::string::npos) break;
    text.erase(open, close + 1 - open);
  }
  return RowText(text, width);
}

// `name` in `width` characters, of which the last are as telling as the first.
std::string Heading(absl::string_view name, size_t width) {
  constexpr absl::string_view kMiddle = "...";
  std::string all = RowText(name, name.size() * 4);
  if (all.size() <= width) return all;
  const size_t head = (width - kMiddle.size()) / 2;
  const size_t tail = width - kMiddle.size() - head;
  return RowText(
      absl::StrCat(absl::string_view(all).substr(0, head), kMiddle, absl::string_view(all).substr(all.size() - tail)),
      width * 4);
}

// Where the columns begin. A row has one text: it may go on below the headings to its right, so columns are closer
// together than their texts are long, where there is no room for both.
class Columns {
 public:
  Columns(size_t count, size_t room, size_t heading, size_t text) {
    const size_t all_but_last = std::max<size_t>(count, 1) - 1;
    const size_t share = room / (all_but_last + 1);
    const size_t closest = std::clamp(heading, kNarrowest / 2, kNarrowest) + kGap;
    const size_t room_of_last = room - std::min(room, all_but_last * closest);
    const size_t last = std::clamp(std::min(text + kGap, room_of_last), kNarrowest + kGap, kWidest + kGap);
    step_ = share;
    if (share < last) step_ = std::max(closest, (room - std::min(room, last)) / std::max<size_t>(all_but_last, 1));
    width_ = std::max(room, all_but_last * step_ + last);
  }

  size_t step() const { return step_; }    // From one to the next.
  size_t width() const { return width_; }  // Of all.

 private:
  size_t step_;
  size_t width_;
};

// The hosts that have columns: those of `rows`, and where these are many that of the failure and those with most rows.
std::vector<bool> HostsOf(const Recording& recording, const std::vector<const RecordedEvent*>& rows) {
  std::vector<size_t> weights(recording.hosts.size());
  for (const RecordedEvent* const row : rows) {
    if (row->host < 0) continue;
    const bool fails = row->source == RecordedEvent::Source::kFailure;
    weights[static_cast<size_t>(row->host)] += fails ? rows.size() : 1;
  }
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&weights](size_t a, size_t b) { return weights[a] != weights[b] ? weights[a] > weights[b] : a < b; });
  std::vector<bool> shown(weights.size());
  for (size_t i = 0; i < std::min(order.size(), kColumnsMax); ++i) shown[order[i]] = weights[order[i]] > 0;
  return shown;
}

}  // namespace

std::vector<uint64_t> SliceRows(const Report& report, const TableSize& size) {
  LeftOut left_out;
  std::vector<uint64_t> events;
  for (const RecordedEvent* const row : RowsOf(report, size.rows, &left_out)) events.push_back(row->number);
  return events;
}

std::string SliceTable(const Report& report, const TableSize& size) {
  const Recording& recording = report.recording;
  LeftOut left_out;
  const std::vector<const RecordedEvent*> rows = RowsOf(report, size.rows, &left_out);
  if (rows.empty()) return "";

  const std::vector<bool> shown = HostsOf(recording, rows);
  size_t number_width = 0;
  size_t time_width = absl::string_view("seconds").size();
  size_t place_width = 2;
  size_t text_width = 0;
  for (const RecordedEvent* const row : rows) {
    number_width = std::max(number_width, absl::StrCat("e", row->number).size());
    time_width = std::max(time_width, sim::VirtualTimeText(row->time_ns).view().size());
    place_width = std::max(place_width, std::min(row->place.size(), kPlaceMax));
    const bool fails = row->source == RecordedEvent::Source::kFailure;
    if (row->host >= 0 && !fails) text_width = std::max(text_width, InBrief(recording, *row).size());
  }
  size_t heading_width = 0;
  for (size_t i = 0; i < shown.size(); ++i) {
    if (shown[i]) heading_width = std::max(heading_width, recording.hosts[i].size());
  }
  const auto hosts = static_cast<size_t>(std::count(shown.begin(), shown.end(), true));
  const size_t first = number_width + kGap + time_width + kGap;
  const size_t fixed = first + kOfAll.size() + place_width;
  const size_t room = size.columns > fixed ? size.columns - fixed : 0;
  const Columns layout(hosts, room, heading_width, text_width);
  std::vector<size_t> columns(recording.hosts.size());
  size_t next = first + kOfAll.size();
  for (size_t i = 0; i < columns.size(); ++i) {
    columns[i] = next;
    if (shown[i]) next += layout.step();
  }
  const size_t place_column = first + kOfAll.size() + layout.width();

  std::string text;
  const auto leave_out = [&](const RecordedEvent& row, absl::string_view where) {
    const auto gap = left_out.find(row.number);
    if (gap == left_out.end()) return;
    absl::StrAppend(&text, "... ", gap->second, gap->second == 1 ? " event " : " events ", where, "\n");
  };
  leave_out(*rows.front(), "before");
  std::string head;
  PadTo(head, number_width + kGap);
  head += "seconds";
  std::set<std::string> headings;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (!shown[i]) continue;
    PadTo(head, columns[i]);
    const size_t width = layout.step() - kGap;
    std::string heading = Heading(recording.hosts[i], width);
    if (!headings.insert(heading).second) heading = Heading(absl::StrCat("#", i, " ", recording.hosts[i]), width);
    head += heading;
  }
  PadTo(head, place_column);
  absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(head + "at"), "\n");
  for (const RecordedEvent* const row : rows) {
    if (row != rows.front()) leave_out(*row, "between");
    std::string line = absl::StrCat("e", row->number);
    PadTo(line, number_width + kGap);
    line += sim::VirtualTimeText(row->time_ns).view();
    // The failure has the whole line: it is what all others are there for.
    const bool fails = row->source == RecordedEvent::Source::kFailure;
    const absl::string_view host = HostName(recording, row->host, "");
    const bool has_column = row->host >= 0 && !fails && shown[static_cast<size_t>(row->host)];
    PadTo(line, has_column ? columns[static_cast<size_t>(row->host)] : first);
    std::string who;
    if (row->host < 0 || fails) {
      who = absl::StrCat(kOfAll, host, host.empty() ? "" : " ");
    } else if (!has_column) {
      who = absl::StrCat("[", host, "] ");
    }
    line += Shorten(who + InBrief(recording, *row), place_column - kGap - (has_column ? line.size() : first));
    if (!row->place.empty()) {
      PadTo(line, place_column);
      line += RowText(row->place, kPlaceMax);
    }
    absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return text;
}

}  // namespace tandem::testing
