// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/tickets/tickets.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tandem/tandem.h"

namespace tickets {

using namespace tandem;

Office::Office(std::string name) : prefix_(absl::StrCat(name, "-", absl::ToUnixMillis(WallNow()), "-")) {}

std::string Office::Next() { return absl::StrCat(prefix_, ++given_); }

// [Sell]
namespace {

Task<absl::StatusOr<std::string>> SellTo(std::string who, Office* office) {
  const std::string ticket = office->Next();
  VisitSite("ticket.before_reply");
  VLOG(1) << ticket << " for " << who;
  co_return ticket;
}

}  // namespace

Task<absl::Status> Sell(TcpListener listener, Office* office) {
  const auto sell = [office](std::string who) { return SellTo(std::move(who), office); };
  co_return co_await ServeLines(std::move(listener), sell);
}
// [end]

namespace {

Task<absl::StatusOr<std::string>> TakeFrom(std::string office, std::string who) {
  absl::StatusOr<TcpStream> stream = co_await Connect(office);
  if (!stream.ok()) co_return stream.status();
  LineClient client(*std::move(stream));
  co_return co_await client.Call(who);
}

}  // namespace

Task<absl::StatusOr<std::string>> Take(std::string who, std::vector<std::string> offices) {
  absl::StatusOr<std::string> ticket = absl::InvalidArgumentError("no office to ask");
  for (const std::string& office : offices) {
    ticket = co_await WithTimeout(absl::Seconds(2), TakeFrom(office, who));
    TANDEM_SOMETIMES(ticket.ok() && office != offices.front(), "another office helps");
    if (ticket.ok()) break;
  }
  co_return ticket;
}

}  // namespace tickets
