// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_place.h"

#include <stdlib.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace tandem::testing {
namespace {

// What the test leaves behind, as of the checkout.
std::string BazelOutputs(absl::string_view target) {
  absl::ConsumePrefix(&target, "@@");
  absl::ConsumePrefix(&target, "//");
  std::string folder = absl::StrCat("bazel-testlogs/", absl::StrReplaceAll(target, {{":", "/"}}));
  const std::string shards = Environment("TEST_TOTAL_SHARDS");
  if (const std::string index = Environment("TEST_SHARD_INDEX"); !index.empty() && !shards.empty()) {
    absl::StrAppend(&folder, "/shard_", atoi(index.c_str()) + 1, "_of_", shards);
  }
  return absl::StrCat(folder, "/test.outputs/");
}

}  // namespace

std::string Environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

std::string PlaceOf(const std::string& file) {
  if (file.front() == '/') return file;
  for (const char* const folder : {"BUILD_WORKING_DIRECTORY", "TEST_UNDECLARED_OUTPUTS_DIR"}) {
    if (const std::string place = Environment(folder); !place.empty()) return absl::StrCat(place, "/", file);
  }
  return file;
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
