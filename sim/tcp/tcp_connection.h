// SPDX-License-Identifier: Apache-2.0
//
// One end of a TCP connection: the state machine of RFC 9293, as Linux has it.
//
// What is there: the handshake with its retries, simultaneous open, segments with retransmission, fast retransmission
// and back-off, reassembly, delayed acknowledgements, Nagle's rule, receive windows with probes, slow start and
// congestion avoidance, half-close, FIN and RST as Linux sends them, TIME_WAIT, keep-alive probes, the user timeout.
// What is simpler than in Linux: sequence numbers have 64 bits and do not wrap; no SACK; buffer sizes do not tune
// themselves; the usable part of a buffer is half of its size, as Linux counts its own bookkeeping into the size.
//
// This file is states, segments that come, and ends. Its parts do not know of states or of each other: tcp_sender.h
// (what is to be sent and how much may be), tcp_receiver.h (reassembly and the receive window), tcp_flow.h (packets),
// tcp_retries.h (patience), tcp_ack_delay.h, tcp_timers.h. The program is behind its TcpSocket, which is told what
// happens.

#ifndef TANDEM_SIM_TCP_TCP_CONNECTION_H_
#define TANDEM_SIM_TCP_TCP_CONNECTION_H_

#include <cstddef>
#include <cstdint>

#include "tandem/core/io/buffer.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/network/network_host.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/network/socket_options.h"
#include "tandem/sim/tcp/tcp_ack_delay.h"
#include "tandem/sim/tcp/tcp_flow.h"
#include "tandem/sim/tcp/tcp_receiver.h"
#include "tandem/sim/tcp/tcp_retries.h"
#include "tandem/sim/tcp/tcp_sender.h"
#include "tandem/sim/tcp/tcp_timers.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

class TcpSocket;
class TcpStack;

enum class TcpState : uint8_t {
  kClosed,
  kListen,  // Of a socket; not of a connection.
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
inline constexpr int64_t kShortestTimeoutNs = 8'000'000;  // TCP_TIMEOUT_MIN: two jiffies.
inline constexpr int64_t kTimeWaitNs = 60'000'000'000;
inline constexpr int64_t kTimeWaitReuseNs = 1'000'000'000;  // tcp_tw_reuse_delay.
inline constexpr int64_t kUnreachableNs = 3'000'000'000;    // Until the neighbour is given up.

// A fault of a connect.
enum class ConnectFault : uint8_t {
  kNone,
  kRefused,   // The peer answers as if nobody listened.
  kTimedOut,  // Every SYN is lost.
};

// A function that returns bool, here and below, says whether the connection, and its socket, still lives.
class TcpConnection final : private Event {
 public:
  // The connection of `socket`, which outlives it, with the socket's options.
  TcpConnection(TcpStack& owner, TcpSocket& socket, const SocketOptions& options);
  ~TcpConnection() override;

  TcpState state() const { return state_; }
  bool is_closed() const { return state_ == TcpState::kClosed; }
  // A connect, or what a listener has answered, waits for the peer.
  bool in_handshake() const { return state_ == TcpState::kSynSent || state_ == TcpState::kSynReceived; }
  bool can_send_data() const { return state_ == TcpState::kEstablished || state_ == TcpState::kCloseWait; }
  bool can_receive_data() const {
    return state_ == TcpState::kEstablished || state_ == TcpState::kFinWait1 || state_ == TcpState::kFinWait2;
  }
  // A FIN was queued, and not acknowledged.
  bool waits_for_fin() const {
    return state_ == TcpState::kFinWait1 || state_ == TcpState::kClosing || state_ == TcpState::kLastAck;
  }
  // Of the SYN that this end sends.
  uint64_t first_sequence() const { return sender_.first(); }
  // When a segment last arrived.
  int64_t last_heard_ns() const { return last_heard_ns_; }
  // In TIME_WAIT, and `syn` is one to begin the next connection of these addresses.
  bool IsReplacedBy(const Packet& syn) const {
    return state_ == TcpState::kTimeWait && syn.sequence > receiver_.next();
  }

