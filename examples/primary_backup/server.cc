// SPDX-License-Identifier: Apache-2.0
//
// A replica, or the view service, as a program: README.md shows a cluster.

#include <iostream>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/base/command_line.h"
#include "tandem/examples/cluster/disk.h"
#include "tandem/examples/primary_backup/primary_backup.h"
#include "tandem/tandem.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:7500", "address for everybody");
ABSL_FLAG(std::string, id, "", "host:port at which others reach this replica; without it: what --listen says");
ABSL_FLAG(std::string, views, "", "host:port of the view service; without it this is the view service");
ABSL_FLAG(std::string, file, "", "what must survive this process; a file of its own for each server");

namespace {

using namespace tandem;

Task<absl::Status> Run(examples::Disk* disk) {
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(absl::GetFlag(FLAGS_listen));
  if (!address.ok()) co_return address.status();
  if (absl::GetFlag(FLAGS_file).empty()) co_return absl::InvalidArgumentError("--file is missing");
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(*address);
  if (!listener.ok()) co_return listener.status();
  std::string id = absl::GetFlag(FLAGS_id);
  if (id.empty()) id = listener->LocalAddress().ToString();
  const std::string views = absl::GetFlag(FLAGS_views);
  std::cout << (views.empty() ? "views" : "replica " + id) << " on " << listener->LocalAddress() << std::endl;
  if (views.empty()) co_return co_await primary_backup::ServeViews(*std::move(listener), disk);
  co_return co_await primary_backup::ServeReplica(*std::move(listener), id, views, disk);
}

}  // namespace

int main(int argc, char** argv) {
  tandem::ParseFlags(argc, argv, "A replica of a register, or the view service. SIGINT or SIGTERM stops it.", __FILE__);
  examples::FileDisk disk(absl::GetFlag(FLAGS_file));
  tandem::Runtime runtime;
  const absl::Status status = runtime.BlockOn(Run(&disk));
  if (absl::IsCancelled(status)) return 0;  // That is how a stop ends it.
  std::cerr << status.message() << std::endl;
  return 1;
}
