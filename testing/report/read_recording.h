// SPDX-License-Identifier: Apache-2.0
//
// Makes a Recording of what sim::Recorder (sim/report/recorder.h) has written: the events, what brought each of them
// about (causes.h), and the faults as stretches of time.

#ifndef TANDEM_TESTING_REPORT_READ_RECORDING_H_
#define TANDEM_TESTING_REPORT_READ_RECORDING_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// Of a process that died in the middle of a frame, what came before it.
//
// Errors:
//   kDataLoss  `bytes` are no recording.
absl::StatusOr<Recording> ReadRecording(absl::string_view bytes);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_READ_RECORDING_H_
