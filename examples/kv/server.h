// SPDX-License-Identifier: Apache-2.0
//
// The server: joins the commands to Tandem's sockets and clock.
//
// One coroutine per client receives, executes and replies, in this order, so a client that does not read is not read
// from either: what the server holds for it stays below the limits here, and everyone else is served. A client that
// breaks the protocol or a limit gets an error before the connection is closed.

#ifndef TANDEM_EXAMPLES_KV_SERVER_H_
#define TANDEM_EXAMPLES_KV_SERVER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "examples/kv/resp.h"
#include "tandem.h"

namespace tandem::kv {

class Options {
 public:
  Options() {}  // User-declared: g++ 12 mishandles aggregates as arguments of awaited calls.

  // Where Listen() listens; port 0 picks a free one.
  const SocketAddress& address() const { return address_; }
  Options& set_address(const SocketAddress& address) {
    address_ = address;
    return *this;
  }
  // More clients than this get an error and are closed.
  uint32_t max_clients() const { return max_clients_; }
  Options& set_max_clients(uint32_t count) {
    max_clients_ = count;
    return *this;
  }
  // What one request may be made of.
  const RequestLimits& request_limits() const { return request_limits_; }
  Options& set_max_request_bytes(size_t bytes) {
    request_limits_.max_request_bytes = bytes;
    return *this;
  }
  // Memory that one reply may take; large values are sent without a copy and do not count.
  size_t max_reply_bytes() const { return max_reply_bytes_; }
  Options& set_max_reply_bytes(size_t bytes) {
    max_reply_bytes_ = bytes;
    return *this;
  }
  // Bytes of unfinished requests and unsent replies of all clients together, replaced values that are still being sent
  // included. Beyond it, a client whose request grows gets an error and is closed, and a long reply is replaced by an
  // error; requests and replies below 64 KiB always pass.
  size_t max_client_buffer_bytes() const { return max_client_buffer_bytes_; }
  Options& set_max_client_buffer_bytes(size_t bytes) {
    max_client_buffer_bytes_ = bytes;
    return *this;
  }
  // Size of the store from which commands that may add to it are refused; 0 means no limit.
  size_t max_memory_bytes() const { return max_memory_bytes_; }
  Options& set_max_memory_bytes(size_t bytes) {
    max_memory_bytes_ = bytes;
    return *this;
  }
  // A client that sends nothing for so long gets an error and is closed, which also ends connections whose peer
  // vanished without a word. Zero means never.
  absl::Duration idle_timeout() const { return idle_timeout_; }
  Options& set_idle_timeout(absl::Duration timeout) {
    idle_timeout_ = timeout;
    return *this;
  }
  // A client that takes not one byte of its replies for so long is reset.
  absl::Duration write_timeout() const { return write_timeout_; }
  Options& set_write_timeout(absl::Duration timeout) {
    write_timeout_ = timeout;
    return *this;
  }

 private:
  SocketAddress address_ = SocketAddress::LoopbackIpv4(6379);
  RequestLimits request_limits_;
  size_t max_reply_bytes_ = size_t{128} << 20;
  size_t max_client_buffer_bytes_ = size_t{1} << 30;
  size_t max_memory_bytes_ = 0;
  uint32_t max_clients_ = 10'000;
  absl::Duration idle_timeout_ = absl::Minutes(5);
  absl::Duration write_timeout_ = absl::Minutes(1);
};

// Listens where `options` say. Errors: those of TcpListener::Listen().
absl::StatusOr<TcpListener> Listen(const Options& options);

// Serves the clients of `listener`, with an empty store, until it is cancelled or a client says SHUTDOWN. Then it stops
// accepting, sends the replies of what it has executed, for at most a second or two, and closes all connections.
//
// Errors:
//   kCancelled   The enclosing scope was cancelled, as SIGTERM does.
Task<absl::Status> Serve(TcpListener listener, Options options);

// Listens, then serves. Errors: those of both.
Task<absl::Status> Serve(Options options);

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_SERVER_H_
