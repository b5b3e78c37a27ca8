// SPDX-License-Identifier: Apache-2.0
//
// Where the files of a run go, and where people find them.

#ifndef TANDEM_TESTING_RUNNER_PLACE_H_
#define TANDEM_TESTING_RUNNER_PLACE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tandem::testing {

// The value of a variable of the environment; empty: there is none.
std::string Environment(const char* name);

// The package of the test that Bazel runs, "." for the root; empty: it runs none.
std::string PackageOfTest();

// The path of a file that the command line names: a relative name is one where the caller is, or of an output of the
// test. REQUIRES that it is not empty.
std::string PlaceOf(const std::string& file);

// How people are told about the file `place`. An output of a test that Bazel runs is somewhere else once the test has
// ended: "bazel-testlogs/a/b_test/test.outputs/Suite.Name-seed-1", or "Suite.Name-seed-1 in bazel-testlogs/...zip".
std::string ShownPlace(absl::string_view place);

// Whether something can be written there, tried out: makes the folder, or that of the file. The message of an error
// says why not.
//
// Errors:
//   kUnavailable    It cannot.
//   kAlreadyExists  Of a new file: it is there already.
absl::Status TryFolder(const std::string& folder);
absl::Status TryFile(const std::string& file);     // Leaves what is in it, and an empty file where there was none.
absl::Status TryNewFile(const std::string& file);  // Leaves none.

// Makes `file` have `content`, or leaves what was there: a file that is there is whole.
//
// Errors: kUnavailable, whose message says why not.
absl::Status WriteWholeFile(const std::string& file, absl::string_view content);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_PLACE_H_
