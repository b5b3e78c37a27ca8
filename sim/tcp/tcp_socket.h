// SPDX-License-Identifier: Apache-2.0
//
// A TCP socket of the simulated network, modelled after Linux.
//
// What is there: the handshake with its retries, simultaneous open, segments with retransmission, fast retransmission
// and back-off, reassembly, delayed acknowledgements, Nagle's rule, receive windows with probes, slow start and
// congestion avoidance, half-close, FIN and RST as Linux sends them, TIME_WAIT, listen queues, keep-alive probes, the
// user timeout, closes that linger. What is simpler than in Linux: sequence numbers have 64 bits and do not wrap; no
// SACK; buffer sizes do not tune themselves; the usable part of a buffer is half of its size, as Linux counts its own
// bookkeeping into the size.
//
// This file is the state machine of RFC 9293: states, segments that come, retries and time-outs, ends. Its parts do not
// know of states or of each other: tcp_sender.h (what is to be sent and how much may be), tcp_receiver.h (reassembly
// and the receive window), tcp_ack_delay.h, tcp_listen_queue.h, tcp_timers.h. Names and ports: tcp_ports.h,
// tcp_stack.h.

#ifndef TANDEM_SIM_TCP_TCP_SOCKET_H_
#define TANDEM_SIM_TCP_TCP_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/network/network_host.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/network/socket_options.h"
#include "tandem/sim/tcp/tcp_ack_delay.h"
#include "tandem/sim/tcp/tcp_listen_queue.h"
#include "tandem/sim/tcp/tcp_ports.h"
#include "tandem/sim/tcp/tcp_receiver.h"
#include "tandem/sim/tcp/tcp_sender.h"
#include "tandem/sim/tcp/tcp_stack.h"
#include "tandem/sim/tcp/tcp_timers.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

enum class TcpState : uint8_t {
  kClosed,
  kListen,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kTimeWait,
};

// Linux' numbers.
inline constexpr uint32_t kMaxSegment = 1460;
inline constexpr uint32_t kMaxSegmentLoopback = 65483;
inline constexpr int64_t kSynTimeoutNs = 1'000'000'000;
inline constexpr int64_t kShortestTimeoutNs = 8'000'000;  // TCP_TIMEOUT_MIN: two jiffies.
inline constexpr int64_t kTimeWaitNs = 60'000'000'000;
inline constexpr int64_t kTimeWaitReuseNs = 1'000'000'000;  // tcp_tw_reuse_delay.
inline constexpr int64_t kUnreachableNs = 3'000'000'000;    // Until the neighbour is given up.
inline constexpr int kSynTries = 6;
inline constexpr int kSynAckTries = 5;
inline constexpr int kDataTries = 15;
inline constexpr int kOrphanTries = 8;

// Made, owned and reused by its TcpStack; a generation tells its lives apart.
class TcpSocket final : public Event {
 public:
  TcpSocket(TcpStack& owner, uint32_t generation);
  ~TcpSocket() override = default;

  TcpState state() const { return state_; }
  SocketId id() const { return id_; }
  const TcpName& name() const { return name_; }
  void set_id(SocketId id) { id_ = id; }
  uint32_t generation() const { return generation_; }
  // Of the SYN that this end sends.
  uint64_t first_sequence() const { return sender_.first(); }
  // What decisions about this socket are addressed by: "client/tcp/server#0" for the first connection that client makes
  // to server, the same with "/accepted" for the server's end, "server/socket#3" for one that is neither.
  Entity entity() const { return entity_; }

  // --- Bytes ---

  // Takes up to `limit` bytes of `slices`, after the first `skip`, into the send buffer: their count (short when it
  // fills), -EAGAIN when there is no room or the connection is not up yet, or -errno. REQUIRES that there are bytes.
  int64_t Write(absl::Span<const IoSlice> slices, size_t skip, size_t limit);

  size_t receive_bytes() const { return receiver_.bytes(); }
  // Up to `limit` bytes, from at most one segment unless that is a copy anyway. REQUIRES receive_bytes() > 0.
  Buffer Take(size_t limit);
  // True when Take() or TakeEnd() would give something.
  bool readable() const {
    return !receiver_.empty() || receiver_.ended() || error_ != 0 || receive_shutdown_ || state_ == TcpState::kClosed ||
           state_ == TcpState::kListen;
  }
  // An error waits for the next call.
  bool has_error() const { return error_ != 0; }
  // True when nothing but `*end` will be read now; takes a pending error. REQUIRES receive_bytes() == 0.
  bool TakeEnd(SourceEnd* end, int* error);

  // Up to `target.size()` bytes, copied: their count; 0: the end of the stream; -EAGAIN when neither bytes nor an end
  // are there, or -errno.
  int64_t Read(absl::Span<char> target);

  // Whether a new connection of this host may take the pair of addresses: this one has ended, and only waits for what
  // may still come. `port_is_bound`: the new one has its port already, and does not look for one.
  bool MakesWay(bool port_is_bound) const;
  // Ends such a connection.
  void MakeWay() { Die(0); }

  // --- System calls. 0 or -errno. The others are in TcpStack. ---

  // True when an Accept would not wait.
  bool acceptable() const { return !accepts_.empty(); }
  // The next connection of this listener, which the program has from now on. REQUIRES acceptable().
  TcpSocket& TakeAccepted();
  int Shutdown(ShutdownHow how);
  // As close(2): the socket may live on as an orphan. True when the close lingers: `linger_ticket` is not 0, and there
  // is something to wait for.
  bool Close(uint64_t linger_ticket);
  int SetOption(SocketOption option, int value);
  int GetOption(SocketOption option, int* value);
  SocketAddress LocalAddress() const;
  int PeerAddress(SocketAddress* address) const;

