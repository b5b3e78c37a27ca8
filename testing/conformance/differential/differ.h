// SPDX-License-Identifier: Apache-2.0
//
// Runs a program in the simulator and on the kernel, and compares.
//
// The simulator goes first, and its results tell the kernel's child what is worth waiting for: what came in the
// simulator is waited for as long as it takes, what did not is given a few milliseconds. So a slow machine makes a run
// slow, not wrong.

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_DIFFER_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_DIFFER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tandem/testing/conformance/differential/child_process.h"
#include "tandem/testing/conformance/differential/program.h"

namespace tandem::testing {

// What a result says of waiting.
Hint HintFromResult(absl::string_view result);

// Two runs that are not alike.
struct Difference {
  Program program;
  ChildResult sim;
  ChildResult kernel;

  // The program with the kernel's results as the expected ones and the simulator's beside them where they differ.
  std::string ToString() const;
};

// The children of one kernel reactor.
struct Children {
  std::string name;              // "uring".
  std::vector<std::string> sim;  // Programs with their arguments.
  std::vector<std::string> kernel;
  std::string network;  // Of ChildProcess::Run().
};

// The children for `reactor`, built beside the program that runs. `namespaces`: empty, or --namespaces of the child.
Children ChildrenFor(const std::string& reactor, const std::string& namespaces = "");
// The path of `name`, a program that was built beside the one that runs.
std::string SiblingPath(absl::string_view name);

class Differ {
 public:
  explicit Differ(const Children& children)
      : name_(children.name), network_(children.network), sim_(children.sim), kernel_(children.kernel) {}

  const std::string& name() const { return name_; }

  // Nothing when the two worlds agree. A difference of the quick run counts only when a patient run shows one, too.
  std::optional<Difference> Compare(const Program& program, uint64_t number);
  // One pair of runs.
  std::optional<Difference> CompareOnce(const Program& program, uint64_t number, bool quick);
  // How often only the quick run differed.
  uint64_t unconfirmed() const { return unconfirmed_; }

 private:
  const std::string name_;
  const std::string network_;
  ChildProcess sim_;
  ChildProcess kernel_;
  uint64_t unconfirmed_ = 0;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_DIFFER_H_
