// SPDX-License-Identifier: Apache-2.0
//
// ReactorOptions: what a program asks of its reactor.

#ifndef TANDEM_CORE_IO_REACTOR_OPTIONS_H_
#define TANDEM_CORE_IO_REACTOR_OPTIONS_H_

#include <cstdint>

#include "tandem/core/io/reactor_kind.h"

namespace tandem {

// What a reactor is asked for. Every field has a default that suits a server; values outside of the ranges are clamped.
class ReactorOptions {
 public:
  ReactorOptions() {}  // User-declared: g++ 12 mishandles aggregates as arguments of awaited calls.

  // Which reactor, on a real machine; a simulation has one. kAuto leaves the choice to the environment variable
  // TANDEM_REACTOR (auto, uring or epoll), and without it to the kernel.
  ReactorKind kind() const { return kind_; }
  ReactorOptions& set_kind(ReactorKind kind) {
    kind_ = kind;
    return *this;
  }
  // The others are for io_uring; epoll needs none of them.
  //
  // Submission queue entries, 1..32768; rounded up to a power of two.
  uint32_t ring_entries() const { return ring_entries_; }
  ReactorOptions& set_ring_entries(uint32_t entries) {
    ring_entries_ = entries;
    return *this;
  }
  // Receive buffers in the ring, rounded up to a power of two, at most 32768.
  uint32_t receive_buffers() const { return receive_buffers_; }
  ReactorOptions& set_receive_buffers(uint32_t count) {
    receive_buffers_ = count;
    return *this;
  }
  // Bytes in each receive buffer, 256 B..1 MiB.
  uint32_t receive_buffer_bytes() const { return receive_buffer_bytes_; }
  ReactorOptions& set_receive_buffer_bytes(uint32_t bytes) {
    receive_buffer_bytes_ = bytes;
    return *this;
  }
  // A kernel thread polls the submission queue (IORING_SETUP_SQPOLL): fewer system calls for one spinning processor.
  bool submission_thread() const { return submission_thread_; }
  ReactorOptions& set_submission_thread(bool on) {
    submission_thread_ = on;
    return *this;
  }

 private:
  ReactorKind kind_ = ReactorKind::kAuto;
  uint32_t ring_entries_ = 1024;
  uint32_t receive_buffers_ = 1024;
  uint32_t receive_buffer_bytes_ = 16384;
  bool submission_thread_ = false;
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_REACTOR_OPTIONS_H_
