// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/cluster/disk.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tandem/tandem.h"
#include "tandem/testing/status_matchers.h"

namespace examples {
namespace {

using namespace tandem;
using tandem::testing::IsOkAndHolds;
using tandem::testing::StatusIs;

std::string PathOf(const std::string& name) { return std::string(std::getenv("TEST_TMPDIR")) + "/" + name; }

Task<absl::StatusOr<std::string>> WriteAndRead(std::string path, std::string text) {
  FileDisk disk(path);
  const absl::Status written = co_await disk.Write(std::move(text));
  if (!written.ok()) co_return written;
  FileDisk later(path);
  co_return co_await later.Read();
}

Task<absl::StatusOr<std::string>> ReadOnly(std::string path) {
  FileDisk disk(path);
  co_return co_await disk.Read();
}

TEST(FileDiskTest, IsEmptyBeforeTheFirstWrite) {
  EXPECT_THAT(Runtime().BlockOn(ReadOnly(PathOf("none"))), IsOkAndHolds(""));
}

TEST(FileDiskTest, KeepsTheLastTextAsAWhole) {
  const std::string long_text(100'000, 'x');
  EXPECT_THAT(Runtime().BlockOn(WriteAndRead(PathOf("kept"), long_text)), IsOkAndHolds(long_text));
  EXPECT_THAT(Runtime().BlockOn(WriteAndRead(PathOf("kept"), "two\nlines")), IsOkAndHolds("two\nlines"));
}

TEST(FileDiskTest, WhatAnEarlierProcessDidNotFinishIsNotRead) {
  EXPECT_THAT(Runtime().BlockOn(WriteAndRead(PathOf("torn"), "whole")), IsOkAndHolds("whole"));
  std::ofstream(PathOf("torn.next")) << "ha";
  EXPECT_THAT(Runtime().BlockOn(ReadOnly(PathOf("torn"))), IsOkAndHolds("whole"));
  EXPECT_THAT(Runtime().BlockOn(WriteAndRead(PathOf("torn"), "new")), IsOkAndHolds("new"));
}

TEST(FileDiskTest, AFolderThatIsMissingIsAnError) {
  EXPECT_THAT(Runtime().BlockOn(WriteAndRead(PathOf("missing/file"), "text")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Runtime().BlockOn(ReadOnly(PathOf("missing/file"))), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace examples
