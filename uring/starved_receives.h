// SPDX-License-Identifier: Apache-2.0
//
// StarvedReceives: the receives that found the buffer ring dry, oldest first, and who of them is to be served in a
// poll, from the ring or from the heap. A receive keeps its place until it has received something.

#ifndef TANDEM_URING_STARVED_RECEIVES_H_
#define TANDEM_URING_STARVED_RECEIVES_H_

#include <cstdint>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "tandem/uring/buffer_ring.h"

namespace tandem::uring {

class StarvedReceives {
 public:
  // How many may be served in a poll: armed again, or by a receive into the heap.
  struct Share {
    uint32_t from_ring = 0;
    uint32_t from_heap = 0;
  };

  // How long a poll waits at most while there are any.
  static constexpr absl::Duration kWait = absl::Milliseconds(1);

  bool empty() const { return waiting_.empty(); }
  // `ticket` is the receive's place; 0: at the end, and then it is set.
  void Add(uint64_t* ticket, uint32_t slot) {
    if (*ticket == 0) *ticket = ++last_ticket_;
    waiting_.emplace(*ticket, slot);
  }
  void Remove(uint64_t ticket, uint32_t slot) { waiting_.erase({ticket, slot}); }
  // REQUIRES !empty().
  uint32_t TakeOldest() {
    const uint32_t slot = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    return slot;
  }

  // To be asked once a poll while there are any.
  Share NextShare(const BufferRing& buffers) {
    if (buffers.releases() != releases_seen_) {
      releases_seen_ = buffers.releases();
      dry_polls_ = 0;
    }
    Share share{.from_ring = buffers.available()};
    if (share.from_ring >= waiting_.size() || ++dry_polls_ < kDryPolls) return share;
    // The program keeps its buffers, perhaps until it has received more.
    share.from_heap = kHeapReceivesPerPoll;
    return share;
  }

 private:
  // How many polls to wait for a buffer before the heap serves, and how many receives one poll then serves.
  static constexpr uint32_t kDryPolls = 4;
  static constexpr uint32_t kHeapReceivesPerPoll = 16;

  absl::btree_set<std::pair<uint64_t, uint32_t>> waiting_;  // Tickets and slots.
  uint64_t last_ticket_ = 0;
  uint32_t dry_polls_ = 0;  // Polls in a row with somebody waiting and no buffer back.
  uint64_t releases_seen_ = 0;
};

}  // namespace tandem::uring

#endif  // TANDEM_URING_STARVED_RECEIVES_H_
