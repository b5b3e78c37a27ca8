// SPDX-License-Identifier: Apache-2.0
//
// From errno to absl::Status, in one place for every reactor. docs/errors.md is the table; errors_test.cc pins it.

#ifndef TANDEM_CORE_IO_ERRORS_H_
#define TANDEM_CORE_IO_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tandem/core/base/result.h"

namespace tandem {

// The status code that stands for a Linux errno (positive).
absl::StatusCode CodeForErrno(int error);

// The status for errno `error` (positive) of `operation`, for example "connect 10.0.0.2:80". The message is
// "<operation>: <cause>", and ErrnoOf() gives `error` back. ECANCELED gives CancelledStatus(), which carries neither.
absl::Status ErrnoStatus(int error, absl::string_view operation);

// The errno that `status` was made from by ErrnoStatus(), else 0.
int ErrnoOf(const absl::Status& status);

}  // namespace tandem

#endif  // TANDEM_CORE_IO_ERRORS_H_
