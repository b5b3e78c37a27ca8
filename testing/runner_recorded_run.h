// SPDX-License-Identifier: Apache-2.0
//
// Runs seeds again and records them.

#ifndef TANDEM_TESTING_RUNNER_RECORDED_RUN_H_
#define TANDEM_TESTING_RUNNER_RECORDED_RUN_H_

#include <memory>

#include "absl/status/statusor.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_pool.h"

namespace tandem::testing {

class RunRecorder {
 public:
  // `options` are those of the pool in which the seeds ran.
  static absl::StatusOr<std::unique_ptr<RunRecorder>> Start(SeedPool::Options options);
  ~RunRecorder();
  RunRecorder(const RunRecorder&) = delete;
  RunRecorder& operator=(const RunRecorder&) = delete;

  SeedOutcome RunPlain(const SeedRun& run) { return pool_->RunAlone(run); }

  // Records a part of `run`. `outcome` is what becomes of it.
  //
  // Errors: kNotFound: it has made no world; others are those of the machine.
  absl::StatusOr<Recording> Record(SeedRun run, const RecordedWindow& window, SeedOutcome* outcome);

 private:
  explicit RunRecorder(int fd) : fd_(fd) {}

  const int fd_;  // A file in memory, which the recorded seed writes.
  std::unique_ptr<SeedPool> pool_;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_RECORDED_RUN_H_
