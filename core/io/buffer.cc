// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/buffer.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace tandem {
namespace {

constexpr size_t kSmallestClass = 64;
constexpr size_t kClassFactor = 4;

// Index of the smallest class that holds `capacity`, or `classes` when none does; `class_size` gets its size.
size_t ClassFor(size_t capacity, size_t classes, size_t* class_size) {
  size_t size = kSmallestClass;
  for (size_t i = 0; i < classes; ++i, size *= kClassFactor) {
    if (capacity <= size) {
      *class_size = size;
      return i;
    }
  }
  *class_size = capacity;
  return classes;
}

void Free(BufferBlock* block) {
  block->~BufferBlock();
  ::operator delete(block);
}

}  // namespace

const void* BufferPool::ThisThread() {
  static thread_local const char thread = 0;
  return &thread;
}

void BufferPool::TakeBack(BufferBlock* block) {
  CHECK(thread_ == ThisThread()) << "a Buffer was destroyed on another shard than the one that received it";
  Release(block);
}

void BufferQueue::Push(Buffer buffer) {
  CHECK(!buffer.empty());
  bytes_ += buffer.size();
  BufferBlock* block = buffer.ReleaseBlock();
  block->next = nullptr;
  if (tail_ == nullptr) {
    head_ = block;
  } else {
    tail_->next = block;
  }
  tail_ = block;
}

void BufferQueue::PushCompact(Buffer buffer) {
  if (tail_ == nullptr || tail_->capacity - tail_->end < buffer.size()) {
    Push(std::move(buffer));
    return;
  }
  std::memcpy(tail_->memory + tail_->end, buffer.data(), buffer.size());
  tail_->end += static_cast<uint32_t>(buffer.size());
  bytes_ += buffer.size();
}

Buffer BufferQueue::Pop() {
  CHECK(!empty());
  BufferBlock* block = head_;
  head_ = block->next;
  if (head_ == nullptr) tail_ = nullptr;
  block->next = nullptr;
  bytes_ -= block->end - block->begin;
  return Buffer(block);
}

void BufferQueue::PushFront(Buffer buffer) {
  CHECK(!buffer.empty());
  bytes_ += buffer.size();
  BufferBlock* block = buffer.ReleaseBlock();
  block->next = head_;
  head_ = block;
  if (tail_ == nullptr) tail_ = block;
}

size_t BufferQueue::Drain(absl::Span<char> target) {
  size_t done = 0;
  while (done < target.size() && head_ != nullptr) {
    const size_t count = std::min<size_t>(target.size() - done, head_->end - head_->begin);
    std::memcpy(target.data() + done, head_->memory + head_->begin, count);
    done += count;
    head_->begin += static_cast<uint32_t>(count);
    bytes_ -= count;
    if (head_->begin == head_->end) Pop();
  }
  return done;
}

size_t BufferQueue::Peek(absl::Span<char> target) const {
  size_t done = 0;
  for (const BufferBlock* block = head_; block != nullptr && done < target.size(); block = block->next) {
    const size_t count = std::min<size_t>(target.size() - done, block->end - block->begin);
    std::memcpy(target.data() + done, block->memory + block->begin, count);
    done += count;
  }
  return done;
}

void BufferQueue::Clear() {
  while (!empty()) Pop();
}

HeapBufferPool::~HeapBufferPool() {
  CHECK_EQ(outstanding_, 0u) << "a Buffer outlived the runtime that received it";
  for (FreeList& list : free_) {
    while (list.count > 0) Free(list.Pop());
  }
}

void HeapBufferPool::FreeList::Push(BufferBlock* block) {
  block->next = head;
  head = block;
  ++count;
  if (++pushes == kTrimPeriod) Trim();
}

BufferBlock* HeapBufferPool::FreeList::Pop() {
  BufferBlock* block = head;
  head = block->next;
  block->next = nullptr;
  --count;
  least = std::min(least, count);
  return block;
}

// No more than one for each block that has come back, so that the work is even.
void HeapBufferPool::FreeList::Trim() {
  for (size_t surplus = std::min(least - least / 2, kTrimPeriod); surplus > 0; --surplus) Free(Pop());
  least = count;
  pushes = 0;
}

size_t HeapBufferPool::free_blocks() const {
  size_t count = 0;
  for (const FreeList& list : free_) count += list.count;
  return count;
}

BufferBlock* HeapBufferPool::Allocate(size_t capacity) {
  CHECK_GT(capacity, 0u);
  CHECK_LE(capacity, size_t{1} << 31);
  size_t size = 0;
  const size_t index = ClassFor(capacity, kClasses, &size);
  ++outstanding_;
  NoteThread();
  if (index < kClasses && free_[index].count > 0) {
    BufferBlock* block = free_[index].Pop();
    block->begin = block->end = 0;
    return block;
  }
  void* memory = ::operator new(sizeof(BufferBlock) + size);
  auto* block = new (memory) BufferBlock();
  block->pool = this;
  block->memory = static_cast<char*>(memory) + sizeof(BufferBlock);
  block->capacity = static_cast<uint32_t>(size);
  block->index = static_cast<uint32_t>(index);
  return block;
}

Buffer HeapBufferPool::Copy(absl::string_view bytes) {
  if (bytes.empty()) return Buffer();
  BufferBlock* block = Allocate(bytes.size());
  std::memcpy(block->memory, bytes.data(), bytes.size());
  block->end = static_cast<uint32_t>(bytes.size());
  return Buffer(block);
}

void HeapBufferPool::Release(BufferBlock* block) {
  CHECK_GT(outstanding_, 0u);
  --outstanding_;
  if (block->index < kClasses) {
    free_[block->index].Push(block);
    return;
  }
  Free(block);
}

}  // namespace tandem
