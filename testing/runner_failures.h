// SPDX-License-Identifier: Apache-2.0
//
// The failed seeds of one test: which of them is worth reading, and what is said about it.

#ifndef TANDEM_TESTING_RUNNER_FAILURES_H_
#define TANDEM_TESTING_RUNNER_FAILURES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_report.h"
#include "tandem/testing/runner_run.h"
#include "tandem/testing/runner_scenarios.h"
#include "tandem/testing/runner_shrunk_failure.h"

namespace tandem::testing {

class Failures {
 public:
  // Of the test with this index. `run` and `test` outlive this.
  Failures(Run& run, const SimTestCase& test, uint32_t index) : run_(run), test_(test), index_(index) {}

  bool empty() const { return failures_.empty(); }
  // Notes the failure for the end, when it is known which of them is worth reading. Takes the place of another one of
  // its seed.
  void Add(SeedOutcome outcome);
  // Fails the gtest by the failure of `regression`, which is not shrunk, and explains the first of them.
  void ReportRegression(const ScenarioFile& regression, const SeedOutcome& failure);
  // Fails the gtest by a line about each failure, and at the end by all about the one to look at: they tend to say the
  // same. Shrinks and explains it, and writes its files.
  void Report();

 private:
  std::string TestName() const;
  SeedRun RunOf(const SeedOutcome& failure) const;
  std::string Replay(const SeedOutcome& failure) const;
  // Looks for the scenario of `failure` where it has none; returns a line that says why there is none.
  std::string FindScenario(SeedOutcome& failure) const;
  std::string Drawn(const std::string& scenario) const;
  void SayShortly(const SeedOutcome& failure) const;
  ShrunkFailure Shrink(const SeedOutcome& failure) const;
  std::string KeepScenario(const SeedOutcome& failure, const std::string& scenario) const;
  std::string Pin(const SeedOutcome& failure, const std::string& scenario) const;
  std::string KeepOthers(const SeedOutcome& failure, const ShrunkFailure& shrunk,
                         std::vector<std::string>& files) const;
  std::string Folder(absl::string_view of) const;
  std::string FolderOf(const SeedOutcome& failure) const { return Folder(absl::StrCat("seed-", failure.seed)); }
  FailureToExplain WhatToExplain(const SeedOutcome& failure, const std::string& scenario) const;
  std::string Explain(const SeedOutcome& failure, FailureToExplain what) const;

  Run& run_;
  const SimTestCase& test_;
  const uint32_t index_;
  bool regression_explained_ = false;
  std::vector<SeedOutcome> failures_;  // The one to look at first, then the others in a line each.
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_FAILURES_H_
