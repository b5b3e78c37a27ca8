// SPDX-License-Identifier: Apache-2.0

#include "tandem/uring/ring.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/uring/setup_error.h"

namespace tandem::uring {
namespace {

// From Linux 6.15; newer than the headers of liburing 2.9. A task that waits for a ring with work in flight counts as
// waiting for a disk otherwise, which shows an idle server as a busy one.
constexpr uint32_t kEnterNoIowait = 1u << 7;
constexpr uint32_t kFeatureNoIowait = 1u << 17;

constexpr uint32_t kMaxEntries = 32768;
constexpr uint32_t kCompletionsPerSubmission = 8;  // Multishot requests complete more often than they are submitted.
constexpr uint32_t kSubmissionThreadIdleMs = 50;   // How long the kernel's thread spins before it sleeps.

constexpr uint32_t kAlways = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED |
                             IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SUBMIT_ALL;

struct Mode {
  uint32_t flags = 0;
  absl::string_view name;
};

// What every kernel that Tandem needs has. A submission thread excludes the others.
constexpr Mode kOwnThread = {IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
                             "SINGLE_ISSUER|DEFER_TASKRUN|COOP_TASKRUN|TASKRUN_FLAG|SUBMIT_ALL"};
constexpr Mode kSubmissionThread = {IORING_SETUP_SQPOLL,
                                    "SQPOLL|SINGLE_ISSUER|SUBMIT_ALL, without DEFER_TASKRUN (excluded by SQPOLL)"};

}  // namespace

absl::StatusOr<std::unique_ptr<Ring>> Ring::Create(uint32_t entries, bool submission_thread) {
  entries = std::clamp<uint32_t>(entries, 1, kMaxEntries);
  const Mode& mode = submission_thread ? kSubmissionThread : kOwnThread;
  auto ring = std::unique_ptr<Ring>(new Ring());
  io_uring_params parameters = {};
  parameters.flags = kAlways | mode.flags;
  parameters.cq_entries = entries * kCompletionsPerSubmission;
  parameters.sq_thread_idle = kSubmissionThreadIdleMs;
  if (const int result = io_uring_queue_init_params(entries, &ring->ring_, &parameters); result < 0) {
    ring->ring_.ring_fd = -1;  // Whatever was left there is closed.
    return SetupError(-result, "io_uring_setup", ReadSetupFacts());
  }
  if ((parameters.features & IORING_FEAT_EXT_ARG) == 0 || (parameters.features & IORING_FEAT_CQE_SKIP) == 0) {
    return MissingFeatureError("timed waits and skipped completions", "5.17", ReadSetupFacts());
  }
  const bool no_iowait = (parameters.features & kFeatureNoIowait) != 0;
  if (no_iowait) ring->wait_flags_ = kEnterNoIowait;
  ring->description_ = absl::StrCat(mode.name, ", ", parameters.sq_entries, "/", parameters.cq_entries, " entries, ",
                                    no_iowait ? "no iowait" : "iowait (no IORING_ENTER_NO_IOWAIT before Linux 6.15)");
  return ring;
}

Ring::~Ring() {
  if (ring_.ring_fd >= 0) io_uring_queue_exit(&ring_);
}

int Ring::Enable() {
  if (const int result = io_uring_enable_rings(&ring_); result != 0) return result;
  // Spares a look-up of the descriptor in each enter. Belongs to the thread; not vital, so an error changes nothing.
  (void)io_uring_register_ring_fd(&ring_);
  enabled_ = true;
  return 0;
}

bool Ring::NeedsEnter() const {
  uint32_t mask = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;
  if (has_submission_thread() && unsubmitted() != 0) mask |= IORING_SQ_NEED_WAKEUP;
  return (IO_URING_READ_ONCE(*ring_.sq.kflags) & mask) != 0;
}

bool Ring::TakeCompletion(Completion* completion) {
  const uint32_t head = *ring_.cq.khead;
  if (head == io_uring_smp_load_acquire(ring_.cq.ktail)) return false;
  const io_uring_cqe& cqe = ring_.cq.cqes[head & ring_.cq.ring_mask];
  completion->user_data = cqe.user_data;
  completion->result = cqe.res;
  completion->flags = cqe.flags;
  io_uring_smp_store_release(ring_.cq.khead, head + 1);
  return true;
}

uint32_t Ring::FlushQueue() {
  io_uring_sq& queue = ring_.sq;
  if (queue.sqe_head != queue.sqe_tail) {
    queue.sqe_head = queue.sqe_tail;
    io_uring_smp_store_release(queue.ktail, queue.sqe_tail);
  }
  return queue.sqe_tail - io_uring_smp_load_acquire(queue.khead);
}

int Ring::Enter(bool wait, int64_t timeout_ns) {
  if (!enabled_) {
    if (const int failed = Enable(); failed != 0) return failed;
  }
  uint32_t flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  flags |= ring_.int_flags & IORING_ENTER_REGISTERED_RING;
  const uint32_t to_submit = FlushQueue();
  if (has_submission_thread()) {
    // The store to the tail must be seen before the flag is read, as the kernel's thread does it the other way round.
    io_uring_smp_mb();
    const uint32_t kernel_flags = IO_URING_READ_ONCE(*ring_.sq.kflags);
    const bool full = to_submit == ring_.sq.ring_entries;
    if ((kernel_flags & IORING_SQ_NEED_WAKEUP) != 0) flags |= IORING_ENTER_SQ_WAKEUP;
    if (full) flags |= IORING_ENTER_SQ_WAIT;
    if (!wait && !full && (kernel_flags & (IORING_SQ_NEED_WAKEUP | IORING_SQ_CQ_OVERFLOW)) == 0) return 0;
  }
  __kernel_timespec timeout = {};
  io_uring_getevents_arg argument = {};
  argument.sigmask_sz = _NSIG / 8;
  if (wait) {
    flags |= wait_flags_;
    if (timeout_ns >= 0) {
      timeout.tv_sec = timeout_ns / 1'000'000'000;
      timeout.tv_nsec = timeout_ns % 1'000'000'000;
      argument.ts = reinterpret_cast<uintptr_t>(&timeout);
    }
  }
  ++enters_;
  // With IORING_ENTER_EXT_ARG the signal mask is an argument structure; liburing's type does not say so.
  const int result = io_uring_enter2(ring_.enter_ring_fd, to_submit, wait ? 1 : 0, flags,
                                     reinterpret_cast<sigset_t*>(&argument), sizeof(argument));
  if ((IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0) ++overflows_;
  return result < 0 ? result : 0;
}

}  // namespace tandem::uring
