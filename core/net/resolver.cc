// SPDX-License-Identifier: Apache-2.0

#include "core/net/resolver.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

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

}  // namespace

absl::StatusOr<HostAndPort> ParseHostAndPort(absl::string_view text) {
  const auto malformed = [text] {
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(text),
                                                   "\" is not a host with a port: expected name:port, 1.2.3.4:port or ",
                                                   "[ipv6]:port"));
  };
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return malformed();
  const absl::string_view digits = text.substr(colon + 1);
  uint32_t port = 0;
  if (digits.empty() || digits.size() > 5 || !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(digits, &port) || port > 65535) {
    return malformed();
  }
  absl::string_view host = text.substr(0, colon);
  HostAndPort result;
  result.port = static_cast<uint16_t>(port);
  if (absl::StrContains(host, ':') || absl::StartsWith(host, "[")) {
    if (host.size() < 2 || host.front() != '[' || host.back() != ']') return malformed();
    host = host.substr(1, host.size() - 2);
    if (!absl::StrContains(host, ':') || !SocketAddress::ParseHost(host, 0).ok()) return malformed();
  } else if (!MayBeName(host)) {
    return malformed();
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
  if (!MayBeName(lookup_.host)) {
    error_ = EINVAL;
    resolved_ = true;
    return true;
  }
  Reactor::Current().Submit(call_);
  return false;
}

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
      return absl::InvalidArgumentError(absl::StrCat(what, "not a host name"));
    default:
      return absl::UnavailableError(absl::StrCat(what, "the lookup failed"));
  }
}

ResolveOperation Resolve(absl::string_view host, uint16_t port) { return ResolveOperation(std::string(host), port); }

}  // namespace tandem
