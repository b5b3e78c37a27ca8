// SPDX-License-Identifier: Apache-2.0
//
// ReactorStatistics: what a reactor tells of its work.

#ifndef TANDEM_CORE_IO_REACTOR_STATISTICS_H_
#define TANDEM_CORE_IO_REACTOR_STATISTICS_H_

#include <atomic>
#include <cstdint>
#include <string>

namespace tandem {

// A number that one thread changes and any thread may read. Costs what a plain one costs.
class Counter {
 public:
  Counter(uint64_t value = 0) : value_(value) {}  // NOLINT(google-explicit-constructor): it stands for the number.
  Counter(const Counter& other) : Counter(uint64_t{other}) {}
  Counter& operator=(const Counter& other) { return *this = uint64_t{other}; }
  Counter& operator=(uint64_t value) {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }
  // NOLINTNEXTLINE(google-explicit-constructor): the same.
  operator uint64_t() const { return value_.load(std::memory_order_relaxed); }

  Counter& operator+=(uint64_t more) { return *this = *this + more; }
  Counter& operator++() { return *this += 1; }
  Counter& operator--() { return *this = *this - 1; }

 private:
  std::atomic<uint64_t> value_;
};

// Counters since the start of the reactor. Read from another thread, each is right by itself; together they may be of
// different moments.
struct ReactorStatistics {
  Counter polls;
  Counter enters;       // System calls that drove the loop (io_uring_enter, epoll_wait).
  Counter submissions;  // Operations started and sources armed.
  Counter completions;  // Terminal completions and items.
  Counter operations_in_flight;
  Counter sources_armed;
  Counter buffer_shortages;      // Times that no receive buffer was free.
  Counter descriptor_shortages;  // Times that an accept found no free descriptor.
  Counter wakes;
  std::string description;  // One line: which reactor, what it chose, and why not better.
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_REACTOR_STATISTICS_H_
