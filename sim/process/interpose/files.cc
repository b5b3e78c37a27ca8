// SPDX-License-Identifier: Apache-2.0
//
// Opening files. Reading is allowed, but not what holds the machine's randomness or describes it; writing only below
// TEST_TMPDIR, of which each seed has its own.

// The checking inline versions of open() would clash with the definitions below, and so would its renaming to open64().
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS

#include "tandem/sim/process/interpose/files.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <optional>

#include "absl/log/log.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/process/interpose/calls.h"
#include "tandem/sim/process/interpose/trap.h"

// Defined by the runtime libraries of the sanitizers.
extern "C" {
FILE* __interceptor_fopen(const char*, const char*) __attribute__((weak));
FILE* __interceptor_freopen(const char*, const char*, FILE*) __attribute__((weak));
}

namespace tandem::sim::interpose {
namespace {

constexpr char kFromSeed[] = "randomness has to come from the seed: draw from tandem::Random or call getrandom()";
constexpr char kDescribesMachine[] = "it describes the machine; ask by gethostname(), sysconf() and the like";
constexpr char kBelowTestFolder[] =
    "it is open to whatever else runs, and stays for the next seed; write below TEST_TMPDIR, of which each seed has "
    "its own";

// What `path` is, below `directory` where it is relative; nothing: it is not there. `flags` as of fstatat().
std::optional<struct stat> Look(int directory, const char* path, int flags = 0) {
  struct stat info = {};
  if (AskMachine(SYS_newfstatat, directory, path, &info, flags) != 0) return std::nullopt;
  return info;
}

// The files of randomness, by whatever name: those that are called so by the kernel.
bool IsRandomness(const std::optional<struct stat>& info) {
  if (!info.has_value() || !S_ISCHR(info->st_mode)) return false;
  const unsigned kind = major(info->st_rdev);
  const unsigned number = minor(info->st_rdev);
  return (kind == 1 && (number == 8 || number == 9)) || (kind == 10 && number == 183);  // Also of a hardware's own.
}

// What symbolizers and debuggers read of the process itself.
bool IsAboutAddresses(absl::string_view path) {
  return absl::StartsWith(path, "/proc/self/") &&
         (absl::EndsWith(path, "/maps") || absl::EndsWith(path, "/exe") || absl::EndsWith(path, "/auxv"));
}

// By the name or, whatever the name, by where it lies.
bool DescribesMachine(absl::string_view path, const std::optional<struct stat>& info) {
  if (IsAboutAddresses(path)) return false;
  for (const char* const folder : {"/proc", "/sys"}) {
    const std::optional<struct stat> there = Look(AT_FDCWD, folder);
    if (info.has_value() && there.has_value() && info->st_dev == there->st_dev) return true;
  }
  return (absl::StartsWith(path, "/proc/") || absl::StartsWith(path, "/sys/")) &&
         !absl::StartsWith(path, "/proc/self/fd/");
}

bool IsBelow(absl::string_view path, const char* folder) {
  return absl::StartsWith(path, folder) && absl::StartsWith(path.substr(strlen(folder)), "/") &&
         !absl::StrContains(path, "/../");
}

// Without TEST_TMPDIR, in a plain main, the program writes where it likes.
bool MayWrite(absl::string_view path) {
  const char* const folder = getenv("TEST_TMPDIR");
  if (folder == nullptr || IsBelow(path, folder) || path == "/dev/null") return true;
  if (absl::StartsWith(path, "/dev/std") || absl::StartsWith(path, "/proc/self/fd/")) return true;
  const char* const outputs = getenv("TEST_UNDECLARED_OUTPUTS_DIR");  // What Bazel keeps of a test.
  return outputs != nullptr && IsBelow(path, outputs);
}

[[noreturn]] void FailByPath(const char* name, const char* path, const char* instead) {
  char call[256];
  snprintf(call, sizeof(call), "%s(\"%s\")", name, path);
  FailByName(call, instead);
}

void InterceptOpen(Served call, const char* name, int directory, const char* path, bool writes) {
  const Mode mode = InterceptForMachine(call);
  if (mode != Mode::kReal) CheckMayOpen(mode, name, directory, path, writes);
}

// absl's symbolizer asks for the maps of a thread by its number, which is the host's in a world.
const char* WithMachinesThread(const char* path) {
  constexpr absl::string_view kTask = "/proc/self/task/";
  if (path == nullptr || !IsInWorld() || !absl::StartsWith(path, kTask) || !absl::EndsWith(path, "/maps")) return path;
  return "/proc/self/maps";
}

bool ModeWrites(const char* mode) { return strpbrk(mode, "wa+") != nullptr; }

FILE* OpenStream(Served call, const char* path, const char* mode) {
  InterceptOpen(call, "fopen", AT_FDCWD, path, ModeWrites(mode));
  return TANDEM_NEXT_OR(fopen, &__interceptor_fopen, path, mode);
}

FILE* ReopenStream(Served call, const char* path, const char* mode, FILE* stream) {
  InterceptOpen(call, "freopen", AT_FDCWD, path, ModeWrites(mode));
  return TANDEM_NEXT_OR(freopen, &__interceptor_freopen, path, mode, stream);
}

ssize_t ReadLink(Served call, int directory, const char* path, char* target, size_t bytes) {
  if (InterceptForMachine(call) == Mode::kWorld && path != nullptr &&
      DescribesMachine(path, Look(directory, path, AT_SYMLINK_NOFOLLOW)) && !absl::StartsWith(path, "/proc/self/fd/")) {
    FailByPath("readlink", path, kDescribesMachine);
  }
  return AskMachine(SYS_readlinkat, directory, path, target, bytes);
}

}  // namespace

int Open(Served call, const char* name, int directory, const char* path, int flags, mode_t mode) {
  path = WithMachinesThread(path);
  InterceptOpen(call, name, directory, path, OpensToWrite(flags));
  return static_cast<int>(AskMachine(SYS_openat, directory, path, flags, mode));
}

bool OpensToWrite(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0; }

void CheckMayOpen(Mode mode, const char* name, int directory, const char* path, bool writes) {
  if (path == nullptr) return;
  const std::optional<struct stat> info = Look(directory, path);
  if (IsRandomness(info)) FailByPath(name, path, kFromSeed);
  if (mode != Mode::kWorld) return;
  if (DescribesMachine(path, info)) FailByPath(name, path, kDescribesMachine);
  // A relative path is taken for one of the caller's folder.
  if (writes) CheckMayWrite(name, path);
}

void CheckMayWrite(const char* name, const char* path) {
  if (!MayWrite(path)) FailByPath(name, path, kBelowTestFolder);
}

}  // namespace tandem::sim::interpose

