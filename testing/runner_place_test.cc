// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_place.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace tandem::testing {
namespace {

std::string ContentOf(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

std::vector<std::string> FilesIn(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path().filename());
  return files;
}

// While it lives, no file grows beyond `bytes`, as on a disk that is full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit limit{bytes, limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &limit_);
    signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  const sighandler_t handler_;
  rlimit limit_{};
};

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

TEST_F(RunnerPlaceTest, AFileIsWrittenWhole) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/whole");
  std::filesystem::create_directory(folder);
  const std::string file = absl::StrCat(folder, "/file");

  EXPECT_EQ(WriteWholeFile(file, "first"), absl::OkStatus());
  EXPECT_EQ(WriteWholeFile(file, "second\n"), absl::OkStatus());

  EXPECT_EQ(ContentOf(file), "second\n");
  EXPECT_EQ(FilesIn(folder), std::vector<std::string>{"file"});
  EXPECT_EQ(std::filesystem::status(file).permissions() & std::filesystem::perms::group_write,
            std::filesystem::status(folder).permissions() & std::filesystem::perms::group_write);
}

TEST_F(RunnerPlaceTest, AFileForWhichThereIsNoRoomIsNotThere) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/full");
  std::filesystem::create_directory(folder);
  absl::Status written;
  {
    const FullDisk full(3);
    written = WriteWholeFile(absl::StrCat(folder, "/file"), "more than three");
  }

  EXPECT_EQ(written.message(), "cannot be written: File too large");
  EXPECT_TRUE(FilesIn(folder).empty());
  EXPECT_EQ(WriteWholeFile(absl::StrCat(folder, "/none/file"), "").code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tandem::testing
