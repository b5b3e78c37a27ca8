// SPDX-License-Identifier: Apache-2.0
//
// BlockingCalls: the operations of one reactor that block a thread: kRunBlocking and kResolve.
//
// They run on threads that all reactors of the process share: up to 16 for the program's work, and up to 16 others for
// look-ups, so that name servers that do not answer hold up no work. (libuv has 4 for everything, of which
// look-ups get half; tokio up to 512. What is bound by the processor gains nothing from more threads, and what waits
// for a disk little.) A thread is started when something is queued and no thread is idle, and ends after ten idle
// seconds or when the last BlockingCalls is destroyed. What is queued begins in order.
//
// A result goes to a list that the reactor's thread takes, and the reactor is woken. A call that is still running when
// its reactor is destroyed runs on; its result is dropped.
//
// Belongs to the reactor's thread.

#ifndef TANDEM_POSIX_BLOCKING_POOL_H_
#define TANDEM_POSIX_BLOCKING_POOL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"

namespace tandem::posix {

class BlockingCalls {
 public:
  struct Done {
    Operation* operation = nullptr;
    int64_t result = 0;
  };
  // Looks `host` up: 0, or -errno as kResolve has it.
  using LookupFunction = int64_t (*)(const std::string& host, uint16_t port, std::vector<SocketAddress>* addresses);

  // `wake(context)` is called on any thread when something is done, never after the destructor began to return.
  BlockingCalls(void (*wake)(void*), void* context);
  BlockingCalls(const BlockingCalls&) = delete;
  BlockingCalls& operator=(const BlockingCalls&) = delete;
  // What is queued and not begun is dropped.
  ~BlockingCalls();

  // Starts `operation`, a kRunBlocking or kResolve. Its result is 0 or an error as its kind says; -EAGAIN when the
  // system refuses the first thread.
  void Submit(Operation& operation);
  // Asks for the end: work that has not begun is not called and ends with -ECANCELED, a look-up always does, at
  // once. A result that is there already stays. Nothing for an operation that TakeDone() has returned.
  void Cancel(Operation& operation);

  // Whether TakeDone() has something: to be asked before waiting. Cancel() and Submit() do not wake.
  bool has_done() const;
  // The operations that ended since the last call, in the order of their ends. They are the reactor's to report: all
  // of them, whatever the callbacks of the first do.
  std::vector<Done> TakeDone();

  void SetLookupForTest(LookupFunction lookup) { lookup_ = lookup; }
  // While true, no thread is started, as if a limit of the system were reached. For all reactors of the process.
  static void RefuseThreadsForTest(bool refuse);

 private:
  struct Job;
  struct Mailbox;
  class Pool;

  const std::shared_ptr<Mailbox> mailbox_;
  const std::shared_ptr<Pool> work_pool_;
  const std::shared_ptr<Pool> lookup_pool_;
  LookupFunction lookup_;
  absl::flat_hash_map<Operation*, std::shared_ptr<Job>> jobs_;  // What was submitted and not taken.
  std::vector<Done> ended_here_;                                // Cancelled.
};

// The addresses of `host`, in the order of getaddrinfo(3) (RFC 6724), without repetitions. As a LookupFunction.
int64_t LookUp(const std::string& host, uint16_t port, std::vector<SocketAddress>* addresses);

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_BLOCKING_POOL_H_
