// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/own_shard.h"

#include <string>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

// Its address tells threads apart.
thread_local char this_thread;

}  // namespace

void OwnShard::CheckOrTake(const Executor* current) {
  if (owner_ == nullptr) {
    if (current == nullptr) return;
    owner_ = current;
    owner_name_ = current->shared_name();
    thread_ = &this_thread;
    return;
  }
  if (current == nullptr && thread_ == &this_thread) return;
  const std::string where =
      current == nullptr ? "a thread without a shard" : absl::StrCat("shard \"", current->name(), "\"");
  CHECK(current == owner_) << "the " << object_ << " of shard \"" << *owner_name_ << "\" is used on " << where;
}

}  // namespace tandem
