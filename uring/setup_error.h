// SPDX-License-Identifier: Apache-2.0
//
// Why io_uring could not be set up, and what to do about it.
//
// The kernel gives one errno for several causes. ReadSetupFacts() collects what tells them apart, and SetupError(), a
// pure function, names the cause and the cure.

#ifndef TANDEM_URING_SETUP_ERROR_H_
#define TANDEM_URING_SETUP_ERROR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tandem::uring {

// What Tandem needs: provided buffer rings and multishot accept are in 5.19, multishot receive in 6.0, deferred task
// work in 6.1.
inline constexpr int kKernelMajor = 6;
inline constexpr int kKernelMinor = 1;

struct SetupFacts {
  std::string kernel;             // uname -r.
  int disabled_sysctl = -1;       // kernel.io_uring_disabled, or -1 when there is none or it cannot be read.
  int seccomp_mode = -1;          // Of this process: 0 none, 1 strict, 2 filter; -1 unknown.
  uint64_t descriptor_limit = 0;  // RLIMIT_NOFILE.
  uint64_t memlock_limit = 0;     // RLIMIT_MEMLOCK, bytes; all ones is unlimited.
};

SetupFacts ReadSetupFacts();

// The error for errno `error` (positive) of `operation`, for example "io_uring_setup". ErrnoOf() gives `error` back.
//
// Codes: that of the errno (core/io/errors.h).
absl::Status SetupError(int error, absl::string_view operation, const SetupFacts& facts);

// The error for a kernel that has io_uring without `feature`, which came with Linux `since`. kUnimplemented.
absl::Status MissingFeatureError(absl::string_view feature, absl::string_view since, const SetupFacts& facts);

}  // namespace tandem::uring

#endif  // TANDEM_URING_SETUP_ERROR_H_
