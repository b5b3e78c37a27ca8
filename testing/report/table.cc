// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/table.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kNarrowest = 24;
constexpr size_t kPlaceMax = 28;

// One line of at most `width` characters.
std::string Fit(absl::string_view text, size_t width) {
  std::string line(text);
  for (char& c : line) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  if (line.size() > width) {
    line.resize(width - 3);
    line += "...";
  }
  return line;
}

void PadTo(std::string& line, size_t column) {
  if (line.size() < column) line.resize(column, ' ');
}

// How bytes come from one host to another, beside the packets that carry them: what a long story does without.
bool IsPlumbing(const RecordedEvent& event) {
  switch (event.kind) {
    case sim::TraceKind::kPacketSent:
    case sim::TraceKind::kPacketDelivered:
      return event.packet.has_value() && event.packet->payload.empty() && event.packet->lost.empty() &&
             event.packet->protocol == RecordedPacket::Protocol::kTcp &&
             (event.packet->flags & (RecordedPacket::kFin | RecordedPacket::kReset)) == 0;
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

// What has no row: so many of the slice before the first one, and so many before the one of event `gap`.
struct LeftOut {
  size_t before = 0;
  size_t between = 0;
  uint64_t gap = kNoEvent;
};

// Leaves of `rows` the last `rows_max`, and if `cause` is not among them, those around it and fewer of the last.
LeftOut CutRows(std::vector<const RecordedEvent*>& rows, size_t rows_max, uint64_t cause) {
  constexpr size_t kBeforeCause = 4;
  LeftOut left_out;
  if (rows.size() <= rows_max) return left_out;
  left_out.before = rows.size() - rows_max;
  const auto has_happened = [cause](const RecordedEvent* row) { return row->number < cause; };
  const auto at = static_cast<size_t>(std::partition_point(rows.begin(), rows.end(), has_happened) - rows.begin());
  const size_t around = rows_max / 2;
  if (cause != kNoEvent && at < left_out.before + std::min(around, kBeforeCause)) {
    const size_t first = at - std::min(at, kBeforeCause);
    const size_t next = rows.size() - (rows_max - around);
    left_out.before = first;
    left_out.between = next - (first + around);
    left_out.gap = rows[next]->number;
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(first + around),
               rows.begin() + static_cast<std::ptrdiff_t>(next));
  }
  rows.erase(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(left_out.before));
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
  if (rows.size() > rows_max) {
    std::erase_if(rows, [&](const RecordedEvent* row) { return row->number != report.cause && IsPlumbing(*row); });
  }
  *left_out = CutRows(rows, rows_max, report.cause);
  if (rows.empty()) return rows;
  // Where tasks go on in the order in which they become ready, their steps say little: not so in what only runs in a
  // circle, or of which hardly anything else is seen.
  constexpr size_t kHardlyAnything = 3;
  if (absl::StrContains(report.scenario, "\nschedule fifo\n") && rows.size() > kHardlyAnything) return rows;
  constexpr size_t kStepsOfACircle = 10;
  if (rows.size() == 1 && steps.size() > kStepsOfACircle) steps.erase(steps.begin(), steps.end() - kStepsOfACircle);
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
  return Fit(text, width);
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

  std::vector<bool> shown(recording.hosts.size());
  size_t number_width = 0;
  size_t time_width = absl::string_view("seconds").size();
  size_t place_width = 2;
  for (const RecordedEvent* const row : rows) {
    if (row->host >= 0) shown[static_cast<size_t>(row->host)] = true;
    number_width = std::max(number_width, absl::StrCat("e", row->number).size());
    time_width = std::max(time_width, sim::VirtualTimeText(row->time_ns).view().size());
    place_width = std::max(place_width, std::min(row->place.size(), kPlaceMax));
  }
  const auto hosts = static_cast<size_t>(std::count(shown.begin(), shown.end(), true));
  const size_t first = number_width + kGap + time_width + kGap;
  const size_t fixed = first + place_width;
  const size_t room = size.columns > fixed ? size.columns - fixed : 0;
  const size_t share = room / std::max<size_t>(hosts, 1);
  const size_t width = std::max(kNarrowest, share - std::min(share, kGap));
  std::vector<size_t> columns(recording.hosts.size());
  size_t next = first;
  for (size_t i = 0; i < columns.size(); ++i) {
    columns[i] = next;
    if (shown[i]) next += width + kGap;
  }
  const size_t place_column = next;

  std::string text;
  const auto leave_out = [&text](size_t events, absl::string_view where) {
    if (events > 0) absl::StrAppend(&text, "... ", events, events == 1 ? " event " : " events ", where, "\n");
  };
  leave_out(left_out.before, "before");
  std::string head;
  PadTo(head, number_width + kGap);
  head += "seconds";
  for (size_t i = 0; i < columns.size(); ++i) {
    if (!shown[i]) continue;
    PadTo(head, columns[i]);
    head += Fit(recording.hosts[i], width);
  }
  PadTo(head, place_column);
  absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(head + "at"), "\n");
  for (const RecordedEvent* const row : rows) {
    if (row->number == left_out.gap) leave_out(left_out.between, "between");
    std::string line = absl::StrCat("e", row->number);
    PadTo(line, number_width + kGap);
    line += sim::VirtualTimeText(row->time_ns).view();
    const bool everywhere = row->host < 0;
    PadTo(line, everywhere ? first : columns[static_cast<size_t>(row->host)]);
    line += Shorten(InBrief(recording, *row), everywhere ? std::max(place_column - first - kGap, width) : width);
    if (!row->place.empty()) {
      PadTo(line, place_column);
      line += Fit(row->place, kPlaceMax);
    }
    absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return text;
}

}  // namespace tandem::testing
