// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/unix_stream.h"

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/adopt.h"

namespace tandem {

absl::StatusOr<BytesAndDescriptors> ReadWithDescriptorsOperation::TakeResult() {
  if (EndStopped()) return StopStatus();
  if (target_.empty()) return absl::InvalidArgumentError("read: the target is empty");
  BytesAndDescriptors read;
  read.descriptors = socket_->TakeDescriptors();
  const absl::StatusOr<size_t> bytes = socket_->TakeBytes(target_);
  if (!bytes.ok()) return bytes.status();
  read.bytes = *bytes;
  return read;
}

WriteWithDescriptorsOperation::WriteWithDescriptorsOperation(Ref<StreamSocket> socket, absl::string_view data,
                                                             absl::Span<const int> descriptors)
    : StreamOutputOperation(std::move(socket), Kind::kAll, {}, descriptors),
      slice_{data.data(), data.size()},
      too_many_(descriptors.size() > Operation::kMaxDescriptors) {
  // Without slices there is nothing to do, and TakeResult() says why.
  if (!data.empty() && !too_many_) slices_ = absl::MakeConstSpan(&slice_, 1);
}

IoResult WriteWithDescriptorsOperation::TakeResult() {
  absl::Status status = EndStatus("write");
  if (status.ok() && too_many_) {
    status = absl::InvalidArgumentError(
        absl::StrCat("write: ", descriptors_.size(), " descriptors are more than ", Operation::kMaxDescriptors));
  } else if (status.ok() && slice_.size == 0) {
    status = absl::InvalidArgumentError("write: descriptors travel with a byte, and there is none");
  }
  return IoResult{std::move(status), bytes_written()};
}

absl::StatusOr<std::pair<UnixStream, UnixStream>> UnixStream::Pair() {
  SocketId ids[2] = {kNoSocket, kNoSocket};
  const int result = Reactor::Current().OpenSocketPair(SocketType::kStream, ids);
  if (result < 0) return ErrnoStatus(-result, "open a pair of Unix stream sockets");
  UnixStream first(StreamSocket::Adopt(ids[0], SocketAddress()));
  UnixStream second(StreamSocket::Adopt(ids[1], SocketAddress()));
  return std::make_pair(std::move(first), std::move(second));
}

absl::StatusOr<UnixStream> UnixStream::Adopt(OwnedDescriptor&& descriptor) {
  absl::StatusOr<Ref<StreamSocket>> socket = internal::AdoptStream(descriptor, internal::SocketKind::kUnix);
  if (!socket.ok()) return socket.status();
  return UnixStream(*std::move(socket));
}

absl::StatusOr<tandem::PeerCredentials> UnixStream::PeerCredentials() const {
  if (!socket()->open()) return socket()->ClosedStatus("peer credentials");
  tandem::PeerCredentials credentials;
  const int result = socket()->reactor()->GetPeerCredentials(socket()->id(), &credentials);
  if (result < 0) return socket()->StatusFor(-result, "peer credentials");
  return credentials;
}

}  // namespace tandem
