// SPDX-License-Identifier: Apache-2.0
//
// The world that has only epoll.

#include "tandem/core/io/create_reactor.h"

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tandem/core/io/reactor.h"

namespace tandem {
namespace {

TEST(CreateReactorTest, AutoAndEpollAreEpoll) {
  for (const ReactorKind kind : {ReactorKind::kAuto, ReactorKind::kEpoll}) {
    const auto reactor = CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(ReactorOptions().set_kind(kind));
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    EXPECT_TRUE(absl::StartsWith((*reactor)->statistics().description, "epoll on"));
  }
}

TEST(CreateReactorTest, UringIsAnErrorThatNamesTheCure) {
  const auto reactor =
      CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(ReactorOptions().set_kind(ReactorKind::kUring));

  EXPECT_EQ(reactor.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(absl::StrContains(reactor.status().message(), "--config=uring")) << reactor.status();
}

}  // namespace
}  // namespace tandem
