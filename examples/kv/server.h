// SPDX-License-Identifier: Apache-2.0
//
// The server: joins the commands to Tandem's sockets and clock.
//
// A client may send requests without reading the replies: they pile up, within the limits here, and everyone else is
// served. A client that breaks the protocol gets an error before the connection is closed; one that passes a limit is
// cut, which the log and INFO tell.

#ifndef TANDEM_EXAMPLES_KV_SERVER_H_
#define TANDEM_EXAMPLES_KV_SERVER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/examples/kv/resp.h"
#include "tandem/tandem.h"

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
  // Memory of one client's unsent replies; beyond it the client is cut. 0 means no limit but the next one.
  size_t client_output_buffer_limit() const { return client_output_buffer_limit_; }
  Options& set_client_output_buffer_limit(size_t bytes) {
    client_output_buffer_limit_ = bytes;
    return *this;
  }
  // Memory of unfinished requests and unsent replies of all clients together, replaced values that are still being sent
  // included. Beyond it, the client that holds most is cut, until the rest fits.
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
  // A client that sends nothing and takes nothing for so long is closed without a word, which also ends connections
  // whose peer vanished. Zero means never.
  absl::Duration idle_timeout() const { return idle_timeout_; }
  Options& set_idle_timeout(absl::Duration timeout) {
    idle_timeout_ = timeout;
    return *this;
  }
  // A client that takes not one byte of the replies that wait for so long is reset. Zero means never.
  absl::Duration write_timeout() const { return write_timeout_; }
  Options& set_write_timeout(absl::Duration timeout) {
    write_timeout_ = timeout;
    return *this;
  }
  // How long a server that was told to stop goes on sending replies of what it has executed.
  absl::Duration shutdown_timeout() const { return shutdown_timeout_; }
  Options& set_shutdown_timeout(absl::Duration timeout) {
    shutdown_timeout_ = timeout;
    return *this;
  }

 private:
  SocketAddress address_ = SocketAddress::LoopbackIpv4(6379);
  RequestLimits request_limits_;
  size_t max_reply_bytes_ = size_t{128} << 20;
  size_t client_output_buffer_limit_ = 0;
  size_t max_client_buffer_bytes_ = size_t{1} << 30;
  size_t max_memory_bytes_ = 0;
  uint32_t max_clients_ = 10'000;
  absl::Duration idle_timeout_ = absl::Minutes(5);
  absl::Duration write_timeout_ = absl::Minutes(1);
  absl::Duration shutdown_timeout_ = absl::Seconds(10);
};

// Listens where `options` say. Errors: those of TcpListener::Listen().
absl::StatusOr<TcpListener> Listen(const Options& options);

// Serves the clients of `listener`, with an empty store, until it is cancelled or a client says SHUTDOWN. Then it stops
// accepting, sends the replies of what it has executed, within the shutdown timeout, and closes all connections.
//
// Errors:
//   kCancelled   The enclosing scope was cancelled, as SIGTERM does.
Task<absl::Status> Serve(TcpListener listener, Options options);

// Listens, then serves. Errors: those of both.
Task<absl::Status> Serve(Options options);

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_SERVER_H_
