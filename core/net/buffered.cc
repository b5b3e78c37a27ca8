// SPDX-License-Identifier: Apache-2.0

#include "core/net/buffered.h"

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"

namespace tandem::internal {

absl::string_view InputBuffer::Take(size_t count) {
  const absl::string_view all = view();
  CHECK_LE(count, all.size());
  begin_ += count;
  return all.substr(0, count);
}

// Moves the rest to the front when what was consumed is at least as long: amortised constant work for each byte.
absl::Span<char> InputBuffer::Room(size_t count) {
  const size_t size = end_ - begin_;
  if (begin_ >= size) {
    std::memmove(memory_.data(), memory_.data() + begin_, size);
    begin_ = 0;
    end_ = size;
  }
  if (memory_.size() - end_ < count) memory_.resize(std::max(end_ + count, 2 * memory_.size()));
  return absl::MakeSpan(memory_).subspan(end_);
}

void InputBuffer::Append(absl::string_view data) {
  if (data.empty()) return;
  std::memcpy(Room(data.size()).data(), data.data(), data.size());
  Commit(data.size());
}

absl::Status NoDelimiterError(size_t limit) {
  return absl::ResourceExhaustedError(absl::StrCat("read until: no delimiter within ", limit, " bytes"));
}

absl::Status EndedWithoutDelimiterError(size_t bytes) {
  return absl::OutOfRangeError(
      absl::StrCat("read until: the stream ended after ", bytes, " bytes without a delimiter"));
}

absl::Status EndedEarlyError(size_t bytes, size_t wanted) {
  return absl::OutOfRangeError(absl::StrCat("read: the stream ended after ", bytes, " of ", wanted, " bytes"));
}

}  // namespace tandem::internal
