// SPDX-License-Identifier: Apache-2.0
//
// Results are in the waiting call when it is woken, so that nobody can take them in between, and a stop that comes
// after them finds the call done.

#include "tandem/core/net/pipe.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/log/check.h"
#include "tandem/core/io/errors.h"

namespace tandem {

namespace internal {

// A crash may destroy the ends before the calls that wait; those hold the half, and have left it by now.
PipeHalf::~PipeHalf() { DCHECK(writers_.empty()); }

void PipeHalf::StartReading(Reader& reader) {
  CHECK(reader_ == nullptr) << "two reads at once on one end of a pipe";
  reader_ = &reader;
  Pump();
}

absl::StatusOr<size_t> PipeHalf::TakeBytes(absl::Span<char> target) {
  if (reading_closed_) return ErrnoStatus(EBADF, "read from a pipe");
  if (target.empty()) return absl::InvalidArgumentError("read from a pipe: the target is empty");
  if (size_ > 0) {
    const size_t count = std::min(size_, target.size());
    const size_t straight = std::min(count, capacity_ - first_);
    std::memcpy(target.data(), &ring_[first_], straight);
    std::memcpy(target.data() + straight, ring_.data(), count - straight);
    first_ = (first_ + count) % capacity_;
    size_ -= count;
    return count;
  }
  if (reset_) {
    reset_ = false;
    ended_ = true;
    return ErrnoStatus(ECONNRESET, "read from a pipe");
  }
  return size_t{0};
}

size_t PipeHalf::PutBytes(absl::string_view data) {
  if (ring_.empty()) ring_.resize(capacity_);
  const size_t count = std::min(capacity_ - size_, data.size());
  const size_t end = (first_ + size_) % capacity_;
  const size_t straight = std::min(count, capacity_ - end);
  std::memcpy(&ring_[end], data.data(), straight);
  std::memcpy(ring_.data(), data.data() + straight, count - straight);
  size_ += count;
  return count;
}

absl::Status PipeHalf::FlushStatus() const {
  return writing_closed_ ? ErrnoStatus(EBADF, "flush a pipe") : absl::OkStatus();
}

absl::Status PipeHalf::WriteError() const {
  if (writing_closed_) return ErrnoStatus(EBADF, "write to a pipe");
  if (ended_ || reading_closed_) return ErrnoStatus(EPIPE, "write to a pipe");
  if (poisoned_) {
    return absl::FailedPreconditionError(
        "write to a pipe: an earlier WriteAll was cut short; go on with WriteRest() or AcceptPartial()");
  }
  return absl::OkStatus();
}

void PipeHalf::StartWriting(Writer& writer) {
  writers_.PushBack(writer);
  Pump();
}

bool PipeHalf::Progress(Writer& writer) {
  const bool shuts_down = writer.kind_ == Writer::Kind::kShutdown;
  writer.error_ = WriteError();
  if (shuts_down && ended_ && !writing_closed_) writer.error_ = absl::OkStatus();  // A second time.
  if (!writer.error_.ok()) return true;
  if (shuts_down) {
    ended_ = true;
    return true;
  }
  const size_t count = PutBytes(writer.rest_);
  writer.written_ += count;
  writer.rest_.remove_prefix(count);
  return writer.rest_.empty() || (writer.kind_ == Writer::Kind::kSome && count > 0);
}

void PipeHalf::StopWriting(Writer& writer) {
  writer.Unlink();
  if (writer.written_ > 0 || writer.resumes_) poisoned_ = true;
  Pump();
}

void PipeHalf::Pump() {
  for (;;) {
    if (reader_ != nullptr && (readable() || reader_->target_.empty())) {
      Reader& reader = *std::exchange(reader_, nullptr);
      reader.result_ = TakeBytes(reader.target_);
      reader.done_ = true;
      reader.OnRead();
    }
    if (writers_.empty()) return;
    Writer& writer = writers_.front();
    if (Progress(writer)) {
      writer.Unlink();
      writer.done_ = true;
      writer.OnWritten();
    } else if (reader_ == nullptr) {
      return;  // It is full.
    }
  }
}

void PipeHalf::CloseReading() {
  if (reading_closed_) return;
  reading_closed_ = true;
  Pump();
}

void PipeHalf::CloseWriting() {
  if (writing_closed_) return;
  writing_closed_ = true;
  ended_ = true;
  Pump();  // Writers that wait end with EBADF.
}

void PipeHalf::Reset() {
  if (writing_closed_) return;
  writing_closed_ = true;
  size_ = 0;
  reset_ = true;
  Pump();
}

}  // namespace internal

std::pair<PipeStream, PipeStream> MakePipe(size_t capacity) {
  CHECK_GT(capacity, 0u) << "a pipe of no capacity";
  const auto forth = Ref<internal::PipeHalf>::Adopt(new internal::PipeHalf(capacity));
  const auto back = Ref<internal::PipeHalf>::Adopt(new internal::PipeHalf(capacity));
  return {PipeStream(back, forth), PipeStream(forth, back)};
}

void PipeStream::CloseNow() {
  if (!valid()) return;
  if (input_->has_unread()) {
    Abort();
    return;
  }
  output_->CloseWriting();
  input_->CloseReading();
}

void PipeStream::Abort() {
  output()->Reset();
  input()->CloseReading();
}

}  // namespace tandem
