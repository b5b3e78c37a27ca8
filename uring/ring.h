// SPDX-License-Identifier: Apache-2.0
//
// Ring: one io_uring, set up as well as the kernel allows, and the one system call that drives it.
//
// The ring is made disabled and is enabled by the first Enter(), on the thread that will own it: from then on it
// belongs to that thread.

#ifndef TANDEM_URING_RING_H_
#define TANDEM_URING_RING_H_

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tandem/core/io/reactor_statistics.h"

namespace tandem::uring {

// What the kernel reported for one request.
struct Completion {
  uint64_t user_data = 0;
  int32_t result = 0;
  uint32_t flags = 0;
};

class Ring {
 public:
  // A ring with `entries` submission entries (rounded up to a power of two) and 8 times as many completion entries.
  // `submission_thread` asks for IORING_SETUP_SQPOLL.
  //
  // Errors: SetupError().
  static absl::StatusOr<std::unique_ptr<Ring>> Create(uint32_t entries, bool submission_thread);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  // Closes the ring. What is in flight is cancelled by the kernel later: its memory must stay.
  ~Ring();

  // The next submission entry, or null when the queue is full: then Enter() makes room.
  io_uring_sqe* GetEntry() { return io_uring_get_sqe(&ring_); }
  // Entries that were filled in and that the kernel has not taken yet.
  uint32_t unsubmitted() const { return io_uring_sq_ready(&ring_); }

  // True when the kernel has something that only an enter brings out: deferred work, completions that overflowed, or a
  // submission thread that went to sleep with work queued.
  bool NeedsEnter() const;
  bool has_completions() const { return io_uring_cq_ready(&ring_) != 0; }
  uint32_t completion_count() const { return io_uring_cq_ready(&ring_); }
  uint32_t completion_entries() const { return ring_.cq.ring_entries; }
  // Completions that the kernel has dropped, because it had no memory to keep them until there was room.
  uint32_t losses() const { return IO_URING_READ_ONCE(*ring_.cq.koverflow); }
  // Enters that left completions over, for which there was no room.
  uint64_t overflows() const { return overflows_; }
  // Takes the oldest completion. Returns false when there is none.
  bool TakeCompletion(Completion* completion);

  // Submits everything that is queued and runs deferred work: one system call, or none where a submission thread is
  // awake and there is nothing to wait for. With `wait` it also waits for a
  // completion, at most `timeout_ns` (negative: without limit). Returns 0 or -errno; -ETIME and -EINTR are ordinary
  // ends of a wait, -EAGAIN and -EBUSY ask to take completions first, -ENOMEM and -EAGAIN without any to try again
  // later, and -EBADR tells of losses().
  int Enter(bool wait, int64_t timeout_ns);
  // System calls made by Enter().
  uint64_t enters() const { return enters_; }

  // "SINGLE_ISSUER|..., 1024/8192 entries, ...".
  const std::string& description() const { return description_; }
  bool has_submission_thread() const { return (ring_.flags & IORING_SETUP_SQPOLL) != 0; }
  io_uring& raw() { return ring_; }

 private:
  Ring() { ring_.ring_fd = -1; }
  int Enable();
  uint32_t FlushQueue();

  io_uring ring_ = {};
  bool enabled_ = false;
  uint32_t wait_flags_ = 0;  // IORING_ENTER_NO_IOWAIT where the kernel has it.
  Counter enters_;
  Counter overflows_;
  std::string description_;
};

}  // namespace tandem::uring

#endif  // TANDEM_URING_RING_H_