using ::tandem::sim::interpose::Open;
using ::tandem::sim::interpose::OpenStream;
using ::tandem::sim::interpose::ReadLink;
using ::tandem::sim::interpose::ReopenStream;
using ::tandem::sim::interpose::Served;

// The mode argument is there only when the call may create a file.
#define TANDEM_OPEN_MODE(flags)                         \
  mode_t mode = 0;                                      \
  if (((flags) & (O_CREAT | __O_TMPFILE)) != 0) {       \
    va_list arguments;                                  \
    va_start(arguments, flags);                         \
    mode = static_cast<mode_t>(va_arg(arguments, int)); \
    va_end(arguments);                                  \
  }

TANDEM_INTERPOSED int open(const char* path, int flags, ...) {
  TANDEM_OPEN_MODE(flags);
  return Open(Served::k_open, "open", AT_FDCWD, path, flags, mode);
}

TANDEM_INTERPOSED int open64(const char* path, int flags, ...) {
  TANDEM_OPEN_MODE(flags);
  return Open(Served::k_open64, "open", AT_FDCWD, path, flags, mode);
}

TANDEM_INTERPOSED int openat(int directory, const char* path, int flags, ...) {
  TANDEM_OPEN_MODE(flags);
  return Open(Served::k_openat, "openat", directory, path, flags, mode);
}

TANDEM_INTERPOSED int openat64(int directory, const char* path, int flags, ...) {
  TANDEM_OPEN_MODE(flags);
  return Open(Served::k_openat64, "openat", directory, path, flags, mode);
}

// The names that <fcntl.h> gives to calls without a mode under _FORTIFY_SOURCE.
TANDEM_INTERPOSED int __open_2(const char* path, int flags) {
  return Open(Served::k___open_2, "open", AT_FDCWD, path, flags, 0);
}

TANDEM_INTERPOSED int __open64_2(const char* path, int flags) {
  return Open(Served::k___open64_2, "open", AT_FDCWD, path, flags, 0);
}

TANDEM_INTERPOSED int __openat_2(int directory, const char* path, int flags) {
  return Open(Served::k___openat_2, "openat", directory, path, flags, 0);
}

TANDEM_INTERPOSED int __openat64_2(int directory, const char* path, int flags) {
  return Open(Served::k___openat64_2, "openat", directory, path, flags, 0);
}

TANDEM_INTERPOSED int creat(const char* path, mode_t mode) {
  return Open(Served::k_creat, "creat", AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

TANDEM_INTERPOSED int creat64(const char* path, mode_t mode) {
  return Open(Served::k_creat64, "creat", AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

// libstdc++ opens its streams by fopen64(), which on this platform is fopen().
TANDEM_INTERPOSED FILE* fopen(const char* path, const char* mode) { return OpenStream(Served::k_fopen, path, mode); }

TANDEM_INTERPOSED FILE* fopen64(const char* path, const char* mode) {
  return OpenStream(Served::k_fopen64, path, mode);
}

TANDEM_INTERPOSED FILE* freopen(const char* path, const char* mode, FILE* stream) {
  return ReopenStream(Served::k_freopen, path, mode, stream);
}

TANDEM_INTERPOSED FILE* freopen64(const char* path, const char* mode, FILE* stream) {
  return ReopenStream(Served::k_freopen64, path, mode, stream);
}

TANDEM_INTERPOSED ssize_t readlink(const char* path, char* target, size_t bytes) noexcept {
  return ReadLink(Served::k_readlink, AT_FDCWD, path, target, bytes);
}

TANDEM_INTERPOSED ssize_t readlinkat(int directory, const char* path, char* target, size_t bytes) noexcept {
  return ReadLink(Served::k_readlinkat, directory, path, target, bytes);
}

// The names that <unistd.h> gives to them under _FORTIFY_SOURCE.
TANDEM_INTERPOSED ssize_t __readlink_chk(const char* path, char* target, size_t bytes, size_t /*room*/) noexcept {
  return ReadLink(Served::k___readlink_chk, AT_FDCWD, path, target, bytes);
}

TANDEM_INTERPOSED ssize_t __readlinkat_chk(int directory, const char* path, char* target, size_t bytes,
                                           size_t /*room*/) noexcept {
  return ReadLink(Served::k___readlinkat_chk, directory, path, target, bytes);
}
