// SPDX-License-Identifier: Apache-2.0
//
// UnixStream: one end of a connected Unix stream socket (unix(7)). How reading, writing and closing work is in
// socket_stream.h.
//
// On Linux only, not in the simulator: there, the calls that make a socket fail with kUnimplemented.
//
// Unlike a TCP connection, a Unix one has no reset: Abort() is Close(). The peer sees ECONNRESET exactly when the
// kernel still has bytes that were sent to the closed end (those that wait in user memory do not count), and EPIPE at
// its first write after the close.

#ifndef TANDEM_CORE_NET_UNIX_STREAM_H_
#define TANDEM_CORE_NET_UNIX_STREAM_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/operation.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/core/io/stream_socket.h"
#include "tandem/core/net/socket_stream.h"

namespace tandem {

// What ReadWithDescriptors() has read.
struct BytesAndDescriptors {
  size_t bytes = 0;  // 0 at the end of the stream.
  std::vector<OwnedDescriptor> descriptors;
};

// Awaits to absl::StatusOr<BytesAndDescriptors>. See UnixStream::ReadWithDescriptors().
class [[nodiscard]] ReadWithDescriptorsOperation final
    : public internal::StreamInputOperation<ReadWithDescriptorsOperation> {
 public:
  ReadWithDescriptorsOperation(Ref<StreamSocket> socket, absl::Span<char> target)
      : StreamInputOperation(std::move(socket)), target_(target) {}
  absl::StatusOr<BytesAndDescriptors> TakeResult();

 private:
  friend class internal::StreamInputOperation<ReadWithDescriptorsOperation>;
  bool NeedsInput() const { return !target_.empty(); }
  bool Progress() { return true; }
  absl::Span<char> target_;
};

// Awaits to IoResult. See UnixStream::WriteAllWithDescriptors().
class [[nodiscard]] WriteWithDescriptorsOperation final
    : public internal::StreamOutputOperation<WriteWithDescriptorsOperation> {
 public:
  WriteWithDescriptorsOperation(Ref<StreamSocket> socket, absl::string_view data, absl::Span<const int> descriptors);
  IoResult TakeResult();

 private:
  const IoSlice slice_;
  const bool too_many_;
};

class UnixStream final : public SocketStream {
 public:
  UnixStream() = default;
  explicit UnixStream(Ref<StreamSocket> socket) : SocketStream(std::move(socket)) {}

  // Connects to the listener at `address`, a path or an abstract name. Waits while the listener's backlog is full. When
  // the call fails or is stopped, the socket is closed.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  //   kNotFound            ENOENT: there is no such file.
  //   kUnavailable         ECONNREFUSED: nobody listens there; the file may be left of a server that is gone.
  //   kPermissionDenied    EACCES: the file or a folder above it may not be used.
  //   kResourceExhausted   EMFILE, ENFILE: no descriptor is free.
  //   kInvalidArgument     `address` is not of a Unix socket.
  //   kUnknown             EPROTOTYPE: the socket there is a datagram socket.
  //   kUnimplemented       In the simulator.
  static ConnectOperation<UnixStream> Connect(const SocketAddress& address) {
    return ConnectOperation<UnixStream>(address, internal::AddressKind::kUnix);
  }

  // Two ends that are connected to each other, without names (socketpair(2)).
  //
  // Errors: kResourceExhausted and kUnimplemented as for Connect().
  static absl::StatusOr<std::pair<UnixStream, UnixStream>> Pair();

  // Takes over a connected socket that the program has from elsewhere: it was passed over a Unix socket, inherited, or
  // made by another library. Sets O_NONBLOCK, which all who have the socket open share; what has
  // arrived is there to be read. On an error the descriptor stays the caller's, as it was.
  //
  // Errors:
  //   kInvalidArgument     `descriptor` is none, or of something else: the message says of what.
  //   kFailedPrecondition  EBADF: the descriptor is not open.
  //                        ENOTCONN: there is no connection (any more).
  //   kUnimplemented       In the simulator, where no process has a socket from elsewhere.
  static absl::StatusOr<UnixStream> Adopt(OwnedDescriptor&& descriptor);

  // Who had the other end when the connection was made (SO_PEERCRED): who connected, or who called Listen() or Pair().
  //
  // Errors: kFailedPrecondition (EBADF) after Close().
  absl::StatusOr<tandem::PeerCredentials> PeerCredentials() const;

  // Writes all of `data`, with `descriptors` of open files travelling with its first byte: the reader gets duplicates
  // of them. They stay the caller's and must stay open until the call has returned. At most Operation::kMaxDescriptors.
  // As WriteAll() in everything else; and
  //   kInvalidArgument     `data` is empty, or there are too many descriptors. Nothing was sent.
  //   kFailedPrecondition  EBADF also for a descriptor that is not open. Nothing was sent, and the stream goes on.
  WriteWithDescriptorsOperation WriteAllWithDescriptors(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND,
                                                        absl::Span<const int> descriptors
                                                            ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return WriteWithDescriptorsOperation(socket(), data, descriptors);
  }

  // Allows ReadWithDescriptors() to receive descriptors. Must be set before the first read. While it is off, which is
  // the default, descriptors that come are closed.
  void set_receive_descriptors(bool on) { socket()->set_wants_descriptors(on); }

  // As Read(), and returns the descriptors that came with these bytes: those of one write, of which at least the first
  // byte is among them. Bytes that were written before, without descriptors, may stand before it. What was written
  // later with other descriptors is left to the next read. A plain Read() closes descriptors that came with its bytes.
  ReadWithDescriptorsOperation ReadWithDescriptors(absl::Span<char> target ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return ReadWithDescriptorsOperation(socket(), target);
  }
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_UNIX_STREAM_H_
