// SPDX-License-Identifier: Apache-2.0
//
// What the small clusters of these folders have in common: a question to another host, and a disk.

#ifndef TANDEM_TESTING_MUTANTS_CLUSTER_H_
#define TANDEM_TESTING_MUTANTS_CLUSTER_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/tandem.h"

namespace tandem::mutants {

inline constexpr uint16_t kPort = 7000;

// A disk: the test owns it, and one host at a time uses it, so that it survives the host's crashes.
class Disk {
 public:
  // What the last write has left; empty before the first one.
  std::string Read(absl::string_view name) const;
  // Takes some milliseconds. The new content is there for certain when this has returned OK; a process that ends before
  // finds the old content or the new one, never a part. Writes of one name must not overlap. Errors: kCancelled.
  Task<absl::Status> Write(std::string name, std::string content);

 private:
  std::map<std::string, std::string, std::less<>> files_;
};

// Sends a line to a host and returns the line that answers it, over a connection of its own. An error means that nobody
// knows whether the host has acted on it, or will: the line may still be on its way.
Task<absl::StatusOr<std::string>> Ask(std::string host, std::string line, absl::Duration timeout);

// The words of a line; and one of them as a number, which it is (CHECKed).
std::vector<std::string> Words(absl::string_view line);
int64_t Number(absl::string_view word);

// Answers the lines that come to kPort by `server->Answer(line)`.
template <typename Server>
Task<absl::Status> Answer(Server* server) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv6(kPort));
  if (!listener.ok()) co_return listener.status();
  const auto answer = [server](std::string line) { return server->Answer(std::move(line)); };
  co_return co_await ServeLines(*std::move(listener), answer);
}

}  // namespace tandem::mutants

#endif  // TANDEM_TESTING_MUTANTS_CLUSTER_H_
