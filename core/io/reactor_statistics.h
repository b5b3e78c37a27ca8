// SPDX-License-Identifier: Apache-2.0
//
// ReactorStatistics: what a reactor tells of its work.

#ifndef TANDEM_CORE_IO_REACTOR_STATISTICS_H_
#define TANDEM_CORE_IO_REACTOR_STATISTICS_H_

#include <cstdint>
#include <string>

namespace tandem {

// Counters since the start of the reactor.
struct ReactorStatistics {
  uint64_t polls = 0;
  uint64_t enters = 0;       // System calls that drove the loop (io_uring_enter, epoll_wait).
  uint64_t submissions = 0;  // Operations started and sources armed.
  uint64_t completions = 0;  // Terminal completions and items.
  uint64_t operations_in_flight = 0;
  uint64_t sources_armed = 0;
  uint64_t buffer_shortages = 0;      // Times that no receive buffer was free.
  uint64_t descriptor_shortages = 0;  // Times that an accept found no free descriptor.
  uint64_t wakes = 0;
  std::string description;  // One line: which reactor, what it chose, and why not better.
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_REACTOR_STATISTICS_H_
