// SPDX-License-Identifier: Apache-2.0
//
// Everything that a program on Tandem uses, in one header. The parts can be included one by one as well.

#ifndef TANDEM_TANDEM_H_
#define TANDEM_TANDEM_H_

#include "core/async/cancel.h"             // IWYU pragma: export
#include "core/async/combinators.h"        // IWYU pragma: export
#include "core/async/spawn.h"              // IWYU pragma: export
#include "core/async/task.h"               // IWYU pragma: export
#include "core/base/instant.h"             // IWYU pragma: export
#include "core/base/random.h"              // IWYU pragma: export
#include "core/base/result.h"              // IWYU pragma: export
#include "core/base/version.h"             // IWYU pragma: export
#include "core/io/address.h"               // IWYU pragma: export
#include "core/io/buffer.h"                // IWYU pragma: export
#include "core/io/errors.h"                // IWYU pragma: export
#include "core/io/reactor_options.h"       // IWYU pragma: export
#include "core/io/reactor_statistics.h"    // IWYU pragma: export
#include "core/net/await_descriptor.h"     // IWYU pragma: export
#include "core/net/buffered.h"             // IWYU pragma: export
#include "core/net/connect.h"              // IWYU pragma: export
#include "core/net/connection_pool.h"      // IWYU pragma: export
#include "core/net/copy.h"                 // IWYU pragma: export
#include "core/net/framing.h"              // IWYU pragma: export
#include "core/net/lingering_close.h"      // IWYU pragma: export
#include "core/net/pipe.h"                 // IWYU pragma: export
#include "core/net/resolver.h"             // IWYU pragma: export
#include "core/net/serve.h"                // IWYU pragma: export
#include "core/net/socket_activation.h"    // IWYU pragma: export
#include "core/net/stream.h"               // IWYU pragma: export
#include "core/net/tcp_listener.h"         // IWYU pragma: export
#include "core/net/tcp_socket.h"           // IWYU pragma: export
#include "core/net/tcp_stream.h"           // IWYU pragma: export
#include "core/net/udp_socket.h"           // IWYU pragma: export
#include "core/net/unix_datagram.h"        // IWYU pragma: export
#include "core/net/unix_listener.h"        // IWYU pragma: export
#include "core/net/unix_stream.h"          // IWYU pragma: export
#include "core/runtime/host_local.h"       // IWYU pragma: export
#include "core/runtime/run_blocking.h"     // IWYU pragma: export
#include "core/runtime/runtime.h"          // IWYU pragma: export
#include "core/runtime/shard.h"            // IWYU pragma: export
#include "core/runtime/signal_listener.h"  // IWYU pragma: export
#include "core/runtime/stop.h"             // IWYU pragma: export
#include "core/sync/barrier.h"             // IWYU pragma: export
#include "core/sync/channel.h"             // IWYU pragma: export
#include "core/sync/condition.h"           // IWYU pragma: export
#include "core/sync/event.h"               // IWYU pragma: export
#include "core/sync/mutex.h"               // IWYU pragma: export
#include "core/sync/promise.h"             // IWYU pragma: export
#include "core/sync/rate_limiter.h"        // IWYU pragma: export
#include "core/sync/semaphore.h"           // IWYU pragma: export
#include "core/sync/shared_mutex.h"        // IWYU pragma: export
#include "core/sync/ticker.h"              // IWYU pragma: export
#include "core/sync/wait_group.h"          // IWYU pragma: export
#include "core/sync/wait_list.h"           // IWYU pragma: export
#include "core/sync/watch.h"               // IWYU pragma: export

#endif  // TANDEM_TANDEM_H_
