// SPDX-License-Identifier: Apache-2.0
//
// NumberChecker: finds gaps and repeats in a stream of consecutive 64-bit numbers.

#ifndef TANDEM_TESTING_CONFORMANCE_NUMBER_CHECKER_H_
#define TANDEM_TESTING_CONFORMANCE_NUMBER_CHECKER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tandem::testing {

// The stream comes in pieces of any size and begins with 0.
class NumberChecker {
 public:
  void Add(const char* data, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      partial_[filled_++] = data[i];
      if (filled_ < sizeof(uint64_t)) continue;
      uint64_t number = 0;
      std::memcpy(&number, partial_, sizeof(number));
      if (number != next_) ++mistakes_;
      next_ = number + 1;
      filled_ = 0;
    }
  }
  uint64_t next() const { return next_; }
  int mistakes() const { return mistakes_; }

 private:
  char partial_[sizeof(uint64_t)];
  size_t filled_ = 0;
  uint64_t next_ = 0;
  int mistakes_ = 0;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_NUMBER_CHECKER_H_
