// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_last_scenario.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_protocol.h"

namespace tandem::testing {

absl::StatusOr<std::unique_ptr<LastScenario>> LastScenario::Start(SeedPool::Options options) {
  const int fd = memfd_create("records", MFD_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, "memfd_create");
  auto last = std::unique_ptr<LastScenario>(new LastScenario(fd));
  options.slots = 1;
  options.trace_fd = fd;
  options.echo_output = false;
  absl::StatusOr<std::unique_ptr<SeedPool>> pool = SeedPool::Start(options);
  if (!pool.ok()) return pool.status();
  last->pool_ = *std::move(pool);
  return last;
}

LastScenario::~LastScenario() {
  pool_.reset();
  close(fd_);
}

absl::StatusOr<SeedOutcome> LastScenario::Complete(SeedRun run, SeedOutcome failure) {
  const auto take_from = [&failure](SeedOutcome& other) {
    failure.scenario = std::move(other.scenario);
    failure.steps = std::move(other.steps);
    failure.decisions = std::move(other.decisions);
  };
  if (ftruncate(fd_, 0) != 0) return absl::ErrnoToStatus(errno, "the number of records");
  run.trace = TraceKind::kCount;
  run.details = true;
  SeedOutcome counted = pool_->RunAlone(run);
  if (counted.cut_off) return absl::CancelledError(counted.death);
  if (!counted.scenario.empty()) {  // It ended at an expectation that failed before its death.
    take_from(counted);
    return failure;
  }
  uint64_t records = 0;
  if (pread(fd_, &records, sizeof(records), 0) != static_cast<ssize_t>(sizeof(records))) {
    return absl::NotFoundError("it has made no world");
  }
  run.tells_at = records;
  SeedOutcome told = pool_->RunAlone(run);
  if (told.cut_off) return absl::CancelledError(told.death);
  if (told.scenario.empty()) return absl::AbortedError("run again, it did not come as far");
  take_from(told);
  return failure;
}

}  // namespace tandem::testing
