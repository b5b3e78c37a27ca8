// SPDX-License-Identifier: Apache-2.0
//
// The world of this binary is a real machine: see core/io/create_reactor.h. io_uring, and epoll where the
// kernel refuses it.

#include "tandem/core/io/create_reactor.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/chosen_kind.h"
#include "tandem/posix/epoll_reactor.h"
#include "tandem/posix/standard_descriptors.h"
#include "tandem/uring/uring_reactor.h"

namespace tandem {
namespace {

// Whether a reactor of this process has fallen back: the others then do so without another try, which may take seconds,
// and without another line.
std::atomic<bool> fell_back{false};

template <typename Created>
absl::StatusOr<std::unique_ptr<Reactor>> Upcast(absl::StatusOr<std::unique_ptr<Created>> reactor) {
  if (!reactor.ok()) return reactor.status();
  return *std::move(reactor);
}

// One line, in one piece.
void SayWhy(const absl::Status& refusal) {
  std::string line = absl::StrCat("tandem: using epoll instead of io_uring: ", refusal.message(), "\n");
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

// Without descriptors there will be no epoll either.
bool IsRefusal(const absl::Status& status) { return ErrnoOf(status) != EMFILE && ErrnoOf(status) != ENFILE; }

}  // namespace

absl::StatusOr<std::unique_ptr<Reactor>> CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(
    const ReactorOptions& options) {
  posix::OpenStandardDescriptors();
  const absl::StatusOr<ReactorKind> kind = posix::ChosenKind(options);
  if (!kind.ok()) return kind.status();
  if (*kind == ReactorKind::kEpoll || (*kind == ReactorKind::kAuto && fell_back)) {
    return Upcast(posix::EpollReactor::Create());
  }
  absl::StatusOr<std::unique_ptr<uring::UringReactor>> reactor = uring::UringReactor::Create(options);
  if (reactor.ok() || *kind == ReactorKind::kUring || !IsRefusal(reactor.status())) return Upcast(std::move(reactor));
  if (!fell_back.exchange(true)) SayWhy(reactor.status());
  return Upcast(posix::EpollReactor::Create());
}

}  // namespace tandem
