// SPDX-License-Identifier: Apache-2.0
//
// One direction of the path between two hosts: how long packets take on it, and which do not arrive.
//
// What becomes of a packet is decided by its flow (who sends to whom) and how many packets of the flow there were
// before, and not by what else is on the link: another connection moves nothing of this one.

#ifndef TANDEM_SIM_NETWORK_LINK_H_
#define TANDEM_SIM_NETWORK_LINK_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "absl/log/check.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/random/choices.h"

namespace tandem::sim {

class Packet;

// Latencies: a piecewise linear distribution through four points, in integers.
struct LatencyDistribution {
  int64_t min_ns = 0;
  int64_t median_ns = 0;
  int64_t p99_ns = 0;
  int64_t max_ns = 0;  // One packet in a hundred takes between p99 and this: the long tail.

  static constexpr LatencyDistribution Fixed(int64_t ns) { return {ns, ns, ns, ns}; }
  static constexpr LatencyDistribution Uniform(int64_t low_ns, int64_t high_ns) {
    return {low_ns, low_ns + (high_ns - low_ns) / 2, low_ns + (high_ns - low_ns) / 100 * 99, high_ns};
  }
  // Most packets near `median_ns`, one in a hundred up to 20 times as late.
  static constexpr LatencyDistribution LongTail(int64_t median_ns) {
    return {median_ns - median_ns / 4, median_ns, median_ns * 2, median_ns * 20};
  }

  // A staircase exponential distribution: each two thirds of the mean are half as likely as those before them.
  static int64_t SampleExponential(int64_t mean_ns, uint64_t draw);

  // The latency for a uniform 64-bit `draw`. REQUIRES min <= median <= p99 <= max.
  int64_t Sample(uint64_t draw) const {
    if (min_ns == max_ns) return min_ns;
    constexpr uint64_t kHalf = uint64_t{1} << 63;
    constexpr uint64_t kTail = ~uint64_t{0} / 100 * 99;
    if (draw < kHalf) return Interpolate(min_ns, median_ns, draw, kHalf);
    if (draw < kTail) return Interpolate(median_ns, p99_ns, draw - kHalf, kTail - kHalf);
    return Interpolate(p99_ns, max_ns, draw - kTail, ~uint64_t{0} - kTail);
  }

 private:
  static int64_t Interpolate(int64_t low, int64_t high, uint64_t numerator, uint64_t denominator) {
    const auto span = static_cast<unsigned __int128>(static_cast<uint64_t>(high - low));
    return low + static_cast<int64_t>(span * numerator / denominator);
  }
};

// The state of one direction, as somebody sets it. The default: 50 us to 1 ms, unlimited, nothing is lost.
struct LinkConditions {
  LatencyDistribution latency = {50'000, 100'000, 300'000, 1'000'000};
  uint64_t bytes_per_second = 0;   // 0: unlimited.
  uint64_t queue_limit_bytes = 0;  // Packets that find more waiting are dropped. 0: unlimited.
  Probability loss;
  Probability duplicate;
  Probability reorder;  // Packets of one connection, or from one datagram socket, arrive in order, except those that
                        // this hits.
  // Of datagrams alone, in addition.
  Probability datagram_duplicate;
  Probability datagram_reorder;
};

// A fault of a link, or of a host: how strong it is, and where its hits are counted. The strength is in the unit of its
// kind (sim/faults/kinds.inc); 0: there is none.
struct FaultEffect {
  uint64_t strength = 0;
  uint64_t* hits = nullptr;

  explicit operator bool() const { return strength != 0; }
  void CountHit() const {
    if (hits != nullptr) ++*hits;
  }
};

// What faults do to one direction of a link, beside its conditions.
struct LinkFaults {
  bool any = false;
  FaultEffect partition;
  FaultEffect mtu;
  FaultEffect loss;
  FaultEffect loss_burst;
  FaultEffect corruption;
  FaultEffect latency;
  FaultEffect latency_constant;
  FaultEffect latency_uniform;
  FaultEffect latency_exponential;
  FaultEffect latency_bimodal;
  FaultEffect bandwidth;
  FaultEffect queue_limit;
  FaultEffect clog;  // The strength is the time until which packets wait.
  FaultEffect duplicate;
  FaultEffect reorder;
  FaultEffect datagram_duplicate;
  FaultEffect datagram_reorder;
};

// Why a packet did not arrive. In the trace.
enum class DropReason : uint8_t {
  kLoss = 1,
  kQueueFull = 2,
  kBlocked = 3,
  kBlockedOnArrival = 4,
  kHostDown = 5,
  kConnectFault = 6,
  kTooLarge = 7,
  kCorrupted = 8,  // Its checksum is wrong.
};

// The decisions about one packet.
struct PacketChoices {
  const Choices& choices;
  Entity flow;
  uint64_t ordinal;

