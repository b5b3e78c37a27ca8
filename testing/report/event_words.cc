// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/event_words.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::testing {

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
  if (event.verb.empty()) {
    return absl::StrCat(sim::TraceKindName(event.kind), " ", event.a, " ", event.b, " ", event.c);
  }
  return event.text.empty() ? event.verb : absl::StrCat(event.verb, " ", event.text);
}

}  // namespace tandem::testing
