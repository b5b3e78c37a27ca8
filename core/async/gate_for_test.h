// SPDX-License-Identifier: Apache-2.0
//
// Gate: a leaf operation that a test opens by hand.

#ifndef TANDEM_CORE_ASYNC_GATE_FOR_TEST_H_
#define TANDEM_CORE_ASYNC_GATE_FOR_TEST_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "tandem/core/async/combinators.h"

namespace tandem {

// Hands one value to one waiter. Lossless: a value that came stays until a call returns it.
class Gate {
 public:
  class [[nodiscard]] PassOperation final : public WithDeadline<PassOperation> {
   public:
    explicit PassOperation(Gate& gate) : gate_(gate) {}
    std::string Describe() const override { return "the gate"; }
    absl::StatusOr<int> TakeResult() {
      if (cause() != StopCause::kNone && !passed_) return StopStatus();
      return *std::exchange(gate_.value_, std::nullopt);
    }

   private:
    friend class Gate;
    bool Start() override {
      passed_ = gate_.value_.has_value();
      if (!passed_) gate_.waiter_ = this;
      return passed_;
    }
    void OnStop() override {
      gate_.waiter_ = nullptr;
      if (!gate_.lingers_) Finish();
      gate_.stopped_ = this;
    }
    Gate& gate_;
    bool passed_ = false;
  };

  PassOperation Pass() { return PassOperation(*this); }

  void Open(int value) {
    value_ = value;
    if (waiter_ == nullptr) return;
    waiter_->passed_ = true;
    std::exchange(waiter_, nullptr)->Finish();
  }

  // From now on a call that is stopped ends only with EndStopped(), as one does that waits for the kernel.
  void set_lingers() { lingers_ = true; }
  bool has_stopped() const { return stopped_ != nullptr; }
  // Ends it; with `value` when the result came first after all.
  void EndStopped(std::optional<int> value = std::nullopt) {
    PassOperation* const operation = std::exchange(stopped_, nullptr);
    if (value.has_value()) {
      value_ = value;
      operation->passed_ = true;
    }
    operation->Finish();
  }

 private:
  PassOperation* waiter_ = nullptr;
  PassOperation* stopped_ = nullptr;
  std::optional<int> value_;
  bool lingers_ = false;
};

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_GATE_FOR_TEST_H_
