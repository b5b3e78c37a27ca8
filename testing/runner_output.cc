// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_output.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace tandem::testing {
namespace {

constinit int g_output_errno = 0;  // Why something that was printed to stdout did not arrive; 0 if all did.

// A cookie is the descriptor itself.
int DescriptorOf(void* cookie) { return static_cast<int>(reinterpret_cast<intptr_t>(cookie)); }

// glibc takes 0 for a failure.
ssize_t WriteStream(void* cookie, const char* data, size_t size) {
  const int fd = DescriptorOf(cookie);
  if (WriteFully(fd, data, size)) return static_cast<ssize_t>(size);
  if (fd == STDOUT_FILENO) g_output_errno = errno;
  return 0;
}

FILE* OpenStream(int fd, int buffering) {
  cookie_io_functions_t functions{};
  functions.write = &WriteStream;
  FILE* stream = fopencookie(reinterpret_cast<void*>(static_cast<intptr_t>(fd)), "w", functions);
  if (stream != nullptr) setvbuf(stream, nullptr, buffering, BUFSIZ);
  return stream;
}

}  // namespace

bool WriteFully(int fd, const void* data, size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t count = write(fd, next, size);
    if (count >= 0) {
      next += count;
      size -= static_cast<size_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      pollfd room{fd, POLLOUT, 0};
      syscall(SYS_poll, &room, 1, -1);  // An error of the descriptor is the next write's.
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

void KeepAllOutput() {
  // As the C library buffers them: a terminal by lines, all else by blocks, errors not at all.
  FILE* output = OpenStream(STDOUT_FILENO, isatty(STDOUT_FILENO) != 0 ? _IOLBF : _IOFBF);
  FILE* errors = OpenStream(STDERR_FILENO, _IONBF);
  if (output != nullptr) stdout = output;
  if (errors != nullptr) stderr = errors;
}

bool FinishOutput() {
  fflush(stdout);
  if (g_output_errno == 0) return true;
  fprintf(stderr, "cannot write to standard output: %s\n", strerror(g_output_errno));
  return false;
}

}  // namespace tandem::testing
