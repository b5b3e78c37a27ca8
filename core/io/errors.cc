// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/errors.h"

#include <cerrno>
#include <string>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

constexpr absl::string_view kErrnoPayload = "tandem/errno";

}  // namespace

absl::StatusCode CodeForErrno(int error) {
  switch (error) {
    case 0:
      return absl::StatusCode::kOk;
    case ECANCELED:
      return absl::StatusCode::kCancelled;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case ENETRESET:
    case ENONET:
    case EHOSTDOWN:
    case EPIPE:      // The peer is gone; absl's kFailedPrecondition would differ from ECONNRESET by timing alone.
    case ETIMEDOUT:  // The connection is dead; kDeadlineExceeded is kept for the caller's own deadlines.
      return absl::StatusCode::kUnavailable;
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case ENOTCONN:
    case EISCONN:
    case EBADF:
    case EALREADY:
    case EINPROGRESS:
      return absl::StatusCode::kFailedPrecondition;
    case EINVAL:
    case EMSGSIZE:
    case EDESTADDRREQ:
    case EPROTO:
      return absl::StatusCode::kInvalidArgument;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EACCES:
    case EPERM:
      return absl::StatusCode::kPermissionDenied;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOPROTOOPT:
      return absl::StatusCode::kUnimplemented;
    case ENOENT:
    case ENODEV:
      return absl::StatusCode::kNotFound;
    default:
      return absl::StatusCode::kUnknown;
  }
}

absl::Status ErrnoStatus(int error, absl::string_view operation) {
  if (error == 0) return absl::OkStatus();
  if (error == ECANCELED) return CancelledStatus();
  const absl::StatusCode code = CodeForErrno(error);
  std::string cause = std::generic_category().message(error);
  if (!cause.empty()) cause[0] = absl::ascii_tolower(static_cast<unsigned char>(cause[0]));
  std::string text = absl::StrCat(operation, ": ", cause);
  if (code == absl::StatusCode::kUnknown) absl::StrAppend(&text, " (errno ", error, ")");
  absl::Status status(code, text);
  status.SetPayload(kErrnoPayload, absl::Cord(absl::StrCat(error)));
  return status;
}

int ErrnoOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrnoPayload);
  int error = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &error)) return 0;
  return error;
}

}  // namespace tandem
