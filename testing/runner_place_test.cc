// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_place.h"

#include <stdlib.h>

#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace tandem::testing {
namespace {

class RunnerPlaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* const name : {"BUILD_WORKING_DIRECTORY", "TEST_UNDECLARED_OUTPUTS_DIR", "TEST_TARGET",
                                   "TEST_UNDECLARED_OUTPUTS_ZIP", "TEST_TOTAL_SHARDS", "TEST_SHARD_INDEX"}) {
      unsetenv(name);
    }
  }
};

TEST_F(RunnerPlaceTest, ARelativeNameIsOneWhereTheCallerIsOrAnOutput) {
  EXPECT_EQ(PlaceOf("a"), "a");
  setenv("TEST_UNDECLARED_OUTPUTS_DIR", "/outputs", 1);
  EXPECT_EQ(PlaceOf("a"), "/outputs/a");
  setenv("BUILD_WORKING_DIRECTORY", "/checkout", 1);
  EXPECT_EQ(PlaceOf("a"), "/checkout/a");
  EXPECT_EQ(PlaceOf("/a"), "/a");
}

TEST_F(RunnerPlaceTest, ThePackageOfTheTest) {
  EXPECT_EQ(PackageOfTest(), "");
  for (const auto& [target, package] :
       {std::pair("//a/b:c_test", "a/b"), std::pair("@@r//a:c_test", "a"), std::pair("//:c_test", ".")}) {
    setenv("TEST_TARGET", target, 1);
    EXPECT_EQ(PackageOfTest(), package);
  }
}

TEST_F(RunnerPlaceTest, AnOutputOfABazelTestIsToldAsWhereItWillBe) {
  setenv("TEST_UNDECLARED_OUTPUTS_DIR", "/sandbox/374/outputs", 1);
  EXPECT_EQ(ShownPlace("/sandbox/374/outputs/A.B-seed-1"), "/sandbox/374/outputs/A.B-seed-1") << "not Bazel's";
  setenv("TEST_TARGET", "//a/b:c_test", 1);
  EXPECT_EQ(ShownPlace("/sandbox/374/outputs/A.B-seed-1"), "bazel-testlogs/a/b/c_test/test.outputs/A.B-seed-1");
  EXPECT_EQ(ShownPlace("/elsewhere/A.B-seed-1"), "/elsewhere/A.B-seed-1");
  setenv("TEST_UNDECLARED_OUTPUTS_ZIP", "/sandbox/374/outputs/outputs.zip", 1);
  EXPECT_EQ(ShownPlace("/sandbox/374/outputs/A.B-seed-1/timeline.html"),
            "A.B-seed-1/timeline.html in bazel-testlogs/a/b/c_test/test.outputs/outputs.zip");
  setenv("TEST_TOTAL_SHARDS", "4", 1);
  setenv("TEST_SHARD_INDEX", "0", 1);
  EXPECT_EQ(ShownPlace("/sandbox/374/outputs/x"),
            "x in bazel-testlogs/a/b/c_test/shard_1_of_4/test.outputs/outputs.zip");
}

}  // namespace
}  // namespace tandem::testing
