// SPDX-License-Identifier: Apache-2.0
//
// The commands: what one request does to the store and what the server replies.
//
// All commands stand in one table (in commands.cc): name, arity, flags, handler, summary. Lookup, the arity check and
// what COMMAND says follow from it. Names, replies and error texts are those of Redis 7.
//
// Everything here is a function of the arguments, the store, the session and the time that is passed in. Nothing waits.

#ifndef TANDEM_EXAMPLES_KV_COMMANDS_H_
#define TANDEM_EXAMPLES_KV_COMMANDS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tandem/examples/kv/reply.h"
#include "tandem/examples/kv/resp.h"
#include "tandem/examples/kv/session.h"
#include "tandem/examples/kv/store.h"
#include "tandem/examples/kv/unix_clock.h"

namespace tandem::kv {

// What the server was started with, and CONFIG SET changes.
struct Settings {
  RequestLimits request_limits;
  // Memory that one reply may take (MGET, KEYS). Stored values that are sent without a copy do not count.
  size_t max_reply_bytes = size_t{128} << 20;
  // Memory of the unsent replies of one client beyond which it is cut; 0 means no limit.
  size_t client_output_buffer_limit = 0;
  // ClientBytes() beyond which the client that holds most is cut; 0 means no limit.
  size_t max_client_buffer_bytes = size_t{1} << 30;
  // Store size from which commands that may add to it are refused; 0 means no limit.
  size_t max_memory_bytes = 0;
  uint32_t max_clients = 10'000;
  uint32_t max_clients_possible = 10'000;  // What the open files leave room for.
  // Zero means that idle clients stay.
  absl::Duration idle_timeout;
  uint16_t port = 0;
  // Nanoseconds since 1970-01-01 UTC, for what clients say and ask in Unix time.
  int64_t (*unix_now_ns)() = &absl::GetCurrentTimeNanos;
  // Grows with each change by CONFIG SET.
  uint64_t version = 0;
};

// What the server counts and INFO shows. The server fills it, but for the fields that the commands count themselves.
struct Statistics {
  int64_t started_at_ns = 0;
  uint64_t connected_clients = 0;
  uint64_t client_buffer_bytes = 0;  // Requests and replies in memory.
  uint64_t connections_received = 0;
  uint64_t connections_rejected = 0;  // Beyond max_clients.
  uint64_t connections_timed_out = 0;
  uint64_t output_limit_disconnections = 0;  // Cut for client_output_buffer_limit...
  uint64_t evicted_clients = 0;              // ...and for max_client_buffer_bytes.
  uint64_t protocol_errors = 0;
  uint64_t input_bytes = 0;
  uint64_t output_bytes = 0;

  uint64_t expired_before = 0;  // Keys that had expired when CONFIG RESETSTAT was said.

  // Counted by CommandExecutor.
  uint64_t commands_processed = 0;
  uint64_t error_replies = 0;  // Of commands.
  uint64_t keyspace_hits = 0;
  uint64_t keyspace_misses = 0;
};

// What clients make the server hold besides the data: requests, replies, and values that are still being sent although
// nobody stores them any more.
size_t ClientBytes(const Statistics& statistics, const Store& store);

class CommandExecutor {
 public:
  // All three must outlive the executor.
  CommandExecutor(Store* store, Settings* settings, Statistics* statistics)
      : store_(store), settings_(settings), statistics_(statistics), unix_clock_(settings->unix_now_ns) {}

  // Executes the request `arguments` (at least one) at time `now_ns` and adds exactly one reply to `reply`; the
  // exceptions are SHUTDOWN and an HTTP request, for which `session` is closed without a reply. The arguments' strings
  // may be moved from. `now_ns` is of a monotonic clock.
  void Execute(std::span<Argument> arguments, Session& session, int64_t now_ns, ReplyBuffer& reply);

  // The clients that are connected: what CLIENT LIST shows.
  SessionList& sessions() { return sessions_; }

 private:
  Store* const store_;
  Settings* const settings_;
  Statistics* const statistics_;
  UnixClock unix_clock_;
  SessionList sessions_;
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_COMMANDS_H_
