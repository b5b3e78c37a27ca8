// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/network/network_host.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tandem/sim/network/network.h"

namespace tandem::sim {
namespace {

constexpr int64_t kLoopbackLatencyNs = 15'000;
constexpr LinkConditions kLoopbackConditions = [] {
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Fixed(kLoopbackLatencyNs);
  return conditions;
}();

}  // namespace

NetworkHost::NetworkHost(Network& network, std::string name, std::vector<SocketAddress> addresses)
    : network_(network),
      events_(network.events()),
      trace_(network.trace()),
      name_(std::move(name)),
      addresses_(std::move(addresses)),
      entity_(Entity::Of(name_)) {}

bool NetworkHost::Owns(const SocketAddress& address) const {
  if (address.is_loopback()) return true;
  const SocketAddress host = address.WithPort(0);
  return std::find(addresses_.begin(), addresses_.end(), host) != addresses_.end();
}

NetworkHost* NetworkHost::Route(const SocketAddress& address) {
  return Owns(address) ? this : network_.FindHost(address);
}

int NetworkHost::SourceAddressFor(const SocketAddress& peer, SocketAddress* source) const {
  if (Owns(peer)) {
    *source = peer.is_loopback() && peer.is_ipv4() ? SocketAddress::LoopbackIpv4(0) : peer.WithPort(0);
    return 0;
  }
  for (const SocketAddress& address : addresses_) {
    if (address.family() != peer.family()) continue;
    *source = address;
    return 0;
  }
  return -ENETUNREACH;
}

bool NetworkHost::IsFailing(uint64_t number) const {
  return std::any_of(failing_.begin(), failing_.end(), [number](const FailingOperations& failing) {
    return failing.and_after ? failing.number <= number : failing.number == number;
  });
}

void NetworkHost::OnCallAlarm() { network_.fault_source()->OnCallAlarm(*this); }

Link& NetworkHost::NewLink(NetworkHost& to) {
  if (to.index_ >= links_.size()) links_.resize(to.index_ + 1);
  links_[to.index_] = std::make_unique<Link>(&to == this ? kLoopbackConditions : network_.default_conditions());
  return *links_[to.index_];
}

}  // namespace tandem::sim
