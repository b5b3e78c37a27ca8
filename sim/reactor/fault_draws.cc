// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/fault_draws.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "tandem/sim/network/network.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/udp/udp_socket.h"

namespace tandem::sim {
namespace {

constexpr int64_t kLateMaxNs = 2'000'000;
constexpr uint64_t kOvershootMax = 4096;
// A slow write takes at most this many steps.
constexpr size_t kSlowWriteSteps = 16;

Choice ChoiceOf(FaultDraws::Late what) {
  switch (what) {
    case FaultDraws::Late::kCancel:
      return Choice::kLateCancel;
    case FaultDraws::Late::kLook:
      return Choice::kStall;
    case FaultDraws::Late::kEnd:
      return Choice::kLateEnd;
  }
  return Choice::kLateEnd;
}

}  // namespace

uint64_t FaultDraws::Draw(Choice what, SocketId socket, uint64_t ordinal, uint64_t part) const {
  Entity entity = process_;
  if (const TcpSocket* stream = stack_.Find(socket)) {
    entity = stream->entity();
  } else if (const UdpSocket* datagrams = stack_.FindDatagrams(socket)) {
    entity = datagrams->entity();
  }
  return stack_.network().choices().Draw(what, entity, ordinal, part);
}

std::optional<int64_t> FaultDraws::JitterOf(uint64_t draw) const {
  const int64_t jitter = faults().completion_jitter_max_ns;
  if (jitter <= 0) return std::nullopt;
  const auto delay = static_cast<int64_t>(ReduceToRange(draw, static_cast<uint64_t>(jitter) + 1));
  if (delay > 0) StackFaults::CountHit(faults().hits.completion_jitter);
  return delay;
}

Probability FaultDraws::ChanceOf(Late what) const {
  switch (what) {
    case Late::kCancel:
      return faults().late_cancel;
    case Late::kLook:
      return faults().stall;
    case Late::kEnd:
      return faults().late_end;
  }
  return Probability();
}

int64_t FaultDraws::Lateness(Descriptor& descriptor, SocketId socket, Late what) {
  const uint64_t ordinal = descriptor.counts.lates[static_cast<size_t>(what)]++;
  const Probability chance = ChanceOf(what);
  if (chance.is_never()) [[likely]]
    return 0;
  const Choice choice = ChoiceOf(what);
  if (!chance.Hits(Draw(choice, socket, ordinal))) return 0;
  const uint64_t draw = Draw(choice, socket, ordinal, 1);
  return 1 + static_cast<int64_t>(ReduceToRange(draw, static_cast<uint64_t>(kLateMaxNs)));
}

void FaultDraws::LimitSend(Descriptor& descriptor, SocketId socket, size_t size) {
  Descriptor::Send& send = descriptor.send;
  send.limit = size;
  send.step = 0;
  const uint64_t ordinal = descriptor.counts.sends++;
  if (faults().short_write.is_never() && faults().slow_write.is_never()) [[likely]]
    return;
  if (size > 1 && faults().short_write.Hits(Draw(Choice::kShortWrite, socket, ordinal))) {
    send.limit = 1 + ReduceToRange(Draw(Choice::kShortWrite, socket, ordinal, 1), size - 1);
    StackFaults::CountHit(faults().hits.short_write);
  }
  if (faults().slow_write.Hits(Draw(Choice::kSlowWrite, socket, ordinal))) {
    StackFaults::CountHit(faults().hits.short_write);
    const size_t least = 1 + size / kSlowWriteSteps;
    send.step = least + ReduceToRange(Draw(Choice::kSlowWrite, socket, ordinal, 1), least);
  }
}

size_t FaultDraws::LimitReceive(Descriptor& descriptor, SocketId socket, size_t wanted, size_t there) {
  const size_t bytes = std::min(wanted, there);
  if (bytes == 0) return wanted;
  const uint64_t ordinal = descriptor.counts.receives++;
  if (faults().short_read.is_never()) [[likely]]
    return wanted;
  if (!faults().short_read.Hits(Draw(Choice::kShortRead, socket, ordinal))) return wanted;
  const size_t limit = 1 + ReduceToRange(Draw(Choice::kShortRead, socket, ordinal, 1), bytes);
  if (limit == bytes) return wanted;  // All of it, so nothing is to come later.
  StackFaults::CountHit(faults().hits.short_read);
  return limit;
}

bool FaultDraws::EndsDatagrams(Descriptor& descriptor, SocketId socket) {
  const uint64_t ordinal = descriptor.counts.receives++;
  if (faults().short_read.is_never()) [[likely]]
    return false;
  if (!faults().short_read.Hits(Draw(Choice::kShortRead, socket, ordinal))) return false;
  StackFaults::CountHit(faults().hits.short_read);
  return true;
}

int FaultDraws::FailAccept(Descriptor& descriptor, SocketId listener) {
  const uint64_t ordinal = descriptor.counts.accepts++;
  const auto hits = [&](Probability chance, uint64_t* count, uint64_t part) {
    if (chance.is_never() || !chance.Hits(Draw(Choice::kAccept, listener, ordinal, part))) return false;
    StackFaults::CountHit(count);
    return true;
  };
  if (hits(faults().accept_emfile, faults().hits.accept_emfile, 0)) return EMFILE;
  if (hits(faults().accept_enfile, faults().hits.accept_enfile, 1)) return ENFILE;
  if (hits(faults().accept_enobufs, faults().hits.accept_enobufs, 2)) return ENOBUFS;
  if (hits(faults().accept_aborted, faults().hits.accept_aborted, 3)) return ECONNABORTED;
  return 0;
}

size_t FaultDraws::Overshoot(Descriptor& descriptor, SocketId socket) {
  const uint64_t ordinal = descriptor.counts.overshoots++;
  if (faults().overshoot.is_never()) [[likely]]
    return 0;
  if (!faults().overshoot.Hits(Draw(Choice::kOvershoot, socket, ordinal))) return 0;
  return 1 + ReduceToRange(Draw(Choice::kOvershoot, socket, ordinal, 1), kOvershootMax);
}

}  // namespace tandem::sim
