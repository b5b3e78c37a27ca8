// SPDX-License-Identifier: Apache-2.0
//
// The world of this binary is a real machine with io_uring: see CreateReactor_... in core/io/reactor.h.

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "core/io/reactor.h"
#include "uring/uring_reactor.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<Reactor>> CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(
    const ReactorOptions& options) {
  absl::StatusOr<std::unique_ptr<uring::UringReactor>> reactor = uring::UringReactor::Create(options);
  if (!reactor.ok()) return reactor.status();
  return *std::move(reactor);
}

}  // namespace tandem
