// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/read_operations.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/sim/report/recorded_frame.h"
#include "tandem/testing/history.h"

namespace tandem::testing {
namespace {

using Frame = sim::RecordedFrame;
using Outcome = History::Operation::Outcome;

struct Told {
  Frame frame{};
  OperationReader::Texts texts;
};

Told Operation(uint64_t history, uint64_t number, int64_t time_ns, Outcome outcome, absl::string_view client,
               absl::string_view name, absl::string_view arguments = "", absl::string_view answer = "") {
  Told told;
  told.frame.a = history;
  told.frame.b = number;
  told.frame.c = static_cast<uint64_t>(outcome);
  told.frame.time_ns = time_ns;
  told.frame.task = 10 * number;
  told.frame.sequence = 10 * number + 7;
  told.texts[Frame::kTask] = client;
  told.texts[Frame::kPlace] = "x";
  told.texts[Frame::kVerb] = name;
  told.texts[Frame::kText] = arguments;
  told.texts[Frame::kPayload] = answer;
  return told;
}

TEST(OperationReaderTest, PutsBeginningsAndEndsTogether) {
  constexpr absl::string_view kArguments("1\0\0two words\0", 13);
  OperationReader reader;
  for (const Told& told :
       {Operation(77, 0, 100, Outcome::kOpen, "ann", "cas", kArguments),
        Operation(77, 1, 200, Outcome::kOpen, "bob", "read"), Operation(55, 0, 250, Outcome::kOpen, "eve", "lock"),
        Operation(77, 0, 300, Outcome::kAnswered, "ann", "cas", kArguments, "true"),
        Operation(55, 0, 400, Outcome::kFailed, "eve", "lock")}) {
    reader.Add(told.frame, told.texts);
  }
  const std::vector<RecordedOperation> operations = reader.Take();

  ASSERT_EQ(operations.size(), 3u);
  EXPECT_EQ(operations[0].client, "ann");
  EXPECT_EQ(operations[0].text, "cas(x, 1, , two words) -> true");
  EXPECT_EQ(operations[0].begin_ns, 100);
  EXPECT_EQ(operations[0].end_ns, 300);
  EXPECT_EQ(operations[0].json_line,
            R"({"client":"ann","object":"x","name":"cas","arguments":["1","","two words"],"outcome":"answered",)"
            R"("answer":"true","invoked":0,"returned":7,"invoked_ns":100,"returned_ns":300})"
            "\n");
  EXPECT_EQ(operations[1].text, "read(x) -> ?");
  EXPECT_EQ(operations[1].end_ns, -1);
  EXPECT_EQ(operations[1].history, 0u);
  EXPECT_EQ(operations[2].text, "lock(x) -> failed");
  EXPECT_EQ(operations[2].history, 1u);
}

TEST(OperationReaderTest, MarksWhatHasNoPlace) {
  OperationReader reader;
  for (const Told& told :
       {Operation(77, 0, 100, Outcome::kOpen, "ann", "read"), Operation(77, 1, 200, Outcome::kOpen, "bob", "read"),
        Operation(77, 2, 300, Outcome::kOpen, "bob", "read")}) {
    reader.Add(told.frame, told.texts);
  }
  const Told misfit = Operation(0, 1, 900, Outcome::kAnswered, "bob", "read");
  reader.AddMisfit(misfit.frame, misfit.texts);
  const std::vector<RecordedOperation> operations = reader.Take();

  ASSERT_EQ(operations.size(), 3u);
  EXPECT_FALSE(operations[0].bad);
  EXPECT_TRUE(operations[1].bad);
  EXPECT_FALSE(operations[2].bad);
}

}  // namespace
}  // namespace tandem::testing
