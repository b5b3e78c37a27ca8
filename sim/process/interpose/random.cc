// SPDX-License-Identifier: Apache-2.0
//
// Random numbers: draws of the host that runs.

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>

#include "absl/log/check.h"
#include "tandem/sim/process/interpose/calls.h"

using ::tandem::sim::interpose::AskMachine;
using ::tandem::sim::interpose::Draw;
using ::tandem::sim::interpose::Intercept;
using ::tandem::sim::interpose::Mode;
using ::tandem::sim::interpose::Served;

namespace {

// Fills `data` with draws, least significant byte first: the bytes are the same on every machine.
void FillWithDraws(Mode mode, void* data, size_t size) {
  unsigned char* out = static_cast<unsigned char*>(data);
  while (size > 0) {
    uint64_t value = Draw(mode);
    const size_t count = std::min(size, sizeof(value));
    for (size_t i = 0; i < count; ++i, value >>= 8) *out++ = static_cast<unsigned char>(value);
    size -= count;
  }
}

void Fill(Mode mode, void* data, size_t size) {
  constexpr size_t kNeverCutShort = 256;  // getrandom(2): up to here a read is whole and not interrupted.
  if (mode != Mode::kReal) {
    FillWithDraws(mode, data, size);
    return;
  }
  unsigned char* out = static_cast<unsigned char*>(data);
  while (size > 0) {
    const size_t count = std::min(size, kNeverCutShort);
    while (AskMachine(SYS_getrandom, out, count, 0) != static_cast<long>(count)) CHECK_EQ(errno, EINTR);
    out += count;
    size -= count;
  }
}

}  // namespace

TANDEM_INTERPOSED ssize_t getrandom(void* data, size_t size, unsigned flags) {
  const Mode mode = Intercept(Served::k_getrandom);
  if (mode == Mode::kReal) return AskMachine(SYS_getrandom, data, size, flags);
  FillWithDraws(mode, data, size);
  return static_cast<ssize_t>(size);
}

TANDEM_INTERPOSED int getentropy(void* data, size_t size) {
  constexpr size_t kLimit = 256;  // As the man page has it.
  const Mode mode = Intercept(Served::k_getentropy);
  if (size > kLimit) {
    errno = EIO;
    return -1;
  }
  Fill(mode, data, size);
  return 0;
}

TANDEM_INTERPOSED uint32_t arc4random() noexcept {
  return static_cast<uint32_t>(Draw(Intercept(Served::k_arc4random)));
}

TANDEM_INTERPOSED void arc4random_buf(void* data, size_t size) noexcept {
  Fill(Intercept(Served::k_arc4random_buf), data, size);
}

TANDEM_INTERPOSED uint32_t arc4random_uniform(uint32_t bound) noexcept {
  const Mode mode = Intercept(Served::k_arc4random_uniform);
  if (bound < 2) return 0;
  // Draws below 2^32 mod bound would make the small results likelier, and are drawn again.
  const uint32_t rejected = -bound % bound;
  uint32_t value;
  do {
    value = static_cast<uint32_t>(Draw(mode));
  } while (value < rejected);
  return value % bound;
}

// The C library's generators start from a constant, so they leak nothing; but each seed would see the same numbers,
// and hosts would share one stream. In a world they are draws of the host, and seeding them has no effect.
TANDEM_INTERPOSED int rand() noexcept {
  const Mode mode = Intercept(Served::k_rand);
  return mode == Mode::kWorld ? static_cast<int>(Draw(mode) >> 33) : TANDEM_NEXT(rand);
}

TANDEM_INTERPOSED long random() noexcept {
  const Mode mode = Intercept(Served::k_random);
  return mode == Mode::kWorld ? static_cast<long>(Draw(mode) >> 33) : TANDEM_NEXT(random);
}

TANDEM_INTERPOSED double drand48() noexcept {
  const Mode mode = Intercept(Served::k_drand48);
  // 48 bits, as the original has: exact in a double.
  return mode == Mode::kWorld ? static_cast<double>(Draw(mode) >> 16) / static_cast<double>(uint64_t{1} << 48)
                              : TANDEM_NEXT(drand48);
}

TANDEM_INTERPOSED long lrand48() noexcept {
  const Mode mode = Intercept(Served::k_lrand48);
  return mode == Mode::kWorld ? static_cast<long>(Draw(mode) >> 33) : TANDEM_NEXT(lrand48);
}

TANDEM_INTERPOSED long mrand48() noexcept {
  const Mode mode = Intercept(Served::k_mrand48);
  return mode == Mode::kWorld ? static_cast<int32_t>(Draw(mode) >> 32) : TANDEM_NEXT(mrand48);
}

// libstdc++ may read the processor's random instruction here, which no system call shows.
namespace std {

__attribute__((visibility("default"))) random_device::result_type random_device::_M_getval() {
  return static_cast<result_type>(Draw(Intercept(Served::k__ZNSt13random_device9_M_getvalEv)));
}

}  // namespace std
