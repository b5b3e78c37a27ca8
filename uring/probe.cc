// SPDX-License-Identifier: Apache-2.0

#include "tandem/uring/probe.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "tandem/uring/buffer_ring.h"
#include "tandem/uring/ring.h"
#include "tandem/uring/setup_error.h"

namespace tandem::uring {
namespace {

constexpr int64_t kProbeTimeoutNs = 1'000'000'000;  // The data is there already; this only bounds a surprise.
constexpr char kText[] = {'t', 'a', 'n', 'd', 'e', 'm'};
constexpr uint32_t kBudget = 2;  // Less than the text.

// Receives from `socket` by multishot and gives the last completion, which has no IORING_CQE_F_MORE; with a budget of 0
// that is the one for the end of the stream. When the ring cannot be entered, its result is that error.
Completion ReceiveUntilEnd(Ring& ring, BufferRing& buffers, int socket, uint32_t budget, bool bundle = false) {
  io_uring_sqe* sqe = ring.GetEntry();
  io_uring_prep_recv_multishot(sqe, socket, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = buffers.group();
  sqe->optlen = budget;
  if (bundle) sqe->ioprio |= IORING_RECVSEND_BUNDLE;
  Completion completion;
  do {
    if (!ring.has_completions()) {
      const int entered = ring.Enter(/*wait=*/true, kProbeTimeoutNs);
      if (entered != 0 && entered != -ETIME && entered != -EINTR) return Completion{.result = entered};
    }
    if (!ring.TakeCompletion(&completion)) return Completion{.result = -ETIME};
    if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
      buffers.Return(static_cast<uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT));
    }
  } while ((completion.flags & IORING_CQE_F_MORE) != 0);
  return completion;
}

}  // namespace

absl::StatusOr<Capabilities> ProbeKernel() {
  absl::StatusOr<std::unique_ptr<Ring>> ring = Ring::Create(/*entries=*/8, /*submission_thread=*/false);
  if (!ring.ok()) return ring.status();
  absl::StatusOr<std::unique_ptr<BufferRing>> buffers = BufferRing::Create(**ring, 4, 256, /*group=*/0);
  if (!buffers.ok()) return buffers.status();
  // Before the buffers are freed, the ring has to be closed.
  const auto close_ring = absl::MakeCleanup([&ring] { ring->reset(); });
  int pair[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return SetupError(errno, "socketpair", ReadSetupFacts());
  }
  const auto close_pair = absl::MakeCleanup([&pair] {
    close(pair[0]);
    if (pair[1] >= 0) close(pair[1]);
  });
  if (write(pair[1], kText, sizeof(kText)) != sizeof(kText))
    return SetupError(errno, "write to a socket pair", ReadSetupFacts());

  Capabilities capabilities;
  // The first receive takes exactly its budget, the second one the rest, beyond its budget, and ends.
  Completion completion = ReceiveUntilEnd(**ring, **buffers, pair[0], kBudget, /*bundle=*/true);
  if (completion.result == static_cast<int32_t>(kBudget)) {
    completion = ReceiveUntilEnd(**ring, **buffers, pair[0], 1);
    capabilities.receive_budget = completion.result == static_cast<int32_t>(sizeof(kText) - kBudget);
    if (capabilities.receive_budget) return capabilities;
  }
  close(pair[1]);  // So that the next receive ends.
  pair[1] = -1;
  completion = ReceiveUntilEnd(**ring, **buffers, pair[0], /*budget=*/0);
  if (completion.result == 0) return capabilities;
  if (completion.result == -EINVAL) return MissingFeatureError("multishot receive", "6.0", ReadSetupFacts());
  return SetupError(-completion.result, "io_uring_enter (multishot receive)", ReadSetupFacts());
}

}  // namespace tandem::uring
