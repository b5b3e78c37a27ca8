// SPDX-License-Identifier: Apache-2.0
//
// The bytes stored under a key. A large value is reference-counted, so that a reply can send it without a copy while
// later commands replace or extend it: what a reply holds never changes. What only replies still hold is counted.
//
// Thread-compatible; the shared bytes are written by the owner of the Value only, and only while nobody else holds
// them.

#ifndef TANDEM_EXAMPLES_KV_VALUE_H_
#define TANDEM_EXAMPLES_KV_VALUE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tandem::kv {

// From this size on, sharing costs less than copying.
inline constexpr size_t kSharedValueBytes = size_t{16} << 10;

// Bytes of values that nobody stores any more, but that replies still hold.
using ReleasedBytes = std::shared_ptr<size_t>;

// Move-only: the bytes are stored once, and whoever else holds them is a reply.
class Value {
 public:
  Value() = default;
  Value(Value&&) = default;
  Value& operator=(Value&&) = default;
  explicit Value(std::string bytes) {
    if (bytes.size() < kSharedValueBytes) {
      small_ = std::move(bytes);
    } else {
      shared_ = std::make_shared<Shared>(std::move(bytes));
    }
  }

  std::string_view view() const { return shared_ != nullptr ? shared_->bytes : small_; }
  size_t size() const { return view().size(); }

  // The bytes if they are shared, else null.
  std::shared_ptr<const std::string> shared() const {
    return shared_ == nullptr ? nullptr : std::shared_ptr<const std::string>(shared_, &shared_->bytes);
  }

  // Gives the bytes up. If replies still hold them, they count in `released` until the last one is gone.
  void Release(const ReleasedBytes& released) {
    if (shared_ != nullptr && shared_.use_count() > 1) {
      *released += size();
      shared_->released = released;
    }
    *this = Value();
  }

  // Appends in place. If replies still hold the bytes, appends to a copy and releases them.
  void Append(std::string_view tail, const ReleasedBytes& released) {
    if (shared_ != nullptr && shared_.use_count() == 1) {
      shared_->bytes.append(tail);
      return;
    }
    if (shared_ == nullptr && small_.size() + tail.size() < kSharedValueBytes) {
      small_.append(tail);
      return;
    }
    std::string joined;
    joined.reserve(size() + tail.size());
    joined.append(view()).append(tail);
    Value grown(std::move(joined));
    Release(released);
    *this = std::move(grown);
  }

 private:
  struct Shared {
    explicit Shared(std::string bytes) : bytes(std::move(bytes)) {}
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    ~Shared() {
      if (released != nullptr) *released -= bytes.size();
    }

    std::string bytes;
    ReleasedBytes released;  // Set once the bytes count there.
  };

  std::string small_;               // Empty if shared_ is set.
  std::shared_ptr<Shared> shared_;  // Set for kSharedValueBytes and more.
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_VALUE_H_
