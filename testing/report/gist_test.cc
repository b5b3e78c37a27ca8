// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/gist.h"

#include <string>

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

TEST(GistTest, OfSeveralFailuresThatOfTheFirst) {
  EXPECT_EQ(FailureGist("a_test.cc:30: Value of: world.Run()\nExpected: is OK\n  Actual: INTERNAL: stuck: bob waits\n"
                        " (of type absl::Status)\n  at 3 s of virtual time\n"
                        "wait_list.cc:24: Check failed: ShardCrashed() an event was destroyed while a call waits\n"),
            "a_test.cc:30: Actual: INTERNAL: stuck: bob waits");
  EXPECT_EQ(FailureGist("a_test.cc:1: Expected: (a) >= (b), actual: 1 vs 2\nb_test.cc:2: bob buries ann"),
            "a_test.cc:1: Expected: (a) >= (b), actual: 1 vs 2");
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
}

TEST(GistTest, OfAConditionThatSaysNothingTheConditionAndItsValue) {
  EXPECT_EQ(FailureGist("a_test.cc:3: Value of: failed == 0 || failed > 10\n  Actual: false\nExpected: true\n  at 2 s"),
            "a_test.cc:3: Value of: failed == 0 || failed > 10, actual: false");
  EXPECT_EQ(FailureGist("Value of: IsSorted(x)\n  Actual: false (3 is behind 4)\nExpected: true"),
            "Value of: IsSorted(x), actual: false (3 is behind 4)");
}

TEST(GistTest, OfAnEqualityThatSaysNothingBothSides) {
  EXPECT_EQ(FailureGist("Expected equality of these values:\n  1\n  2"), "Expected equality of 1 and 2");
  EXPECT_EQ(FailureGist("a.cc:1: Expected equality of these values:\n  failed\n    Which is: 5\n  0\n  at 1 s"),
            "a.cc:1: Expected equality of failed (5) and 0");
  EXPECT_EQ(FailureGist("Expected equality of these values:\n  a\n    Which is: \"x\\ny\"\n  b\n    Which is: \"x\"\n"
                        "With diff:\n@@ -1,2 @@\n x\n-y\n  at 1 s"),
            R"(Expected equality of a ("x\ny") and b ("x"))");
  EXPECT_EQ(FailureGist("Expected equality of these values:"), "Expected equality of these values:");
}

TEST(GistTest, OfAnErrorThatShouldBeNoneTheError) {
  constexpr char kStuck[] =
      "Which is: FAILED_PRECONDITION: stuck: host client has not ended:\nhost server (10.0.0.1): 2 task(s)\n"
      "  task 1 of 2\n    waits for: an event\n";
  constexpr char kGist[] = "FAILED_PRECONDITION: stuck: host client has not ended:";
  const std::string stuck_left = absl::StrCat("Expected equality of these values:\n  world.Run()\n    ", kStuck,
                                              "\n  absl::OkStatus()\n    Which is: OK\n");
  EXPECT_EQ(FailureGist(stuck_left), kGist);
  EXPECT_EQ(FailureGist(stuck_left + "  at 3 s of virtual time, outside of any host\n"), kGist);
  EXPECT_EQ(FailureGist(stuck_left + "it ends\n  at 3 s"), "it ends");
  EXPECT_EQ(FailureGist(absl::StrCat("Expected equality of these values:\n  absl::OkStatus()\n    Which is: OK\n"
                                     "  world.Run()\n    ",
                                     kStuck, "  at 3 s")),
            kGist);
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
