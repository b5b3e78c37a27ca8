// SPDX-License-Identifier: Apache-2.0
//
// A lock server or a store as a program: README.md shows both.

#include <iostream>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/base/command_line.h"
#include "tandem/examples/cluster/disk.h"
#include "tandem/examples/lock_service/lock_service.h"
#include "tandem/tandem.h"

ABSL_FLAG(std::string, role, "lock", "what is served: lock or store");
ABSL_FLAG(std::string, listen, "127.0.0.1:7400", "address for clients");
ABSL_FLAG(std::string, file, "", "what must survive this process; a file of its own for each server");

namespace {

using namespace tandem;

Task<absl::Status> Run(examples::Disk* disk) {
  const std::string role = absl::GetFlag(FLAGS_role);
  if (role != "lock" && role != "store") co_return absl::InvalidArgumentError("--role is lock or store");
  if (absl::GetFlag(FLAGS_file).empty()) co_return absl::InvalidArgumentError("--file is missing");
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(absl::GetFlag(FLAGS_listen));
  if (!address.ok()) co_return address.status();
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(*address);
  if (!listener.ok()) co_return listener.status();
  std::cout << role << " on " << listener->LocalAddress() << std::endl;
  if (role == "lock") co_return co_await lock_service::ServeLock(*std::move(listener), disk);
  co_return co_await lock_service::ServeStore(*std::move(listener), disk);
}

}  // namespace

int main(int argc, char** argv) {
  tandem::ParseFlags(argc, argv, "A lock server, or a store that checks its tokens. SIGINT or SIGTERM stops it.",
                     __FILE__);
  examples::FileDisk disk(absl::GetFlag(FLAGS_file));
  tandem::Runtime runtime;
  const absl::Status status = runtime.BlockOn(Run(&disk));
  if (absl::IsCancelled(status)) return 0;  // That is how a stop ends it.
  std::cerr << status.message() << std::endl;
  return 1;
}
