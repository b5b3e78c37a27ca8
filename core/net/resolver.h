// SPDX-License-Identifier: Apache-2.0
//
// Resolve: from a host's name to its addresses.
//
// On a real machine that is what getaddrinfo(3) says (hosts file, DNS, and so on, as nsswitch.conf has it), asked on
// another thread. In the simulator it is the world's table of names, sim::World::names().

#ifndef TANDEM_CORE_NET_RESOLVER_H_
#define TANDEM_CORE_NET_RESOLVER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/operation.h"

namespace tandem {

// A host and a port, as a program's user writes them.
struct HostAndPort {
  std::string host;  // A name or an address in text, without brackets.
  uint16_t port = 0;
};

// Parses "name:80", "1.2.3.4:80" and "[::1]:80". The port is a decimal number, 0..65535, without leading zeros; names
// of services are not known. A name that ends in a number is refused, as by Resolve().
//
// Errors:
//   kInvalidArgument  `text` is something else; the message quotes it and says what is expected.
absl::StatusOr<HostAndPort> ParseHostAndPort(absl::string_view text);

// Awaits to absl::StatusOr<std::vector<SocketAddress>>. See Resolve().
class [[nodiscard]] ResolveOperation final : public WithDeadline<ResolveOperation> {
 public:
  ResolveOperation(std::string host, uint16_t port);
  std::string Describe() const override;
  absl::StatusOr<std::vector<SocketAddress>> TakeResult();

 private:
  class Call final : public Operation {
   public:
    explicit Call(ResolveOperation& owner) : owner_(owner) {
      kind = OperationKind::kResolve;
      lookup = &owner.lookup_;
    }

   private:
    void OnComplete(int64_t result) override { owner_.OnResolved(result); }
    void OnAbandon() override {}
    ResolveOperation& owner_;
  };

  bool Start() override;
  void OnStop() override;
  void OnResolved(int64_t result);

  NameLookup lookup_;
  int error_ = 0;
  bool resolved_ = false;
  Call call_{*this};
};

// Looks up the addresses of `host`, best first (RFC 6724), each with `port`. At least one. An address in text ("::1",
// brackets allowed) is the result itself, without asking anybody. Nothing is cached here.
//
// A name whose last label is a number ("127.1", "0127.0.0.1", "0x7f.1", "2130706433", "db.7") is refused in every
// world, unless it is an IPv4 address in dotted form: resolvers read such names in ways of their own, some as octal
// (URL Standard, section 3.5, "ends in a number").
//
// Errors:
//   kNotFound          There is no such name, or it has no address.
//   kUnavailable       The name servers did not answer, or failed; it may be worth trying again.
//   kInvalidArgument   `host` is empty, longer than 253 bytes, or has a byte that no name has (NUL, space, '/', ...);
//                      or it ends in a number and is no address. The message says which.
//   kDeadlineExceeded  The deadline of the scope or of .By() passed first.
//   kCancelled         The enclosing scope was cancelled.
ResolveOperation Resolve(absl::string_view host, uint16_t port);

}  // namespace tandem

#endif  // TANDEM_CORE_NET_RESOLVER_H_
