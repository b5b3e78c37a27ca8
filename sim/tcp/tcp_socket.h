// SPDX-License-Identifier: Apache-2.0
//
// A TCP socket of the simulated network: what system calls see of a connection or a listener.
//
// It has the socket's name, options, and pending error, knows whether a program still has it, and tells the program
// what happens. The rest is its TcpConnection (tcp_connection.h) or, once it listens, its TcpListener (tcp_listener.h).
// Ports and addresses: tcp_ports.h, tcp_stack.h.

#ifndef TANDEM_SIM_TCP_TCP_SOCKET_H_
#define TANDEM_SIM_TCP_TCP_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/network/network_host.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/network/socket_options.h"
#include "tandem/sim/network/stack_observer.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/tcp/tcp_connection.h"
#include "tandem/sim/tcp/tcp_listener.h"
#include "tandem/sim/tcp/tcp_ports.h"

namespace tandem::sim {

class TcpStack;

// Made, owned and reused by its TcpStack; a generation tells its lives apart.
class TcpSocket {
 public:
  TcpSocket(TcpStack& owner, uint32_t generation);
  TcpSocket(const TcpSocket&) = delete;
  TcpSocket& operator=(const TcpSocket&) = delete;
  ~TcpSocket() = default;

  TcpState state() const { return listener_ != nullptr ? TcpState::kListen : connection_.state(); }
  SocketId id() const { return id_; }
  const TcpName& name() const { return name_; }
  // A program has it, as `id`; `observer`, or nobody, is told what happens.
  void set_program(SocketId id, StackObserver* observer) {
    id_ = id;
    observer_ = observer;
  }
  uint32_t generation() const { return generation_; }
  // Of the SYN that this end sends.
  uint64_t first_sequence() const { return connection_.first_sequence(); }
  // What decisions about this socket are addressed by: "client/tcp/server#0" for the first connection that client makes
  // to server, the same with "/accepted" for the server's end, "server/socket#3" for one that is neither.
  Entity entity() const { return entity_; }

  // --- Bytes ---

  // Takes up to `limit` bytes of `slices`, after the first `skip`, into the send buffer: their count (short when it
  // fills), -EAGAIN when there is no room or the connection is not up yet, or -errno. REQUIRES that there are bytes.
  int64_t Write(absl::Span<const IoSlice> slices, size_t skip, size_t limit);

  size_t receive_bytes() const { return connection_.received().bytes(); }
  // Up to `limit` bytes, from at most one segment unless that is a copy anyway. REQUIRES receive_bytes() > 0.
  Buffer Take(size_t limit);
  // True when Take() or TakeEnd() would give something.
  bool readable() const {
    return !connection_.received().empty() || connection_.received().ended() || error_ != 0 || receive_shutdown_ ||
           connection_.is_closed();
  }
  // An error waits for the next call.
  bool has_error() const { return error_ != 0; }
  // True when nothing but `*end` will be read now; takes a pending error. REQUIRES receive_bytes() == 0.
  bool TakeEnd(SourceEnd* end, int* error);

  // Up to `target.size()` bytes, copied: their count; 0: the end of the stream; -EAGAIN when neither bytes nor an end
  // are there, or -errno.
  int64_t Read(absl::Span<char> target);

  // --- Other system calls. 0 or -errno. Those that concern names are in TcpStack. ---

  // Null: it does not listen.
  TcpListener* listener() { return listener_.get(); }
  const TcpListener* listener() const { return listener_.get(); }
  int Shutdown(ShutdownHow how);
  // As close(2): the socket may live on as an orphan. True when the close lingers: `linger_ticket` is not 0, and there
  // is something to wait for.
  bool Close(uint64_t linger_ticket);
  int SetOption(SocketOption option, int value);
  int GetOption(SocketOption option, int* value);
  SocketAddress LocalAddress() const;
  int PeerAddress(SocketAddress* address) const;

  // --- For the tables of names ---

  // Whether a new connection of this host may take the pair of addresses: this one has ended, and only waits for what
  // may still come. `port_is_bound`: the new one has its port already, and does not look for one.
  bool MakesWay(bool port_is_bound) const;
  // Ends such a connection.
  void MakeWay() { Die(0); }

  // --- For its connection and its listener ---

  TcpConnection& connection() { return connection_; }
  // No program has it any more.
  bool orphan() const { return orphan_; }
  bool receive_shutdown() const { return receive_shutdown_; }
  // The program waits for the end of a connect.
  bool connecting() const { return connecting_; }
  // Whose child it is: that of a listener whose program has not accepted it. Null: it is none.
  const TcpListener* parent() const { return parent_; }

  void OnEstablished();
  void OnAccepted() { parent_ = nullptr; }
  // Puts what happens to this socket into the trace: numbers, at most two.
  template <typename... Values>
  void Record(TraceKind kind, Values... values) {
    stack_.Record(kind, id_, values...);
  }
  // Some of what was written is gone, and `room` bytes of the send buffer's `capacity` are free.
  void OnRoom(size_t room, size_t capacity) {
    if (sender_waits_ && room >= capacity / 3) NotifySendable();
  }
  void NotifyReceivable();
  void NotifyAcceptable();
  // A close that lingers waits no longer.
  void EndLinger();
  // Both ends see a reset.
  void Abort();
  // A connection that is established dies of `error`, as the kernel says it to the next call. ECONNRESET: both ends see
  // a reset. EPIPE: the same, and this end has been told of it. ETIMEDOUT: the peer hears nothing.
  void FailWith(int error);
  // The connection is over; `error` (0 for none) is for the program. Frees an orphan.
  void Die(int error);
  // A connect failed: the socket is as new.
  void FailConnect(int error);

 private:
  friend class TcpStack;

  void Open(AddressFamily family, Entity entity);
  void StartListening(int backlog);
  void StopListening();
  // REQUIRES that the addresses are chosen.
  void StartConnect(NetworkHost* peer, ConnectFault fault);
  void StartPassive(TcpSocket& parent, const Packet& syn);
  void OnSegment(Packet& packet) {
    if (listener_ != nullptr) {
      listener_->OnSegment(packet);
    } else {
      connection_.OnSegment(packet);
    }
  }
  void Orphan();
  void NotifySendable();

  TcpStack& owner_;
  NetworkHost& stack_;
  uint32_t generation_;

  bool in_use_ = false;
  AddressFamily family_ = AddressFamily::kNone;
  SocketId id_ = kNoSocket;  // kNoSocket: not accepted yet, or an orphan.
  StackObserver* observer_ = nullptr;
  SocketOptions options_;
  TcpName name_;
  Entity entity_;

  // What the program will be told.
  int error_ = 0;
  bool orphan_ = false;
  bool receive_shutdown_ = false;
  bool send_shutdown_ = false;
  bool connecting_ = false;     // The observer expects OnConnected().
  bool was_connected_ = false;  // Connecting again is refused.
  bool sender_waits_ = false;   // A Write() found no room.
  uint64_t linger_ticket_ = 0;  // Of the close that waits.

  TcpListener* parent_ = nullptr;
  bool established_child_ = false;  // Its parent has it among those that can be accepted.
  TcpConnection connection_;
  std::unique_ptr<TcpListener> listener_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_SOCKET_H_
