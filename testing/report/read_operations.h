// SPDX-License-Identifier: Apache-2.0
//
// The operations of clients in a recording.

#ifndef TANDEM_TESTING_REPORT_READ_OPERATIONS_H_
#define TANDEM_TESTING_REPORT_READ_OPERATIONS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tandem/sim/report/recorded_frame.h"
#include "tandem/testing/history.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// Puts together what their frames say (RecordedFrame::What::kOperation and kMisfit).
class OperationReader {
 public:
  using Texts = std::array<absl::string_view, sim::RecordedFrame::kTexts>;

  void Add(const sim::RecordedFrame& frame, const Texts& texts);
  void AddMisfit(const sim::RecordedFrame& frame, const Texts& texts);
  // In the order of their beginnings.
  std::vector<RecordedOperation> Take();

 private:
  struct Entry {
    History::Operation operation;  // Its times are those of the world.
    size_t history;
    bool bad = false;
  };

  std::vector<Entry> entries_;
  std::map<std::pair<uint64_t, uint64_t>, size_t> places_;  // By history and number in it.
  std::map<uint64_t, size_t> histories_;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_READ_OPERATIONS_H_
