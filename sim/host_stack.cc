// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/host_stack.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tandem/sim/ip.h"
#include "tandem/sim/network.h"
#include "tandem/sim/packet.h"
#include "tandem/sim/tcp.h"
#include "tandem/sim/tcp_stack.h"
#include "tandem/sim/udp_socket.h"
#include "tandem/sim/udp_stack.h"

namespace tandem::sim {
namespace {

constexpr int64_t kLoopbackLatencyNs = 15'000;

}  // namespace

HostStack::HostStack(Network& network, uint32_t index, std::string name, std::vector<SocketAddress> addresses)
    : network_(network),
      events_(network.events()),
      trace_(network.trace()),
      index_(index),
      name_(std::move(name)),
      addresses_(std::move(addresses)),
      seed_(HashCombine(network.seed(), HashName(name_))),
      tcp_(std::make_unique<TcpStack>(*this)),
      udp_(std::make_unique<UdpStack>(*this)) {}

HostStack::~HostStack() = default;

// --- Life and death ---

void HostStack::CrashMachine() {
  up_ = false;
  observer_ = nullptr;
  DropAllSockets();
}

void HostStack::StartMachine() { up_ = true; }

void HostStack::KillProcess() {
  observer_ = nullptr;
  for (size_t id = 0; id < descriptors_.size(); ++id) {
    if (descriptors_[id].in_use()) Close(static_cast<SocketId>(id));
  }
  tcp_->ForgetLingeringCloses();  // The next process has tickets of its own.
  descriptors_.clear();
  free_descriptors_.clear();
}

void HostStack::DropAllSockets() {
  tcp_->DropAllSockets();
  udp_->DropAllSockets();
  descriptors_.clear();
  free_descriptors_.clear();
  open_descriptors_ = 0;
}

size_t HostStack::established_connections() const { return tcp_->established_connections(); }

bool HostStack::ResetConnection(uint64_t draw) { return tcp_->ResetConnection(draw); }

// --- Addresses and links ---

bool HostStack::Owns(const SocketAddress& address) const {
  if (address.is_loopback()) return true;
  const SocketAddress host = address.WithPort(0);
  return std::find(addresses_.begin(), addresses_.end(), host) != addresses_.end();
}

HostStack* HostStack::Route(const SocketAddress& address) { return Owns(address) ? this : network_.FindHost(address); }

int HostStack::SourceAddressFor(const SocketAddress& peer, SocketAddress* source) const {
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

Link& HostStack::NewLink(HostStack& to) {
  const bool loopback = &to == this;
  LinkConditions conditions;
  if (loopback) {
    conditions.latency = LatencyDistribution::Fixed(kLoopbackLatencyNs);
  } else {
    conditions = network_.default_conditions();
  }
  if (to.index_ >= links_.size()) links_.resize(to.index_ + 1);
  const uint64_t key = HashCombine(HashCombine(seed_, HashName("link")), HashName(to.name_));
  links_[to.index_] = std::make_unique<Link>(key, conditions);
  if (loopback) links_[to.index_]->set_has_own_conditions();
  return *links_[to.index_];
}

void HostStack::OnPacket(Packet& packet) {
  if (packet.protocol == Packet::kTcp) {
    tcp_->OnPacket(packet);
  } else {
    udp_->OnPacket(packet);
  }
}

// --- Descriptors ---

SocketId HostStack::AddDescriptor(const Descriptor& descriptor) {
  SocketId id;
  if (free_descriptors_.empty()) {
    id = static_cast<SocketId>(descriptors_.size());
    descriptors_.push_back(descriptor);
  } else {
    id = free_descriptors_.back();
    free_descriptors_.pop_back();
    descriptors_[static_cast<size_t>(id)] = descriptor;
  }
  ++open_descriptors_;
  return id;
}

void HostStack::RemoveDescriptor(SocketId id) {
  descriptors_[static_cast<size_t>(id)] = Descriptor();
  free_descriptors_.push_back(id);
  --open_descriptors_;
}

// --- System calls ---

int64_t HostStack::Open(AddressFamily family) {
  if (family == AddressFamily::kNone) return -EAFNOSUPPORT;
  if (open_descriptors_ >= descriptor_limit_) return -EMFILE;
  TcpSocket& socket = tcp_->Open(family);
  socket.set_id(AddDescriptor(Descriptor{&socket, nullptr}));
  Record(TraceKind::kOpen, socket.id());
  return socket.id();
}

int64_t HostStack::OpenDatagrams(AddressFamily family) {
  if (family == AddressFamily::kNone) return -EAFNOSUPPORT;
  if (open_descriptors_ >= descriptor_limit_) return -EMFILE;
  UdpSocket& socket = udp_->Open(family);
  socket.set_id(AddDescriptor(Descriptor{nullptr, &socket}));
  Record(TraceKind::kOpen, socket.id(), 1);
  return socket.id();
}

int HostStack::Bind(SocketId id, const SocketAddress& address) {
  if (UdpSocket* datagrams = FindDatagrams(id)) return datagrams->Bind(address);
  TcpSocket* stream = Find(id);
  return stream == nullptr ? -EBADF : tcp_->Bind(*stream, address);
}

int HostStack::Listen(SocketId id, int backlog) {
  if (FindDatagrams(id) != nullptr) return -EOPNOTSUPP;
  TcpSocket* stream = Find(id);
  return stream == nullptr ? -EBADF : tcp_->Listen(*stream, backlog);
}

int HostStack::Connect(SocketId id, const SocketAddress& address) {
  TcpSocket* stream = Find(id);
  return stream == nullptr ? -EBADF : tcp_->Connect(*stream, address);
}

int64_t HostStack::Accept(SocketId id) {
  if (FindDatagrams(id) != nullptr) return -EOPNOTSUPP;
  TcpSocket* listener = Find(id);
  if (listener == nullptr) return -EBADF;
  // Linux takes the descriptor first, also when nothing waits.
  if (open_descriptors_ >= descriptor_limit_) return -EMFILE;
  if (listener->state() != TcpState::kListen) return -EINVAL;
  if (!listener->acceptable()) return -EAGAIN;
  TcpSocket& stream = listener->TakeAccepted();
  stream.set_id(AddDescriptor(Descriptor{&stream, nullptr}));
  Record(TraceKind::kAccept, id, stream.id());
  return stream.id();
}

int HostStack::Shutdown(SocketId id, ShutdownHow how) {
  UdpSocket* datagrams = FindDatagrams(id);
  TcpSocket* stream = Find(id);
  if (datagrams == nullptr && stream == nullptr) return -EBADF;
  const int result = datagrams != nullptr ? datagrams->Shutdown(how) : stream->Shutdown(how);
  Record(TraceKind::kShutdown, id, how, result);
  return result;
}

int HostStack::Close(SocketId id, uint64_t ticket) {
  const Descriptor descriptor = FindDescriptor(id);
  if (!descriptor.in_use()) return -EBADF;
  Record(TraceKind::kClose, id);
  RemoveDescriptor(id);
  bool lingers = false;
  if (descriptor.stream != nullptr) {
    lingers = descriptor.stream->Close(ticket);
  } else {
    udp_->Close(*descriptor.datagrams);
  }
  if (observer_ != nullptr) observer_->OnDescriptorFree();
  return lingers ? -EINPROGRESS : 0;
}

int HostStack::SetOption(SocketId id, SocketOption option, int value) {
  const Descriptor descriptor = FindDescriptor(id);
  if (!descriptor.in_use()) return -EBADF;
  Record(TraceKind::kSocketOption, id, option, value);
  return descriptor.stream != nullptr ? descriptor.stream->SetOption(option, value)
                                      : descriptor.datagrams->SetOption(option, value);
}

int HostStack::GetOption(SocketId id, SocketOption option, int* value) {
  const Descriptor descriptor = FindDescriptor(id);
  if (!descriptor.in_use()) return -EBADF;
  return descriptor.stream != nullptr ? descriptor.stream->GetOption(option, value)
                                      : descriptor.datagrams->GetOption(option, value);
}

int HostStack::LocalAddress(SocketId id, SocketAddress* address) {
  const Descriptor descriptor = FindDescriptor(id);
  if (!descriptor.in_use()) return -EBADF;
  *address = descriptor.stream != nullptr ? descriptor.stream->LocalAddress() : descriptor.datagrams->LocalAddress();
  return 0;
}

int HostStack::PeerAddress(SocketId id, SocketAddress* address) {
  const Descriptor descriptor = FindDescriptor(id);
  if (!descriptor.in_use()) return -EBADF;
  return descriptor.stream != nullptr ? descriptor.stream->PeerAddress(address)
                                      : descriptor.datagrams->PeerAddress(address);
}

}  // namespace tandem::sim
