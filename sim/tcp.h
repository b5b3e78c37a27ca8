// SPDX-License-Identifier: Apache-2.0
//
// A TCP socket of the simulated network, modelled after Linux.
//
// What is there: the handshake with its retries, simultaneous open, segments with retransmission, fast retransmission
// and back-off, reassembly, delayed acknowledgements, Nagle's rule, receive windows with probes, slow start and
// congestion avoidance, half-close, FIN and RST as Linux sends them, TIME_WAIT, listen queues, keep-alive probes, the
// user timeout, closes that linger. What is simpler than in
// Linux: sequence numbers have 64 bits and do not wrap; no SACK; buffer sizes do not tune themselves; the usable part
// of a buffer is half of its size, as Linux counts its own bookkeeping into the size.
//
// One timer event per connection. It stays in the queue when its deadline moves away, and looks again when it runs: a
// steady exchange of messages costs one event per segment and no timer.

#ifndef TANDEM_SIM_TCP_H_
#define TANDEM_SIM_TCP_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/types/span.h"
#include "core/base/intrusive_list.h"
#include "core/io/address.h"
#include "core/io/buffer.h"
#include "core/io/reactor.h"
#include "sim/event_queue.h"
#include "sim/network.h"

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
inline constexpr int64_t kDelayedAckNs = 40'000'000;
inline constexpr int64_t kRetransmitMinNs = 200'000'000;
inline constexpr int64_t kRetransmitMaxNs = 120'000'000'000;
inline constexpr int64_t kSynTimeoutNs = 1'000'000'000;
inline constexpr int64_t kTimeWaitNs = 60'000'000'000;
inline constexpr int64_t kUnreachableNs = 3'000'000'000;  // Until the neighbour is given up.
inline constexpr int kSynTries = 6;
inline constexpr int kSynAckTries = 5;
inline constexpr int kDataTries = 15;
inline constexpr int kOrphanTries = 8;
inline constexpr int kKeepAliveIdleSeconds = 7200;
inline constexpr int kKeepAliveIntervalSeconds = 75;
inline constexpr int kKeepAliveCount = 9;
inline constexpr int kQuickAcks = 16;  // ACKs that are sent at once after TCP_QUICKACK was set.
inline constexpr int kDefaultTimeToLive = 64;
inline constexpr int kDefaultReceiveBuffer = 131072;
inline constexpr int kDefaultSendBuffer = 262144;
inline constexpr int kMinReceiveBuffer = 2304;
inline constexpr int kMinSendBuffer = 4608;
inline constexpr int kMaxBuffer = 425984;

// Made, owned and reused by its HostStack; a generation tells its lives apart.
class TcpSocket final : public Event, public ListLink<PortListTag> {
 public:
  TcpSocket(HostStack& stack, uint32_t index, uint32_t generation)
      : stack_(stack), network_(stack.network()), index_(index), generation_(generation) {}
  ~TcpSocket() override = default;

  TcpState state() const { return state_; }
  SocketId id() const { return id_; }
  AddressFamily family() const { return family_; }
  uint32_t generation() const { return generation_; }
  // The path of this connection for addressed draws: the two hosts and which connection between them it is.
  uint64_t key() const { return key_; }

  // Takes up to `limit` bytes of `slices`, after the first `skip`, into the send buffer: their count (short when it
  // fills), -EAGAIN when there is no room or the connection is not up yet, or -errno. REQUIRES that there are bytes.
  int64_t Write(absl::Span<const IoSlice> slices, size_t skip, size_t limit);
  size_t send_room() const;

  size_t receive_bytes() const { return received_.bytes(); }
  // Up to `limit` bytes, from at most one segment unless that is a copy anyway. REQUIRES receive_bytes() > 0.
  Buffer Take(size_t limit);
  // True when Take() or TakeEnd() would give something.
  bool readable() const {
    return !received_.empty() || fin_received_ || error_ != 0 || receive_shutdown_ || state_ == TcpState::kClosed ||
           state_ == TcpState::kListen;
  }
  // An error waits for the next call.
  bool has_error() const { return error_ != 0; }
  // True when nothing but `*end` will be read now; takes a pending error. REQUIRES receive_bytes() == 0.
  bool TakeEnd(SourceEnd* end, int* error);

  // Up to `target.size()` bytes, copied: their count; 0: the end of the stream; -EAGAIN when neither bytes nor an end
  // are there, or -errno.
  int64_t Read(absl::Span<char> target);

  // True when an Accept would not wait.
  bool acceptable() const { return accept_head_ < accept_queue_.size(); }

 private:
  friend class HostStack;
  friend class Network;

  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  void Run() override { OnTimer(); }

