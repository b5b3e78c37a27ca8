// SPDX-License-Identifier: Apache-2.0
//
// Buffer: bytes that arrived, handed over without a copy.
//
// The memory belongs to a BufferPool (the kernel's buffer ring, or plain pooled memory); a Buffer is the right to read
// and write one block of it and gives the block back when it is destroyed. A Buffer belongs to the shard that received
// it and must be destroyed there (on its thread: CHECKed), before the runtime ends (CHECKed).

#ifndef TANDEM_CORE_IO_BUFFER_H_
#define TANDEM_CORE_IO_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem {

class BufferPool;

// A run of bytes to send. Has the layout of struct iovec.
struct IoSlice {
  const char* data = nullptr;
  size_t size = 0;
};

// The bookkeeping of one block. Pools allocate blocks; everybody else sees them through Buffer and BufferQueue.
struct BufferBlock {
  BufferBlock* next = nullptr;  // In a BufferQueue or in the pool's free list.
  BufferPool* pool = nullptr;
  char* memory = nullptr;
  uint32_t capacity = 0;
  uint32_t begin = 0;  // The unread bytes are memory[begin, end).
  uint32_t end = 0;
  uint32_t index = 0;  // For the pool: which of its blocks this is.
};

// Where blocks come from and go back to. Belongs to the thread to which it hands out its first block.
class BufferPool {
 public:
  virtual ~BufferPool() = default;
  // Takes `block` back. Called once for each block handed out.
  virtual void Release(BufferBlock* block) = 0;
  // As Release(), for a Buffer, which may have strayed to another thread: CHECKs that it has not.
  void TakeBack(BufferBlock* block);
  // True when the program holds so many blocks that the pool could run dry; what is handed to the caller for keeps
  // is then copied into memory of another pool.
  virtual bool scarce() const { return false; }

 protected:
  // For each block that is handed out.
  void NoteThread() {
    if (thread_ == nullptr) [[unlikely]]
      thread_ = ThisThread();
  }

 private:
  static const void* ThisThread();
  const void* thread_ = nullptr;
};

// Owns one block. Move-only. An empty Buffer (size 0, no block) is what a receive returns at the end of the stream.
class Buffer {
 public:
  Buffer() = default;
  // Takes ownership of `block`, which may be null.
  explicit Buffer(BufferBlock* block) : block_(block) {}
  Buffer(Buffer&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      Reset();
      block_ = std::exchange(other.block_, nullptr);
    }
    return *this;
  }
  ~Buffer() { Reset(); }

  bool empty() const { return size() == 0; }
  size_t size() const { return block_ == nullptr ? 0 : block_->end - block_->begin; }
  char* data() { return block_ == nullptr ? nullptr : block_->memory + block_->begin; }
  const char* data() const { return block_ == nullptr ? nullptr : block_->memory + block_->begin; }
  absl::Span<char> span() { return absl::MakeSpan(data(), size()); }
  absl::string_view view() const { return absl::string_view(data(), size()); }

  // Drops the first `count` bytes. REQUIRES count <= size().
  void RemovePrefix(size_t count) {
    CHECK_LE(count, size());
    if (block_ != nullptr) block_->begin += static_cast<uint32_t>(count);
  }

  // Gives the block back now.
  void Reset() {
    if (block_ != nullptr) {
      BufferBlock* block = std::exchange(block_, nullptr);
      block->pool->TakeBack(block);
    }
  }

  // Gives up ownership: the caller now owns the block.
  BufferBlock* ReleaseBlock() { return std::exchange(block_, nullptr); }
  // True when the pool asks for its blocks back (see BufferPool::scarce()).
  bool scarce() const { return block_ != nullptr && block_->pool->scarce(); }

 private:
  BufferBlock* block_ = nullptr;
};

// A first-in, first-out queue of buffers, linked through the blocks: no allocation.
class BufferQueue {
 public:
  BufferQueue() = default;
  BufferQueue(const BufferQueue&) = delete;
  BufferQueue& operator=(const BufferQueue&) = delete;
  ~BufferQueue() { Clear(); }

  bool empty() const { return head_ == nullptr; }
  // Total unread bytes.
  size_t bytes() const { return bytes_; }

  // REQUIRES !buffer.empty().
  void Push(Buffer buffer);
  // As Push(), for bytes that may wait long: when they fit behind those of the last buffer they are copied there and
  // `buffer` is given back. So what two neighbouring blocks have received is more than the first could hold: however
  // small the pieces are in which the bytes come, blocks of one size are half full on the average. REQUIRES
  // !buffer.empty().
  void PushCompact(Buffer buffer);
  // Puts `buffer` before the oldest. REQUIRES !buffer.empty().
  void PushFront(Buffer buffer);
  // Removes the oldest buffer. REQUIRES !empty().
  Buffer Pop();
  // Copies up to `target.size()` bytes out, removes them and returns their count.
  size_t Drain(absl::Span<char> target);
  // Copies up to `target.size()` bytes out without removing them.
  size_t Peek(absl::Span<char> target) const;
  void Clear();

 private:
  BufferBlock* head_ = nullptr;
  BufferBlock* tail_ = nullptr;
  size_t bytes_ = 0;
};

// Pooled memory in a few size classes; what a reactor without a kernel ring uses, and where bytes are copied to when a
// ring is scarce. Blocks of up to 64 KiB are reused, larger ones go back to the allocator, and so do, bit by bit, those
// that a time of more demand has left: with each kTrimPeriod blocks of a class that come back, half of those that were
// not needed meanwhile. Not thread-safe. Every block must be back before the pool dies (CHECKed).
class HeapBufferPool final : public BufferPool {
 public:
  HeapBufferPool() = default;
  HeapBufferPool(const HeapBufferPool&) = delete;
  HeapBufferPool& operator=(const HeapBufferPool&) = delete;
  ~HeapBufferPool() override;

  // A block with room for `capacity` bytes (1 .. 2^31) and none unread: fill `memory` and set `end`.
  BufferBlock* Allocate(size_t capacity);
  // A buffer that holds a copy of `bytes`.
  Buffer Copy(absl::string_view bytes);

  void Release(BufferBlock* block) override;

  static constexpr size_t kTrimPeriod = 4096;

  // Blocks handed out and not back.
  size_t outstanding() const { return outstanding_; }
  // Blocks that are kept to be handed out again.
  size_t free_blocks() const;

 private:
  static constexpr size_t kClasses = 6;  // 64 B, 256 B, 1 KiB, 4 KiB, 16 KiB, 64 KiB.

  // The free blocks of one size.
  struct FreeList {
    void Push(BufferBlock* block);
    BufferBlock* Pop();
    void Trim();

    BufferBlock* head = nullptr;
    size_t count = 0;
    size_t least = 0;  // The least count since the last Trim(): so many were not needed.
    size_t pushes = 0;
  };

  FreeList free_[kClasses];
  size_t outstanding_ = 0;
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_BUFFER_H_
