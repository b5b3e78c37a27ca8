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
#include <span>
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
    OwnBytes(size() + tail.size(), released).append(tail);
  }

  // Makes the bytes `new_size` long, which must not be less than now, by zeros at their end, and returns them to be
  // changed until the next call. If replies still hold the bytes, makes a copy and releases them.
  std::span<char> GrowTo(size_t new_size, const ReleasedBytes& released) {
    std::string& bytes = OwnBytes(new_size, released);
    bytes.resize(new_size);
    return bytes;
  }

  // A value of its own with the same bytes.
  Value Copy() const { return Value(std::string(view())); }

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

  // The bytes, held by nobody else and where `future_size` bytes belong.
  std::string& OwnBytes(size_t future_size, const ReleasedBytes& released) {
    if (shared_ != nullptr && shared_.use_count() == 1) return shared_->bytes;
    if (shared_ == nullptr && future_size < kSharedValueBytes) return small_;
    std::string copy;
    copy.reserve(future_size);
    copy.append(view());
    Release(released);
    shared_ = std::make_shared<Shared>(std::move(copy));
    return shared_->bytes;
  }

  std::string small_;               // Empty if shared_ is set.
  std::shared_ptr<Shared> shared_;  // Set for kSharedValueBytes and more.
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_VALUE_H_
