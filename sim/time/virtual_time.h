// SPDX-License-Identifier: Apache-2.0
//
// How the time of a world is written wherever a person reads it: in seconds with nine decimals.

#ifndef TANDEM_SIM_TIME_VIRTUAL_TIME_H_
#define TANDEM_SIM_TIME_VIRTUAL_TIME_H_

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace tandem::sim {

// The text of a time of the world's queue, "12.345678901". Uses no heap.
class VirtualTimeText {
 public:
  explicit VirtualTimeText(int64_t time_ns) {
    constexpr int64_t kSecond = 1'000'000'000;
    const int size = absl::SNPrintF(text_, std::size(text_), "%d.%09d", time_ns / kSecond, time_ns % kSecond);
    size_ = static_cast<size_t>(size);
  }
  absl::string_view view() const { return absl::string_view(text_, size_); }

 private:
  char text_[32];
  size_t size_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TIME_VIRTUAL_TIME_H_
