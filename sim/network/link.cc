// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/network/link.h"

#include <algorithm>
#include <bit>

namespace tandem::sim {
namespace {

constexpr uint64_t kMillion = 1'000'000;
constexpr uint64_t kBurst = 8;  // Packets of a flow that a burst of losses takes.
constexpr uint64_t kFaultQueueBytes = 64 * 1024;
// Of a link that has none and whose queue is to be short.
constexpr uint64_t kFaultBytesPerSecond = 125'000;
constexpr uint64_t kNineTenths = ~uint64_t{0} / 10 * 9;

// Whether `effect`, a chance in millionths, hits; which it counts.
bool Hits(const FaultEffect& effect, uint64_t draw) {
  if (!effect || !Probability::Ratio(effect.strength, kMillion).Hits(draw)) return false;
  effect.CountHit();
  return true;
}

// A packet of `bytes` is as likely to be damaged as it is long.
bool IsCorrupted(const FaultEffect& effect, uint64_t bytes, uint64_t draw) {
  constexpr uint64_t kPerBytes = 1000;
  if (!effect || !Probability::Ratio(effect.strength * bytes, kMillion * kPerBytes).Hits(draw)) return false;
  effect.CountHit();
  return true;
}

// Each fragment of a datagram may be lost, unless the decision about it is calm.
uint64_t FragmentDraw(const PacketChoices& choices, uint32_t fragment) {
  const uint64_t draw = choices.Draw(Choice::kLoss, 1);
  return draw == Choices::Neutral(Choice::kLoss) ? draw : HashCombine(draw, fragment);
}

}  // namespace

int64_t LatencyDistribution::SampleExponential(int64_t mean_ns, uint64_t draw) {
  // Which step it is, and where in it, in 2^-32 of its width.
  const int step = std::countl_zero(draw);
  const uint64_t within = step >= 63 ? 0 : ~(draw << (step + 1)) >> 32;
  const auto steps = (static_cast<unsigned __int128>(step) << 32) + within;
  return static_cast<int64_t>(static_cast<unsigned __int128>(static_cast<uint64_t>(mean_ns)) * steps * 2 / 3 >> 32);
}

bool Link::IsDropped(const PacketFate& fate, uint32_t payload, uint32_t headers, const PacketChoices& choices,
                     DropReason* reason) const {
  *reason = DropReason::kBlocked;
  if (blocked_ || cut_) return true;
  if (IsParted()) return true;
  *reason = DropReason::kTooLarge;
  if (faults_ != nullptr && faults_->mtu && payload > faults_->mtu.strength) {
    faults_->mtu.CountHit();
    return true;
  }
  *reason = DropReason::kLoss;
  if (fate.ordinal == lost_ordinal_) return true;
  if (!conditions_->loss.is_never() && conditions_->loss.Hits(choices.Draw(Choice::kLoss))) return true;
  if (faults_ == nullptr) [[likely]]
    return false;
  const uint64_t burst = choices.choices.Draw(Choice::kLoss, choices.flow, choices.ordinal / kBurst, 3);
  if (Hits(faults_->loss, choices.Draw(Choice::kLoss, 2)) || Hits(faults_->loss_burst, burst)) return true;
  *reason = DropReason::kCorrupted;
  return IsCorrupted(faults_->corruption, uint64_t{payload} + headers, choices.Draw(Choice::kLoss, 4));
}

int64_t Link::DrawDelayNs(const PacketChoices& choices) const {
  int64_t delay_ns = 0;
  const auto add = [&](const FaultEffect& effect, auto sample) {
    if (!effect) return;
    const int64_t more_ns = sample(static_cast<int64_t>(effect.strength));
    if (more_ns > 0) effect.CountHit();
    delay_ns += more_ns;
  };
  const auto draw = [&](uint64_t part) { return choices.Draw(Choice::kLatency, part); };
  add(faults_->latency, [&](int64_t ns) { return LatencyDistribution::LongTail(ns).Sample(draw(0)); });
  add(faults_->latency_constant, [](int64_t ns) { return ns; });
  add(faults_->latency_uniform,
      [&](int64_t ns) { return static_cast<int64_t>(ReduceToRange(draw(4), static_cast<uint64_t>(ns) + 1)); });
  add(faults_->latency_exponential, [&](int64_t ns) { return LatencyDistribution::SampleExponential(ns, draw(5)); });
  add(faults_->latency_bimodal, [&](int64_t ns) { return draw(6) < kNineTenths ? 0 : ns; });
  return delay_ns;
}

// How many bytes pass in a second, and how many may wait for it. What faults say holds where it is less.
Link::Rate Link::CurrentRate() const {
  Rate rate = {conditions_->bytes_per_second, conditions_->queue_limit_bytes, nullptr};
  if (faults_ == nullptr) [[likely]]
    return rate;
  const FaultEffect& bandwidth = faults_->bandwidth;
  if (bandwidth && (rate.bytes_per_second == 0 || bandwidth.strength < rate.bytes_per_second)) {
    bandwidth.CountHit();
    rate.bytes_per_second = bandwidth.strength;
    rate.queue_limit_bytes = kFaultQueueBytes;
  }
  const FaultEffect& limit = faults_->queue_limit;
  if (limit && (rate.queue_limit_bytes == 0 || limit.strength < rate.queue_limit_bytes)) {
    rate.queue_limit_bytes = limit.strength;
    rate.limited_by = &limit;
    if (rate.bytes_per_second == 0) {
      limit.CountHit();
      rate.bytes_per_second = kFaultBytesPerSecond;
    }
  }
  return rate;
}

std::optional<int64_t> Link::DepartureOf(int64_t now_ns, uint32_t bytes) {
  int64_t departure = now_ns;
  if (faults_ != nullptr && faults_->clog && static_cast<int64_t>(faults_->clog.strength) > departure) {
    faults_->clog.CountHit();
    departure = static_cast<int64_t>(faults_->clog.strength);
  }
  const Rate rate = CurrentRate();
  if (rate.bytes_per_second == 0) return departure;
  const int64_t start = std::max(departure, busy_until_ns_);
  if (rate.queue_limit_bytes != 0) {
    const auto waiting = static_cast<unsigned __int128>(start - departure) * rate.bytes_per_second;
    if (waiting > static_cast<unsigned __int128>(rate.queue_limit_bytes) * 1'000'000'000u) {
      if (rate.limited_by != nullptr) rate.limited_by->CountHit();
      return std::nullopt;
    }
  }
  busy_until_ns_ = start + static_cast<int64_t>(uint64_t{bytes} * 1'000'000'000u / rate.bytes_per_second);
  return busy_until_ns_;
}

PacketFate Link::Send(int64_t now_ns, uint32_t payload, uint32_t headers, const PacketChoices& choices) {
  PacketFate fate;
  fate.ordinal = next_ordinal_++;
  largest_sent_ = std::max(largest_sent_, payload);
  if (IsDropped(fate, payload, headers, choices, &fate.reason)) {
    fate.dropped = true;
    return fate;
  }
  const std::optional<int64_t> departure = DepartureOf(now_ns, payload + headers);
  if (!departure.has_value()) {
    fate.dropped = true;
    fate.reason = DropReason::kQueueFull;
    return fate;
  }
  fate.arrival_ns = *departure + conditions_->latency.Sample(choices.Draw(Choice::kLatency));
  if (faults_ != nullptr) [[unlikely]]
    fate.arrival_ns += DrawDelayNs(choices);
  const bool twice =
      (!conditions_->duplicate.is_never() && conditions_->duplicate.Hits(choices.Draw(Choice::kDuplicate))) ||
      (faults_ != nullptr && Hits(faults_->duplicate, choices.Draw(Choice::kDuplicate, 2)));
  if (twice) {
    fate.duplicate_arrival_ns = *departure + conditions_->latency.Sample(choices.Draw(Choice::kLatency, 1));
  }
  fate.reordered = !conditions_->reorder.is_never() && conditions_->reorder.Hits(choices.Draw(Choice::kReorder));
  if (faults_ != nullptr && Hits(faults_->reorder, choices.Draw(Choice::kReorder, 2))) {
    fate.reordered = true;
    // Late enough for others to overtake it.
    fate.arrival_ns += 4 * conditions_->latency.Sample(choices.Draw(Choice::kLatency, 3));
  }
  return fate;
}

PacketFate Link::SendDatagram(int64_t now_ns, uint32_t payload, uint32_t headers, uint32_t fragments,
                              const PacketChoices& choices) {
  ++datagrams_sent_;
  PacketFate fate = Send(now_ns, payload, headers * fragments, choices);
  if (!conditions_->loss.is_never()) {
    for (uint32_t fragment = 1; fragment < fragments && !fate.dropped; ++fragment) {
      fate.dropped = conditions_->loss.Hits(FragmentDraw(choices, fragment));
    }
  }
  if (fate.dropped) return fate;
  const bool twice = conditions_->datagram_duplicate.Hits(choices.Draw(Choice::kDuplicate, 1)) ||
                     (faults_ != nullptr && Hits(faults_->datagram_duplicate, choices.Draw(Choice::kDuplicate, 3)));
  if (twice && !fate.duplicate_arrival_ns.has_value()) {
    fate.duplicate_arrival_ns = fate.arrival_ns + conditions_->latency.Sample(choices.Draw(Choice::kLatency, 1));
  }
  fate.reordered |= conditions_->datagram_reorder.Hits(choices.Draw(Choice::kReorder, 1)) ||
                    (faults_ != nullptr && Hits(faults_->datagram_reorder, choices.Draw(Choice::kReorder, 3)));
  if (fate.reordered) fate.arrival_ns += conditions_->latency.Sample(choices.Draw(Choice::kLatency, 2));
  return fate;
}

}  // namespace tandem::sim
