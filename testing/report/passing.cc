// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/passing.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/json.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {
namespace {

using Source = RecordedEvent::Source;

absl::string_view WhyLost(const RecordedEvent& event) {
  return event.packet.has_value() ? absl::string_view(event.packet->lost) : "";
}

// Of a world whose hosts, and events, may have other numbers.
bool IsSame(const Recording& a, const RecordedEvent& x, const Recording& b, const RecordedEvent& y) {
  return x.source == y.source && x.kind == y.kind && x.time_ns == y.time_ns && x.task == y.task &&
         HostName(a, x.host, "") == HostName(b, y.host, "") && x.verb == y.verb && OwnText(x) == OwnText(y) &&
         WhyLost(x) == WhyLost(y);  // What became of a packet is not in the words of all kinds.
}

bool IsStep(const RecordedEvent& event) { return event.kind == sim::TraceKind::kTaskResume; }

// The events that count, in order: what happened, and which task did it.
std::vector<const RecordedEvent*> EventsOf(const Recording& recording) {
  std::vector<const RecordedEvent*> events;
  for (const RecordedEvent& event : recording.events) {
    if (event.source != Source::kNote && (IsTold(event) || IsStep(event))) events.push_back(&event);
  }
  return events;
}

size_t SameEvents(const Recording& a, const std::vector<const RecordedEvent*>& left, const Recording& b,
                  const std::vector<const RecordedEvent*>& right) {
  const size_t most = std::min(left.size(), right.size());
  size_t same = 0;
  while (same < most && IsSame(a, *left[same], b, *right[same])) ++same;
  return same;
}

// An event of each run, or of one of them.
struct Row {
  const RecordedEvent* failing = nullptr;
  const RecordedEvent* passing = nullptr;
  bool first = false;    // The first difference.
  bool differs = false;  // They look alike and are not: the row behind says how.
  size_t times = 1;      // So often in a row, of one run.
};

// All of `a` from the first word on that is another one in `b`, or the last that both have.
std::string OwnWords(absl::string_view a, absl::string_view b) {
  size_t same = 0;
  while (same < a.size() && same < b.size() && a[same] == b[same]) ++same;
  const size_t blank = a.substr(0, same).rfind(' ');
  return absl::StrCat("... ", a.substr(blank == a.npos ? 0 : blank + 1));
}

class Rows {
 public:
  Rows(const Recording& failing, const Recording& passing)
      : failing_(failing), passing_(passing), left_(EventsOf(failing)), right_(EventsOf(passing)) {}

  // Those around the first difference.
  std::vector<Row> Around(const SideBySideSize& size) {
    const size_t same = SameEvents(failing_, left_, passing_, right_);
    std::vector<Row> rows;
    size_t before = same;
    while (before > 0 && rows.size() < size.before) {
      --before;
      if (!IsStep(*left_[before])) rows.insert(rows.begin(), Row{left_[before], right_[before]});
    }
    if (same == left_.size() && same == right_.size()) return rows;
    AddDifferent(same, size.after, rows);
    return rows;
  }

 private:
  // In the order of time, without what both do.
  void AddDifferent(size_t same, size_t rows_max, std::vector<Row>& rows) {
    size_t i = same;
    size_t j = same;
    const size_t all = rows.size() + rows_max;
    bool first = true;
    while (rows.size() < all && (i < left_.size() || j < right_.size())) {
      Row row;
      if (i < left_.size() && j < right_.size() && IsSame(failing_, *left_[i], passing_, *right_[j])) {
        ++i;
        ++j;
        continue;
      } else if (j == right_.size() || (i < left_.size() && left_[i]->time_ns <= right_[j]->time_ns)) {
        row.failing = left_[i++];
      } else {
        row.passing = right_[j++];
      }
      if (first && row.failing != nullptr && j < right_.size() && LooksSame(*row.failing, *right_[j])) {
        row.passing = right_[j++];
        row.differs = true;
      }
      const RecordedEvent& event = row.failing != nullptr ? *row.failing : *row.passing;
      if (first) steps_ = IsStep(event);
      if (IsStep(event) && !steps_) continue;
      row.first = std::exchange(first, false);
      if (!rows.empty() && IsAgain(rows.back(), row)) {
        ++rows.back().times;
      } else {
        rows.push_back(row);
      }
    }
  }

