// SPDX-License-Identifier: Apache-2.0
//
// What is true in every run of a program, and what has to happen in some run of its tests.
//
//   TANDEM_ALWAYS(committed_ <= appended_, "what is committed is in the log", committed_, appended_);
//   TANDEM_SOMETIMES(batch.size() > 1, "several entries share a write");
//   if (term > term_) {
//     TANDEM_REACHABLE("a later term is seen");
//     ...
//   }
//
// In a simulation test (testing/sim_test.h) the first two are looked at: a TANDEM_ALWAYS that does not hold fails its
// seed, with the values, and a TANDEM_SOMETIMES that held in no seed fails the run. They say whether the seeds go where
// a test wants to be, as no coverage of lines does: docs/testing.md.
//
// Elsewhere an assertion is a look at a pointer that is null: the condition is not evaluated. It must have no effects,
// and is no protection in production, for which there is CHECK.

#ifndef TANDEM_CORE_BASE_ASSERTIONS_H_
#define TANDEM_CORE_BASE_ASSERTIONS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

// Each time that it comes here, `condition` is true. `message`, a literal, says in words what holds. What follows are
// values to show where it does not, of the types that absl::StrCat() takes.
#define TANDEM_ALWAYS(condition, message, ...) TANDEM_ASSERTION_(kAlways, condition, message __VA_OPT__(, ) __VA_ARGS__)

// At least once in all seeds of a test, `condition` is true here.
#define TANDEM_SOMETIMES(condition, message, ...) \
  TANDEM_ASSERTION_(kSometimes, condition, message __VA_OPT__(, ) __VA_ARGS__)

// At least one seed of a test comes here.
#define TANDEM_REACHABLE(message) TANDEM_ASSERTION_(kReachable, true, message)

// No seed comes here.
#define TANDEM_UNREACHABLE(message, ...) TANDEM_ASSERTION_(kUnreachable, false, message __VA_OPT__(, ) __VA_ARGS__)

#define TANDEM_ASSERTION_(kind, condition, message, ...)                                                               \
  do {                                                                                                                 \
    if (::tandem::internal::assertion_visited != nullptr) [[unlikely]] {                                               \
      ::tandem::internal::VisitAssertion(                                                                              \
          [] {                                                                                                         \
            return ::tandem::internal::AssertionText{::tandem::internal::AssertionKind::kind, "" message "", __FILE__, \
                                                     __LINE__};                                                        \
          },                                                                                                           \
          static_cast<bool>(condition),                                                                                \
          [&] { return ::tandem::internal::AssertionValues("" #__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__); });            \
    }                                                                                                                  \
  } while (false)

namespace tandem::internal {

enum class AssertionKind : uint8_t {
  kAlways,
  kSometimes,
  kReachable,
  kUnreachable,
  kChecker,  // Of a library for tests: where seeds come here at all, it holds in one of them.
};

// "always", "sometimes", ...
absl::string_view AssertionKindName(AssertionKind kind);

struct AssertionText {
  AssertionKind kind;
  const char* message;
  const char* file;
  int line;
};

// One assertion of the program. There is one from the start of the process on, whether it is ever reached or not.
class AssertionSite {
 public:
  explicit AssertionSite(const AssertionText& text);
  AssertionSite(const AssertionSite&) = delete;
  AssertionSite& operator=(const AssertionSite&) = delete;

  AssertionKind kind() const { return text_.kind; }
  absl::string_view message() const { return text_.message; }
  absl::string_view file() const { return text_.file; }
  int line() const { return text_.line; }
  // Below Count(), and the same in every process of this program.
  uint32_t index() const { return index_; }

  static const AssertionSite* First();
  const AssertionSite* next() const { return next_; }
  static uint32_t Count();

 private:
  const AssertionText text_;
  const uint32_t index_;
  const AssertionSite* const next_;
};

// That of the lambda which says where it is: a variable of static duration, which exists because it is named.
template <typename Text>
inline AssertionSite assertion_site{Text()()};

// What a test does at each visit; null elsewhere. Set before the tasks run that visit. `values` is the text of what
// was given to show.
inline void (*assertion_visited)(const AssertionSite& site, bool holds,
                                 absl::FunctionRef<std::string()> values) = nullptr;

template <typename Text>
void VisitAssertion(Text /*where*/, bool holds, absl::FunctionRef<std::string()> values) {
  assertion_visited(assertion_site<Text>, holds, values);
}

// "committed_=4, appended_=3", of the names as they were written, between commas, and their values, of which the
// beginning is shown where they are long.
std::string PairWithNames(absl::string_view names, absl::Span<const std::string> values);

template <typename... Values>
std::string AssertionValues(absl::string_view names, const Values&... values) {
  const std::array<std::string, sizeof...(Values)> texts = {absl::StrCat(values)...};
  return PairWithNames(names, texts);
}

}  // namespace tandem::internal

#endif  // TANDEM_CORE_BASE_ASSERTIONS_H_