  // Starting.
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
  void OnDuplicateAcknowledgement();
  bool OnFinAcknowledged();
  bool OnPayload(Packet& packet);
  void TakePayload(Packet& packet);
  void QueueEarly(Packet& packet);
  bool TakeEarly();
  void OnFin();
  void EnterTimeWait();

  // Sending.
  Packet& MakePacket(uint8_t flags, uint64_t sequence);
  void Transmit(Packet& packet);
  void SendSegment(uint64_t sequence, uint32_t size, bool fin);
  void SendSyn();
  void SendSynAck();
  void SendAck();
  void SendReset();
  // Sends what the windows allow.
  void Output();
  void Retransmit();
  void SendProbe();
  void Append(const char* data, size_t size);
  void CopyUnacknowledged(uint64_t sequence, uint32_t size, char* target) const;
  void DropAcknowledged(uint64_t count);

  // The options that only TCP has. 0 or -errno.
  int SetOption(SocketOption option, int value);
  int GetOption(SocketOption option, int* value) const;
  int SetKeepAlive(int* setting, int maximum, int value);
  void SetQuickAck(bool on);

  // Ending.
  int Shutdown(ShutdownHow how);
  void QueueFin();
  // As close(2): the socket may live on as an orphan. True when the close lingers: `linger_ticket` is not 0, and there
  // is something to wait for.
  bool CloseDescriptor(uint64_t linger_ticket);
  void Orphan();
  bool waits_for_fin() const {
    return state_ == TcpState::kFinWait1 || state_ == TcpState::kClosing || state_ == TcpState::kLastAck;
  }
  void EndLinger();
  // The connection is over; `error` (0 for none) is for the program. Frees an orphan.
  void Die(int error);
  // A connect failed: the socket is as new.
  void FailConnect(int error);
  void StopListening();

  // Timers.
  void OnTimer();
  bool OnRetransmitTimer();
  bool OnKeepAliveTimer();
  // True when the keep-alive timer runs, once armed.
  bool keeps_alive() const;
  void ArmKeepAlive();
  // True when the time that the program grants the peer, counted from `since_ns`, is over.
  bool user_timeout_passed(int64_t since_ns) const;
  // `timeout`, or less when the user timeout passes first.
  int64_t ClampToUserTimeout(int64_t timeout, int64_t since_ns) const;
  void Arm(int64_t& deadline, int64_t time_ns);
  void LookAt(int64_t time_ns);
  void ArmRetransmit();
  void ArmSynRetransmit();
  void CountTry(int64_t first_timeout_ns);
  void MeasureRoundTrip(uint64_t acknowledgement);
  void OnCongestion();
  void GrowCongestionWindow(uint64_t acknowledged);

  void NotifyReceivable();
  void NotifySendable();
  bool accept_queue_full() const { return accept_queue_.size() - accept_head_ > static_cast<size_t>(backlog_); }

  uint32_t mss() const { return loopback_ ? kMaxSegmentLoopback : kMaxSegment; }
  // What a sender does not wait to exceed: half of the widest window that the peer has offered, as Linux bounds its
  // segments (tcp_bound_to_half_wnd). Otherwise a window of one segment and a bit stalls until a delayed ACK.
  uint32_t full_segment() const {
    const uint64_t half = std::max<uint64_t>(widest_window_ / 2, 536);
    return static_cast<uint32_t>(std::min<uint64_t>(mss(), half));
  }
  uint64_t send_end() const { return unacknowledged_ + send_bytes_; }
  // Moves the promised end of the receive window as far as there is room for it.
  void UpdateAdvertised();
  void MaybeSendWindowUpdate();
  size_t receive_capacity() const { return static_cast<size_t>(receive_buffer_) / 2; }
  size_t send_capacity() const { return static_cast<size_t>(send_buffer_) / 2; }
  bool can_send_data() const { return state_ == TcpState::kEstablished || state_ == TcpState::kCloseWait; }

  HostStack& stack_;
  Network& network_;
  const uint32_t index_;  // Among the stack's sockets.
  uint32_t generation_;

  TcpState state_ = TcpState::kClosed;
  bool in_use_ = false;
  AddressFamily family_ = AddressFamily::kNone;
  SocketId id_ = kNoSocket;  // kNoSocket: not accepted yet, or an orphan.
  SocketAddress local_;      // IPv4 addresses in IPv6 sockets are kept as IPv4.
  SocketAddress bound_to_;   // What local_ was before a connect.
  SocketAddress remote_;
  uint64_t key_ = 0;
  bool bound_ = false;  // In the port table.
  bool bound_explicitly_ = false;
  bool chose_port_ = false;  // By number.
  bool connected_ = false;   // In the connection table.
  bool loopback_ = false;
  bool orphan_ = false;

