// SPDX-License-Identifier: Apache-2.0
//
// The state of one listening socket: connections that were accepted and that nobody has taken yet.
//
// Accepting begins with the first call that waits, never at Listen(): an armed accept takes clients that nobody asked
// for. It pauses when kQueueLimit connections wait; those that the kernel hands over after that are queued, never
// dropped. Counted like StreamSocket; belongs to one shard.

#ifndef TANDEM_CORE_IO_LISTENER_SOCKET_H_
#define TANDEM_CORE_IO_LISTENER_SOCKET_H_

#include <cstddef>
#include <deque>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/closing_socket.h"
#include "tandem/core/io/member_operation.h"
#include "tandem/core/io/own_reactor.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/core/io/source.h"
#include "tandem/core/io/stream_socket.h"

namespace tandem {

class ListenerSocket final : public Counted<ListenerSocket>, public ClosingSocket {
 public:
  // Queued connections at which accepting pauses; it resumes when somebody waits and fewer than half are queued.
  static constexpr size_t kQueueLimit = 16;

  // Takes over a listening socket.
  static Ref<ListenerSocket> Adopt(SocketId id, const SocketAddress& local);

  SocketId id() const { return id_; }
  // The bound address: known after Bind(), for messages and LocalAddress().
  const SocketAddress& local() const { return local_; }
  void set_local(const SocketAddress& local) { local_ = local; }
  absl::Status StatusFor(int error) const;

  struct AcceptListTag;
  // A call that waits for a connection. Waiters are served first come, first served.
  class Acceptor : public ListLink<AcceptListTag> {
   public:
    // `error` is 0 with `stream` set, or a positive errno.
    virtual void OnAccepted(Ref<StreamSocket> stream, int error) = 0;

   protected:
    ~Acceptor() {
      if (linked()) Unlink();  // Only when a simulated crash destroys the frame.
    }
  };

  // Whether accepted connections have SocketOption::kLinger set: they inherit it.
  void set_lingers(bool lingers) { lingers_ = lingers; }

  // The oldest queued connection, or null.
  Ref<StreamSocket> TakeQueued();
  // Likewise; but when nothing is armed, what the kernel has. Null when there is nothing, when calls wait already, and
  // when an accept is armed, which delivers from Poll().
  absl::StatusOr<Ref<StreamSocket>> TryAccept();
  void StartAccepting(Acceptor& acceptor);
  void StopAccepting(Acceptor& acceptor);

  // Ends pending calls with EBADF, resets the queued connections, as Linux does, and closes the socket. Idempotent.
  void Close();
  // For messages: "listener on 10.0.0.2:80".
  std::string Name() const { return "listener on " + local_.ToString(); }

 private:
  friend class Counted<ListenerSocket>;

  class AcceptSource final : public Source {
   public:
    explicit AcceptSource(ListenerSocket& owner) : Source(Kind::kAccept), owner_(owner) {}

   private:
    void OnAccepted(SocketId accepted) override;
    void OnEnd(SourceEnd end, int error) override;
    void OnAbandon() override { owner_.DropRef(); }
    ListenerSocket& owner_;
  };
  ListenerSocket(SocketId id, const SocketAddress& local);
  ~ListenerSocket();

  Ref<StreamSocket> AdoptAccepted(SocketId accepted);
  void ArmIfWanted();
  void FailWaiting(int error);
  void ContinueClose();
  void OnCloseDone(int64_t) { EndClose(); }

  const OwnReactor reactor_;
  const SocketId id_;
  SocketAddress local_;
  bool lingers_ = false;
  std::deque<Ref<StreamSocket>> queue_;
  IntrusiveList<Acceptor, AcceptListTag> acceptors_;
  AcceptSource source_{*this};
  MemberOperation<ListenerSocket, &ListenerSocket::OnCloseDone> close_{*this};
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_LISTENER_SOCKET_H_
