// SPDX-License-Identifier: Apache-2.0
//
// Durations in the text of scenarios: "1.5s", by integer arithmetic, since absl::FormatDuration() goes through floating
// point.

#ifndef TANDEM_SIM_FAULTS_SECONDS_H_
#define TANDEM_SIM_FAULTS_SECONDS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tandem::sim {

// `duration` is not negative; what is below a nanosecond is cut.
std::string SecondsText(absl::Duration duration);
// The inverse: a decimal number of at most nine places, and "s". False when `text` is none.
bool ParseSeconds(absl::string_view text, absl::Duration* duration);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_FAULTS_SECONDS_H_
