// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/gist.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace tandem::testing {
namespace {

TEST(GistTest, OfAnExpectationWhatItsAuthorSays) {
  EXPECT_EQ(
      FailureGist("queue_test.cc:97: Expected equality of these values:\n  holder\n    Which is: \"wilma\"\n  who\n"
                  "    Which is: \"xaver\"\nthe ack of xaver was accepted\n  at 2.7 s of virtual time, on host xaver\n"
                  "  the running task awaits, innermost first:\n"),
      "queue_test.cc:97: the ack of xaver was accepted");
  EXPECT_EQ(FailureGist("Value of: known\n  Actual: false\nExpected: true\nall know"), "all know");
  EXPECT_EQ(FailureGist("Expected: (a) >= (b), actual: 1 vs 2\nbob buries ann"), "bob buries ann");
  EXPECT_EQ(FailureGist("a_test.cc:1: Failed\nbug: no answer\nand more"), "a_test.cc:1: bug: no answer");
}

TEST(GistTest, AValueMayHaveLinesOfItsOwn) {
  constexpr char kValue[] =
      "a_test.cc:3: Value of: world.Run()\nExpected: is OK\n  Actual: INTERNAL: not drained:\nhost server: 1 task\n"
      " (of type absl::Status)";
  EXPECT_EQ(FailureGist(kValue), "a_test.cc:3: Actual: INTERNAL: not drained:");
  EXPECT_EQ(FailureGist(absl::StrCat(kValue, "\nit ends\n  at 3 s")), "a_test.cc:3: it ends");
  EXPECT_EQ(FailureGist("Value of: Status()\nExpected: is OK\n  Actual: INTERNAL: no (of type absl::Status)"),
            "Actual: INTERNAL: no");
}

TEST(GistTest, OfOneThatSaysNothingWhatItSaw) {
  EXPECT_EQ(FailureGist("a_test.cc:30: Value of: world.RunFor(absl::Minutes(2))\nExpected: is OK\n"
                        "  Actual: DEADLINE_EXCEEDED: not in 120 s\n  at 120 s of virtual time\n"),
            "a_test.cc:30: Actual: DEADLINE_EXCEEDED: not in 120 s");
  EXPECT_EQ(FailureGist("Expected: eight\n  Actual: seven"), "Expected: eight");
  EXPECT_EQ(FailureGist("Expected: (a) >= (b), actual: 1 vs 2\n  at 3 s"), "Expected: (a) >= (b), actual: 1 vs 2");
  EXPECT_EQ(FailureGist("Expected equality of these values:\n  1\n  2"), "Expected equality of these values:");
}

TEST(GistTest, OfOtherFailuresTheFirstLine) {
  EXPECT_EQ(FailureGist("INTERNAL: host server has not drained\n1 task(s)\n"), "INTERNAL: host server has not drained");
  EXPECT_EQ(FailureGist("server.cc:7: Check failed: x\nstack"), "server.cc:7: Check failed: x");
  EXPECT_EQ(FailureGist("at 3: Expected nothing\nso"), "at 3: Expected nothing");
  EXPECT_EQ(FailureGist(""), "");
  EXPECT_EQ(FailureGist("Failed"), "Failed");
}

}  // namespace
}  // namespace tandem::testing
