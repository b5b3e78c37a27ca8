// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/send_file.h"

#include <signal.h>
#include <sys/sendfile.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace tandem::posix {
namespace {

constexpr uint64_t kStepBytes = uint64_t{1} << 20;

// Takes back the SIGPIPE that sendfile(2), which has no MSG_NOSIGNAL, sends to its own thread. Blocks the signal while
// it lives; one that was pending before stays.
class PipeSignalGuard {
 public:
  PipeSignalGuard() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &old_mask_);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
  }
  PipeSignalGuard(const PipeSignalGuard&) = delete;
  PipeSignalGuard& operator=(const PipeSignalGuard&) = delete;
  ~PipeSignalGuard() { pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr); }

  void TakeSignal() {
    const timespec now = {};
    while (!was_pending_ && sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
    }
  }

 private:
  sigset_t pipe_;
  sigset_t old_mask_;
  bool was_pending_ = false;
};

}  // namespace

int64_t SendFileNow(SocketId socket, const FileRange& file, uint64_t done) {
  if (done >= file.count) return 0;
  if (file.offset > static_cast<uint64_t>(std::numeric_limits<off_t>::max()) - done) return -EINVAL;
  auto offset = static_cast<off_t>(file.offset + done);
  const uint64_t count = std::min(file.count - done, kStepBytes);
  PipeSignalGuard guard;
  while (true) {
    const ssize_t sent = sendfile(socket, file.descriptor, &offset, count);
    if (sent >= 0) return sent;
    const int error = errno;
    if (error == EPIPE) guard.TakeSignal();
    if (error != EINTR) return -error;
  }
}

}  // namespace tandem::posix
