// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/buffered.h"

#include <algorithm>
#include <cstring>

#include "absl/base/config.h"
#include "absl/log/check.h"
#include "absl/strings/str_cat.h"

namespace tandem::internal {

absl::string_view InputBuffer::Take(size_t count) {
  const absl::string_view all = view();
  CHECK_LE(count, all.size());
  begin_ += count;
  return all.substr(0, count);
}

void InputBuffer::Reuse() {
#if !defined(NDEBUG) || defined(ABSL_HAVE_ADDRESS_SANITIZER)
  std::fill_n(memory_.get(), begin_, '\xdd');
#endif
  if (begin_ == end_) begin_ = end_ = 0;
  if (capacity_ > kUsualBytes && end_ - begin_ < capacity_ / 4) Move(end_ - begin_);
}

void InputBuffer::Move(size_t capacity) {
  const size_t size = end_ - begin_;
  std::unique_ptr<char[]> memory;
  if (capacity > 0) memory = std::make_unique_for_overwrite<char[]>(capacity);
  if (size > 0) std::memcpy(memory.get(), memory_.get() + begin_, size);
  memory_ = std::move(memory);
  capacity_ = capacity;
  begin_ = 0;
  end_ = size;
}

// Moves the rest to the front when what was consumed is at least as long: amortised constant work for each byte.
absl::Span<char> InputBuffer::Room(size_t count) {
  const size_t size = end_ - begin_;
  if (begin_ > 0 && begin_ >= size) {
    std::memmove(memory_.get(), memory_.get() + begin_, size);
    begin_ = 0;
    end_ = size;
  }
  if (capacity_ - end_ < count) Move(std::max(size + count, 2 * capacity_));
  return absl::MakeSpan(memory_.get() + end_, capacity_ - end_);
}

void InputBuffer::Append(absl::string_view data) {
  if (data.empty()) return;
  std::memcpy(Room(data.size()).data(), data.data(), data.size());
  Commit(data.size());
}

void OutputBuffer::Append(absl::string_view data) {
  next_.append(data.data(), data.size());
  appended_ += data.size();
}

absl::string_view OutputBuffer::Next() {
  if (batch_sent_ == 0 && !next_.empty()) {
    if (batch_.empty()) {
      batch_.swap(next_);
    } else {
      batch_.append(next_);  // The last try sent nothing.
      next_.clear();
      Release(next_);
    }
  }
  return absl::string_view(batch_).substr(batch_sent_);
}

void OutputBuffer::Sent(size_t count) {
  CHECK_LE(count, batch_.size() - batch_sent_) << "a stream wrote more than there was";
  batch_sent_ += count;
  sent_ += count;
  if (batch_sent_ < batch_.size()) return;
  batch_sent_ = 0;
  batch_.clear();
  Release(batch_);
}

void OutputBuffer::Clear() {
  sent_ = appended_;
  batch_sent_ = 0;
  batch_.clear();
  Release(batch_);
  next_.clear();
  Release(next_);
}

void OutputBuffer::Release(std::string& memory) const {
  if (memory.capacity() > usual_bytes_) std::string().swap(memory);
}

TurnLine::~TurnLine() {
  if (taken_) CHECK(ShardCrashed()) << "a buffered writer was destroyed while a call is under way";
}

bool TurnLine::WaitOperation::Start() {
  if (line_.taken_) {
    line_.waiting_.PushBack(*this);
    return false;
  }
  has_turn_ = line_.taken_ = true;
  return GrantAtOnce();
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
