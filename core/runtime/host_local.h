// SPDX-License-Identifier: Apache-2.0
//
// HostLocal<T>: what a global variable would be, but one for each host of the simulator and each shard of the runtime.
//
// In the simulator all hosts share one process: a plain global of the program would be shared by its hosts, and would
// survive their crashes. Declare a HostLocal at namespace scope instead:
//
//   tandem::HostLocal<Counters> counters;      // counters->requests++
//
// The value is made by T's default constructor at the first use on a shard, and destroyed with the shard, after its
// tasks; a crash of a simulated host destroys it too.

#ifndef TANDEM_CORE_RUNTIME_HOST_LOCAL_H_
#define TANDEM_CORE_RUNTIME_HOST_LOCAL_H_

#include <cstddef>
#include <memory>
#include <utility>

#include "tandem/core/runtime/shard.h"

namespace tandem {

namespace internal {
// The number of the next HostLocal of the program. They are made before main(), on one thread.
inline size_t NextHostLocalIndex() {
  static size_t next = 0;
  return next++;
}
}  // namespace internal

template <typename T>
class HostLocal {
 public:
  HostLocal() : index_(internal::NextHostLocalIndex()) {}
  HostLocal(const HostLocal&) = delete;
  HostLocal& operator=(const HostLocal&) = delete;

  // The value of the current shard. REQUIRES that a shard runs on this thread.
  T& get() const {
    Shard& shard = Shard::Current();
    if (shard.LocalSlot(index_) == nullptr) {
      // T's constructor may use another HostLocal, which can move the slots.
      auto holder = std::make_unique<Holder>();
      shard.LocalSlot(index_) = std::move(holder);
    }
    return static_cast<Holder&>(*shard.LocalSlot(index_)).value;
  }
  T& operator*() const { return get(); }
  T* operator->() const { return &get(); }

 private:
  struct Holder final : Shard::Local {
    T value{};
  };
  const size_t index_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_RUNTIME_HOST_LOCAL_H_