  // --- Beginning and end ---

  // Begins to connect, to a host that may be null: no route leads there. REQUIRES that the addresses are chosen.
  void StartConnect(NetworkHost* peer, ConnectFault fault);
  // Begins as the answer to `syn`, which `listener` got.
  void StartPassive(const TcpConnection& listener, const Packet& syn);
  void OnSegment(Packet& packet);
  void SendReset();
  // After the last byte that was written comes the end of the stream. Does nothing in a state without one.
  void QueueFin();
  // Nobody waits for it any more.
  void OnOrphaned();
  // It is over: nothing is sent any more.
  void Close();

  // --- Bytes ---

  // How many bytes there is room for.
  size_t send_room() const;
  void Append(const char* data, size_t size) { sender_.Append(data, size); }
  // Sends what the windows allow.
  void Output();
  // Bytes that were received, up to the end of the stream.
  const TcpReceiver& received() const { return receiver_; }
  // Up to `limit` bytes, from at most one segment. REQUIRES that there are some.
  Buffer Pop(size_t limit) { return receiver_.Pop(limit); }
  // The program has taken some: the peer may have to hear of it.
  void OnRead();
  void DropReceived() { receiver_.Clear(); }

  // --- Options ---

  void OnOptionChanged(SocketOption option);
  bool quick_ack() const { return ack_delay_.quick(); }
  // The socket's EndLinger() is called at that time.
  void ArmLinger(int64_t time_ns) { timers_.Arm(TcpTimers::kLinger, time_ns); }
  void DisarmLinger() { timers_.Disarm(TcpTimers::kLinger); }

 private:
  void Run() override { OnTimer(); }

  // Beginning.
  void StartSequences();
  void BecomeEstablished();

  // Receiving.
  void OnSegmentSynSent(const Packet& packet);
  void OnReset(const Packet& packet);
  bool OnSynReceived(const Packet& packet);
  bool OnAcknowledgement(const Packet& packet);
  bool OnNewAcknowledgement(const Packet& packet);
  bool OnFinAcknowledged();
  bool OnPayload(Packet& packet);
  void OnFin();
  void EnterTimeWait();

  // Sending.
  Packet& MakePacket(uint8_t flags, uint64_t sequence);
  // What an acknowledgement says.
  uint32_t OfferWindow();
  void SendSegment(const TcpSender::Segment& segment);
  void SendSyn();
  void SendSynAck();
  void SendAck();
  // Sends again the first segment that is not acknowledged.
  void Retransmit();
  void SendProbe();

  // Timers.
  void OnTimer();
  bool OnRetransmitTimer();
  bool OnHandshakeTimer();
  bool OnProbeTimer();
  bool OnKeepAliveTimer();
  void ArmRetransmit();
  void ArmSynRetransmit();
  // True when the keep-alive timer runs, once armed.
  bool keeps_alive() const;
  void ArmKeepAlive();

  int64_t now_ns() const { return network_.now_ns(); }
  uint32_t mss() const { return flow_.loopback() ? kMaxSegmentLoopback : kMaxSegment; }
  size_t receive_capacity() const { return static_cast<size_t>(options_[SocketOption::kReceiveBufferSize]) / 2; }
  size_t send_capacity() const { return static_cast<size_t>(options_[SocketOption::kSendBufferSize]) / 2; }

  TcpStack& owner_;
  TcpSocket& socket_;
  Network& network_;
  const SocketOptions& options_;

  TcpState state_ = TcpState::kClosed;
  ConnectFault fault_ = ConnectFault::kNone;
  int64_t last_heard_ns_ = 0;
  TcpFlow flow_;
  TcpSender sender_;
  TcpReceiver receiver_;
  TcpAckDelay ack_delay_;
  TcpRetries retries_;
  TcpTimers timers_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_CONNECTION_H_
