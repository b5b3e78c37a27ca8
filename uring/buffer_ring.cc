// SPDX-License-Identifier: Apache-2.0

#include "tandem/uring/buffer_ring.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "absl/log/check.h"
#include "tandem/uring/setup_error.h"

#ifdef ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace tandem::uring {
namespace {

constexpr uint32_t kMaxCount = 32768;
constexpr uint32_t kMinBlockBytes = 256;
constexpr uint32_t kMaxBlockBytes = 1 << 20;

void* Map(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BufferRing>> BufferRing::Create(Ring& ring, uint32_t count, uint32_t block_bytes,
                                                               uint16_t group) {
  count = std::bit_ceil(std::clamp<uint32_t>(count, 1, kMaxCount));
  block_bytes = std::clamp(block_bytes, kMinBlockBytes, kMaxBlockBytes);
  auto buffers = std::unique_ptr<BufferRing>(new BufferRing(count, block_bytes, group));
  buffers->entries_ = static_cast<io_uring_buf_ring*>(Map(count * sizeof(io_uring_buf)));
  buffers->memory_ = static_cast<char*>(Map(size_t{count} * block_bytes));
  if (buffers->entries_ == nullptr || buffers->memory_ == nullptr) {
    return SetupError(ENOMEM, "mmap of the receive buffers", ReadSetupFacts());
  }
  io_uring_buf_reg registration = {};
  registration.ring_addr = reinterpret_cast<uintptr_t>(buffers->entries_);
  registration.ring_entries = count;
  registration.bgid = group;
  const int result = io_uring_register_buf_ring(&ring.raw(), &registration, 0);
  if (result == -EINVAL) return MissingFeatureError("provided buffer rings", "5.19", ReadSetupFacts());
  if (result < 0) return SetupError(-result, "io_uring_register (receive buffers)", ReadSetupFacts());

  buffers->blocks_ = std::make_unique<BufferBlock[]>(count);
  io_uring_buf_ring_init(buffers->entries_);
  for (uint32_t i = 0; i < count; ++i) {
    BufferBlock& block = buffers->blocks_[i];
    block.pool = buffers.get();
    block.index = i;
    block.capacity = block_bytes;
    block.memory = buffers->MemoryOf(static_cast<uint16_t>(i));
    buffers->Add(static_cast<uint16_t>(i));
  }
  return buffers;
}

BufferRing::~BufferRing() {
  CHECK_EQ(out_, 0u) << "a Buffer outlived the runtime that received it";
  if (memory_ != nullptr) {
    ASAN_UNPOISON_MEMORY_REGION(memory_, size_t{count_} * block_bytes_);
    munmap(memory_, size_t{count_} * block_bytes_);
  }
  if (entries_ != nullptr) munmap(entries_, count_ * sizeof(io_uring_buf));
}

Buffer BufferRing::Take(uint16_t id, uint32_t size) {
  CHECK_LT(id, count_);
  CHECK_LE(size, block_bytes_);
  BufferBlock& block = blocks_[id];
  ASAN_UNPOISON_MEMORY_REGION(block.memory, block_bytes_);  // All of it: BufferQueue appends.
  block.next = nullptr;
  block.begin = 0;
  block.end = size;
  ++out_;
  NoteThread();
  return Buffer(&block);
}

void BufferRing::Return(uint16_t id) {
  CHECK_LT(id, count_);
  Add(id);
}

void BufferRing::Release(BufferBlock* block) {
  DCHECK(block == &blocks_[block->index]);
  CHECK_GT(out_, 0u);
  --out_;
  ++releases_;
  Add(static_cast<uint16_t>(block->index));
}

void BufferRing::Add(uint16_t id) {
  ASAN_POISON_MEMORY_REGION(MemoryOf(id), block_bytes_);
  io_uring_buf_ring_add(entries_, MemoryOf(id), block_bytes_, id, io_uring_buf_ring_mask(count_), 0);
  io_uring_buf_ring_advance(entries_, 1);
}

}  // namespace tandem::uring