  uint64_t Draw(Choice what, uint64_t part = 0) const { return choices.Draw(what, flow, ordinal, part); }
};

// What becomes of a packet.
struct PacketFate {
  uint32_t ordinal = 0;
  bool dropped = false;
  DropReason reason = DropReason::kLoss;
  bool reordered = false;
  int64_t arrival_ns = 0;
  std::optional<int64_t> duplicate_arrival_ns;  // When a second copy arrives, if there is one.
};

class Link {
 public:
  // `conditions` outlive the link, and it follows what becomes of them.
  explicit Link(const LinkConditions& conditions) : conditions_(&conditions) {}

  const LinkConditions& conditions() const { return *conditions_; }
  // From now on the link has conditions of its own.
  void set_conditions(const LinkConditions& conditions) {
    own_conditions_ = std::make_unique<const LinkConditions>(conditions);
    conditions_ = own_conditions_.get();
  }
  bool blocked() const { return blocked_; }
  void set_blocked(bool blocked) { blocked_ = blocked; }
  // The same for another reason, so that the end of one does not end the other.
  bool cut() const { return cut_; }
  void set_cut(bool cut) { cut_ = cut; }
  // What arrives waits at the receiver's end, in this order.
  bool holds() const { return holds_; }
  void set_holds(bool holds) { holds_ = holds; }
  std::vector<Packet*>& held() { return held_; }

  // Whether a fault parts the two ends, which is a hit of it.
  bool IsParted() const {
    if (faults_ == nullptr || !faults_->partition) return false;
    faults_->partition.CountHit();
    return true;
  }

  // What faults do. They are as of some state of the network's faults, see Network::FaultsChanged().
  void set_faults(const LinkFaults& faults, uint64_t epoch, uint64_t alarm) {
    faults_ = faults.any ? std::make_unique<const LinkFaults>(faults) : nullptr;
    fault_epoch_ = epoch;
    alarm_ = alarm;
  }
  uint64_t fault_epoch() const { return fault_epoch_; }
  // How many packets were sent, and with which of them, from 1, something is to happen.
  uint64_t sent() const { return next_ordinal_; }
  uint64_t datagrams_sent() const { return datagrams_sent_; }
  // Bytes of payload of the largest packet so far.
  uint32_t largest_sent() const { return largest_sent_; }
  uint64_t alarm() const { return alarm_; }

  // Whatever made packets of a connection late so far, what is sent from now on need not arrive later than `time_ns`,
  // or than what was sent after this call. See Network::EndDelays().
  void LimitArrivals(int64_t time_ns) { in_order_until_ns_ = time_ns; }
  // The latest arrival that the order of a connection may ask for.
  int64_t in_order_until_ns() const { return in_order_until_ns_; }
  void NoteArrival(int64_t time_ns) { in_order_until_ns_ = std::max(in_order_until_ns_, time_ns); }

  // Loses one packet: the one with this ordinal. Packets of a link count from 0.
  void LosePacket(uint32_t ordinal) { lost_ordinal_ = ordinal; }

  // Decides about the next packet, of `payload` bytes and `headers` more, sent at `now_ns`.
  PacketFate Send(int64_t now_ns, uint32_t payload, uint32_t headers, const PacketChoices& choices);
  // The same for a datagram that travels in so many fragments: when one of them is lost, all of it is. A datagram that
  // is reordered takes the latency twice.
  PacketFate SendDatagram(int64_t now_ns, uint32_t payload, uint32_t headers, uint32_t fragments,
                          const PacketChoices& choices);

 private:
  bool IsDropped(const PacketFate& fate, uint32_t payload, uint32_t headers, const PacketChoices& choices,
                 DropReason* reason) const;
  // How much longer the packet takes by faults, which count it.
  int64_t DrawDelayNs(const PacketChoices& choices) const;
  // What passes now.
  struct Rate {
    uint64_t bytes_per_second;      // 0: no limit.
    uint64_t queue_limit_bytes;     // 0: no limit.
    const FaultEffect* limited_by;  // The fault that made the queue so short; null: none.
  };
  Rate CurrentRate() const;
  // When a packet has left; none: the queue is full.
  std::optional<int64_t> DepartureOf(int64_t now_ns, uint32_t bytes);

  // A large cluster has many links, of which most have nothing of their own.
  const LinkConditions* conditions_;
  std::unique_ptr<const LinkConditions> own_conditions_;
  std::unique_ptr<const LinkFaults> faults_;  // Null: none.
  uint64_t fault_epoch_ = ~uint64_t{0};
  uint64_t alarm_ = ~uint64_t{0};
  bool blocked_ = false;
  bool cut_ = false;
  bool holds_ = false;
  uint32_t next_ordinal_ = 0;
  uint32_t datagrams_sent_ = 0;
  uint32_t largest_sent_ = 0;
  uint32_t lost_ordinal_ = ~uint32_t{0};
  int64_t busy_until_ns_ = 0;  // When the last byte that waits has left.
  int64_t in_order_until_ns_ = std::numeric_limits<int64_t>::max();
  std::vector<Packet*> held_;  // Of the network.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_LINK_H_
