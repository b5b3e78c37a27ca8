// SPDX-License-Identifier: Apache-2.0
//
// The state of one datagram socket, UDP or Unix: what outlives every call on it.
//
// Datagrams that the reactor delivers go to the oldest call that waits, or wait here for the next one, so a cancelled
// receive loses nothing. Sends queue here, first in, first out; one operation is in flight at a time and carries as
// many queued datagrams as fit. An error that the kernel reports about an earlier datagram (ICMP, on a connected
// socket) is kept and reported once, to whichever call comes first, as on Linux. The same code runs over every reactor.
//
// Counted like StreamSocket: the handle, every call that waits and everything in flight hold a reference. Belongs to
// one shard.

#ifndef TANDEM_CORE_IO_DATAGRAM_SOCKET_H_
#define TANDEM_CORE_IO_DATAGRAM_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/closing_socket.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/member_operation.h"
#include "tandem/core/io/operation.h"
#include "tandem/core/io/own_reactor.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/core/io/source.h"

namespace tandem {

class DatagramSocket final : public Counted<DatagramSocket>, public ClosingSocket {
 public:
  // Receiving pauses when so many datagrams, or so many bytes, wait in user memory; the rest waits in the kernel, which
  // drops what does not fit there. It resumes when at most half wait.
  static constexpr size_t kQueueLimit = 64;
  static constexpr size_t kQueueBytes = 256 * 1024;

  // Takes over an open socket of `family`.
  static Ref<DatagramSocket> Adopt(SocketId id, AddressFamily family);

  SocketId id() const { return id_; }
  // For calls with id().
  const OwnReactor& reactor() const { return reactor_; }
  // Whether `address` is of the socket's kind: of the internet, or of a Unix socket. The kernel's errors for others
  // depend on the length of the name.
  bool IsOfKind(const SocketAddress& address) const { return address.is_unix() == (family_ == AddressFamily::kUnix); }
  // For messages: the address that the socket is bound to, as far as it is known.
  const SocketAddress& local() const { return local_; }
  void set_local(const SocketAddress& local) { local_ = local; }
  // The status for an errno of `operation` on this socket.
  absl::Status StatusFor(int error, absl::string_view operation) const;

  // --- Receiving ---

  struct ReceiveListTag;
  // A call that waits for a datagram. Waiters are served first come, first served.
  class Receiver : public ListLink<ReceiveListTag> {
   public:
    // Exactly one of the two is called, once; the receiver has left the queue.
    virtual void OnDatagram(Datagram datagram) = 0;
    virtual void OnError(int error) = 0;  // A positive errno; EBADF after Close().

   protected:
    ~Receiver() {
      if (linked()) Unlink();  // Only when a simulated crash destroys the frame.
    }
  };

  // What is here already: the oldest datagram, else the error that was kept, EBADF on a closed socket. Returns false
  // when there is nothing. `error` is 0 when there is a datagram.
  bool TakeReady(Datagram& datagram, int& error);
  // REQUIRES that TakeReady() had nothing.
  void StartReceiving(Receiver& receiver);
  void StopReceiving(Receiver& receiver) { receiver.Unlink(); }
  // As TakeReady(), and looks into the kernel when the reactor is not receiving by itself. 0, EAGAIN, or the error.
  int TryReceive(Datagram& datagram);

  // Datagrams that wait to be taken.
  size_t queued() const { return queue_.size() - first_; }

  // --- Sending ---

  struct SendListTag;
  // A call that sends. The datagrams and what they point to stay valid until OnSent().
  class Sender : public ListLink<SendListTag> {
   public:
    // How many datagrams went.
    size_t sent() const { return sent_; }
    // 0, or why the sender ended early: ECANCELED, EBADF after Close(), ECONNREFUSED, EMSGSIZE, ...
    int error() const { return error_; }

   protected:
    explicit Sender(absl::Span<const OutgoingDatagram> datagrams) : datagrams_(datagrams) {}
    ~Sender() {
      if (linked()) Unlink();  // Only when a simulated crash destroys the frame.
    }
    // The sender has ended and left the queue.
    virtual void OnSent() = 0;

    absl::Span<const OutgoingDatagram> datagrams_;  // Not empty.

   private:
    friend class DatagramSocket;
    size_t sent_ = 0;
    int error_ = 0;
    bool in_flight_ = false;
    bool stopping_ = false;  // Ends with the operation that is in flight, whatever that has done.
  };

  // Why a send fails without being tried: EBADF after Close(), or the error that was kept, which this takes; else 0.
  int TakeSendError();
  // Queues `sender`. OnSent() follows from Poll(). REQUIRES that TakeSendError() had nothing.
  void StartSending(Sender& sender);
  // Ends `sender` as soon as it is known what was sent of it.
  void StopSending(Sender& sender, int error);
  // Sends one datagram when that is possible at once. 0, EAGAIN, or the error.
  int TrySend(const OutgoingDatagram& datagram);
  // For a test of how much work the queue does: senders that were looked at.
  uint64_t queue_steps_for_test() const { return queue_steps_; }

  // --- Closing ---

  // Ends pending calls with EBADF, takes everything back from the reactor, then closes the socket. Datagrams that
  // nobody has taken are dropped. Idempotent.
  void Close();
  // For messages: "socket on 10.0.0.2:80".
  std::string Name() const { return "socket on " + local_.ToString(); }

 private:
  friend class Counted<DatagramSocket>;

  class ReceiveSource final : public Source {
   public:
    explicit ReceiveSource(DatagramSocket& owner) : Source(Kind::kReceiveDatagrams), owner_(owner) {}

   private:
    void OnDatagram(Datagram datagram) override;
    void OnEnd(SourceEnd end, int error) override;
    void OnAbandon() override { owner_.DropRef(); }
    DatagramSocket& owner_;
  };
  static constexpr size_t kMaxGather = 32;

  DatagramSocket(SocketId id, AddressFamily family);
  ~DatagramSocket();

  void ArmIfWanted();
  void Queue(Datagram datagram);

  void SendQueued();
  void OnSendDone(int64_t result);
  void Distribute(size_t count);
  bool CanTake(const OutgoingDatagram& datagram) const;
  void FinishSender(Sender& sender, int error);

  void ContinueClose();
  void OnCloseDone(int64_t) { EndClose(); }

  const OwnReactor reactor_;
  const SocketId id_;
  const AddressFamily family_;
  SocketAddress local_;
  bool paused_ = false;
  int error_ = 0;
  // The datagrams that wait are queue_[first_, end).
  std::vector<Datagram> queue_;
  size_t first_ = 0;
  size_t queued_bytes_ = 0;
  IntrusiveList<Receiver, ReceiveListTag> receivers_;
  ReceiveSource source_{*this};
  IntrusiveList<Sender, SendListTag> senders_;
  std::vector<OutgoingDatagram> gather_;
  uint64_t queue_steps_ = 0;
  MemberOperation<DatagramSocket, &DatagramSocket::OnSendDone> send_{*this};
  MemberOperation<DatagramSocket, &DatagramSocket::OnCloseDone> close_{*this};
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_DATAGRAM_SOCKET_H_
