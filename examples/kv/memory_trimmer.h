// SPDX-License-Identifier: Apache-2.0
//
// Gives memory that is not used any more back to the machine.
//
// The C library's allocator keeps what is freed in the middle of its heap: after a million keys have been deleted, the
// process is as large as before. glibc gives free pages back when it is asked to. That stops the program for some
// microseconds for each gap between what is left, and a page is free only when all that lay on it is gone. So it is
// asked when most pages must be free and little is left: with entries of 250 bytes, when 1 of 64 is left.
//
// Thread-compatible.

#ifndef TANDEM_EXAMPLES_KV_MEMORY_TRIMMER_H_
#define TANDEM_EXAMPLES_KV_MEMORY_TRIMMER_H_

#include <algorithm>
#include <cstddef>

namespace tandem::kv {

// Asks the allocator to give back what it can. Does nothing where the C library has no such call.
void TrimMemory();

class MemoryTrimmer {
 public:
  // `trim` is called when it is time.
  explicit MemoryTrimmer(void (*trim)() = TrimMemory) : trim_(trim) {}

  // The data are `count` entries now, which take `bytes` together. To be called before they grow and after they shrink,
  // or oftener.
  void NoteSize(size_t bytes, size_t count) {
    if (bytes >= peak_bytes_) {
      peak_bytes_ = bytes;
      peak_count_ = count;
    } else if (peak_bytes_ - bytes >= kMinShrinkBytes && bytes <= peak_bytes_ / (4 * EntriesPerPage())) {
      peak_bytes_ = bytes;
      peak_count_ = count;
      trim_();
    }
  }

 private:
  static constexpr size_t kMinShrinkBytes = size_t{16} << 20;
  static constexpr size_t kPageBytes = 4096;

  // At the peak, on average, at least one.
  size_t EntriesPerPage() const { return std::max<size_t>(1, kPageBytes * peak_count_ / peak_bytes_); }

  void (*trim_)();
  size_t peak_bytes_ = 0;
  size_t peak_count_ = 0;
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_MEMORY_TRIMMER_H_
