// SPDX-License-Identifier: Apache-2.0
//
// A disk of a simulated machine: the test owns it, and one host at a time uses it, so that it outlives the host's
// crashes. A write takes some milliseconds, and the new text is there at some moment within them.

#ifndef TANDEM_EXAMPLES_CLUSTER_MEMORY_DISK_H_
#define TANDEM_EXAMPLES_CLUSTER_MEMORY_DISK_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/examples/cluster/disk.h"
#include "tandem/tandem.h"

namespace examples {

class MemoryDisk final : public Disk {
 public:
  tandem::Task<absl::StatusOr<std::string>> Read() override { co_return text_; }
  tandem::Task<absl::Status> Write(std::string text) override {
    const absl::Status before = co_await TakeTime();
    if (!before.ok()) co_return before;
    text_ = std::move(text);
    co_return co_await TakeTime();
  }

 private:
  static tandem::Task<absl::Status> TakeTime() {
    const int64_t time_us = tandem::Random("disk").Between(100, 20'000);
    co_return co_await tandem::Sleep(absl::Microseconds(time_us));
  }

  std::string text_;
};

}  // namespace examples

#endif  // TANDEM_EXAMPLES_CLUSTER_MEMORY_DISK_H_
