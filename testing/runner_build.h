// SPDX-License-Identifier: Apache-2.0
//
// How this binary was built, from what the compiler says.

#ifndef TANDEM_TESTING_RUNNER_BUILD_H_
#define TANDEM_TESTING_RUNNER_BUILD_H_

#include <string>

namespace tandem::testing {

#if defined(__has_feature)
#define TANDEM_HAS_FEATURE(feature) __has_feature(feature)
#else
#define TANDEM_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || TANDEM_HAS_FEATURE(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif

#if defined(__SANITIZE_THREAD__) || TANDEM_HAS_FEATURE(thread_sanitizer)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

// g++ 12 does not say so.
#if TANDEM_HAS_FEATURE(undefined_behavior_sanitizer)
inline constexpr bool kUndefinedSanitizer = true;
#else
inline constexpr bool kUndefinedSanitizer = false;
#endif

#undef TANDEM_HAS_FEATURE

inline constexpr bool kSanitized = kAddressSanitizer || kThreadSanitizer || kUndefinedSanitizer;

// The --config flags that build this binary again, each with a space before it.
inline std::string BuildConfigFlags() {
  std::string flags;
#if !defined(__clang__)
  flags += " --config=gcc";
#endif
#if defined(__OPTIMIZE__) && defined(NDEBUG)
  flags += " --config=opt";
#endif
  if (kAddressSanitizer) flags += " --config=asan";
  if (kUndefinedSanitizer) flags += " --config=ubsan";
  if (kThreadSanitizer) flags += " --config=tsan";
  return flags;
}

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_BUILD_H_
