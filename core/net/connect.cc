// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/connect.h"

#include <cstddef>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/net/resolver.h"
#include "tandem/core/sync/event.h"

namespace tandem {
namespace {

// The attempts at one target.
struct Race {
  std::vector<SocketAddress> addresses;
  absl::Duration attempt_delay;
  Event progress;  // An attempt has ended.
  std::optional<TcpStream> winner;
  std::vector<absl::Status> failures;  // In the order in which they came.
};

// The first address, then the families in turn (RFC 8305 section 4).
std::vector<SocketAddress> InterleaveFamilies(const std::vector<SocketAddress>& addresses) {
  std::vector<SocketAddress> first;
  std::vector<SocketAddress> second;
  for (const SocketAddress& address : addresses) {
    (address.family() == addresses.front().family() ? first : second).push_back(address);
  }
  std::vector<SocketAddress> result;
  result.reserve(addresses.size());
  for (size_t i = 0; i < first.size() || i < second.size(); ++i) {
    if (i < first.size()) result.push_back(first[i]);
    if (i < second.size()) result.push_back(second[i]);
  }
  return result;
}

Task<void> Attempt(Race* race, SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) {
    race->failures.push_back(stream.status());
  } else if (!race->winner.has_value()) {
    race->winner.emplace(*std::move(stream));
  }
  race->progress.Set();
}

Task<absl::Status> Run(Race* race, TaskGroup* group) {
  for (size_t started = 1; started <= race->addresses.size(); ++started) {
    group->Spawn(&Attempt, race, race->addresses[started - 1]);
    const bool last = started == race->addresses.size();
    const Instant next = last ? Instant::InfiniteFuture() : Now() + race->attempt_delay;
    while (!race->winner.has_value() && race->failures.size() < started) {
      race->progress.Reset();
      absl::Status status = co_await race->progress.Wait().By(next);
      if (absl::IsDeadlineExceeded(status)) break;
      if (!status.ok()) co_return status;
    }
    if (race->winner.has_value()) break;
  }
  group->Cancel();
  co_return absl::OkStatus();
}

absl::Status AllFailed(const std::vector<absl::Status>& failures) {
  if (failures.size() == 1) return failures.front();
  std::string message = absl::StrCat("none of ", failures.size(), " addresses could be connected");
  const char* separator = ": ";
  for (const absl::Status& failure : failures) {
    absl::StrAppend(&message, separator, failure.message());
    separator = "; ";
  }
  return absl::Status(failures.front().code(), message);
}

}  // namespace

Task<absl::StatusOr<TcpStream>> ConnectToAny(std::vector<SocketAddress> addresses, ConnectOptions options) {
  if (addresses.empty()) co_return absl::InvalidArgumentError("connect: there is no address");
  Race race;
  race.addresses = InterleaveFamilies(addresses);
  race.attempt_delay = options.attempt_delay();
  auto body = [&race](TaskGroup& group) { return Run(&race, &group); };
  absl::Status status = co_await WithTaskGroup(body);
  if (race.winner.has_value()) co_return *std::move(race.winner);
  if (!status.ok()) co_return status;
  // Nobody but the caller's scope has cancelled an attempt.
  for (const absl::Status& failure : race.failures) {
    if (absl::IsCancelled(failure)) co_return failure;
  }
  co_return AllFailed(race.failures);
}

Task<absl::StatusOr<TcpStream>> Connect(std::string target, ConnectOptions options) {
  const absl::StatusOr<HostAndPort> parsed = ParseHostAndPort(target);
  if (!parsed.ok()) co_return parsed.status();
  absl::StatusOr<std::vector<SocketAddress>> addresses = co_await Resolve(parsed->host, parsed->port);
  if (!addresses.ok()) co_return addresses.status();
  absl::StatusOr<TcpStream> stream = co_await ConnectToAny(*std::move(addresses), options);
  co_return stream;
}

}  // namespace tandem
