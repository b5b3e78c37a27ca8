// SPDX-License-Identifier: Apache-2.0
//
// report.json: all of a report but the events and operations, which files beside it have. report.schema.json says what
// is in it.

#ifndef TANDEM_TESTING_REPORT_REPORT_JSON_H_
#define TANDEM_TESTING_REPORT_REPORT_JSON_H_

#include <string>

#include "absl/types/span.h"
#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// Of what the files mean: it grows when something in one of them changes that a program may rely on, and not when
// something is added.
inline constexpr int kReportSchemaVersion = 1;

// `files` are the names of those beside it.
std::string ReportJson(const Report& report, absl::Span<const std::string> files, const Excerpt& excerpt = {});

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_REPORT_JSON_H_
