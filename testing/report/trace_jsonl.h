// SPDX-License-Identifier: Apache-2.0
//
// trace.jsonl: the events of a run for programs, a JSON object on each line. trace_line.schema.json says what is in
// one; what an event does not have is left out.
//
//   {"event":17,"time_ns":250310000,"source":"trace","kind":"receive","host":"server","task":"HandleConnection",
//    "task_id":"9e3779b97f4a7c15","place":"echo.cc:31","verb":"reads","text":"12 bytes from socket 4","a":"4","b":"12",
//    "socket":4,"connection":"tcp 10.0.0.1:7 10.0.0.2:49152","cause":15}
//
// without the line breaks. Where events are left out there is {"left_out":{"first":18,"last":92}}.

#ifndef TANDEM_TESTING_REPORT_TRACE_JSONL_H_
#define TANDEM_TESTING_REPORT_TRACE_JSONL_H_

#include <cstddef>
#include <string>

#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// Of a payload. The capture has all of it.
inline constexpr size_t kMaxPayloadInJson = 1'024;

std::string TraceJsonl(const Recording& recording, const Excerpt& excerpt = {});

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_TRACE_JSONL_H_
