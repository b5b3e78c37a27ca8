// SPDX-License-Identifier: Apache-2.0
//
// MemberOperation: an operation in the state of a socket, which a member function is called of when it completes.

#ifndef TANDEM_CORE_IO_MEMBER_OPERATION_H_
#define TANDEM_CORE_IO_MEMBER_OPERATION_H_

#include <cstdint>

#include "tandem/core/base/ref.h"
#include "tandem/core/io/operation.h"

namespace tandem {

// `Owner` is counted, and was given a reference for the operation before it was submitted.
template <typename Owner, void (Owner::*kCallback)(int64_t)>
class MemberOperation final : public Operation {
 public:
  explicit MemberOperation(Owner& owner) : owner_(owner) {}

 private:
  void OnComplete(int64_t result) override {
    const Ref<Owner> keep = Ref<Owner>::Adopt(&owner_);
    (owner_.*kCallback)(result);
  }
  void OnAbandon() override { owner_.DropRef(); }

  Owner& owner_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_MEMBER_OPERATION_H_
