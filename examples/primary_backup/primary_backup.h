// SPDX-License-Identifier: Apache-2.0
//
// A register on a primary and its backup, and a view service that says who is which.
//
// A view is a number, a primary and perhaps a backup. The view service makes the next one when somebody has gone silent
// or has come back. Two rules make that sound, whoever is slow, cut off or started again:
//   who becomes primary is the backup of a view whose primary has said that its backup has everything;
//   the primary does nothing alone: it answers no read and no write before its backup has said that it has all that the
//   primary has, and a backup that has become primary itself says so no more.
// So a primary that has not heard of the next view cannot answer anybody. Clocks decide nothing but when to give
// somebody up. What servers must not forget is on a disk, which makes a crash no more than a pause.

#ifndef TANDEM_EXAMPLES_PRIMARY_BACKUP_PRIMARY_BACKUP_H_
#define TANDEM_EXAMPLES_PRIMARY_BACKUP_PRIMARY_BACKUP_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/examples/cluster/disk.h"
#include "tandem/tandem.h"

namespace primary_backup {

// Serve until the program stops. `disk` outlives them, and nobody else uses it. `id` is how others reach the replica,
// and `views` how it reaches the view service, "host:port". Errors: of the disk, of Serve().
tandem::Task<absl::Status> ServeViews(tandem::TcpListener listener, examples::Disk* disk);
tandem::Task<absl::Status> ServeReplica(tandem::TcpListener listener, std::string id, std::string views,
                                        examples::Disk* disk);

// Asks one replica after the other, the last one that answered first. One call at a time.
class Client {
 public:
  explicit Client(std::vector<std::string> replicas) : replicas_(std::move(replicas)) {}

  // Errors:
  //   kAborted          No replica is the primary, and nothing was done.
  //   kInvalidArgument  The value has line ends, or more than 60,000 bytes; nothing was done.
  //   Others            Nobody knows whether the value was written, or will be.
  tandem::Task<absl::StatusOr<std::string>> Read();
  tandem::Task<absl::Status> Write(std::string value);

 private:
  // What follows the word `yes` in the answer.
  tandem::Task<absl::StatusOr<std::string>> AskPrimary(std::string yes, std::string line);

  const std::vector<std::string> replicas_;
  size_t next_ = 0;  // Who is asked first.
};

}  // namespace primary_backup

#endif  // TANDEM_EXAMPLES_PRIMARY_BACKUP_PRIMARY_BACKUP_H_
