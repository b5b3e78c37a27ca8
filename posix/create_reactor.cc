// SPDX-License-Identifier: Apache-2.0
//
// The world of this binary is a real machine with epoll: see core/io/create_reactor.h.

#include "tandem/core/io/create_reactor.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/chosen_kind.h"
#include "tandem/posix/epoll_reactor.h"
#include "tandem/posix/standard_descriptors.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<Reactor>> CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(
    const ReactorOptions& options) {
  posix::OpenStandardDescriptors();
  const absl::StatusOr<ReactorKind> kind = posix::ChosenKind(options);
  if (!kind.ok()) return kind.status();
  if (*kind == ReactorKind::kUring) {
    return absl::UnimplementedError(
        "this binary was built without io_uring: build it with --config=uring, or choose the reactor auto or epoll");
  }
  absl::StatusOr<std::unique_ptr<posix::EpollReactor>> reactor = posix::EpollReactor::Create();
  if (!reactor.ok()) return reactor.status();
  return *std::move(reactor);
}

}  // namespace tandem
