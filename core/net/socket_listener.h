// SPDX-License-Identifier: Apache-2.0
//
// SocketListener: what listening sockets have in common, TCP or Unix.
//
// A handle: move it into whatever object owns the server. Belongs to one shard; must not outlive the runtime.

#ifndef TANDEM_CORE_NET_SOCKET_LISTENER_H_
#define TANDEM_CORE_NET_SOCKET_LISTENER_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/listener_socket.h"
#include "tandem/core/io/stream_socket.h"
#include "tandem/core/net/close_operation.h"
#include "tandem/core/net/handle.h"

namespace tandem {

namespace internal {

// Waits for a connection. Derived classes are leaves.
class StreamAcceptor : private ListenerSocket::Acceptor {
 public:
  explicit StreamAcceptor(Ref<ListenerSocket> socket) : socket_(std::move(socket)) {}
  // Only a simulated crash destroys a call that has a connection which nobody took.
  virtual ~StreamAcceptor();

 protected:
  const ListenerSocket& listener() const { return *socket_; }
  // True when it has ended already; else OnAcceptEnd() follows, or StopAccepting() ends it.
  bool StartAccepting();
  void StopAccepting() { socket_->StopAccepting(*this); }
  virtual void OnAcceptEnd() = 0;
  // 0, or a positive errno.
  int error() const { return error_; }
  // The accepted connection, or null.
  Ref<StreamSocket> TakeSocket() { return std::move(accepted_); }

 private:
  void OnAccepted(Ref<StreamSocket> stream, int error) override;

  Ref<ListenerSocket> socket_;
  Ref<StreamSocket> accepted_;
  int error_ = 0;
};

}  // namespace internal

// Awaits to absl::StatusOr<Stream>. See SocketListener::Accept().
template <typename Stream>
class [[nodiscard]] AcceptOperation final : public WithDeadline<AcceptOperation<Stream>>,
                                            private internal::StreamAcceptor {
 public:
  explicit AcceptOperation(Ref<ListenerSocket> socket) : StreamAcceptor(std::move(socket)) {}
  std::string Describe() const override { return "a connection on " + listener().local().ToString(); }
  absl::StatusOr<Stream> TakeResult() {
    Ref<StreamSocket> accepted = TakeSocket();
    if (accepted) return Stream(std::move(accepted));
    if (error() != 0) return listener().StatusFor(error());
    return this->StopStatus();
  }

 private:
  bool Start() override { return StartAccepting(); }
  void OnStop() override {
    StopAccepting();
    this->Finish();
  }
  void OnAcceptEnd() override { this->Finish(); }
};

// A listening socket that accepts `Stream`s.
template <typename Stream>
class SocketListener : public Handle<SocketListener<Stream>, ListenerSocket> {
 public:
  // Waits for a connection. Accepting begins with the first call; at most ListenerSocket::kQueueLimit connections wait
  // in user space (a reactor may overshoot), the rest in the kernel's backlog. Several calls may wait; they are served
  // in order. Lossless: a connection that arrives when the call is being stopped waits for the next call. When
  // descriptors run out (EMFILE), accepting backs off and resumes by itself; no client is lost.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  //   kFailedPrecondition  EBADF: Close() was called, before or meanwhile.
  AcceptOperation<Stream> Accept() { return AcceptOperation<Stream>(socket()); }

  // As Accept(), but never waits: nullopt where Accept() would, and when other calls wait already. A program that
  // repeats it must let time pass in between (co_await Sleep(), for example; a Yield() takes next to none in the
  // simulator): after an Accept(), connections are accepted while the loop turns, and this call takes only what is
  // there.
  //
  // Errors:
  //   kFailedPrecondition  EBADF: Close() was called.
  //   kResourceExhausted   EMFILE, ENFILE: no descriptor is free. The connection stays in the kernel's backlog.
  absl::StatusOr<std::optional<Stream>> TryAccept() {
    absl::StatusOr<Ref<StreamSocket>> accepted = socket()->TryAccept();
    if (!accepted.ok()) return accepted.status();
    if (*accepted == nullptr) return std::optional<Stream>();
    return std::optional<Stream>(Stream(*std::move(accepted)));
  }

  // Closes the listener: pending calls end with kFailedPrecondition (EBADF); connections that nobody accepted are
  // reset. Cannot be cancelled. Idempotent. Always OK.
  CloseOperation<ListenerSocket> Close() { return CloseOperation<ListenerSocket>(socket()); }

  // The bound address, with the port that was picked.
  const SocketAddress& LocalAddress() const { return socket()->local(); }

  // For the library: the state below.
  const Ref<ListenerSocket>& socket() const { return this->state(); }

 protected:
  SocketListener() = default;
  explicit SocketListener(Ref<ListenerSocket> socket) : Handle<SocketListener, ListenerSocket>(std::move(socket)) {}
  SocketListener(SocketListener&&) = default;
  SocketListener& operator=(SocketListener&&) = default;
  // Closes in the background, as Close() does, without waiting.
  ~SocketListener() = default;

 private:
  friend class Handle<SocketListener, ListenerSocket>;
  static constexpr absl::string_view kHandleName = "TcpListener or UnixListener";
  static void LetGo(ListenerSocket& socket) { socket.Close(); }
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_SOCKET_LISTENER_H_
