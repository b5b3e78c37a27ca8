// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/machine/host_stack.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tandem/sim/network/ip.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/tcp/tcp_stack.h"
#include "tandem/sim/udp/udp_socket.h"
#include "tandem/sim/udp/udp_stack.h"

namespace tandem::sim {
HostStack& HostStack::Add(Network& network, absl::string_view name, std::vector<SocketAddress> addresses) {
  auto stack = std::make_unique<HostStack>(network, std::string(name), std::move(addresses));
  HostStack& added = *stack;
  network.Add(std::move(stack));
  return added;
}

HostStack::HostStack(Network& network, std::string name, std::vector<SocketAddress> addresses)
    : NetworkHost(network, std::move(name), std::move(addresses)),
      tcp_(std::make_unique<TcpStack>(*this)),
      udp_(std::make_unique<UdpStack>(*this)) {}

HostStack::~HostStack() = default;

// --- Life and death ---

void HostStack::CrashMachine() {
  set_up(false);
  RemoveAllObservers();
  DropAllSockets();
}

void HostStack::StartMachine() { set_up(true); }

void HostStack::KillProcess() {
  RemoveAllObservers();
  for (size_t id = 0; id < descriptors_.size(); ++id) {
    if (descriptors_[id].in_use()) Close(static_cast<SocketId>(id));
  }
  descriptors_.clear();
  free_descriptors_.clear();
}

void HostStack::RemoveObserver(StackObserver& observer) {
  if (std::erase(observers_, &observer) == 0) return;
  tcp_->Forget(observer);
  udp_->Forget(observer);
}

void HostStack::RemoveAllObservers() {
  while (!observers_.empty()) RemoveObserver(*observers_.back());
}

void HostStack::DropAllSockets() {
  tcp_->DropAllSockets();
  udp_->DropAllSockets();
  descriptors_.clear();
  free_descriptors_.clear();
  open_descriptors_ = 0;
}

size_t HostStack::established_connections() const { return tcp_->established_connections(); }

uint64_t HostStack::ResetConnections(absl::FunctionRef<bool(Entity connection)> hits) {
  return tcp_->ResetConnections(hits);
}

void HostStack::AbortConnection(SocketId id) {
  // With linger 0 a close is a reset.
  Find(id)->SetOption(SocketOption::kLinger, 0);
  Close(id);
}

uint64_t HostStack::ForgetConnections(absl::FunctionRef<bool(Entity connection)> hits) {
  return tcp_->ForgetConnections(hits);
}

void HostStack::OfferWindows() { tcp_->OfferWindows(); }

// --- Packets ---

void HostStack::OnPacket(Packet& packet) {
  if (packet.protocol == Packet::kTcp) {
    tcp_->OnPacket(packet);
  } else {
    udp_->OnPacket(packet);
  }
}

bool HostStack::ListensTo(uint32_t interface_index, const SocketAddress& group) const {
  if (!udp_->OnNetwork(group.family())) return false;
  return IsBroadcast(group) || udp_->IsMember(interface_index, group);
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

int64_t HostStack::Open(AddressFamily family, StackObserver* observer) {
  if (family == AddressFamily::kNone) return -EAFNOSUPPORT;
  if (out_of_descriptors()) return -EMFILE;
  TcpSocket& socket = tcp_->Open(family);
  socket.set_program(AddDescriptor(Descriptor{&socket, nullptr}), observer);
  Record(TraceKind::kOpen, socket.id());
  return socket.id();
}

int64_t HostStack::OpenDatagrams(AddressFamily family, StackObserver* observer) {
  if (family == AddressFamily::kNone) return -EAFNOSUPPORT;
  if (out_of_descriptors()) return -EMFILE;
  UdpSocket& socket = udp_->Open(family);
  socket.set_program(AddDescriptor(Descriptor{nullptr, &socket}), observer);
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

int64_t HostStack::Accept(SocketId id, StackObserver* observer) {
  if (FindDatagrams(id) != nullptr) return -EOPNOTSUPP;
  TcpSocket* socket = Find(id);
  if (socket == nullptr) return -EBADF;
  // Linux takes the descriptor first, also when nothing waits.
  if (out_of_descriptors()) return -EMFILE;
  TcpListener* const listener = socket->listener();
  if (listener == nullptr) return -EINVAL;
  if (!listener->acceptable()) return -EAGAIN;
  TcpSocket& stream = listener->Accept();
  stream.set_program(AddDescriptor(Descriptor{&stream, nullptr}), observer);
  CountAccept();
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
  for (StackObserver* observer : observers_) observer->OnDescriptorFree();
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
