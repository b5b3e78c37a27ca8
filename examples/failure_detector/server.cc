// SPDX-License-Identifier: Apache-2.0
//
// A detector as a program, which says whom it suspects: README.md shows three of them.

#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tandem/core/base/command_line.h"
#include "tandem/examples/failure_detector/failure_detector.h"
#include "tandem/tandem.h"

ABSL_FLAG(std::string, id, "a", "what the others call this one in their --peers");
ABSL_FLAG(std::string, listen, "127.0.0.1:7600", "address for beats");
ABSL_FLAG(std::vector<std::string>, peers, {}, "the others, such as b=127.0.0.1:7601,c=127.0.0.1:7602");

namespace {

using namespace tandem;
using failure_detector::Detector;

using Peers = std::map<std::string, SocketAddress>;

absl::StatusOr<Peers> ParsePeers(const std::vector<std::string>& words) {
  Peers peers;
  for (const std::string& word : words) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
    const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(parts.second);
    if (parts.first.empty() || !address.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--peers: \"", word, "\" is not ID=ADDRESS:PORT"));
    }
    peers[parts.first] = *address;
  }
  return peers;
}

Task<absl::Status> SayWhatChanges(const Detector* detector, Peers peers) {
  std::map<std::string, bool> suspected;
  for (;;) {
    const absl::Status slept = co_await Sleep(failure_detector::kInterval);
    if (!slept.ok()) co_return slept;
    for (const auto& [name, address] : peers) {
      if (detector->Suspects(name) == suspected[name]) continue;
      suspected[name] = !suspected[name];
      std::cout << (suspected[name] ? "suspects " : "trusts ") << name << std::endl;
    }
  }
}

Task<absl::Status> Run() {
  const absl::StatusOr<Peers> peers = ParsePeers(absl::GetFlag(FLAGS_peers));
  if (!peers.ok()) co_return peers.status();
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(absl::GetFlag(FLAGS_listen));
  if (!address.ok()) co_return address.status();
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(*address);
  if (!socket.ok()) co_return socket.status();
  std::cout << absl::GetFlag(FLAGS_id) << " on " << *socket->LocalAddress() << std::endl;
  Detector detector(absl::GetFlag(FLAGS_id), *std::move(socket), *peers);
  auto [ran, said] = co_await WhenAny(detector.Run(), SayWhatChanges(&detector, *peers));
  co_return ran.value_or(absl::CancelledError("told to stop"));
}

}  // namespace

int main(int argc, char** argv) {
  tandem::ParseFlags(argc, argv, "Says which of its peers have gone silent. SIGINT or SIGTERM stops it.", __FILE__);
  tandem::Runtime runtime;
  const absl::Status status = runtime.BlockOn(Run());
  if (absl::IsCancelled(status)) return 0;  // That is how a stop ends it.
  std::cerr << status.message() << std::endl;
  return 1;
}
