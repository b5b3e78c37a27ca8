// SPDX-License-Identifier: Apache-2.0
//
// An office: gives tickets, and shows its counters.
//
//   bazel run //examples/tickets:server -- --listen=127.0.0.1:7410 --metrics=127.0.0.1:7411

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/log/flags.h"  // IWYU pragma: keep: --stderrthreshold and the others.
#include "absl/log/initialize.h"
#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/base/command_line.h"
#include "tandem/examples/tickets/metrics.h"
#include "tandem/examples/tickets/tickets.h"
#include "tandem/tandem.h"

ABSL_FLAG(std::string, name, "office", "name of this office; no two have the same");
ABSL_FLAG(std::string, listen, "127.0.0.1:7410", "address for clients, unless systemd passes a socket `tickets`");
ABSL_FLAG(std::string, metrics, "127.0.0.1:7411", "address for the counters, unless systemd passes a socket `metrics`");

namespace tickets {
namespace {

using namespace tandem;

// [Listen]
// Takes the socket that systemd has passed by this name out of `passed`, or opens one.
absl::StatusOr<TcpListener> Listen(std::vector<ActivatedSocket>* passed, absl::string_view name, std::string address) {
  for (ActivatedSocket& socket : *passed) {
    if (socket.name == name) return TcpListener::Adopt(std::move(socket.descriptor));
  }
  absl::StatusOr<SocketAddress> parsed = SocketAddress::Parse(address);
  if (!parsed.ok()) return parsed.status();
  return TcpListener::Listen(*parsed);
}
// [end]

// [Run]
Task<absl::Status> Run(Runtime* runtime) {
  absl::StatusOr<std::vector<ActivatedSocket>> passed = TakeActivatedSockets();
  if (!passed.ok()) co_return passed.status();
  absl::StatusOr<TcpListener> clients = Listen(&*passed, "tickets", absl::GetFlag(FLAGS_listen));
  if (!clients.ok()) co_return clients.status();
  absl::StatusOr<TcpListener> curious = Listen(&*passed, "metrics", absl::GetFlag(FLAGS_metrics));
  if (!curious.ok()) co_return curious.status();

  LOG(INFO) << runtime->statistics().description;
  std::cout << "listening on " << clients->LocalAddress() << std::endl;
  Office office(absl::GetFlag(FLAGS_name));
  const auto page = [&] {
    return absl::StrCat("tickets_given_total ", office.given(), "\n", ReactorMetrics(runtime->statistics()));
  };
  auto [sold, shown] = co_await WhenAll(Sell(*std::move(clients), &office), ServePage(*std::move(curious), page));
  co_return sold;
}
// [end]

}  // namespace
}  // namespace tickets

// [main]
int main(int argc, char** argv) {
  tandem::ParseFlags(argc, argv, "An office that gives tickets. SIGINT or SIGTERM stops it.", __FILE__);
  absl::InitializeLog();
  tandem::Runtime runtime;
  const absl::Status status = runtime.BlockOn(tickets::Run(&runtime));
  if (absl::IsCancelled(status)) return 0;  // SIGTERM or Ctrl-C, after the connections had 10 s to end.
  LOG(ERROR) << status;
  return 1;
}
// [end]
