// SPDX-License-Identifier: Apache-2.0
//
// The decisions of a host's faults about what its process does with its sockets: how late, how short, how much.
//
// Each is addressed by the socket and the number of such decisions about it before. They are counted always, and made
// only when a fault of their kind holds.

#ifndef TANDEM_SIM_REACTOR_FAULT_DRAWS_H_
#define TANDEM_SIM_REACTOR_FAULT_DRAWS_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "tandem/core/base/random.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/reactor/descriptor_table.h"

namespace tandem::sim {

class FaultDraws {
 public:
  // What can be late.
  enum class Late : uint8_t { kCancel, kLook, kEnd };

  // `process` is what decisions that concern no socket are addressed by.
  FaultDraws(HostStack& stack, Entity process) : stack_(stack), process_(process) {}

  const StackFaults& faults() const { return stack_.faults(); }

  // How long the next report about `socket` is held back, in nanoseconds; none: it is not.
  std::optional<int64_t> Jitter(Descriptor& descriptor, SocketId socket) {
    const uint64_t ordinal = descriptor.counts.reports++;
    if (faults().completion_jitter_max_ns <= 0) [[likely]]
      return std::nullopt;
    return JitterOf(Draw(Choice::kJitter, socket, ordinal));
  }
  // The same in two steps, for a socket that is gone when it reports.
  uint64_t DrawJitter(const Descriptor& descriptor, SocketId socket) const {
    return Draw(Choice::kJitter, socket, descriptor.counts.reports);
  }
  std::optional<int64_t> JitterOf(uint64_t draw) const;

  // How long `what` is held up, in nanoseconds; 0: not at all.
  int64_t Lateness(Descriptor& descriptor, SocketId socket, Late what);
  // Sets how much of a send of `size` bytes or datagrams is sent, and in which steps.
  void LimitSend(Descriptor& descriptor, SocketId socket, size_t size);
  // How many of the `wanted` bytes are taken when so many are there, which may be none.
  size_t LimitReceive(Descriptor& descriptor, SocketId socket, size_t wanted, size_t there);
  // True when the datagrams that are there are not taken now.
  bool EndsDatagrams(Descriptor& descriptor, SocketId socket);
  // The error of an accept for which a connection waits; 0: none.
  int FailAccept(Descriptor& descriptor, SocketId listener);
  // How many bytes beyond the budget are taken.
  size_t Overshoot(Descriptor& descriptor, SocketId socket);

 private:
  Probability ChanceOf(Late what) const;
  uint64_t Draw(Choice what, SocketId socket, uint64_t ordinal, uint64_t part = 0) const;

  HostStack& stack_;
  const Entity process_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_FAULT_DRAWS_H_
