// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/address.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tandem/core/io/decimal.h"

namespace tandem {
namespace {

using internal::ParseDecimal;

std::optional<std::array<uint8_t, 4>> ParseIpv4Bytes(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  if (parts.size() != 4) return std::nullopt;
  std::array<uint8_t, 4> bytes;
  for (size_t i = 0; i < 4; ++i) {
    const auto value = ParseDecimal(parts[i], 255);
    if (!value.has_value()) return std::nullopt;
    bytes[i] = static_cast<uint8_t>(*value);
  }
  return bytes;
}

// Appends the 16-bit groups of `text` ("a:b:c", the last may be a dotted IPv4 address). False when malformed.
bool ParseGroups(absl::string_view text, std::vector<uint16_t>* groups) {
  if (text.empty()) return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i + 1 == parts.size() && absl::StrContains(parts[i], '.')) {
      const auto ipv4 = ParseIpv4Bytes(parts[i]);
      if (!ipv4.has_value()) return false;
      groups->push_back(static_cast<uint16_t>((*ipv4)[0] << 8 | (*ipv4)[1]));
      groups->push_back(static_cast<uint16_t>((*ipv4)[2] << 8 | (*ipv4)[3]));
      continue;
    }
    if (parts[i].empty() || parts[i].size() > 4) return false;
    uint16_t value = 0;
    for (char c : parts[i]) {
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return false;
      const int digit = c <= '9' ? c - '0' : absl::ascii_tolower(static_cast<unsigned char>(c)) - 'a' + 10;
      value = static_cast<uint16_t>(value << 4 | digit);
    }
    groups->push_back(value);
  }
  return true;
}

std::optional<std::array<uint8_t, 16>> ParseIpv6Bytes(absl::string_view text) {
  std::vector<uint16_t> head;
  std::vector<uint16_t> tail;
  const size_t gap = text.find("::");
  if (gap == absl::string_view::npos) {
    if (!ParseGroups(text, &head) || head.size() != 8) return std::nullopt;
  } else {
    const absl::string_view before = text.substr(0, gap);
    const absl::string_view after = text.substr(gap + 2);
    if (absl::StrContains(before, '.') || absl::StrContains(after, "::")) return std::nullopt;
    if (!ParseGroups(before, &head) || !ParseGroups(after, &tail)) return std::nullopt;
    if (head.size() + tail.size() > 7) return std::nullopt;
    head.resize(8 - tail.size());
    head.insert(head.end(), tail.begin(), tail.end());
  }
  std::array<uint8_t, 16> bytes;
  for (size_t i = 0; i < 8; ++i) {
    bytes[2 * i] = static_cast<uint8_t>(head[i] >> 8);
    bytes[2 * i + 1] = static_cast<uint8_t>(head[i] & 0xff);
  }
  return bytes;
}

std::string Ipv6ToString(const std::array<uint8_t, 16>& bytes) {
  static constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin())) {
    return absl::StrCat("::ffff:", bytes[12], ".", bytes[13], ".", bytes[14], ".", bytes[15]);
  }
  uint16_t groups[8];
  for (size_t i = 0; i < 8; ++i) groups[i] = static_cast<uint16_t>(bytes[2 * i] << 8 | bytes[2 * i + 1]);
  // The longest run of at least two zero groups is written "::", the first of equals (RFC 5952 section 4.2).
  size_t best = 8;
  size_t best_length = 1;
  for (size_t i = 0; i < 8;) {
    size_t end = i;
    while (end < 8 && groups[end] == 0) ++end;
    if (end - i > best_length) {
      best = i;
      best_length = end - i;
    }
    i = std::max(end, i + 1);
  }
  std::string text;
  for (size_t i = 0; i < 8; ++i) {
    if (i == best) {
      text += "::";
      i += best_length - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    absl::StrAppend(&text, absl::Hex(groups[i]));
  }
  return text;
}

absl::Status Malformed(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not an address: expected 1.2.3.4:port or [ipv6]:port"));
}

}  // namespace

void internal::SharedName::Drop() {
  if (shared_->copies.fetch_sub(1, std::memory_order_acq_rel) == 1) delete shared_;
}

SocketAddress SocketAddress::Ipv4(std::array<uint8_t, 4> bytes, uint16_t port) {
  SocketAddress address;
  address.family_ = AddressFamily::kIpv4;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  address.port_ = port;
  return address;
}

SocketAddress SocketAddress::Ipv6(std::array<uint8_t, 16> bytes, uint16_t port, uint32_t scope_id) {
  SocketAddress address;
  address.family_ = AddressFamily::kIpv6;
  address.bytes_ = bytes;
  address.port_ = port;
  address.scope_id_ = scope_id;
  return address;
}

