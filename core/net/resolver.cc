// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/resolver.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tandem/core/io/decimal.h"
#include "tandem/core/io/reactor.h"

namespace tandem {
namespace {

// RFC 1035 section 2.3.4, without the length bytes.
constexpr size_t kLongestName = 253;

bool MayBeName(absl::string_view host) {
  return !host.empty() && host.size() <= kLongestName && std::all_of(host.begin(), host.end(), [](char c) {
    // Letters, digits and hyphens (RFC 1123 section 2.1), the underscore that is in use, and bytes of other alphabets,
    // which resolvers may translate.
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
  });
}

// Whether the last label is a number to some parser of addresses: decimal, octal, or hexadecimal after "0x". By the
// URL Standard, section 3.5, "ends in a number". No name is: there is no such top-level domain.
bool EndsInNumber(absl::string_view host) {
  absl::ConsumeSuffix(&host, ".");
  absl::string_view last = host.substr(host.rfind('.') + 1);  // All of it when there is no dot.
  if (last.empty()) return false;
  if (absl::StartsWithIgnoreCase(last, "0x")) {
    last.remove_prefix(2);
    return std::all_of(last.begin(), last.end(), absl::ascii_isxdigit);
  }
  return std::all_of(last.begin(), last.end(), absl::ascii_isdigit);
}

constexpr absl::string_view kNumericName =
    "it ends in a number and is no IPv4 address: expected four decimal numbers of 0 to 255 without leading zeros";

}  // namespace

absl::StatusOr<HostAndPort> ParseHostAndPort(absl::string_view text) {
  const auto malformed = [text] {
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(text),
                                                   "\" is not a host with a port: expected name:port, 1.2.3.4:port or ",
                                                   "[ipv6]:port"));
  };
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return malformed();
  const auto port = internal::ParseDecimal(text.substr(colon + 1), 65535);
  if (!port.has_value()) return malformed();
  absl::string_view host = text.substr(0, colon);
  HostAndPort result;
  result.port = static_cast<uint16_t>(*port);
  if (absl::StrContains(host, ':') || absl::StartsWith(host, "[")) {
    if (host.size() < 2 || host.front() != '[' || host.back() != ']') return malformed();
    host = host.substr(1, host.size() - 2);
    if (!absl::StrContains(host, ':') || !SocketAddress::ParseHost(host, 0).ok()) return malformed();
  } else if (!MayBeName(host)) {
    return malformed();
  } else if (EndsInNumber(host) && !SocketAddress::ParseHost(host, 0).ok()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(host), "\" is not a host: ", kNumericName));
  }
  result.host = std::string(host);
  return result;
}

ResolveOperation::ResolveOperation(std::string host, uint16_t port) {
  lookup_.host = std::move(host);
  lookup_.port = port;
}

std::string ResolveOperation::Describe() const { return absl::StrCat("the addresses of ", lookup_.host); }

bool ResolveOperation::Start() {
  if (const auto address = SocketAddress::ParseHost(lookup_.host, lookup_.port); address.ok()) {
    lookup_.addresses = {*address};
    resolved_ = true;
    return true;
  }
  if (!MayBeName(lookup_.host) || EndsInNumber(lookup_.host)) {
    error_ = EINVAL;
    resolved_ = true;
    return true;
  }
  Reactor::Current().Submit(call_);
  return false;
}

void ResolveOperation::OnStop() { Reactor::Current().Cancel(call_); }

void ResolveOperation::OnResolved(int64_t result) {
  error_ = static_cast<int>(-result);
  resolved_ = error_ != ECANCELED;
  Finish();
}

absl::StatusOr<std::vector<SocketAddress>> ResolveOperation::TakeResult() {
  if (!resolved_) return cause() == StopCause::kNone ? CancelledStatus() : StopStatus();
  const std::string what = absl::StrCat("resolve \"", absl::CHexEscape(lookup_.host), "\": ");
  switch (error_) {
    case 0:
      return std::move(lookup_.addresses);
    case ENOENT:
      return absl::NotFoundError(absl::StrCat(what, "there is no such name, or it has no address"));
    case EAGAIN:
      return absl::UnavailableError(absl::StrCat(what, "the name servers did not answer"));
    case EINVAL:
      return absl::InvalidArgumentError(
          absl::StrCat(what, EndsInNumber(lookup_.host) ? kNumericName : "not a host name"));
    default:
      return absl::UnavailableError(absl::StrCat(what, "the lookup failed"));
  }
}

ResolveOperation Resolve(absl::string_view host, uint16_t port) { return ResolveOperation(std::string(host), port); }

}  // namespace tandem
