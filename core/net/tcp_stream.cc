// SPDX-License-Identifier: Apache-2.0

#include "core/net/tcp_stream.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/io/errors.h"

namespace tandem {

absl::StatusOr<size_t> ReadOperation::TakeResult() {
  if (stopped()) return StopStatus();
  if (target_.empty()) return absl::InvalidArgumentError("read: the target is empty");
  return socket_->TakeBytes(target_);
}

absl::StatusOr<Buffer> ReceiveOperation::TakeResult() {
  if (stopped()) return StopStatus();
  return socket_->TakeBuffer();
}

bool ReadExactlyOperation::Progress() {
  while (bytes_ < target_.size() && socket_->readable()) {
    const auto count = socket_->TakeBytes(target_.subspan(bytes_));
    if (!count.ok()) {
      status_ = count.status();
      return true;
    }
    if (*count == 0) {
      status_ = absl::OutOfRangeError(absl::StrCat("read ", socket_->peer().ToString(), ": the stream ended after ",
                                                   bytes_, " of ", target_.size(), " bytes"));
      return true;
    }
    bytes_ += *count;
  }
  return bytes_ == target_.size();
}

IoResult ReadExactlyOperation::TakeResult() { return IoResult{stopped() ? StopStatus() : status_, bytes_}; }

absl::StatusOr<size_t> WriteOperation::TakeResult() {
  if (bytes_written() > 0) return bytes_written();
  absl::Status status = EndStatus("write");
  if (!status.ok()) return status;
  return size_t{0};
}

IoResult WriteAllOperation::TakeResult() { return IoResult{EndStatus("write"), bytes_written()}; }

absl::Status ShutdownWriteOperation::TakeResult() { return EndStatus("shutdown"); }

bool CloseOperation::Start() {
  socket_->Close(StreamSocket::CloseMode::kGraceful);
  if (socket_->closed()) return true;
  socket_->WaitForClose(*this);
  return false;
}

bool ConnectOperation::Start() {
  Reactor& reactor = Reactor::Current();
  if (address_.family() == AddressFamily::kNone) {
    error_ = EDESTADDRREQ;
    return true;
  }
  const int64_t id = reactor.OpenSocket(address_.family(), SocketType::kStream);
  if (id < 0) {
    error_ = static_cast<int>(-id);
    return true;
  }
  reactor.SetOption(static_cast<SocketId>(id), SocketOption::kNoDelay, 1);
  socket_ = StreamSocket::Adopt(static_cast<SocketId>(id), address_);
  socket_->StartConnecting(address_, *this);
  return false;
}

void ConnectOperation::OnConnected(int error) {
  error_ = error;
  Finish();
}

absl::StatusOr<TcpStream> ConnectOperation::TakeResult() {
  if (error_ == 0 && socket_.get() != nullptr) return TcpStream(std::move(socket_));
  if (socket_.get() != nullptr) socket_->Close(StreamSocket::CloseMode::kReset);
  // A refusal that came before the stop is the result.
  if (cause() != StopCause::kNone && (error_ == 0 || error_ == ECANCELED)) return StopStatus();
  return ErrnoStatus(error_, absl::StrCat("connect ", address_.ToString()));
}

absl::StatusOr<SocketAddress> TcpStream::LocalAddress() const {
  if (!socket_->open()) return socket_->ClosedStatus("local address");
  SocketAddress address;
  const int result = Reactor::Current().LocalAddress(socket_->id(), &address);
  if (result < 0) return socket_->StatusFor(-result, "local address");
  return address;
}

absl::Status TcpStream::SetOption(SocketOption option, int value, absl::string_view name) {
  if (!socket_->open()) return socket_->ClosedStatus(name);
  return socket_->StatusFor(-Reactor::Current().SetOption(socket_->id(), option, value), name);
}

absl::StatusOr<int> TcpStream::GetOption(SocketOption option, absl::string_view name) const {
  if (!socket_->open()) return socket_->ClosedStatus(name);
  int value = 0;
  const int result = Reactor::Current().GetOption(socket_->id(), option, &value);
  if (result < 0) return socket_->StatusFor(-result, name);
  return value;
}

namespace {

int ClampToInt(size_t bytes) {
  return static_cast<int>(std::min<size_t>(bytes, static_cast<size_t>(std::numeric_limits<int>::max())));
}

absl::StatusOr<size_t> AsSize(absl::StatusOr<int> value) {
  if (!value.ok()) return std::move(value).status();
  return static_cast<size_t>(*value);
}

}  // namespace

absl::Status TcpStream::set_no_delay(bool on) { return SetOption(SocketOption::kNoDelay, on ? 1 : 0, "set no-delay"); }

absl::StatusOr<bool> TcpStream::no_delay() const {
  const absl::StatusOr<int> value = GetOption(SocketOption::kNoDelay, "get no-delay");
  if (!value.ok()) return value.status();
  return *value != 0;
}

absl::Status TcpStream::set_receive_buffer_size(size_t bytes) {
  return SetOption(SocketOption::kReceiveBufferSize, ClampToInt(bytes), "set receive buffer size");
}

absl::StatusOr<size_t> TcpStream::receive_buffer_size() const {
  return AsSize(GetOption(SocketOption::kReceiveBufferSize, "get receive buffer size"));
}

absl::Status TcpStream::set_send_buffer_size(size_t bytes) {
  return SetOption(SocketOption::kSendBufferSize, ClampToInt(bytes), "set send buffer size");
}

absl::StatusOr<size_t> TcpStream::send_buffer_size() const {
  return AsSize(GetOption(SocketOption::kSendBufferSize, "get send buffer size"));
}

}  // namespace tandem
