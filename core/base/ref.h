// SPDX-License-Identifier: Apache-2.0
//
// Ref<T>: an owning pointer with the count inside the object. Not atomic: a counted object belongs to one shard.

#ifndef TANDEM_CORE_BASE_REF_H_
#define TANDEM_CORE_BASE_REF_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/log/check.h"

namespace tandem {

// Base of counted objects; starts with one reference, which MakeRef() hands out.
template <typename T>
class Counted {
 public:
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

  void AddRef() { ++references_; }
  // Destroys the object with the last reference.
  void DropRef() {
    DCHECK_GT(references_, 0u);
    if (--references_ == 0) delete static_cast<T*>(this);
  }

 protected:
  Counted() = default;
  ~Counted() = default;

 private:
  uint32_t references_ = 1;
};

template <typename T>
class Ref {
 public:
  Ref() = default;
  Ref(const Ref& other) : object_(other.object_) {
    if (object_ != nullptr) object_->AddRef();
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) object_->DropRef();
  }

  // Takes over a reference that the caller has.
  static Ref Adopt(T* object) {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  // Adds a reference.
  static Ref Share(T& object) {
    object.AddRef();
    return Adopt(&object);
  }

  T* get() const { return object_; }
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }
  friend bool operator==(const Ref& ref, std::nullptr_t) { return ref.object_ == nullptr; }

 private:
  T* object_ = nullptr;
};

}  // namespace tandem

#endif  // TANDEM_CORE_BASE_REF_H_
