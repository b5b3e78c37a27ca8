// SPDX-License-Identifier: Apache-2.0
//
// BufferRing: receive buffers that the kernel takes from when bytes arrive, handed on as Buffers without a copy.
//
// The kernel holds the blocks that are in the ring, the program those that Take() gave out; Release() puts them back.
// All memory is made at the start and kept.

#ifndef TANDEM_URING_BUFFER_RING_H_
#define TANDEM_URING_BUFFER_RING_H_

#include <liburing.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "tandem/core/io/buffer.h"
#include "tandem/uring/ring.h"

namespace tandem::uring {

class BufferRing final : public BufferPool {
 public:
  // `count` blocks (rounded up to a power of two, at most 32768) of `block_bytes` (256 B .. 1 MiB), registered with
  // `ring` as buffer group `group`. The pages are not touched before bytes arrive.
  //
  // Errors: SetupError(); MissingFeatureError() before Linux 5.19.
  static absl::StatusOr<std::unique_ptr<BufferRing>> Create(Ring& ring, uint32_t count, uint32_t block_bytes,
                                                            uint16_t group);
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;
  // REQUIRES that every block is back, and that the ring was closed with nothing in flight: a ring that is being closed
  // may still write to the blocks. Otherwise leak this object.
  ~BufferRing() override;

  // The kernel put `size` bytes into block `id`: gives it out.
  Buffer Take(uint16_t id, uint32_t size);
  // The kernel used block `id` for nothing: puts it back.
  void Return(uint16_t id);

  void Release(BufferBlock* block) override;
  bool scarce() const override { return out_ > count_ / 2; }

  uint16_t group() const { return group_; }
  uint32_t count() const { return count_; }
  uint32_t block_bytes() const { return block_bytes_; }
  // Blocks that are in the ring, as far as the completions that were seen tell.
  uint32_t available() const { return count_ - out_; }
  // Blocks given out and not back.
  uint32_t out() const { return out_; }
  // How often a block came back; to see whether one did.
  uint64_t releases() const { return releases_; }

 private:
  BufferRing(uint32_t count, uint32_t block_bytes, uint16_t group)
      : count_(count), block_bytes_(block_bytes), group_(group) {}
  char* MemoryOf(uint16_t id) const { return memory_ + size_t{id} * block_bytes_; }
  void Add(uint16_t id);

  const uint32_t count_;
  const uint32_t block_bytes_;
  const uint16_t group_;
  io_uring_buf_ring* entries_ = nullptr;
  char* memory_ = nullptr;
  std::unique_ptr<BufferBlock[]> blocks_;
  uint32_t out_ = 0;
  uint64_t releases_ = 0;
};

}  // namespace tandem::uring

#endif  // TANDEM_URING_BUFFER_RING_H_
