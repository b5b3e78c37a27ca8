// SPDX-License-Identifier: Apache-2.0
//
// TcpListener: accepts TCP connections.
//
// A handle: move it into whatever object owns the server. Belongs to one shard; must not outlive the runtime.

#ifndef TANDEM_CORE_NET_TCP_LISTENER_H_
#define TANDEM_CORE_NET_TCP_LISTENER_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/async/combinators.h"
#include "core/base/ref.h"
#include "core/io/address.h"
#include "core/io/listener_socket.h"
#include "core/io/stream_socket.h"
#include "core/net/tcp_stream.h"

namespace tandem {

// Awaits to absl::StatusOr<TcpStream>. See TcpListener::Accept().
class [[nodiscard]] AcceptOperation final : public WithDeadline<AcceptOperation>, private ListenerSocket::Acceptor {
 public:
  explicit AcceptOperation(Ref<ListenerSocket> socket) : socket_(std::move(socket)) {}
  // Only a simulated crash destroys a call that has a connection which nobody took.
  ~AcceptOperation() override;
  std::string Describe() const override { return "a connection on " + socket_->local().ToString(); }
  absl::StatusOr<TcpStream> TakeResult();

 private:
  bool Start() override;
  void OnStop() override;
  void OnAccepted(Ref<StreamSocket> stream, int error) override;

  Ref<ListenerSocket> socket_;
  Ref<StreamSocket> accepted_;
  int error_ = 0;
};

// Awaits to absl::Status (always OK). See TcpListener::Close().
class [[nodiscard]] CloseListenerOperation final : public Leaf, private StreamSocket::Closer {
 public:
  explicit CloseListenerOperation(Ref<ListenerSocket> socket) : socket_(std::move(socket)) { set_uncancellable(); }
  std::string Describe() const override { return "the close of the listener on " + socket_->local().ToString(); }
  absl::Status TakeResult() { return absl::OkStatus(); }

 private:
  bool Start() override;
  void OnStop() override {}
  void OnClosed() override { Finish(); }
  Ref<ListenerSocket> socket_;
};

class ListenOptions {
 public:
  ListenOptions() {}

  // How many connections the kernel completes before they are accepted; it caps the value at net.core.somaxconn
  // (listen(2)).
  int backlog() const { return backlog_; }
  ListenOptions& set_backlog(int backlog) {
    backlog_ = backlog;
    return *this;
  }
  // SO_REUSEADDR (socket(7)): a restarted server gets its port back while old connections are in TIME_WAIT. Default on.
  bool reuse_address() const { return reuse_address_; }
  ListenOptions& set_reuse_address(bool on) {
    reuse_address_ = on;
    return *this;
  }
  // SO_REUSEPORT (socket(7)): several listeners share the port, and the kernel spreads the connections.
  bool reuse_port() const { return reuse_port_; }
  ListenOptions& set_reuse_port(bool on) {
    reuse_port_ = on;
    return *this;
  }

 private:
  int backlog_ = 4096;
  bool reuse_address_ = true;
  bool reuse_port_ = false;
};

class TcpListener {
 public:
  // No listener; only assignment, destruction and valid() make sense.
  TcpListener() = default;
  explicit TcpListener(Ref<ListenerSocket> socket) : socket_(std::move(socket)) {}
  TcpListener(TcpListener&&) = default;
  TcpListener& operator=(TcpListener&& other) noexcept {
    if (this != &other) {
      CloseInBackground();
      socket_ = std::move(other.socket_);
    }
    return *this;
  }
  // Closes in the background, as Close() does, without waiting.
  ~TcpListener() { CloseInBackground(); }

  bool valid() const { return socket_.get() != nullptr; }

  // Binds to `address` and listens. Port 0 picks a free one; LocalAddress() tells which. Accepted streams have
  // TCP_NODELAY set (inherited from the listener, tcp(7)).
  //
  // Errors:
  //   kFailedPrecondition  EADDRINUSE: the port is taken. EADDRNOTAVAIL: not an address of this machine.
  //   kPermissionDenied    EACCES: a port below 1024 without CAP_NET_BIND_SERVICE.
  //   kResourceExhausted   EMFILE, ENFILE: no descriptor is free.
  //   kUnimplemented       EAFNOSUPPORT: the machine has no IPv6.
  //   kInvalidArgument     `address` is none.
  static absl::StatusOr<TcpListener> Listen(const SocketAddress& address,
                                            const ListenOptions& options = ListenOptions());

  // Waits for a connection. Accepting begins with the first call; at most ListenerSocket::kQueueLimit connections wait
  // in user space (a reactor may overshoot), the rest in the kernel's backlog. Several calls may wait; they are served
  // in order. Lossless: a connection that arrives when the call is being stopped waits for the next call. When
  // descriptors run out (EMFILE), accepting backs off and resumes by itself; no client is lost.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  //   kFailedPrecondition  EBADF: Close() was called, before or meanwhile.
  AcceptOperation Accept() { return AcceptOperation(socket_); }

  // Closes the listener: pending calls end with kFailedPrecondition (EBADF); connections that nobody accepted are
  // reset. Cannot be cancelled. Idempotent. Always OK.
  CloseListenerOperation Close() { return CloseListenerOperation(socket_); }

  // The bound address, with the port that was picked.
  const SocketAddress& LocalAddress() const { return socket_->local(); }

 private:
  void CloseInBackground() {
    if (socket_.get() != nullptr) socket_->Close();
  }

  Ref<ListenerSocket> socket_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_TCP_LISTENER_H_
