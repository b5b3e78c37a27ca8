// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_recorded_run.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/testing/report/read_recording.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_protocol.h"

namespace tandem::testing {

absl::StatusOr<std::unique_ptr<RunRecorder>> RunRecorder::Start(SeedPool::Options options) {
  const int fd = memfd_create("recording", MFD_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, "memfd_create");
  auto recorder = std::unique_ptr<RunRecorder>(new RunRecorder(fd));
  options.slots = 1;
  options.trace_fd = fd;
  options.echo_output = false;
  absl::StatusOr<std::unique_ptr<SeedPool>> pool = SeedPool::Start(options);
  if (!pool.ok()) return pool.status();
  recorder->pool_ = *std::move(pool);
  return recorder;
}

RunRecorder::~RunRecorder() {
  pool_.reset();
  close(fd_);
}

absl::StatusOr<Recording> RunRecorder::Record(SeedRun run, const RecordedWindow& window, SeedOutcome* outcome) {
  // The offset is shared with the processes that write.
  if (ftruncate(fd_, 0) != 0 || lseek(fd_, 0, SEEK_SET) != 0) return absl::ErrnoToStatus(errno, "the recording");
  run.trace = TraceKind::kRecording;
  run.details = true;
  run.window = window;
  *outcome = pool_->RunAlone(run);
  struct stat info;
  if (fstat(fd_, &info) != 0) return absl::ErrnoToStatus(errno, "the recording");
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return absl::NotFoundError("there was no world");
  void* const memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd_, 0);
  if (memory == MAP_FAILED) return absl::ErrnoToStatus(errno, "the recording");
  absl::StatusOr<Recording> recording = ReadRecording(absl::string_view(static_cast<const char*>(memory), size));
  munmap(memory, size);
  if (recording.ok()) recording->is_whole = window.IsWhole();
  return recording;
}

}  // namespace tandem::testing
