// SPDX-License-Identifier: Apache-2.0
//
// SlotTable: who the requests in the kernel stand for. A slot is taken for each operation in flight and each armed
// source; its requests are named by the slot's index, its generation and the kind of request, never by a pointer, so a
// completion that comes for a slot that was given up is recognised and dropped.
//
// The table grows and never shrinks, and slots never move: the kernel reads from them.

#ifndef TANDEM_URING_SLOT_TABLE_H_
#define TANDEM_URING_SLOT_TABLE_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tandem/core/io/operation.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/io/source.h"

namespace tandem::uring {

inline constexpr uint32_t kNoSlot = ~uint32_t{0};

struct Slot {
  // What a request is for; in the top byte of its name.
  enum class Kind : uint8_t {
    kConnect,
    kSend,
    kClose,
    kAccept,
    kReceive,
    kAwait,  // A poll request and nothing else: always kWaiting.
    // Of no slot.
    kCancel,
    kCancelAll,
    kWake,
    // By steps.
    kConnectUnix,
    kSendDescriptors,  // The first bytes of a send; becomes kSend.
    kSendFile,
    kSendDatagrams,
    kReceiveDescriptors,
    kReceiveDatagrams,
  };

  // Where the request of a slot is.
  enum class Phase : uint8_t {
    kFree,        // The slot is not in use.
    kInKernel,    // Submitted, or queued to be.
    kWaiting,     // A poll request is in the kernel, in place of the request that could not wait by itself.
    kReporting,   // The kernel is done; a callback runs, and what to do next is decided after it.
    kStarved,     // A receive that found no buffer: in starved_.
    kBackingOff,  // Something that the kernel refused for now, to be tried again later: in back_off_.
    kReady,       // An operation whose next step Poll() makes: in ready_.
    kEnded,       // The end is known and will be reported by Poll(): in ended_.
  };

  bool by_steps() const { return kind >= Kind::kConnectUnix; }
  bool in_kernel() const { return phase == Phase::kInKernel || phase == Phase::kWaiting; }
  SocketId socket() const { return operation != nullptr ? operation->socket : source->socket; }

  Operation* operation = nullptr;  // One of the two is set while in use.
  Source* source = nullptr;
  uint32_t index = 0;
  uint32_t generation = 0;  // 24 bits.
  Kind kind = Kind::kSend;
  Phase phase = Phase::kFree;
  bool cancel_queued = false;  // The kernel was asked to end the request.
  bool poll_first = false;     // kReceive: arm without trying first, which would need a buffer.
  bool found_room = false;     // kSend: a wait has ended, and nothing was sent since.
  uint32_t failures = 0;       // That led to back-offs, in a row.
  uint32_t next = kNoSlot;     // In the list of free slots.
  uint64_t ticket = 0;         // kReceive: when it began to starve; 0 when it does not.
  uint64_t sent = 0;           // Bytes, or datagrams.
  int64_t result = 0;          // kEnded, of an operation.
  // kSend: the slices that are left, when a short send stopped within one. From SlotTable::TakeVectors().
  std::unique_ptr<iovec[]> vectors;
  // What the kernel reads while the request runs.
  union {
    msghdr message = {};
    sockaddr_storage address;
  };
};

class SlotTable {
 public:
  SlotTable() = default;
  SlotTable(const SlotTable&) = delete;
  SlotTable& operator=(const SlotTable&) = delete;

  // A slot in phase kReporting.
  Slot& Take(Slot::Kind kind);
  void Free(Slot& slot);
  Slot& At(uint32_t index) { return chunks_[index / kSlotsPerChunk][index % kSlotsPerChunk]; }
  const Slot& At(uint32_t index) const { return chunks_[index / kSlotsPerChunk][index % kSlotsPerChunk]; }

  // The name of a request of `kind` that is about `slot`.
  static uint64_t NameOf(const Slot& slot, Slot::Kind kind) {
    return uint64_t{slot.index} | uint64_t{slot.generation} << 32 | static_cast<uint64_t>(kind) << 56;
  }
  // Of a request that belongs to no slot.
  static uint64_t NameOf(Slot::Kind kind) { return static_cast<uint64_t>(kind) << 56; }
  static Slot::Kind KindOf(uint64_t name) { return static_cast<Slot::Kind>(name >> 56); }
  // The slot whose request in the kernel has `name`, or null when it was given up since.
  Slot* Find(uint64_t name);
  // The names of all requests in the kernel.
  std::vector<uint64_t> NamesInKernel() const;

  // Room for Operation::kMaxSlices.
  std::unique_ptr<iovec[]> TakeVectors();

  // Keeps the slots for ever: the kernel may still read them.
  void Leak();

 private:
  static constexpr uint32_t kSlotsPerChunk = 256;

  std::vector<std::unique_ptr<Slot[]>> chunks_;
  uint32_t free_ = kNoSlot;
  std::vector<std::unique_ptr<iovec[]>> spare_vectors_;
};

}  // namespace tandem::uring

#endif  // TANDEM_URING_SLOT_TABLE_H_
