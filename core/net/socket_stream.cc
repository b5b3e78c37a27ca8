// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/socket_stream.h"

#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"

namespace tandem {

namespace internal {

// The call was dropped, or a crash destroyed it: nobody took the socket.
StreamConnector::~StreamConnector() {
  if (socket_) socket_->Close(StreamSocket::CloseMode::kReset);
}

bool StreamConnector::StartConnecting() {
  Reactor& reactor = Reactor::Current();
  if (address_.family() == AddressFamily::kNone) {
    error_ = EDESTADDRREQ;
    return true;
  }
  if (address_.is_unix() != (kind_ == AddressKind::kUnix)) {
    error_ = EINVAL;
    return true;
  }
  if (!socket_) {
    const int64_t id = reactor.OpenSocket(address_.family(), SocketType::kStream);
    if (id < 0) {
      error_ = static_cast<int>(-id);
      return true;
    }
    if (!address_.is_unix()) reactor.SetOption(static_cast<SocketId>(id), SocketOption::kNoDelay, 1);
    socket_ = StreamSocket::Adopt(static_cast<SocketId>(id), address_);
  }
  socket_->StartConnecting(address_, *this);
  return false;
}

void StreamConnector::OnConnected(int error) {
  error_ = error;
  connected_ = error == 0;
  OnConnectEnd();
}

Ref<StreamSocket> StreamConnector::TakeSocket() {
  Ref<StreamSocket> socket = std::move(socket_);
  if (socket && !connected_) {
    socket->Close(StreamSocket::CloseMode::kReset);
    socket = Ref<StreamSocket>();
  }
  return socket;
}

absl::Status StreamConnector::ErrorStatus() const {
  return ErrnoStatus(error_, absl::StrCat("connect ", address_.ToString()));
}

}  // namespace internal

absl::StatusOr<size_t> ReadOperation::TakeResult() {
  if (EndStopped()) return StopStatus();
  if (target_.empty()) return absl::InvalidArgumentError("read: the target is empty");
  return socket_->TakeBytes(target_);
}

absl::StatusOr<Buffer> ReceiveOperation::TakeResult() {
  if (EndStopped()) return StopStatus();
  return socket_->TakeBuffer();
}

absl::StatusOr<size_t> PeekOperation::TakeResult() {
  if (EndStopped()) return StopStatus();
  if (target_.empty()) return absl::InvalidArgumentError("peek: the target is empty");
  return socket_->PeekBytes(target_);
}

absl::StatusOr<size_t> PeekAtLeastOperation::TakeResult() {
  if (EndStopped()) return StopStatus();
  if (min_ > target_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("peek: at least ", min_, " bytes do not fit into a target of ", target_.size()));
  }
  absl::StatusOr<size_t> count = socket_->PeekBytes(target_, min_);
  if (count.ok() && *count < min_) {
    return absl::OutOfRangeError(
        absl::StrCat("peek ", socket_->peer().ToString(), ": the stream ended after ", *count, " of ", min_, " bytes"));
  }
  return count;
}

bool ReadAtLeastOperation::Progress() {
  if (min_ > target_.size()) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat("read: at least ", min_, " bytes do not fit into a target of ", target_.size()));
    return true;
  }
  if (!socket_->open()) {
    status_ = socket_->ClosedStatus("read");
    return true;
  }
  // What follows the bytes, an error or the end, is looked at only for want of bytes.
  while (bytes_ < min_ ? socket_->readable() : bytes_ < target_.size() && socket_->unread_bytes() > 0) {
    const auto count = socket_->TakeBytes(target_.subspan(bytes_));
    if (!count.ok()) {
      status_ = count.status();
      return true;
    }
    if (*count == 0) {
      status_ = absl::OutOfRangeError(absl::StrCat("read ", socket_->peer().ToString(), ": the stream ended after ",
                                                   bytes_, " of ", min_, " bytes"));
      return true;
    }
    bytes_ += *count;
  }
  return bytes_ >= min_;
}

IoResult ReadAtLeastOperation::TakeResult() { return IoResult{EndStopped() ? StopStatus() : status_, bytes_}; }

absl::StatusOr<size_t> WriteSomeOperation::TakeResult() {
  if (bytes_written() > 0) return bytes_written();
  absl::Status status = EndStatus("write");
  if (!status.ok()) return status;
  return size_t{0};
}

IoResult WriteAllOperation::TakeResult() { return IoResult{EndStatus("write"), bytes_written()}; }

IoResult SendFileOperation::TakeResult() { return IoResult{EndStatus("send file"), bytes_written()}; }

absl::Status ShutdownWriteOperation::TakeResult() { return EndStatus("shutdown"); }

}  // namespace tandem
