// SPDX-License-Identifier: Apache-2.0
//
// SocketAddress: an IPv4 or IPv6 address with a port, or the name of a Unix socket. A value type; compares, orders
// and hashes by family, bytes, port, scope, name.

#ifndef TANDEM_CORE_IO_ADDRESS_H_
#define TANDEM_CORE_IO_ADDRESS_H_

#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

enum class AddressFamily : uint8_t { kNone, kIpv4, kIpv6, kUnix };

namespace internal {

// The name of a Unix socket, or none. Copies share it, also across threads. Addresses are copied for every packet of
// the simulator, nearly always without a name: that costs a test, here, and no call.
class SharedName {
 public:
  SharedName() = default;
  explicit SharedName(std::string text) : shared_(new Shared{std::move(text)}) {}
  SharedName(const SharedName& other) noexcept : shared_(other.shared_) {
    if (shared_ != nullptr) [[unlikely]]
      shared_->copies.fetch_add(1, std::memory_order_relaxed);
  }
  SharedName(SharedName&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
  SharedName& operator=(const SharedName& other) noexcept {
    if (shared_ != other.shared_) [[unlikely]]
      *this = SharedName(other);
    return *this;
  }
  SharedName& operator=(SharedName&& other) noexcept {
    std::swap(shared_, other.shared_);
    return *this;
  }
  ~SharedName() {
    if (shared_ != nullptr) [[unlikely]]
      Drop();
  }

  absl::string_view view() const { return shared_ == nullptr ? absl::string_view() : shared_->text; }

 private:
  struct Shared {
    const std::string text;
    std::atomic<uint32_t> copies = 1;
  };

  void Drop();

  Shared* shared_ = nullptr;
};

}  // namespace internal

class SocketAddress {
 public:
  // No address (family kNone).
  SocketAddress() = default;

  // `bytes` in network order, `port` 0..65535 in host order.
  static SocketAddress Ipv4(std::array<uint8_t, 4> bytes, uint16_t port);
  // `scope_id` is the interface index of a link-local address, else 0.
  static SocketAddress Ipv6(std::array<uint8_t, 16> bytes, uint16_t port, uint32_t scope_id = 0);

  // 127.0.0.1, 0.0.0.0, ::1 and :: with `port`.
  static SocketAddress LoopbackIpv4(uint16_t port) { return Ipv4({127, 0, 0, 1}, port); }
  static SocketAddress AnyIpv4(uint16_t port) { return Ipv4({0, 0, 0, 0}, port); }
  static SocketAddress LoopbackIpv6(uint16_t port);
  static SocketAddress AnyIpv6(uint16_t port);

  // The longest name of a Unix socket, in bytes.
  static constexpr size_t kMaxUnixName = 107;

  // A Unix socket (unix(7)) at the file `path`.
  //
  // Errors:
  //   kInvalidArgument  `path` is empty, has a NUL, or is longer than kMaxUnixName.
  static absl::StatusOr<SocketAddress> Unix(absl::string_view path);
  // A Unix socket with an abstract name, which exists as long as a socket is bound to it and not in any folder. Any
  // bytes.
  //
  // Errors:
  //   kInvalidArgument  `name` is empty or longer than kMaxUnixName.
  static absl::StatusOr<SocketAddress> UnixAbstract(absl::string_view name);

  // Parses "1.2.3.4:80" and "[2001:db8::1]:80" (RFC 5952 text, RFC 4291 section 2.2; "%3" sets a numeric scope id).
  // Names are not resolved.
  //
  // Errors:
  //   kInvalidArgument  `text` is not an address with a port; the message quotes it and says what is expected.
  static absl::StatusOr<SocketAddress> Parse(absl::string_view text);
  // Parses an address without a port: "1.2.3.4", "2001:db8::1" (brackets allowed).
  static absl::StatusOr<SocketAddress> ParseHost(absl::string_view host, uint16_t port);

  AddressFamily family() const { return family_; }
  bool is_ipv4() const { return family_ == AddressFamily::kIpv4; }
  bool is_ipv6() const { return family_ == AddressFamily::kIpv6; }
  bool is_unix() const { return family_ == AddressFamily::kUnix; }
  // The path of a Unix socket, or a NUL and its abstract name. Empty for other addresses.
  absl::string_view unix_name() const { return unix_name_.view(); }
  uint16_t port() const { return port_; }
  uint32_t scope_id() const { return scope_id_; }
  // The address in network order: 4 bytes are used for IPv4 (the rest is zero), 16 for IPv6.
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  bool is_loopback() const;
  // 0.0.0.0 or ::.
  bool is_any() const;

  SocketAddress WithPort(uint16_t port) const;

  // "1.2.3.4:80", "[2001:db8::1]:80" in the canonical form of RFC 5952, "unix:/run/a", "unix:@name" (abstract; bytes
  // that are not printable as \\xHH), or "(none)".
  std::string ToString() const;
  // The same without the port and the brackets.
  std::string HostToString() const;

  friend std::strong_ordering operator<=>(const SocketAddress& a, const SocketAddress& b);
  friend bool operator==(const SocketAddress& a, const SocketAddress& b) {
    return a.bytes_ == b.bytes_ && a.port_ == b.port_ && a.family_ == b.family_ && a.scope_id_ == b.scope_id_ &&
           a.unix_name() == b.unix_name();
  }

  // For absl::flat_hash_map and the like. Differs from process to process, and with it the order of such a map: what
  // depends on the order goes over a sorted copy, or a btree_map.
  template <typename H>
  friend H AbslHashValue(H hash, const SocketAddress& address) {
    return H::combine(std::move(hash), address.family_, address.bytes_, address.port_, address.scope_id_,
                      address.unix_name());
  }

  template <typename Sink>
  friend void AbslStringify(Sink& sink, const SocketAddress& address) {
    sink.Append(address.ToString());
  }
  friend std::ostream& operator<<(std::ostream& out, const SocketAddress& address) { return out << address.ToString(); }

 private:
  std::array<uint8_t, 16> bytes_ = {};
  uint32_t scope_id_ = 0;
  uint16_t port_ = 0;
  AddressFamily family_ = AddressFamily::kNone;
  internal::SharedName unix_name_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_ADDRESS_H_
