// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_expectation.h"

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest-spi.h"
#include "gtest/gtest.h"

namespace tandem::testing {
namespace {

// What is told of the expectation that fails in `body`.
std::string Told(const std::function<void()>& body) {
  ::testing::TestPartResultArray results;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    body();
  }
  EXPECT_EQ(results.size(), 1);
  return results.size() == 1 ? ExpectationIn(results.GetTestPartResult(0).message()) : "";
}

TEST(ExpectationTest, IsTheSameWithOtherValues) {
  for (const int done : {1, 2}) {
    EXPECT_EQ(Told([=] { EXPECT_EQ(done, 0) << "with " << done; }), "done == 0");
    EXPECT_EQ(Told([=] { EXPECT_EQ(0, done); }), "0 == done");
    EXPECT_EQ(Told([=] { EXPECT_NE(done, done); }), "(done) != (done)");
    EXPECT_EQ(Told([=] { EXPECT_GT(done, 15); }), "(done) > (15)");
    EXPECT_EQ(Told([=] { EXPECT_TRUE(done == 0) << "Expected: false"; }), "done == 0 is true");
    EXPECT_EQ(Told([=] { EXPECT_FALSE(done > 0); }), "done > 0 is false");
    EXPECT_EQ(Told([=] { EXPECT_THAT(done, ::testing::Lt(done)); }), "done");
    EXPECT_EQ(Told([=] { ADD_FAILURE() << done; }), "");
  }
}

TEST(ExpectationTest, AValueOfSeveralLinesIsNoExpression) {
  const std::string text = "one\ntwo";
  EXPECT_EQ(Told([&] { EXPECT_EQ(text, "three"); }).substr(0, 8), "text == ");
  const auto strings = [](int n) { return std::vector<std::string>(static_cast<size_t>(n), "x\n  y"); };
  EXPECT_EQ(Told([&] { EXPECT_EQ(strings(1), strings(2)); }), Told([&] { EXPECT_EQ(strings(1), strings(2)); }));
}

TEST(ExpectationTest, OfAnException) {
  const auto nothing = [] {};
  EXPECT_EQ(Told([&] { EXPECT_THROW(nothing(), std::runtime_error); }),
            "nothing() throws an exception of type std::runtime_error");
}

TEST(ExpectationTest, WhatIsNoneHasNone) {
  EXPECT_EQ(ExpectationIn(""), "");
  EXPECT_EQ(ExpectationIn("does not always hold: committed (5)"), "");
  EXPECT_EQ(ExpectationIn("Expected equality of these values:"), "");
}

}  // namespace
}  // namespace tandem::testing
