// SPDX-License-Identifier: Apache-2.0
//
// The files about a run that are lines of text, valid UTF-8 whatever the program made of its names and messages.

#ifndef TANDEM_TESTING_REPORT_TEXT_FILES_H_
#define TANDEM_TESTING_REPORT_TEXT_FILES_H_

#include <string>

#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// log.txt: what the program has logged, and the failure, as LOG() writes it in a world (docs/debugging.md), with the
// event before it:
//
//   e17 I 12.345678901 server/HandleConnection connection.cc:42] closed by the peer
//
// A message of several lines has all this on each.
std::string LogText(const Recording& recording, const Excerpt& excerpt = {});

// timeline.txt: an event a line, in fields with spaces between them and none inside, "-" for what there is not: the
// event, "*" if it is part of the slice, its cause, the time in seconds, the host, the task, where it awaits; what
// happened is the rest of the line.
//
//   e17      *  e15      0.250310000  server    HandleConnection  echo.cc:31  reads 12 bytes from socket 4
//
// Lines about the file begin with "#".
std::string TimelineText(const Report& report, const Excerpt& excerpt = {});

// history.jsonl: the operations of one history of the run, as testing::ToJsonLines() writes them. Where operations are
// left out there is {"left_out":{"first":4,"last":17}}; without such lines, //testing:check_history reads it.
std::string HistoryJsonl(const Report& report, size_t history, const Excerpt& excerpt = {});

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_TEXT_FILES_H_