  // Whether `row` is what one of the runs has done in `before`, once more.
  bool IsAgain(const Row& before, const Row& row) const {
    const bool fails = row.failing != nullptr;
    const RecordedEvent* const one = fails ? before.failing : before.passing;
    if (one == nullptr || (before.failing != nullptr && before.passing != nullptr)) return false;
    const RecordedEvent& other = fails ? *row.failing : *row.passing;
    const Recording& recording = fails ? failing_ : passing_;
    return one->host == other.host && one->time_ns == other.time_ns &&
           InBrief(recording, *one) == InBrief(recording, other);
  }

  bool LooksSame(const RecordedEvent& failing, const RecordedEvent& passing) const {
    return failing.kind == passing.kind && failing.time_ns == passing.time_ns &&
           HostName(failing_, failing.host, "") == HostName(passing_, passing.host, "") &&
           InBrief(failing_, failing) == InBrief(passing_, passing) && OwnText(failing) != OwnText(passing);
  }

  const Recording& failing_;
  const Recording& passing_;
  const std::vector<const RecordedEvent*> left_;
  const std::vector<const RecordedEvent*> right_;
  bool steps_ = false;  // Which task goes on is what is other, and so it has rows.
};

// One line of exactly `width` characters.
std::string Cell(absl::string_view text, size_t width) {
  std::string cell = RowText(text, width);
  cell.resize(width, ' ');
  return cell;
}

}  // namespace

uint64_t FirstDifference(const Recording& failing, const Recording& passing) {
  const std::vector<const RecordedEvent*> left = EventsOf(failing);
  const size_t same = SameEvents(failing, left, passing, EventsOf(passing));
  return same < left.size() ? left[same]->number : failing.events.size();
}

std::string SideBySide(const Recording& failing, const PassingRun& passing, const SideBySideSize& size) {
  const std::vector<Row> rows = Rows(failing, passing.recording).Around(size);
  size_t time_width = absl::string_view("seconds").size();
  size_t host_width = absl::string_view("host").size();
  constexpr size_t kHostMax = 16;
  const auto fit = [&](const Recording& recording, const RecordedEvent* event) {
    if (event == nullptr) return;
    time_width = std::max(time_width, TimeName(event->time_ns).size());
    host_width = std::max(host_width, std::min(HostName(recording, event->host, "").size(), kHostMax));
  };
  for (const Row& row : rows) {
    fit(failing, row.failing);
    fit(passing.recording, row.passing);
  }
  constexpr absl::string_view kMark = ">>>  ";
  constexpr absl::string_view kNoMark = "     ";
  constexpr size_t kGaps = 2 + 2 + 3 + 2;
  const size_t fixed = kMark.size() + time_width + 2 * host_width + kGaps;
  const size_t width = std::max<size_t>(24, (size.columns - std::min(size.columns, fixed)) / 2);
  std::string text;
  const auto add = [&](absl::string_view mark, absl::string_view time, absl::string_view host, absl::string_view what,
                       absl::string_view sign, absl::string_view other_host, absl::string_view other) {
    const std::string line =
        absl::StrCat(mark, Cell(time, time_width), "  ", Cell(host, host_width), "  ", Cell(what, width), " ", sign,
                     " ", Cell(other_host, host_width), "  ", Cell(other, width));
    absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line), "\n");
  };
  add(kNoMark, "seconds", "host", "fails", " ", "host", "passes");
  for (const Row& row : rows) {
    const auto host = [](const Recording& recording, const RecordedEvent* event) {
      return event == nullptr ? absl::string_view() : HostName(recording, event->host, "");
    };
    const auto what = [&row](const Recording& recording, const RecordedEvent* event) {
      const std::string times = row.times == 1 ? "" : absl::StrCat(row.times, " times: ");
      return event == nullptr ? std::string() : absl::StrCat(times, InBrief(recording, *event));
    };
    const RecordedEvent* const any = row.failing != nullptr ? row.failing : row.passing;
    add(row.first ? kMark : kNoMark, TimeName(any->time_ns), host(failing, row.failing), what(failing, row.failing),
        row.failing == nullptr || row.passing == nullptr || row.differs ? " " : "=",
        host(passing.recording, row.passing), what(passing.recording, row.passing));
    if (!row.differs) continue;
    const std::string left = WhatHappened(*row.failing);
    const std::string right = WhatHappened(*row.passing);
    add(kNoMark, "", "", OwnWords(left, right), " ", "", OwnWords(right, left));
  }
  return text;
}

}  // namespace tandem::testing
