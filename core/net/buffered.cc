// SPDX-License-Identifier: Apache-2.0

#include "core/net/buffered.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "core/base/result.h"

namespace tandem {

void BufferedReader::Consume(size_t count) {
  CHECK_LE(count, buffered().size());
  begin_ += count;
}

// Moves the rest to the front when what was consumed is at least as long: amortised constant work for each byte.
void BufferedReader::Compact() {
  if (begin_ == data_.size()) {
    data_.clear();
    begin_ = 0;
  } else if (begin_ >= data_.size() - begin_) {
    data_.erase(0, begin_);
    begin_ = 0;
  }
}

Task<absl::StatusOr<size_t>> BufferedReader::Fill() {
  Compact();
  absl::StatusOr<Buffer> received = co_await stream_.Receive();
  if (!received.ok()) co_return received.status();
  data_.append(received->data(), received->size());
  co_return received->size();
}

Task<absl::StatusOr<size_t>> BufferedReader::Read(absl::Span<char> target) {
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  if (buffered().empty() || target.empty()) {
    absl::StatusOr<size_t> read = co_await stream_.Read(target);
    co_return read;
  }
  const size_t count = std::min(target.size(), buffered().size());
  std::memcpy(target.data(), buffered().data(), count);
  Consume(count);
  co_return count;
}

absl::string_view BufferedReader::Take(size_t count) {
  const absl::string_view taken = buffered().substr(0, count);
  begin_ += count;
  return taken;
}

Task<absl::StatusOr<absl::string_view>> BufferedReader::ReadUntil(std::string delimiter, size_t limit) {
  if (delimiter.empty()) co_return absl::InvalidArgumentError("read until: the delimiter is empty");
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  size_t searched = 0;  // No delimiter begins before this.
  for (;;) {
    const size_t found = buffered().find(delimiter, searched);
    if (found != absl::string_view::npos && found + delimiter.size() <= limit) co_return Take(found + delimiter.size());
    if (found != absl::string_view::npos || buffered().size() >= limit) {
      co_return absl::ResourceExhaustedError(absl::StrCat("read until: no delimiter within ", limit, " bytes"));
    }
    searched = buffered().size() - std::min(buffered().size(), delimiter.size() - 1);
    absl::StatusOr<size_t> filled = co_await Fill();
    if (!filled.ok()) co_return filled.status();
    if (*filled == 0) {
      co_return absl::OutOfRangeError(
          absl::StrCat("read until: the stream ended after ", buffered().size(), " bytes without a delimiter"));
    }
  }
}

Task<absl::StatusOr<absl::string_view>> BufferedReader::ReadExactly(size_t count) {
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  while (buffered().size() < count) {
    absl::StatusOr<size_t> filled = co_await Fill();
    if (!filled.ok()) co_return filled.status();
    if (*filled == 0) {
      co_return absl::OutOfRangeError(
          absl::StrCat("read: the stream ended after ", buffered().size(), " of ", count, " bytes"));
    }
  }
  co_return Take(count);
}

Task<absl::Status> BufferedWriter::Write(std::string data) {
  Append(data);
  if (data_.size() <= capacity_) co_return absl::OkStatus();
  absl::Status status = co_await Flush();
  co_return status;
}

Task<absl::Status> BufferedWriter::Flush() {
  if (data_.empty()) co_return absl::OkStatus();
  // What is appended meanwhile must not move the bytes that are being sent.
  std::string sending = std::exchange(data_, std::string());
  IoResult result = co_await stream_.WriteAll(sending);
  if (result.bytes < sending.size()) {
    data_.insert(0, sending, result.bytes, std::string::npos);
    // The rest is known and goes out first next time, so the message is not torn.
    if (result.bytes > 0) stream_.AcceptPartial();
  } else if (data_.empty()) {
    sending.clear();
    data_ = std::move(sending);  // Keeps the memory.
  }
  co_return result.status;
}

}  // namespace tandem
