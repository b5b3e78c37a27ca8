// SPDX-License-Identifier: Apache-2.0
//
// Disk: a text that a server keeps over its end. A server knows the interface alone: main() gives it a file, and a
// simulation a text that outlives the simulated machine (memory_disk.h).

#ifndef TANDEM_EXAMPLES_CLUSTER_DISK_H_
#define TANDEM_EXAMPLES_CLUSTER_DISK_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/tandem.h"

namespace examples {

class Disk {
 public:
  virtual ~Disk() = default;

  // What the last Write() has left; empty before the first one. Errors: of the file system; kCancelled.
  virtual tandem::Task<absl::StatusOr<std::string>> Read() = 0;

  // Replaces the text. After OK the new text is there for certain. After an error, and when the process ends before, it
  // is the old text or the new one, never a part. Calls must not overlap. Errors: of the file system; kCancelled.
  virtual tandem::Task<absl::Status> Write(std::string text) = 0;
};

// A file, in a folder that exists; `path` and `path`.next belong to it.
class FileDisk final : public Disk {
 public:
  explicit FileDisk(std::string path) : path_(std::move(path)) {}

  tandem::Task<absl::StatusOr<std::string>> Read() override;
  tandem::Task<absl::Status> Write(std::string text) override;

 private:
  const std::string path_;
};

}  // namespace examples

#endif  // TANDEM_EXAMPLES_CLUSTER_DISK_H_
