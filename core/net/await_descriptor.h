// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a descriptor of any kind: eventfd(2), timerfd_create(2), inotify(7), pidfd_open(2), and what libraries
// with an event loop of somebody else's give out (libpq, libcurl).
//
//   absl::Status status = co_await AwaitReadable(PQsocket(connection)).By(deadline);
//
// Only tells that it is ready; what is there is read by who knows how. Sockets that are Tandem's own are waited for by
// their calls.

#ifndef TANDEM_CORE_NET_AWAIT_DESCRIPTOR_H_
#define TANDEM_CORE_NET_AWAIT_DESCRIPTOR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/io/operation.h"

namespace tandem {

// Awaits to absl::Status. See AwaitReadable() and AwaitWritable().
class [[nodiscard]] AwaitDescriptorOperation final : public WithDeadline<AwaitDescriptorOperation> {
 public:
  AwaitDescriptorOperation(int descriptor, OperationKind kind) : call_(*this, descriptor, kind) {}
  std::string Describe() const override;
  absl::Status TakeResult();

 private:
  class Call final : public Operation {
   public:
    Call(AwaitDescriptorOperation& owner, int descriptor, OperationKind awaited) : owner_(owner) {
      kind = awaited;
      socket = descriptor;
    }

   private:
    void OnComplete(int64_t result) override { owner_.OnDone(result); }
    void OnAbandon() override {}
    AwaitDescriptorOperation& owner_;
  };

  bool Start() override;
  void OnStop() override;
  void OnDone(int64_t result);

  int error_ = 0;
  bool done_ = false;
  Call call_;
};

// Waits until `descriptor` is readable as poll(2) has it (POLLIN), has an error or has been hung up: until a read would
// not wait. It stays the caller's, must stay open until the call has returned, and need not be non-blocking. Any number
// of calls may wait for one descriptor. Regular files and directories are always ready. Lossless: a call that is
// stopped has changed nothing.
//
// On io_uring this is one request; on epoll a duplicate of the descriptor is watched, for a few system calls.
//
// Errors:
//   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
//   kCancelled           The enclosing scope was cancelled.
//   kFailedPrecondition  EBADF: the descriptor is not open.
//   kResourceExhausted   EMFILE, ENOMEM, ENOSPC: no descriptor or no memory for the wait, on epoll.
//   kUnimplemented       In the simulator, which has no such descriptors.
inline AwaitDescriptorOperation AwaitReadable(int descriptor) {
  return AwaitDescriptorOperation(descriptor, OperationKind::kAwaitReadable);
}
// The same for writing (POLLOUT): until a write would not wait.
inline AwaitDescriptorOperation AwaitWritable(int descriptor) {
  return AwaitDescriptorOperation(descriptor, OperationKind::kAwaitWritable);
}

}  // namespace tandem

#endif  // TANDEM_CORE_NET_AWAIT_DESCRIPTOR_H_
