// SPDX-License-Identifier: Apache-2.0
//
// Places where a program helps its own test: rare things that it may do at any time, and sizes that it may have.
//
//   if (TANDEM_BUGGIFY("log.flush_each")) co_await log.Flush();     // No batch, this time.
//   if (TANDEM_BUGGIFY("replica.forgets_hint")) hint.reset();
//   const size_t batch = TANDEM_KNOB("log.batch", 64, 1, 1024);
//
// In a simulation into which a test injects faults (World::Inject()), each place is on in a quarter of the seeds, and
// then fires in a quarter of the visits; each knob has another value in a quarter of the seeds. The seed decides, and a
// scenario can take it away: "calm buggify server/log.flush_each", or without the line knob "log.batch" 3. Elsewhere
// they are off: a look at a pointer that is null.
//
// What fires must be right, only unlikely: an early flush, a lost hint, a small buffer, a retry. What is wrong would be
// a bug that the test finds and nobody has.

#ifndef TANDEM_CORE_BASE_BUGGIFY_H_
#define TANDEM_CORE_BASE_BUGGIFY_H_

#include <cstdint>

#include "absl/strings/string_view.h"

// True where it fires. `name` has no blanks, '/', '#' and '"' (a simulated world CHECKs that), and is the same at each
// visit.
#define TANDEM_BUGGIFY(name) (::tandem::internal::DrawBuggify(name))

// `value`, or a number from `low` to `high`, both included, which the seed decides once for all hosts. They are
// int64_t, and low <= high. `name` as above.
#define TANDEM_KNOB(name, value, low, high) (::tandem::internal::DrawKnob(name, value, low, high))

namespace tandem::internal {

// Set by a simulated world while it exists, before and after which one thread runs; null elsewhere.
inline bool (*buggify_drawn)(absl::string_view name) = nullptr;
inline int64_t (*knob_drawn)(absl::string_view name, int64_t value, int64_t low, int64_t high) = nullptr;

inline bool DrawBuggify(absl::string_view name) {
  if (buggify_drawn != nullptr) [[unlikely]] {
    return buggify_drawn(name);
  }
  return false;
}

inline int64_t DrawKnob(absl::string_view name, int64_t value, int64_t low, int64_t high) {
  if (knob_drawn != nullptr) [[unlikely]] {
    return knob_drawn(name, value, low, high);
  }
  return value;
}

}  // namespace tandem::internal

#endif  // TANDEM_CORE_BASE_BUGGIFY_H_
