// SPDX-License-Identifier: Apache-2.0
//
// The calls on datagram sockets, UDP and Unix: what UdpSocket and UnixDatagram return for `co_await`.

#ifndef TANDEM_CORE_NET_DATAGRAM_OPERATIONS_H_
#define TANDEM_CORE_NET_DATAGRAM_OPERATIONS_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/datagram_socket.h"

namespace tandem {

// What ReceiveFrom() tells of a datagram whose bytes it has copied out. The fields beside `size` are those of Datagram.
struct ReceivedDatagram {
  size_t size = 0;  // Bytes copied. May be 0.
  SocketAddress source;
  SocketAddress destination;
  uint32_t interface_index = 0;
  bool truncated = false;
  std::vector<OwnedDescriptor> descriptors;
};

// What SendMany() has done.
struct [[nodiscard]] SendManyResult {
  absl::Status status;
  size_t sent = 0;  // How many datagrams, from the first on, were sent; also when `status` is an error.

  bool ok() const { return status.ok(); }
};
inline const absl::Status& StatusOf(const SendManyResult& result) { return result.status; }
inline void ReplaceStatus(SendManyResult& result, absl::Status status) { result.status = std::move(status); }
inline bool HasDoneNothing(const SendManyResult& result) { return result.sent == 0; }

namespace internal {

// Copies what fits of `datagram` into `target`.
ReceivedDatagram CopyOut(Datagram datagram, absl::Span<char> target);
// `datagram` for the caller to keep: not in memory that the kernel needs back.
Datagram ForKeeps(Datagram datagram);

// What the receiving calls share: waiting for one datagram.
template <typename Derived>
class DatagramInputOperation : public WithDeadline<Derived>, protected DatagramSocket::Receiver {
 public:
  std::string Describe() const override { return "a datagram on " + socket_->local().ToString(); }

 protected:
  explicit DatagramInputOperation(Ref<DatagramSocket> socket) : socket_(std::move(socket)) {}

  // OK when `datagram_` is set.
  absl::Status EndStatus() const {
    if (error_ != 0) return socket_->StatusFor(error_, "receive");
    return ready_ ? absl::OkStatus() : this->StopStatus();
  }

  Ref<DatagramSocket> socket_;
  Datagram datagram_;

 private:
  bool Start() override {
    ready_ = socket_->TakeReady(datagram_, error_);
    if (!ready_) socket_->StartReceiving(*this);
    return ready_;
  }
  void OnStop() override {
    socket_->StopReceiving(*this);
    this->Finish();
  }
  void OnDatagram(Datagram datagram) final {
    datagram_ = std::move(datagram);
    ready_ = true;
    this->Finish();
  }
  void OnError(int error) final {
    error_ = error;
    this->Finish();
  }

  bool ready_ = false;
  int error_ = 0;
};

// What the sending calls share: a place in the send queue.
template <typename Derived>
class DatagramOutputOperation : public WithDeadline<Derived>, protected DatagramSocket::Sender {
 public:
  std::string Describe() const override { return "room to send on " + socket_->local().ToString(); }

 protected:
  DatagramOutputOperation(Ref<DatagramSocket> socket, absl::Span<const OutgoingDatagram> datagrams)
      : DatagramSocket::Sender(datagrams), socket_(std::move(socket)) {}

  // How the call ended. A stop that came too late to keep anything from being sent is no error.
  absl::Status EndStatus() const {
    if (refusal_ != 0) return socket_->StatusFor(refusal_, SendName());
    if (!ended_) return this->cause() == StopCause::kNone ? absl::OkStatus() : this->StopStatus();
    if (error() == ECANCELED) return this->StopStatus();
    return socket_->StatusFor(error(), SendName());
  }

  Ref<DatagramSocket> socket_;

 private:
  // "send" and where the datagram that failed was to go.
  std::string SendName() const {
    const size_t failed = sent();
    if (failed >= datagrams_.size() || datagrams_[failed].destination.family() == AddressFamily::kNone) return "send";
    return "send to " + datagrams_[failed].destination.ToString();
  }

  bool Start() override {
    refusal_ = socket_->TakeSendError();
    if (refusal_ != 0 || datagrams_.empty()) return true;
    socket_->StartSending(*this);
    return false;
  }
  void OnStop() override { socket_->StopSending(*this, ECANCELED); }
  void OnSent() final {
    ended_ = true;
    if (this->suspended()) this->Finish();
  }

  int refusal_ = 0;
  bool ended_ = false;
};

}  // namespace internal

// Awaits to absl::StatusOr<ReceivedDatagram>. See UdpSocket::ReceiveFrom().
class [[nodiscard]] ReceiveFromOperation final : public internal::DatagramInputOperation<ReceiveFromOperation> {
 public:
  ReceiveFromOperation(Ref<DatagramSocket> socket, absl::Span<char> target)
      : DatagramInputOperation(std::move(socket)), target_(target) {}
  absl::StatusOr<ReceivedDatagram> TakeResult();

 private:
  absl::Span<char> target_;
};

// Awaits to absl::StatusOr<Datagram>. See UdpSocket::ReceiveDatagram().
class [[nodiscard]] ReceiveDatagramOperation final : public internal::DatagramInputOperation<ReceiveDatagramOperation> {
 public:
  explicit ReceiveDatagramOperation(Ref<DatagramSocket> socket) : DatagramInputOperation(std::move(socket)) {}
  absl::StatusOr<Datagram> TakeResult();
};

// Awaits to absl::StatusOr<std::vector<Datagram>>. See UdpSocket::ReceiveMany().
class [[nodiscard]] ReceiveManyOperation final : public internal::DatagramInputOperation<ReceiveManyOperation> {
 public:
  ReceiveManyOperation(Ref<DatagramSocket> socket, size_t max) : DatagramInputOperation(std::move(socket)), max_(max) {}
  absl::StatusOr<std::vector<Datagram>> TakeResult();

 private:
  const size_t max_;
};

// Awaits to absl::Status. See UdpSocket::SendTo() and Send().
class [[nodiscard]] SendDatagramOperation final : public internal::DatagramOutputOperation<SendDatagramOperation> {
 public:
  SendDatagramOperation(Ref<DatagramSocket> socket, OutgoingDatagram datagram)
      : DatagramOutputOperation(std::move(socket), {}), datagram_(std::move(datagram)) {
    datagrams_ = absl::MakeConstSpan(&datagram_, 1);
  }
  absl::Status TakeResult() { return EndStatus(); }

 private:
  const OutgoingDatagram datagram_;
};

// Awaits to SendManyResult. See UdpSocket::SendMany().
class [[nodiscard]] SendManyOperation final : public internal::DatagramOutputOperation<SendManyOperation> {
 public:
  SendManyOperation(Ref<DatagramSocket> socket, absl::Span<const OutgoingDatagram> datagrams)
      : DatagramOutputOperation(std::move(socket), datagrams) {}
  SendManyResult TakeResult() { return SendManyResult{EndStatus(), sent()}; }
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_DATAGRAM_OPERATIONS_H_
