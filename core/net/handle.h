// SPDX-License-Identifier: Apache-2.0
//
// Handle: what owns a socket in a program, and what TcpStream, UdpSocket, TcpListener and their like have in common.

#ifndef TANDEM_CORE_NET_HANDLE_H_
#define TANDEM_CORE_NET_HANDLE_H_

#include <utility>

#include "absl/base/optimization.h"
#include "absl/strings/string_view.h"
#include "tandem/core/base/ref.h"

namespace tandem {

namespace internal {

// A call on a handle that has nothing to call: ends the process with a message that names `type`.
[[noreturn]] void DieOfEmptyHandle(absl::string_view type);

}  // namespace internal

// Owns a `State`, or nothing: when it was made by the default constructor, moved from, or asked to give its socket up.
// Such a handle can be assigned to, destroyed and asked for valid(); any other call ends the process and names the
// type.
//
// `Derived` has kHandleName, for that message, and LetGo(State&), what becomes of the state when the handle is
// destroyed or assigned to.
template <typename Derived, typename State>
class Handle {
 public:
  // Whether there is anything to call.
  bool valid() const { return state_.get() != nullptr; }

 protected:
  Handle() = default;
  explicit Handle(Ref<State> state) : state_(std::move(state)) {}
  Handle(Handle&&) noexcept = default;
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      LetGo();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  ~Handle() { LetGo(); }

  const Ref<State>& state() const {
    if (ABSL_PREDICT_FALSE(!valid())) internal::DieOfEmptyHandle(Derived::kHandleName);
    return state_;
  }
  // Leaves nothing here, and nothing to let go.
  Ref<State> ReleaseState() {
    static_cast<void>(state());
    return std::move(state_);
  }

 private:
  void LetGo() {
    if (valid()) Derived::LetGo(*state_);
  }

  Ref<State> state_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_HANDLE_H_
