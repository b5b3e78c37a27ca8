// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/reactor_kind.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

TEST(ParseReactorKindTest, KnowsTheThreeNames) {
  EXPECT_EQ(ParseReactorKind("auto").value(), ReactorKind::kAuto);
  EXPECT_EQ(ParseReactorKind("uring").value(), ReactorKind::kUring);
  EXPECT_EQ(ParseReactorKind("epoll").value(), ReactorKind::kEpoll);
}

TEST(ParseReactorKindTest, OtherNamesAreQuotedInTheError) {
  for (const char* name : {"", "Epoll", "kqueue", "epoll\n"}) {
    const auto kind = ParseReactorKind(name);
    EXPECT_EQ(kind.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StrContains(kind.status().message(), "expected auto, uring or epoll")) << kind.status();
  }
  EXPECT_TRUE(absl::StrContains(ParseReactorKind("kqueue").status().message(), "\"kqueue\""));
}

TEST(ParseReactorKindTest, FlagReadsBack) {
  for (const ReactorKind kind : {ReactorKind::kAuto, ReactorKind::kUring, ReactorKind::kEpoll}) {
    ReactorKind read = ReactorKind::kAuto;
    std::string error;
    EXPECT_TRUE(AbslParseFlag(AbslUnparseFlag(kind), &read, &error));
    EXPECT_EQ(read, kind);
    EXPECT_FALSE(AbslParseFlag("select", &read, &error));
    EXPECT_TRUE(absl::StrContains(error, "expected auto, uring or epoll"));
    EXPECT_EQ(read, kind);
  }
}

}  // namespace
}  // namespace tandem
