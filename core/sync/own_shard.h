// SPDX-License-Identifier: Apache-2.0
//
// OwnShard: for objects that belong to one shard, a check that they are used there.

#ifndef TANDEM_CORE_SYNC_OWN_SHARD_H_
#define TANDEM_CORE_SYNC_OWN_SHARD_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "tandem/core/async/executor.h"

namespace tandem {

// The object belongs to the shard on which it is used first. It may be made, and used, before any shard runs; and
// outside of a shard by the thread of its own, where nothing runs at the same time.
class OwnShard {
 public:
  // `object` is what the object is called in the message: "mutex".
  explicit OwnShard(absl::string_view object) : object_(object) {}

  // CHECKs that the object is used on its shard; the message names both.
  void Check() {
    const Executor* const current = Executor::HasCurrent() ? &Executor::Current() : nullptr;
    if (current == nullptr || current != owner_) CheckOrTake(current);
  }

  absl::string_view object() const { return object_; }

 private:
  void CheckOrTake(const Executor* current);

  const absl::string_view object_;
  const Executor* owner_ = nullptr;
  const void* thread_ = nullptr;                   // Where that shard runs.
  std::shared_ptr<const std::string> owner_name_;  // The owner may be gone when it is asked for.
};

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_OWN_SHARD_H_
