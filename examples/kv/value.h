// SPDX-License-Identifier: Apache-2.0
//
// The bytes stored under a key. A large value is reference-counted, so that a reply can send it without a copy while
// later commands replace or extend it: what a reply holds never changes.
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

class Value {
 public:
  Value() = default;
  explicit Value(std::string bytes) {
    if (bytes.size() < kSharedValueBytes) {
      small_ = std::move(bytes);
    } else {
      shared_ = std::make_shared<std::string>(std::move(bytes));
    }
  }

  std::string_view view() const { return shared_ != nullptr ? *shared_ : small_; }
  size_t size() const { return view().size(); }

  // The bytes if they are shared, else null.
  std::shared_ptr<const std::string> shared() const { return shared_; }

  // Appends in place, or to a copy if a reply still holds the bytes.
  void Append(std::string_view tail) {
    if (shared_ != nullptr && shared_.use_count() == 1) {
      shared_->append(tail);
      return;
    }
    if (shared_ == nullptr && small_.size() + tail.size() < kSharedValueBytes) {
      small_.append(tail);
      return;
    }
    std::string joined;
    joined.reserve(size() + tail.size());
    joined.append(view()).append(tail);
    *this = Value(std::move(joined));
  }

 private:
  std::string small_;                    // Empty if shared_ is set.
  std::shared_ptr<std::string> shared_;  // Set for kSharedValueBytes and more.
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_VALUE_H_
