// SPDX-License-Identifier: Apache-2.0
//
// Where a binary gets its reactor from.

#ifndef TANDEM_CORE_IO_CREATE_REACTOR_H_
#define TANDEM_CORE_IO_CREATE_REACTOR_H_

#include <memory>

#include "absl/status/statusor.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/io/reactor_options.h"

namespace tandem {

// Makes the reactor of the world that this binary was linked with. Declared here, defined by exactly one reactor
// library. If the linker reports this symbol as undefined, the binary has no reactor: use tandem_binary() or
// tandem_test(), or add //uring:reactor, //sim:reactor or //core:reactor (what --config chooses) to its deps.
//
// Errors: those of the reactor; the message names the cause and the cure.
absl::StatusOr<std::unique_ptr<Reactor>> CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(
    const ReactorOptions& options);

}  // namespace tandem

#endif  // TANDEM_CORE_IO_CREATE_REACTOR_H_
