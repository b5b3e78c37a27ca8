// SPDX-License-Identifier: Apache-2.0
//
// Everything that a program on Tandem uses, in one header. The parts can be included one by one as well.

#ifndef TANDEM_TANDEM_H_
#define TANDEM_TANDEM_H_

#if __cplusplus < 202002L
#error "Tandem needs C++20, in the whole build: compile with -std=c++20."
#endif

#include "tandem/core/async/cancel.h"             // IWYU pragma: export
#include "tandem/core/async/combinators.h"        // IWYU pragma: export
#include "tandem/core/async/spawn.h"              // IWYU pragma: export
#include "tandem/core/async/task.h"               // IWYU pragma: export
#include "tandem/core/base/assertions.h"          // IWYU pragma: export
#include "tandem/core/base/buggify.h"             // IWYU pragma: export
#include "tandem/core/base/instant.h"             // IWYU pragma: export
#include "tandem/core/base/random.h"              // IWYU pragma: export
#include "tandem/core/base/result.h"              // IWYU pragma: export
#include "tandem/core/base/site.h"                // IWYU pragma: export
#include "tandem/core/base/version.h"             // IWYU pragma: export
#include "tandem/core/io/address.h"               // IWYU pragma: export
#include "tandem/core/io/buffer.h"                // IWYU pragma: export
#include "tandem/core/io/errors.h"                // IWYU pragma: export
#include "tandem/core/io/reactor_options.h"       // IWYU pragma: export
#include "tandem/core/io/reactor_statistics.h"    // IWYU pragma: export
#include "tandem/core/net/await_descriptor.h"     // IWYU pragma: export
#include "tandem/core/net/buffered.h"             // IWYU pragma: export
#include "tandem/core/net/connect.h"              // IWYU pragma: export
#include "tandem/core/net/connection_pool.h"      // IWYU pragma: export
#include "tandem/core/net/copy.h"                 // IWYU pragma: export
#include "tandem/core/net/framing.h"              // IWYU pragma: export
#include "tandem/core/net/lines.h"                // IWYU pragma: export
#include "tandem/core/net/lingering_close.h"      // IWYU pragma: export
#include "tandem/core/net/pipe.h"                 // IWYU pragma: export
#include "tandem/core/net/resolver.h"             // IWYU pragma: export
#include "tandem/core/net/serve.h"                // IWYU pragma: export
#include "tandem/core/net/socket_activation.h"    // IWYU pragma: export
#include "tandem/core/net/stream.h"               // IWYU pragma: export
#include "tandem/core/net/tcp_listener.h"         // IWYU pragma: export
#include "tandem/core/net/tcp_socket.h"           // IWYU pragma: export
#include "tandem/core/net/tcp_stream.h"           // IWYU pragma: export
#include "tandem/core/net/udp_socket.h"           // IWYU pragma: export
#include "tandem/core/net/unix_datagram.h"        // IWYU pragma: export
#include "tandem/core/net/unix_listener.h"        // IWYU pragma: export
#include "tandem/core/net/unix_stream.h"          // IWYU pragma: export
#include "tandem/core/runtime/host_local.h"       // IWYU pragma: export
#include "tandem/core/runtime/run_blocking.h"     // IWYU pragma: export
#include "tandem/core/runtime/runtime.h"          // IWYU pragma: export
#include "tandem/core/runtime/shard.h"            // IWYU pragma: export
#include "tandem/core/runtime/signal_listener.h"  // IWYU pragma: export
#include "tandem/core/runtime/stop.h"             // IWYU pragma: export
#include "tandem/core/sync/barrier.h"             // IWYU pragma: export
#include "tandem/core/sync/channel.h"             // IWYU pragma: export
#include "tandem/core/sync/condition.h"           // IWYU pragma: export
#include "tandem/core/sync/event.h"               // IWYU pragma: export
#include "tandem/core/sync/mutex.h"               // IWYU pragma: export
#include "tandem/core/sync/promise.h"             // IWYU pragma: export
#include "tandem/core/sync/rate_limiter.h"        // IWYU pragma: export
#include "tandem/core/sync/semaphore.h"           // IWYU pragma: export
#include "tandem/core/sync/shared_mutex.h"        // IWYU pragma: export
#include "tandem/core/sync/ticker.h"              // IWYU pragma: export
#include "tandem/core/sync/wait_group.h"          // IWYU pragma: export
#include "tandem/core/sync/wait_list.h"           // IWYU pragma: export
#include "tandem/core/sync/watch.h"               // IWYU pragma: export

#endif  // TANDEM_TANDEM_H_
