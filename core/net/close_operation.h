// SPDX-License-Identifier: Apache-2.0
//
// CloseOperation: what Close() of every socket returns.

#ifndef TANDEM_CORE_NET_CLOSE_OPERATION_H_
#define TANDEM_CORE_NET_CLOSE_OPERATION_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "tandem/core/async/leaf.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/closing_socket.h"

namespace tandem {

// Awaits to absl::Status (always OK). See SocketStream::Close(), SocketListener::Close() and DatagramHandle::Close().
template <typename Socket>
class [[nodiscard]] CloseOperation final : public Leaf, private Closer {
 public:
  explicit CloseOperation(Ref<Socket> socket) : socket_(std::move(socket)) { set_uncancellable(); }
  std::string Describe() const override { return "the close of the " + socket_->Name(); }
  absl::Status TakeResult() { return absl::OkStatus(); }

 private:
  bool Start() override {
    socket_->Close();
    if (socket_->closed()) return true;
    socket_->WaitForClose(*this);
    return false;
  }
  void OnStop() override {}
  void OnClosed() override { Finish(); }
  Ref<Socket> socket_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_CLOSE_OPERATION_H_
