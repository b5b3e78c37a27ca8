// SPDX-License-Identifier: Apache-2.0
//
// What a program gets with tandem.h: the options and statistics of a reactor, and nothing with which to drive one.

#include "gtest/gtest.h"
#include "tandem/tandem.h"

namespace tandem {
namespace {

// Whether `T` is defined where this is first asked, not only declared.
template <typename T>
concept Defined = requires { sizeof(T); };

TEST(TandemHeaderTest, HasTheOptionsAndTheStatisticsOfAReactor) {
  EXPECT_EQ(ReactorOptions().kind(), ReactorKind::kAuto);
  EXPECT_EQ(ReactorStatistics().submissions, 0u);
}

TEST(TandemHeaderTest, HasReactorsByNameOnly) {
  // Submit(), Arm() and Current() would come with the definition.
  EXPECT_FALSE(Defined<Reactor>);
  EXPECT_TRUE(Defined<ReactorOptions>);  // The question can be answered with yes.
}

}  // namespace
}  // namespace tandem