SocketAddress SocketAddress::LoopbackIpv6(uint16_t port) {
  std::array<uint8_t, 16> bytes = {};
  bytes[15] = 1;
  return Ipv6(bytes, port);
}

SocketAddress SocketAddress::AnyIpv6(uint16_t port) { return Ipv6({}, port); }

absl::StatusOr<SocketAddress> SocketAddress::Unix(absl::string_view path) {
  if (path.empty() || path.size() > kMaxUnixName || absl::StrContains(path, '\0')) {
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(path),
                                                   "\" cannot be the path of a Unix socket: ", "expected 1 to ",
                                                   kMaxUnixName, " bytes without NUL"));
  }
  SocketAddress address;
  address.family_ = AddressFamily::kUnix;
  address.unix_name_ = internal::SharedName(std::string(path));
  return address;
}

absl::StatusOr<SocketAddress> SocketAddress::UnixAbstract(absl::string_view name) {
  if (name.empty() || name.size() > kMaxUnixName) {
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(name), "\" cannot be the abstract name of a ",
                                                   "Unix socket: expected 1 to ", kMaxUnixName, " bytes"));
  }
  SocketAddress address;
  address.family_ = AddressFamily::kUnix;
  address.unix_name_ = internal::SharedName(absl::StrCat(absl::string_view("\0", 1), name));
  return address;
}

absl::StatusOr<SocketAddress> SocketAddress::Parse(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return Malformed(text);
  const auto port = ParseDecimal(text.substr(colon + 1), 65535);
  if (!port.has_value()) return Malformed(text);
  const absl::string_view host = text.substr(0, colon);
  // An IPv6 address needs its brackets here: in "::1:80" nobody can tell the port from a group.
  if (absl::StrContains(host, ':') && (host.front() != '[' || host.back() != ']')) return Malformed(text);
  auto address = ParseHost(host, static_cast<uint16_t>(*port));
  if (!address.ok()) return Malformed(text);
  return address;
}

absl::StatusOr<SocketAddress> SocketAddress::ParseHost(absl::string_view host, uint16_t port) {
  if (const auto ipv4 = ParseIpv4Bytes(host); ipv4.has_value()) return Ipv4(*ipv4, port);
  absl::string_view text = host;
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  uint32_t scope_id = 0;
  if (const size_t percent = text.find('%'); percent != absl::string_view::npos) {
    const auto parsed = ParseDecimal(text.substr(percent + 1), ~uint32_t{0});
    if (!parsed.has_value()) return Malformed(host);
    scope_id = *parsed;
    text = text.substr(0, percent);
  }
  if (!absl::StrContains(text, ':')) return Malformed(host);
  const auto ipv6 = ParseIpv6Bytes(text);
  if (!ipv6.has_value()) return Malformed(host);
  return Ipv6(*ipv6, port, scope_id);
}

bool SocketAddress::is_loopback() const {
  if (is_ipv4()) return bytes_[0] == 127;
  return is_ipv6() && bytes_ == LoopbackIpv6(0).bytes_;
}

bool SocketAddress::is_any() const { return (is_ipv4() || is_ipv6()) && bytes_ == std::array<uint8_t, 16>{}; }

std::strong_ordering operator<=>(const SocketAddress& a, const SocketAddress& b) {
  if (const auto order = a.family_ <=> b.family_; order != 0) return order;
  if (const auto order = a.bytes_ <=> b.bytes_; order != 0) return order;
  if (const auto order = a.port_ <=> b.port_; order != 0) return order;
  if (const auto order = a.scope_id_ <=> b.scope_id_; order != 0) return order;
  return a.unix_name().compare(b.unix_name()) <=> 0;
}

SocketAddress SocketAddress::WithPort(uint16_t port) const {
  SocketAddress address = *this;
  address.port_ = port;
  return address;
}

std::string SocketAddress::HostToString() const {
  switch (family_) {
    case AddressFamily::kNone:
      return "(none)";
    case AddressFamily::kIpv4:
      return absl::StrCat(bytes_[0], ".", bytes_[1], ".", bytes_[2], ".", bytes_[3]);
    case AddressFamily::kIpv6:
      return scope_id_ == 0 ? Ipv6ToString(bytes_) : absl::StrCat(Ipv6ToString(bytes_), "%", scope_id_);
    case AddressFamily::kUnix:
      if (unix_name().front() != '\0') return absl::StrCat("unix:", absl::CHexEscape(unix_name()));
      return absl::StrCat("unix:@", absl::CHexEscape(unix_name().substr(1)));
  }
  return "(none)";
}

std::string SocketAddress::ToString() const {
  if (family_ == AddressFamily::kNone || is_unix()) return HostToString();
  if (is_ipv6()) return absl::StrCat("[", HostToString(), "]:", port_);
  return absl::StrCat(HostToString(), ":", port_);
}

}  // namespace tandem
