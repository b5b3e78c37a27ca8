// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/tcp/tcp_send_buffer.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/log/check.h"

namespace tandem::sim {
namespace {

// The first block fits what is written, since most messages leave at once; later ones gather.
constexpr size_t kGatherBlock = 4096;
constexpr size_t kMaxBlock = 16384;

}  // namespace

void TcpSendBuffer::Append(const char* data, size_t size) {
  size_ += size;
  while (size > 0) {
    if (tail_ == nullptr || tail_->end == tail_->capacity) {
      const size_t wanted = std::min(tail_ == nullptr ? size : std::max(size, kGatherBlock), kMaxBlock);
      BufferBlock* block = pool_.Allocate(wanted);
      block->next = nullptr;
      (tail_ == nullptr ? head_ : tail_->next) = block;
      tail_ = block;
    }
    const size_t count = std::min<size_t>(size, tail_->capacity - tail_->end);
    std::memcpy(tail_->memory + tail_->end, data, count);
    tail_->end += static_cast<uint32_t>(count);
    data += count;
    size -= count;
  }
}

void TcpSendBuffer::Copy(size_t offset, size_t size, char* target) const {
  const BufferBlock* block = head_;
  while (size > 0) {
    DCHECK(block != nullptr);
    const size_t bytes = block->end - block->begin;
    if (offset < bytes) {
      const size_t count = std::min<size_t>(size, bytes - offset);
      std::memcpy(target, block->memory + block->begin + offset, count);
      target += count;
      size -= count;
      offset = 0;
    } else {
      offset -= bytes;
    }
    block = block->next;
  }
}

void TcpSendBuffer::Drop(size_t count) {
  CHECK_LE(count, size_);
  size_ -= count;
  while (count > 0) {
    BufferBlock* block = head_;
    const size_t bytes = std::min<size_t>(count, block->end - block->begin);
    block->begin += static_cast<uint32_t>(bytes);
    count -= bytes;
    if (block->begin != block->end) break;
    head_ = block->next;
    if (head_ == nullptr) tail_ = nullptr;
    pool_.Release(block);
  }
}

}  // namespace tandem::sim