 private:
  friend class TcpStack;

  void Run() override { OnTimer(); }

  // Starting.
  void Open(AddressFamily family);
  // REQUIRES that the addresses are chosen.
  void StartConnect();
  void StartPassive(TcpSocket& listener, const Packet& syn);
  void StartSequences();
  void BecomeEstablished();

  // Receiving. A function that returns bool says whether the connection, and this object, still lives.
  void OnSegment(Packet& packet);
  void OnSegmentListening(const Packet& packet);
  void OnSegmentSynSent(const Packet& packet);
  void OnReset(const Packet& packet);
  bool OnSynReceived(const Packet& packet);
  bool OnAcknowledgement(const Packet& packet);
  bool OnNewAcknowledgement(const Packet& packet);
  bool OnFinAcknowledged();
  bool OnPayload(Packet& packet);
  void OnFin();
  void EnterTimeWait();
  // In TIME_WAIT, and `syn` is one to begin the next connection of these addresses.
  bool IsReplacedBy(const Packet& syn) const {
    return state_ == TcpState::kTimeWait && syn.sequence > receiver_.next();
  }

  // Sending.
  Packet& MakePacket(uint8_t flags, uint64_t sequence);
  void Transmit(Packet& packet);
  void SendSegment(const TcpSender::Segment& segment);
  void SendSyn();
  void SendSynAck();
  void SendAck();
  void SendReset();
  // Sends what the windows allow.
  void Output();
  // Sends again the first segment that is not acknowledged.
  void Retransmit();
  void SendProbe();

  // Ending.
  void QueueFin();
  void Orphan();
  bool waits_for_fin() const {
    return state_ == TcpState::kFinWait1 || state_ == TcpState::kClosing || state_ == TcpState::kLastAck;
  }
  void EndLinger();
  // Both ends see a reset.
  void Abort();
  // The connection is over; `error` (0 for none) is for the program. Frees an orphan.
  void Die(int error);
  // A connect failed: the socket is as new.
  void FailConnect(int error);
  void StopListening();

  // Timers.
  void OnTimer();
  bool OnRetransmitTimer();
  bool OnHandshakeTimer();
  bool OnProbeTimer();
  void ArmRetransmit();
  void ArmSynRetransmit();
  // True when the time that the program grants the peer, counted from `since_ns`, is over.
  bool user_timeout_passed(int64_t since_ns) const;
  // `timeout`, or less when the user timeout passes first.
  int64_t ClampToUserTimeout(int64_t timeout, int64_t since_ns) const;
  bool OnKeepAliveTimer();
  // True when the keep-alive timer runs, once armed.
  bool keeps_alive() const;
  void ArmKeepAlive();

  void NotifyReceivable();
  void NotifySendable();

  int64_t now_ns() const { return network_.now_ns(); }
  uint32_t mss() const { return loopback_ ? kMaxSegmentLoopback : kMaxSegment; }
  size_t receive_capacity() const { return static_cast<size_t>(options_[SocketOption::kReceiveBufferSize]) / 2; }
  size_t send_capacity() const { return static_cast<size_t>(options_[SocketOption::kSendBufferSize]) / 2; }
  size_t send_room() const;
  bool can_send_data() const { return state_ == TcpState::kEstablished || state_ == TcpState::kCloseWait; }
  bool can_receive_data() const {
    return state_ == TcpState::kEstablished || state_ == TcpState::kFinWait1 || state_ == TcpState::kFinWait2;
  }

  TcpStack& owner_;
  NetworkHost& stack_;
  Network& network_;
  uint32_t generation_;

  TcpState state_ = TcpState::kClosed;
  bool in_use_ = false;
  AddressFamily family_ = AddressFamily::kNone;
  SocketId id_ = kNoSocket;  // kNoSocket: not accepted yet, or an orphan.
  SocketOptions options_;
  TcpName name_;
  Entity entity_;
  uint64_t packets_sent_ = 0;
  bool loopback_ = false;
  bool orphan_ = false;

  // What the program will be told.
  int error_ = 0;
  bool receive_shutdown_ = false;
  bool send_shutdown_ = false;
  bool connecting_ = false;     // The observer expects OnConnected().
  bool was_connected_ = false;  // Connecting again is refused.
  bool sender_waits_ = false;   // A Write() found no room.

  // The peer, once seen.
  NetworkHost* peer_stack_ = nullptr;
  TcpSocket* peer_ = nullptr;
  uint32_t peer_generation_ = 0;
  int64_t last_heard_ns_ = 0;    // When a segment last arrived.
  int64_t last_arrival_ns_ = 0;  // Of packets sent, to keep them in order.

  TcpSender sender_;
  TcpReceiver receiver_;
  TcpAckDelay ack_delay_;
  TcpTimers timers_;

  // Retries.
  int tries_ = 0;
  int unanswered_probes_ = 0;
  int64_t retransmits_since_ns_ = 0;  // When what was sent again first had been sent. Meaningful while tries_ > 0.
  std::optional<int64_t> probes_since_ns_;  // When a probe of a closed window was first due; none: it is open.

  uint64_t linger_ticket_ = 0;  // Of the close that waits.

  TcpListenQueue accepts_;         // Of a listener.
  TcpSocket* listener_ = nullptr;  // Of a connection that is not accepted...
  bool queued_ = false;            // ...and complete.

  // Faults.
  bool refuse_fault_ = false;
  bool timeout_fault_ = false;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_SOCKET_H_
