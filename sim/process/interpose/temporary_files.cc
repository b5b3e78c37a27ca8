// SPDX-License-Identifier: Apache-2.0
//
// Files with a name that the caller leaves open. In a world the name is drawn from the stream of the host.

#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstddef>

#include "tandem/sim/process/interpose/calls.h"
#include "tandem/sim/process/interpose/files.h"

namespace tandem::sim::interpose {
namespace {

// Calls `make` with names drawn for the `X`s of `path`, until one is new. Its result is below 0 if it made nothing.
template <typename Make>
int MakeUnderNewName(char* path, int suffix_bytes, Make make) {
  constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz012345";
  constexpr size_t kPlaces = 6;
  constexpr int kAttempts = 1000;
  const size_t size = strlen(path);
  if (suffix_bytes < 0 || size < kPlaces + static_cast<size_t>(suffix_bytes)) return errno = EINVAL, -1;
  char* const places = path + size - static_cast<size_t>(suffix_bytes) - kPlaces;
  if (strncmp(places, "XXXXXX", kPlaces) != 0) return errno = EINVAL, -1;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uint64_t draw = Draw(Mode::kWorld);
    for (size_t i = 0; i < kPlaces; ++i, draw >>= 5) places[i] = kLetters[draw % 32];
    const int made = make(path);
    if (made >= 0 || errno != EEXIST) return made;
  }
  return -1;
}

int MakeFile(Served call, const char* name, char* path, int suffix_bytes, int flags) {
  return MakeUnderNewName(path, suffix_bytes, [&](const char* chosen) {
    return Open(call, name, AT_FDCWD, chosen, (flags & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
  });
}

// It has no name, so nothing of it can be seen.
FILE* MakeUnnamedFile() {
  const int file = static_cast<int>(AskMachine(SYS_memfd_create, "tmpfile", 0));
  return file < 0 ? nullptr : fdopen(file, "w+b");
}

}  // namespace
}  // namespace tandem::sim::interpose

using ::tandem::sim::interpose::AskMachine;
using ::tandem::sim::interpose::CheckMayWrite;
using ::tandem::sim::interpose::InterceptForMachine;
using ::tandem::sim::interpose::MakeFile;
using ::tandem::sim::interpose::MakeUnderNewName;
using ::tandem::sim::interpose::MakeUnnamedFile;
using ::tandem::sim::interpose::Mode;
using ::tandem::sim::interpose::Served;

// Each of them has a second name for files beyond 2 GiB, which on this platform is the same.
#define TANDEM_MAKES_FILE(symbol, parameters, arguments, suffix_bytes, flags)                           \
  TANDEM_INTERPOSED int symbol parameters {                                                             \
    if (InterceptForMachine(Served::k_##symbol) != Mode::kWorld) return TANDEM_NEXT(symbol, arguments); \
    return MakeFile(Served::k_##symbol, #symbol, path, suffix_bytes, flags);                            \
  }
#define TANDEM_LIST(...) __VA_ARGS__

TANDEM_MAKES_FILE(mkstemp, (char* path), path, 0, 0)
TANDEM_MAKES_FILE(mkstemp64, (char* path), path, 0, 0)
TANDEM_MAKES_FILE(mkostemp, (char* path, int flags), TANDEM_LIST(path, flags), 0, flags)
TANDEM_MAKES_FILE(mkostemp64, (char* path, int flags), TANDEM_LIST(path, flags), 0, flags)
TANDEM_MAKES_FILE(mkstemps, (char* path, int suffix), TANDEM_LIST(path, suffix), suffix, 0)
TANDEM_MAKES_FILE(mkstemps64, (char* path, int suffix), TANDEM_LIST(path, suffix), suffix, 0)
TANDEM_MAKES_FILE(mkostemps, (char* path, int suffix, int flags), TANDEM_LIST(path, suffix, flags), suffix, flags)
TANDEM_MAKES_FILE(mkostemps64, (char* path, int suffix, int flags), TANDEM_LIST(path, suffix, flags), suffix, flags)

TANDEM_INTERPOSED char* mkdtemp(char* path) noexcept {
  if (InterceptForMachine(Served::k_mkdtemp) != Mode::kWorld) return TANDEM_NEXT(mkdtemp, path);
  const int made = MakeUnderNewName(path, 0, [](const char* chosen) {
    CheckMayWrite("mkdtemp", chosen);
    return static_cast<int>(AskMachine(SYS_mkdir, chosen, S_IRWXU));
  });
  return made < 0 ? nullptr : path;
}

TANDEM_INTERPOSED FILE* tmpfile() {
  return InterceptForMachine(Served::k_tmpfile) == Mode::kWorld ? MakeUnnamedFile() : TANDEM_NEXT(tmpfile);
}

TANDEM_INTERPOSED FILE* tmpfile64() {
  return InterceptForMachine(Served::k_tmpfile64) == Mode::kWorld ? MakeUnnamedFile() : TANDEM_NEXT(tmpfile64);
}
