// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/errors.h"

#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tandem/core/base/result.h"

namespace tandem {
namespace {

struct Row {
  std::string name;
  int error;
  absl::StatusCode code;
};

class ErrnoTest : public ::testing::TestWithParam<Row> {};

TEST_P(ErrnoTest, MapsToCode) { EXPECT_EQ(CodeForErrno(GetParam().error), GetParam().code); }

TEST_P(ErrnoTest, StaysReadableInTheStatus) {
  const absl::Status status = ErrnoStatus(GetParam().error, "connect 10.0.0.2:80");

  EXPECT_EQ(status.code(), GetParam().code);
  EXPECT_EQ(ErrnoOf(status), GetParam().error);
  EXPECT_EQ(status.message().substr(0, 21), "connect 10.0.0.2:80: ");
  EXPECT_GT(status.message().size(), 21u);
}

constexpr absl::StatusCode kUnavailable = absl::StatusCode::kUnavailable;
constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kResourceExhausted = absl::StatusCode::kResourceExhausted;
constexpr absl::StatusCode kPermissionDenied = absl::StatusCode::kPermissionDenied;
constexpr absl::StatusCode kUnimplemented = absl::StatusCode::kUnimplemented;

INSTANTIATE_TEST_SUITE_P(
    Table, ErrnoTest,
    ::testing::Values(  //
        Row{"ECONNREFUSED", ECONNREFUSED, kUnavailable}, Row{"ECONNRESET", ECONNRESET, kUnavailable},
        Row{"ECONNABORTED", ECONNABORTED, kUnavailable}, Row{"EPIPE", EPIPE, kUnavailable},
        Row{"ETIMEDOUT", ETIMEDOUT, kUnavailable}, Row{"EHOSTUNREACH", EHOSTUNREACH, kUnavailable},
        Row{"ENETUNREACH", ENETUNREACH, kUnavailable}, Row{"ENETDOWN", ENETDOWN, kUnavailable},
        Row{"ENETRESET", ENETRESET, kUnavailable}, Row{"ENONET", ENONET, kUnavailable},
        Row{"EHOSTDOWN", EHOSTDOWN, kUnavailable}, Row{"EADDRINUSE", EADDRINUSE, kFailedPrecondition},
        Row{"EADDRNOTAVAIL", EADDRNOTAVAIL, kFailedPrecondition}, Row{"ENOTCONN", ENOTCONN, kFailedPrecondition},
        Row{"EISCONN", EISCONN, kFailedPrecondition}, Row{"EBADF", EBADF, kFailedPrecondition},
        Row{"EALREADY", EALREADY, kFailedPrecondition}, Row{"EINPROGRESS", EINPROGRESS, kFailedPrecondition},
        Row{"EINVAL", EINVAL, kInvalidArgument}, Row{"EMSGSIZE", EMSGSIZE, kInvalidArgument},
        Row{"EDESTADDRREQ", EDESTADDRREQ, kInvalidArgument}, Row{"EPROTO", EPROTO, kInvalidArgument},
        Row{"EMFILE", EMFILE, kResourceExhausted}, Row{"ENFILE", ENFILE, kResourceExhausted},
        Row{"ENOBUFS", ENOBUFS, kResourceExhausted}, Row{"ENOMEM", ENOMEM, kResourceExhausted},
        Row{"EACCES", EACCES, kPermissionDenied}, Row{"EPERM", EPERM, kPermissionDenied},
        Row{"ENOSYS", ENOSYS, kUnimplemented}, Row{"EOPNOTSUPP", EOPNOTSUPP, kUnimplemented},
        Row{"EAFNOSUPPORT", EAFNOSUPPORT, kUnimplemented}, Row{"EPROTONOSUPPORT", EPROTONOSUPPORT, kUnimplemented},
        Row{"ENOPROTOOPT", ENOPROTOOPT, kUnimplemented}, Row{"ENOENT", ENOENT, absl::StatusCode::kNotFound},
        Row{"ENODEV", ENODEV, absl::StatusCode::kNotFound}, Row{"EXDEV", EXDEV, absl::StatusCode::kUnknown}),
    [](const auto& test) { return test.param.name; });

TEST(ErrorsTest, MessageIsOperationThenCauseInLowerCase) {
  EXPECT_EQ(ErrnoStatus(ECONNREFUSED, "connect 10.0.0.2:80").message(), "connect 10.0.0.2:80: connection refused");
}

TEST(ErrorsTest, UnknownErrnoIsInTheText) {
  EXPECT_NE(ErrnoStatus(EXDEV, "read").message().find("(errno 18)"), absl::string_view::npos);
}

TEST(ErrorsTest, NoErrnoIsOk) {
  EXPECT_EQ(CodeForErrno(0), absl::StatusCode::kOk);
  EXPECT_TRUE(ErrnoStatus(0, "read").ok());
}

// A stop must be told from a failure of the kernel, and cost nothing.
TEST(ErrorsTest, StopsHaveNeitherMessageNorErrno) {
  EXPECT_EQ(ErrnoStatus(ECANCELED, "read"), CancelledStatus());
  EXPECT_EQ(CancelledStatus().message(), "");
  EXPECT_EQ(DeadlineExceededStatus().message(), "");
  EXPECT_EQ(CancelledStatus().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(DeadlineExceededStatus().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ErrnoOf(CancelledStatus()), 0);
}

TEST(ErrorsTest, ErrnoOfAnotherStatusIsZero) {
  EXPECT_EQ(ErrnoOf(absl::OkStatus()), 0);
  EXPECT_EQ(ErrnoOf(absl::UnavailableError("connect: connection refused")), 0);
}

TEST(ErrorsTest, KernelTimeoutIsNotADeadline) {
  EXPECT_NE(CodeForErrno(ETIMEDOUT), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace tandem
