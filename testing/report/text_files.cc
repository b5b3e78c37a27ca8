// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/text_files.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/json.h"

namespace tandem::testing {
namespace {

// As one field of several.
std::string Field(absl::string_view text) {
  return text.empty() ? "-" : absl::StrReplaceAll(OneLine(text), {{" ", "_"}});
}

// Goes on at `column` of the line that begins at `begin`, after two spaces at least.
void ToColumn(std::string& text, size_t begin, size_t column) {
  const size_t size = text.size() - begin;
  text.append(std::max(column, size + 2) - size, ' ');
}

void LeftOut(std::string& text, const Excerpt::Gap& gap) {
  absl::StrAppend(&text, "# ", EventName(gap.first), " to ", EventName(gap.last), " are left out\n");
}

bool IsLogged(const RecordedEvent& event) {
  return event.source == RecordedEvent::Source::kLog || event.source == RecordedEvent::Source::kFailure;
}

}  // namespace

std::string LogText(const Recording& recording, const Excerpt& excerpt) {
  std::string text;
  excerpt.Visit(
      recording,
      [&](const RecordedEvent& event) {
        if (!IsLogged(event)) return;
        const bool failure = event.source == RecordedEvent::Source::kFailure;
        const std::string before =
            absl::StrCat(EventName(event.number), " ", failure ? "FAILURE" : OneLine(event.verb), " ",
                         TimeName(event.time_ns), " ", Field(HostName(recording, event.host, "")),
                         event.task.empty() ? "" : "/", OneLine(event.task), " ", Field(event.place), "] ");
        for (const absl::string_view line : absl::StrSplit(event.text, '\n')) {
          absl::StrAppend(&text, before, OneLine(line), "\n");
        }
      },
      [&](const Excerpt::Gap& gap) {
        const auto first = recording.events.begin() + static_cast<ptrdiff_t>(gap.first);
        if (std::any_of(first, first + static_cast<ptrdiff_t>(gap.size()), IsLogged)) LeftOut(text, gap);
      });
  return text;
}

std::string TimelineText(const Report& report, const Excerpt& excerpt) {
  constexpr size_t kCauseColumn = 12;
  constexpr size_t kTimeColumn = 21;
  constexpr size_t kHostColumn = 36;
  constexpr size_t kTaskColumn = 46;
  constexpr size_t kPlaceColumn = 66;
  constexpr size_t kRestColumn = 86;
  std::string text =
      "# event, * if it led to the failure, its cause, seconds, host, task, where it awaits, what happened\n";
  auto slice = report.slice.begin();
  excerpt.Visit(
      report.recording,
      [&](const RecordedEvent& event) {
        while (slice != report.slice.end() && *slice < event.number) ++slice;
        const bool in_slice = slice != report.slice.end() && *slice == event.number;
        const size_t begin = text.size();
        absl::StrAppend(&text, EventName(event.number));
        ToColumn(text, begin, 9);
        absl::StrAppend(&text, in_slice ? "*" : "-");
        ToColumn(text, begin, kCauseColumn);
        absl::StrAppend(&text, event.cause == kNoEvent ? "-" : EventName(event.cause));
        ToColumn(text, begin, kTimeColumn);
        absl::StrAppend(&text, TimeName(event.time_ns));
        ToColumn(text, begin, kHostColumn);
        absl::StrAppend(&text, Field(HostName(report.recording, event.host, "")));
        ToColumn(text, begin, kTaskColumn);
        absl::StrAppend(&text, Field(event.task));
        ToColumn(text, begin, kPlaceColumn);
        absl::StrAppend(&text, Field(event.place));
        ToColumn(text, begin, kRestColumn);
        absl::StrAppend(&text, OneLine(WhatHappened(event)), "\n");
      },
      [&](const Excerpt::Gap& gap) { LeftOut(text, gap); });
  return text;
}

std::string HistoryJsonl(const Report& report, size_t history, const Excerpt& excerpt) {
  std::string text;
  uint64_t number = 0;  // Of the operation, in this history.
  uint64_t next = 0;    // The first that is neither there nor left out.
  const auto leave_out = [&] {
    if (next == number) return;
    JsonWriter json(&text);
    json.BeginObject().Key("left_out").BeginObject().Key("first").Number(next);
    json.Key("last").Number(number - 1).EndObject().EndObject();
    text += '\n';
  };
  for (size_t i = 0; i < report.recording.operations.size(); ++i) {
    const RecordedOperation& operation = report.recording.operations[i];
    if (operation.history != history) continue;
    if (excerpt.HasOperation(i)) {
      leave_out();
      text += operation.json_line;
      next = number + 1;
    }
    ++number;
  }
  leave_out();
  return text;
}

}  // namespace tandem::testing
