// SPDX-License-Identifier: Apache-2.0
//
// PosixReactor: what the reactors of real machines share, whatever they wait with: clocks, the calls on sockets that do
// not wait, signals, blocking work, memory, and being woken.
//
// Being woken: the loop says that it is about to sleep (GoToSleep()), a Wake() that finds it asleep writes to the wake
// descriptor, which the loop waits for, and the loop says when it is up (WakeUp()). A Wake() of a loop that is not
// asleep costs no system call.
//
// Thread-hostile, but for Wake().

#ifndef TANDEM_POSIX_POSIX_REACTOR_H_
#define TANDEM_POSIX_POSIX_REACTOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/blocking_pool.h"
#include "tandem/posix/datagrams.h"
#include "tandem/posix/lingering_closes.h"
#include "tandem/posix/signals.h"

namespace tandem::posix {

class PosixReactor : public Reactor {
 public:
  // With something in flight it leaks heap_buffers(): tasks that hold buffers are leaked too then.
  ~PosixReactor() override;

  Instant ReadClock() final;
  int64_t ReadWallClock() final;
  uint64_t random_seed() const final { return random_seed_; }

  void Wake() final;
  void SetSignalHandler(std::function<void(int signal)> handler) final;
  int WatchSignal(int signal, SignalWatch watch) final;

  int64_t OpenSocket(AddressFamily family, SocketType type) final;
  int OpenSocketPair(SocketType type, SocketId (&sockets)[2]) final;
  int Bind(SocketId socket, const SocketAddress& address) final;
  int Listen(SocketId socket, int backlog) final;
  int ConnectDatagrams(SocketId socket, const SocketAddress& address) final;
  int Shutdown(SocketId socket, ShutdownHow how) final;
  int SetOption(SocketId socket, SocketOption option, int value) final;
  int GetOption(SocketId socket, SocketOption option, int* value) final;
  int SetMembership(SocketId socket, const MulticastGroup& group, bool join) final;
  int LocalAddress(SocketId socket, SocketAddress* address) final;
  int PeerAddress(SocketId socket, SocketAddress* address) final;
  int GetPeerCredentials(SocketId socket, PeerCredentials* credentials) final;
  void CloseDescriptor(int descriptor) final;

  int DescribeSocket(int descriptor, SocketDescription* description) final;
  int64_t AdoptSocket(int descriptor) final;
  int TakeActivatedSockets(std::vector<ActivatedSocket>* sockets) final;
  bool awaits_descriptors() const final { return true; }

  int64_t TryAccept(SocketId socket) final;
  int64_t TryReceive(SocketId socket, absl::Span<char> target) final;
  int64_t TrySend(SocketId socket, absl::Span<const IoSlice> slices) final;
  int64_t TryReceiveDatagrams(SocketId socket, std::vector<Datagram>* datagrams) final;
  int64_t TrySendDatagrams(SocketId socket, absl::Span<const OutgoingDatagram> datagrams) final;

  HeapBufferPool& heap_buffers() final { return *heap_buffers_; }

 protected:
  // A descriptor for the constructor, or -errno.
  static int OpenWakeDescriptor();
  // Takes `wake_descriptor` over.
  explicit PosixReactor(int wake_descriptor);

  // A descriptor number has become free: accepts that pause for want of one may go on.
  virtual void OnDescriptorFreed() = 0;

  // Every Poll() begins with it: CHECKs that this is not a child that fork(2) has made since the reactor was created. A
  // child shares the kernel's side of it with its parent, and has none of its threads.
  void CheckProcess() const;

  // --- Waiting ---

  // Every Wake() of a sleeping loop makes it readable once more; nobody reads it, so the loop must wait for the edges.
  int wake_descriptor() const { return wake_descriptor_.get(); }
  // To be called before waiting. False when a Wake() came before: then there must be no wait.
  bool GoToSleep();
  // To be called in each Poll(), after the wait if there was one. True when there was a Wake().
  bool WakeUp();
  // Whether Poll() has something to report by ReportSignals() or ReportBlocking(): then it must not wait. What comes
  // later wakes it, but for closes that linger, which want a ReportBlocking() at next_side_report().
  bool has_side_reports() const { return blocking_.has_done() || (signals_ != nullptr && signals_->pending()); }
  Instant next_side_report() const { return lingering_.next_look(); }
  // Reports the signals that came, and the blocking operations that ended, if any.
  void ReportSignals();
  // As above. The count of operations.
  uint64_t ReportBlocking();

  // --- Receiving into the heap ---

  // The most that one ReceiveIntoHeap() takes.
  static constexpr size_t kMaxHeapReceiveBytes = 65536;
  // Receives up to `size` bytes that are there already into a block of heap_buffers() that suits what came: a peer that
  // sends bytes one by one must not get large blocks for them. `bulk` is kept for the socket from one call to the next,
  // false before the first: what was large goes straight into a large block the next time. Result as ReceiveNow();
  // `buffer` is set when that is positive.
  int64_t ReceiveIntoHeap(SocketId socket, size_t size, bool* bulk, Buffer* buffer);

  // --- Operations that are not the kernel's to wait for ---

  // Starts `operation` and returns true, if it is a kRunBlocking, a kResolve, or a kClose that may block.
  bool StartAside(Operation& operation);
  // Asks for the end of `operation` and returns true, if StartAside() has started it.
  bool CancelAside(Operation& operation);
  DatagramReceiver& datagram_receiver() { return datagram_receiver_; }

 private:
  enum WakeState : uint32_t { kAwake, kAsleep, kNotified };

  class ClosingDescriptor {
   public:
    explicit ClosingDescriptor(int descriptor) : descriptor_(descriptor) {}
    ClosingDescriptor(const ClosingDescriptor&) = delete;
    ClosingDescriptor& operator=(const ClosingDescriptor&) = delete;
    ~ClosingDescriptor();
    int get() const { return descriptor_; }

   private:
    const int descriptor_;
  };

  const ClosingDescriptor wake_descriptor_;  // Destroyed last: see `blocking_`.
  const uint64_t random_seed_;
  const uint32_t forks_;
  std::atomic<uint32_t> wake_state_{kAwake};  // Who is to be woken, and whether: kAsleep only around a wait.
  std::unique_ptr<HeapBufferPool> heap_buffers_ = std::make_unique<HeapBufferPool>();
  std::unique_ptr<char[]> scratch_;  // Made by the first ReceiveIntoHeap(), of kMaxHeapReceiveBytes.
  DatagramReceiver datagram_receiver_;
  // SocketOption::kMulticastInterface of IPv4 sockets, which Linux does not tell. An entry dies with the next socket of
  // its number.
  absl::flat_hash_map<SocketId, int> multicast_interfaces_;
  std::function<void(int signal)> signal_handler_;
  LingeringCloses lingering_;
  // These wake this reactor from other threads until they are destroyed.
  BlockingCalls blocking_;
  std::unique_ptr<Signals> signals_;
};

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_POSIX_REACTOR_H_