  // Options.
  bool no_delay_ = false;
  bool reuse_address_ = false;
  bool reuse_port_ = false;
  bool ipv6_only_ = false;
  bool keep_alive_ = false;
  int linger_seconds_ = -1;
  int keep_alive_idle_seconds_ = kKeepAliveIdleSeconds;
  int keep_alive_interval_seconds_ = kKeepAliveIntervalSeconds;
  int keep_alive_count_ = kKeepAliveCount;
  int user_timeout_ms_ = 0;
  int traffic_class_ = 0;
  int time_to_live_ = -1;  // -1: the system's.
  int receive_buffer_ = kDefaultReceiveBuffer;
  int send_buffer_ = kDefaultSendBuffer;

  // What the program will be told.
  int error_ = 0;
  bool receive_shutdown_ = false;
  bool send_shutdown_ = false;
  bool fin_received_ = false;
  bool connecting_ = false;     // The observer expects OnConnected().
  bool was_connected_ = false;  // Connecting again is refused.

  // The peer, once seen.
  HostStack* peer_stack_ = nullptr;
  TcpSocket* peer_ = nullptr;
  uint32_t peer_generation_ = 0;

  // Sending. Sequence numbers: unacknowledged_ <= next_ <= unacknowledged_ + send_bytes_ (+ 1 for the FIN).
  uint64_t initial_sequence_ = 0;
  uint64_t unacknowledged_ = 0;
  uint64_t next_ = 0;
  uint64_t highest_sent_ = 0;   // Beyond next_ after a timeout.
  uint64_t window_end_ = 0;     // The first number that the peer has no room for.
  uint64_t widest_window_ = 0;  // The most room that it ever had.
  size_t send_bytes_ = 0;       // In the buffer, sent or not.
  BufferBlock* send_head_ = nullptr;
  BufferBlock* send_tail_ = nullptr;
  bool fin_queued_ = false;
  bool sender_waits_ = false;  // A Write() found no room.
  uint64_t small_end_ = 0;     // The end of the last segment that was not full (Minshall).
  uint32_t congestion_window_ = 0;
  uint32_t slow_start_threshold_ = 0;
  uint32_t acknowledged_in_window_ = 0;
  uint64_t recovery_end_ = 0;  // What had been sent when a loss was noticed.
  bool fast_recovery_ = false;
  uint32_t duplicate_acks_ = 0;
  int tries_ = 0;
  int unanswered_probes_ = 0;
  int64_t retransmits_since_ns_ = 0;  // When what was sent again first had been sent. Meaningful while tries_ > 0.
  int64_t probes_since_ns_ = 0;       // When a probe of a closed window was first due; 0: the window is open.
  int64_t retransmit_ns_ = kRetransmitMinNs;  // Without back-off.
  int64_t smoothed_round_trip_ns_ = 0;
  int64_t round_trip_variation_ns_ = 0;
  uint64_t timed_sequence_ = 0;  // The acknowledgement that ends the measurement; 0: none runs.
  int64_t timed_since_ns_ = 0;
  int64_t last_arrival_ns_ = 0;  // Of packets sent, to keep them in order.

  // Receiving.
  uint64_t receive_next_ = 0;
  uint64_t advertised_end_ = 0;
  BufferQueue received_;
  Packet* early_ = nullptr;  // Segments after a gap, by sequence number.
  uint32_t unacknowledged_bytes_received_ = 0;
  int64_t last_heard_ns_ = 0;  // When a segment last arrived.
  int64_t last_bytes_ns_ = 0;  // When bytes last arrived.
  bool ping_pong_ = false;     // Bytes are answered by bytes, which carry the acknowledgement.
  int quick_acks_ = 0;         // So many ACKs are not delayed.

  // Timers: when each is due.
  int64_t retransmit_at_ns_ = kNever;
  int64_t delayed_ack_at_ns_ = kNever;
  int64_t end_at_ns_ = kNever;  // Of TIME_WAIT, FIN_WAIT2 of an orphan, or a connect that no route serves.
  int64_t keep_alive_at_ns_ = kNever;
  int64_t linger_end_at_ns_ = kNever;
  uint64_t linger_ticket_ = 0;  // Of the close that waits.

  // Listening.
  int backlog_ = 0;
  std::vector<TcpSocket*> accept_queue_;
  size_t accept_head_ = 0;
  std::vector<TcpSocket*> half_open_;
  TcpSocket* listener_ = nullptr;  // Of a connection that is not accepted...
  bool queued_ = false;            // ...and complete: in its accept_queue_.

  // Faults.
  bool refuse_fault_ = false;
  bool timeout_fault_ = false;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_H_
