// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/tcp/tcp_ports.h"

#include "absl/log/check.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/network/ip.h"
#include "tandem/sim/tcp/tcp_socket.h"

namespace tandem::sim {

// The sockets of one port.
struct TcpPorts::Bucket {
  ~Bucket() {
    while (!names.empty()) names.PopFront();
  }

  IntrusiveList<TcpName, PortListTag> names;
  std::vector<TcpName*> listeners;  // In the order of listen().
  size_t bound_explicitly = 0;
};

TcpPorts::TcpPorts(const Choices& choices, Entity host)
    : choices_(choices), host_(host), ephemeral_(choices.Draw(Choice::kPort, host.Part("tcp"), 0)) {}

TcpPorts::~TcpPorts() = default;

bool TcpPorts::Conflicts(const TcpName& name, const SocketAddress& local) const {
  const auto bucket = buckets_.find(local.port());
  if (bucket == buckets_.end()) return false;
  bool conflict = false;
  bucket->second->names.ForEach([&](const TcpName& other) {
    const auto both_have = [&](SocketOption option) { return name.options.has(option) && other.options.has(option); };
    if (&other == &name || conflict) return;
    if (!Overlap(local, name.ipv6_only(), other.local, other.ipv6_only())) return;
    if (both_have(SocketOption::kReuseAddress) && !other.listening) return;
    conflict = !both_have(SocketOption::kReusePort);
  });
  return conflict;
}

uint16_t TcpPorts::FindFree(const TcpName& name, const SocketAddress& local) {
  return ephemeral_.Find([&](uint16_t port) { return !Conflicts(name, local.WithPort(port)); });
}

void TcpPorts::Add(TcpName& name, bool bound_explicitly) {
  std::unique_ptr<Bucket>& bucket = buckets_[name.local.port()];
  if (bucket == nullptr) bucket = std::make_unique<Bucket>();
  bucket->names.PushBack(name);
  name.bound = true;
  name.bound_explicitly = bound_explicitly;
  if (bound_explicitly) ++bucket->bound_explicitly;
}

void TcpPorts::Remove(TcpName& name) {
  if (!name.bound) return;
  RemoveListener(name);
  const auto found = buckets_.find(name.local.port());
  CHECK(found != buckets_.end());
  Bucket& bucket = *found->second;
  name.Unlink();
  if (name.bound_explicitly) --bucket.bound_explicitly;
  name.bound = name.bound_explicitly = false;
  if (bucket.names.empty()) buckets_.erase(found);
}

void TcpPorts::AddListener(TcpName& name) {
  name.listening = true;
  buckets_.find(name.local.port())->second->listeners.push_back(&name);
}

void TcpPorts::RemoveListener(TcpName& name) {
  if (!name.listening) return;
  name.listening = false;
  std::erase(buckets_.find(name.local.port())->second->listeners, &name);
}

TcpSocket* TcpPorts::FindListener(const SocketAddress& destination, Entity flow) const {
  const auto bucket = buckets_.find(destination.port());
  if (bucket == buckets_.end()) return nullptr;
  std::vector<TcpName*> best;
  int best_score = 0;
  for (TcpName* listener : bucket->second->listeners) {
    if (!Covers(listener->local, listener->ipv6_only(), destination)) continue;
    const int score = !listener->local.is_any() ? 3 : listener->local.family() == destination.family() ? 2 : 1;
    if (score < best_score) continue;
    if (score > best_score) best.clear();
    best_score = score;
    best.push_back(listener);
  }
  if (best.empty()) return nullptr;
  return &best[ReduceToRange(choices_.Draw(Choice::kListener, host_, flow.hash()), best.size())]->owner;
}

bool TcpPorts::AddConnection(TcpName& name) {
  TcpSocket* old = FindConnection(name.local, name.remote);
  if (old != nullptr) {
    if (!old->MakesWay(/*port_is_bound=*/name.bound)) return false;
    old->MakeWay();
  }
  connections_.emplace(Pair(name.local, name.remote), &name.owner);
  name.connected = true;
  return true;
}

bool TcpPorts::AddConnectionAtFreePort(TcpName& name, const SocketAddress& source) {
  const uint16_t port = ephemeral_.Find([&](uint16_t candidate) {
    const auto bucket = buckets_.find(candidate);
    if (bucket != buckets_.end() && (bucket->second->bound_explicitly > 0 || !bucket->second->listeners.empty())) {
      return false;
    }
    name.local = source.WithPort(candidate);
    return AddConnection(name);
  });
  if (port == 0) {
    name.local = name.bound_to;
    return false;
  }
  Add(name, /*bound_explicitly=*/false);
  return true;
}

void TcpPorts::RemoveConnection(TcpName& name) {
  if (!name.connected) return;
  connections_.erase(Pair(name.local, name.remote));
  name.connected = false;
}

TcpSocket* TcpPorts::FindConnection(const SocketAddress& local, const SocketAddress& remote) const {
  const auto found = connections_.find(Pair(local, remote));
  return found == connections_.end() ? nullptr : found->second;
}

}  // namespace tandem::sim
