// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tandem/testing/runner_output.h"

namespace tandem::testing {
namespace {

// What the test `target` leaves behind, as of the checkout.
std::string BazelOutputs(const std::string& target) {
  const std::string package = PackageOfTest();
  const std::string name = target.substr(target.rfind(':') + 1);
  std::string folder = absl::StrCat("bazel-testlogs/", package == "." ? "" : absl::StrCat(package, "/"), name);
  const std::string shards = Environment("TEST_TOTAL_SHARDS");
  if (const std::string index = Environment("TEST_SHARD_INDEX"); !index.empty() && !shards.empty()) {
    absl::StrAppend(&folder, "/shard_", atoi(index.c_str()) + 1, "_of_", shards);
  }
  return absl::StrCat(folder, "/test.outputs/");
}

absl::Status CannotBeWritten(int error) {
  return absl::UnavailableError(absl::StrCat("cannot be written: ", strerror(error)));
}

std::string FolderOf(const std::string& file) {
  const std::string folder = std::filesystem::path(file).parent_path();
  return folder.empty() ? "." : folder;
}

// Opens one in `folder` whose name nobody else has: other shards do the same. Returns its descriptor, or -1, and why in
// errno.
int OpenNewFile(const std::string& folder, std::string* name) {
  *name = absl::StrCat(folder, "/.tandem-XXXXXX");
  return mkostemp(name->data(), O_CLOEXEC);
}

}  // namespace

std::string Environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

std::string PackageOfTest() {
  const std::string target = Environment("TEST_TARGET");  // "//a/b:c_test", "@@repository//a/b:c_test".
  if (target.empty()) return "";
  absl::string_view package = target;
  package = package.substr(0, package.rfind(':'));
  package.remove_prefix(std::min(package.size(), package.find("//") + 2));
  return package.empty() ? "." : std::string(package);
}

std::string PlaceOf(const std::string& file) {
  if (file.front() == '/') return file;
  for (const char* const folder : {"BUILD_WORKING_DIRECTORY", "TEST_UNDECLARED_OUTPUTS_DIR"}) {
    if (const std::string place = Environment(folder); !place.empty()) return absl::StrCat(place, "/", file);
  }
  return file;
}

absl::Status TryFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return CannotBeWritten(error.value());
  std::string name;
  const int file = OpenNewFile(folder, &name);
  if (file < 0) return CannotBeWritten(errno);
  close(file);
  unlink(name.c_str());
  return absl::OkStatus();
}

absl::Status WriteWholeFile(const std::string& file, absl::string_view content) {
  std::string name;
  const int opened = OpenNewFile(FolderOf(file), &name);
  if (opened < 0) return CannotBeWritten(errno);
  const mode_t mask = umask(0);
  umask(mask);
  int error = 0;
  if (!WriteFully(opened, content.data(), content.size()) || fchmod(opened, 0666 & ~mask) != 0) error = errno;
  if (close(opened) != 0 && error == 0) error = errno;
  if (error == 0 && rename(name.c_str(), file.c_str()) != 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlink(name.c_str());
  return CannotBeWritten(error);
}

absl::Status TryNewFile(const std::string& file) {
  struct stat info;
  if (lstat(file.c_str(), &info) == 0) {
    return absl::AlreadyExistsError("it is there already: remove it, or give another name");
  }
  return TryFolder(FolderOf(file));
}

absl::Status TryFile(const std::string& file) {
  struct stat info;
  const bool is_there = stat(file.c_str(), &info) == 0;
  // A pipe's reader would take this for all.
  if (is_there && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) return absl::OkStatus();
  if (!is_there) {
    if (absl::Status tried = TryFolder(FolderOf(file)); !tried.ok()) return tried;
  }
  const int opened = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (opened < 0) return CannotBeWritten(errno);
  close(opened);
  return absl::OkStatus();
}

std::string ShownPlace(absl::string_view place) {
  const std::string outputs = Environment("TEST_UNDECLARED_OUTPUTS_DIR");
  const std::string target = Environment("TEST_TARGET");
  absl::string_view file = place;
  if (outputs.empty() || target.empty() || !absl::ConsumePrefix(&file, absl::StrCat(outputs, "/"))) {
    return std::string(place);
  }
  const std::string folder = BazelOutputs(target);
  return Environment("TEST_UNDECLARED_OUTPUTS_ZIP").empty() ? absl::StrCat(folder, file)
                                                            : absl::StrCat(file, " in ", folder, "outputs.zip");
}

}  // namespace tandem::testing
