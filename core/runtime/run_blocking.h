// SPDX-License-Identifier: Apache-2.0
//
// RunBlocking: calls a function that may block (a library without an asynchronous interface, a file system, a long
// computation) without stopping the shard.
//
//   absl::StatusOr<std::string> text = co_await RunBlocking(&ReadConfiguration, path);

#ifndef TANDEM_CORE_RUNTIME_RUN_BLOCKING_H_
#define TANDEM_CORE_RUNTIME_RUN_BLOCKING_H_

#include <cerrno>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/operation.h"

namespace tandem {

namespace internal {

// What the awaited call gives for a function that returns T: something that can say that it was stopped.
template <typename T>
struct BlockingResult {
  using Type = std::conditional_t<Stoppable<T>, T, absl::StatusOr<T>>;
};
template <>
struct BlockingResult<void> {
  using Type = absl::Status;
};

// Work that runs once, on another thread.
class BlockingCall : public Operation, private BlockingWork {
 protected:
  BlockingCall() {
    kind = OperationKind::kRunBlocking;
    work = this;
  }

 public:
  void Submit();
  // Ends the call before the work has begun; not afterwards.
  void Cancel();
};

}  // namespace internal

// See RunBlocking().
template <typename Function, typename... Arguments>
class [[nodiscard]] RunBlockingOperation final : public WithDeadline<RunBlockingOperation<Function, Arguments...>> {
  using Returned = std::invoke_result_t<Function, Arguments...>;

 public:
  using Result = typename internal::BlockingResult<Returned>::Type;

  explicit RunBlockingOperation(Function function, Arguments... arguments)
      : function_(std::move(function)), arguments_(std::move(arguments)...) {}

  std::string Describe() const override { return "blocking work"; }

  Result TakeResult() {
    if (exception_) std::rethrow_exception(std::exchange(exception_, nullptr));
    if (returned_.has_value()) {
      if constexpr (std::is_void_v<Returned>) {
        return absl::OkStatus();
      } else {
        return *std::move(returned_);
      }
    }
    absl::Status status = this->cause() == StopCause::kNone ? CancelledStatus() : this->StopStatus();
    if (refused_) status = absl::ResourceExhaustedError("run blocking work: the system refuses a thread");
    if constexpr (std::is_same_v<Result, IoResult>) {
      return IoResult{std::move(status), 0};
    } else {
      return status;
    }
  }

 private:
  class Call final : public internal::BlockingCall {
   public:
    explicit Call(RunBlockingOperation& owner) : owner_(owner) {}

   private:
    void Run() override { owner_.Invoke(); }
    void OnComplete(int64_t result) override {
      owner_.refused_ = result == -EAGAIN;
      owner_.Finish();
    }
    void OnAbandon() override {}
    RunBlockingOperation& owner_;
  };

  bool Start() override {
    call_.Submit();
    return false;
  }
  // Work that runs cannot be cancelled: its end is waited for.
  void OnStop() override { call_.Cancel(); }

  // On another thread.
  void Invoke() {
    try {
      if constexpr (std::is_void_v<Returned>) {
        std::apply(std::move(function_), std::move(arguments_));
        returned_.emplace();
      } else {
        returned_.emplace(std::apply(std::move(function_), std::move(arguments_)));
      }
    } catch (...) {
      exception_ = std::current_exception();
    }
  }

  Function function_;
  std::tuple<Arguments...> arguments_;
  std::optional<internal::Present<Returned>> returned_;
  std::exception_ptr exception_;
  bool refused_ = false;
  Call call_{*this};
};

// Calls `function(arguments...)` on a thread of a small pool and waits for it. The function and the arguments are moved
// into the call; what they refer to must be safe to use on another thread, and stays the caller's until the call
// returns. The function must not use anything of Tandem that belongs to a shard: tasks, sockets, Now(), Random().
//
// Awaits to what the function returns when that is a Status, StatusOr or IoResult; to absl::Status for void; else to
// absl::StatusOr of it. An exception of the function is thrown by the await.
//
// In the simulator the function runs on the one thread there is, after a drawn delay: the clocks of the C library show
// it the world's time, and when its host crashes before, it is not called.
//
// A call that is stopped while the function waits for a thread ends at once, and the function is never called. Once it
// runs it cannot be stopped: the call returns when the function does, with its result, and the stop shows at the next
// await.
//
// Give a lambda that captures a name first and move it in: g++ 12 destroys one that is made inside of an awaited
// expression twice.
//
// Errors, beside the function's own:
//   kDeadlineExceeded   The deadline of the scope or of .By() passed before the function ran.
//   kCancelled          The enclosing scope was cancelled before the function ran.
//   kResourceExhausted  The system refuses a thread to run it on; the function was not called. Not in the simulator.
template <typename Function, typename... Arguments>
RunBlockingOperation<std::decay_t<Function>, std::decay_t<Arguments>...> RunBlocking(Function&& function,
                                                                                     Arguments&&... arguments) {
  return RunBlockingOperation<std::decay_t<Function>, std::decay_t<Arguments>...>(
      std::forward<Function>(function), std::forward<Arguments>(arguments)...);
}

}  // namespace tandem

#endif  // TANDEM_CORE_RUNTIME_RUN_BLOCKING_H_
