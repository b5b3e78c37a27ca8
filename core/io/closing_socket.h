// SPDX-License-Identifier: Apache-2.0
//
// ClosingSocket: the end of a socket, the same for streams, listeners and datagram sockets.
//
// Close() ends pending calls and takes everything back from the reactor; when nothing is armed or in flight any more,
// the close of the socket itself is submitted, once; and when that has completed, whoever waits for it is told.

#ifndef TANDEM_CORE_IO_CLOSING_SOCKET_H_
#define TANDEM_CORE_IO_CLOSING_SOCKET_H_

#include <utility>

#include "absl/log/check.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/base/intrusive_list.h"

namespace tandem {

struct CloseListTag;
// A call that waits for the end of a close.
class Closer : public ListLink<CloseListTag> {
 public:
  virtual void OnClosed() = 0;

 protected:
  ~Closer() {
    if (linked()) Unlink();  // Only when a simulated crash destroys the frame.
  }
};

class ClosingSocket {
 public:
  // False once Close() was called.
  bool open() const { return !closing_; }
  bool closed() const { return closed_; }
  void WaitForClose(Closer& closer) { closers_.PushBack(closer); }

 protected:
  ClosingSocket() = default;
  ~ClosingSocket() {
    // A crash of the simulated host drops everything without a close.
    CHECK(closed_ || Executor::Current().dead()) << "the state of a socket was dropped without Close()";
    while (!closers_.empty()) closers_.PopFront();
  }

  // Close() begins. Returns false when it has begun before.
  bool BeginClose() { return !std::exchange(closing_, true); }
  // Nothing is in flight any more. Returns false when the close was submitted before.
  bool BeginSubmittingClose() { return !std::exchange(close_submitted_, true); }
  // The close has completed.
  void EndClose() {
    closed_ = true;
    while (!closers_.empty()) closers_.PopFront().OnClosed();
  }
  // The socket belongs to somebody else now.
  void GiveUpSocket() { closing_ = close_submitted_ = closed_ = true; }

 private:
  bool closing_ = false;
  bool close_submitted_ = false;
  bool closed_ = false;
  IntrusiveList<Closer, CloseListTag> closers_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_CLOSING_SOCKET_H_
