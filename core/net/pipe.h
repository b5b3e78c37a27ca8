// SPDX-License-Identifier: Apache-2.0
//
// PipeStream: a byte stream in memory, between two coroutines of one shard.
//
//   auto [left, right] = MakePipe(64 * 1024);
//
// Each end is an AsyncStream and keeps the promises of core/net/stream.h, with back-pressure, half-close, and the
// errors of a socket: what is written after the other end is gone fails with kUnavailable (EPIPE), an end that is
// closed with input unread, or aborted, resets the other (ECONNRESET). There is no delay and no reactor in it, so a
// pipe is as deterministic as the program: for tests, and for joining parts that speak over streams.

#ifndef TANDEM_CORE_NET_PIPE_H_
#define TANDEM_CORE_NET_PIPE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/base/result.h"
#include "tandem/core/net/flush_operation.h"
#include "tandem/core/net/handle.h"

namespace tandem {

namespace internal {

// One direction of a pipe. Counted: both ends hold it, and every call that waits.
class PipeHalf final : public Counted<PipeHalf> {
 public:
  explicit PipeHalf(size_t capacity) : capacity_(capacity) {}

  // --- The reading end ---

  // A call that waits for input.
  class Reader {
   public:
    virtual void OnRead() = 0;

   protected:
    explicit Reader(absl::Span<char> target) : target_(target) {}
    ~Reader() = default;

    absl::StatusOr<size_t> result_ = size_t{0};
    bool done_ = false;

   private:
    friend class PipeHalf;
    const absl::Span<char> target_;
  };

  // OnRead() follows, perhaps within this call. One reader at a time (CHECKed).
  void StartReading(Reader& reader);
  // Does nothing when `reader` does not wait.
  void StopReading(Reader& reader) {
    if (reader_ == &reader) reader_ = nullptr;
  }
  bool has_unread() const { return size_ > 0; }
  // Reads fail with EBADF from now on, writes with EPIPE.
  void CloseReading();

  // --- The writing end ---

  struct WriteListTag;

  // A call that writes. Its data stays valid until OnWritten().
  class Writer : public ListLink<WriteListTag> {
   public:
    enum class Kind : uint8_t { kSome, kAll, kShutdown };

    virtual void OnWritten() = 0;

   protected:
    Writer(Kind kind, absl::string_view rest) : kind_(kind), rest_(rest) {}
    ~Writer() {
      if (linked()) Unlink();  // Only when a simulated crash destroys the frame.
    }

    size_t written_ = 0;
    absl::Status error_;
    bool done_ = false;
    // The rest of a message: cut short again, even before anything went, it leaves the message half sent.
    bool resumes_ = false;

   private:
    friend class PipeHalf;
    const Kind kind_;
    absl::string_view rest_;
  };

  // OnWritten() follows, perhaps within this call.
  void StartWriting(Writer& writer);
  // Takes `writer`, which waits, out of the queue.
  void StopWriting(Writer& writer);
  void AcceptPartial() { poisoned_ = false; }
  // OK, or EBADF after CloseWriting() and Reset().
  absl::Status FlushStatus() const;
  // Writes fail with EBADF from now on. The reading end gets what was written and then the end...
  void CloseWriting();
  // ...or loses what it has not read, and gets ECONNRESET.
  void Reset();

 private:
  friend class Counted<PipeHalf>;
  ~PipeHalf();

  bool readable() const { return size_ > 0 || ended_ || reset_ || reading_closed_; }
  absl::StatusOr<size_t> TakeBytes(absl::Span<char> target);
  // Copies what there is room for, and returns how much that was.
  size_t PutBytes(absl::string_view data);
  absl::Status WriteError() const;
  // Does what can be done of `writer`, and says whether that is all.
  bool Progress(Writer& writer);
  // Lets whoever waits go on, as far as there are bytes, room and errors.
  void Pump();

  const size_t capacity_;
  std::vector<char> ring_;  // Allocated by the first write.
  size_t first_ = 0;
  size_t size_ = 0;
  bool ended_ = false;  // ShutdownWrite() or Close().
  bool reset_ = false;  // Not reported yet.
  bool poisoned_ = false;
  bool reading_closed_ = false;
  bool writing_closed_ = false;
  Reader* reader_ = nullptr;
  IntrusiveList<Writer, WriteListTag> writers_;
};

}  // namespace internal

class PipeStream {
 public:
  class ReadOperation;
  template <typename Derived>
  class OutputOperation;
  class WriteSomeOperation;
  class WriteAllOperation;
  class ShutdownWriteOperation;
  class CloseOperation;

  // No stream: only assignment, destruction and valid() make sense, and any other call is a bug (CHECKed); so after a
  // move from here.
  PipeStream() = default;
  PipeStream(PipeStream&&) = default;
  PipeStream& operator=(PipeStream&& other) noexcept {
    if (this != &other) {
      CloseNow();
      input_ = std::move(other.input_);
      output_ = std::move(other.output_);
    }
    return *this;
  }
  // As Close().
  ~PipeStream() { CloseNow(); }

  bool valid() const { return input_.get() != nullptr; }

  // See core/net/stream.h. The calls can be given a deadline, `.By(instant)`.
  ReadOperation Read(absl::Span<char> target ABSL_ATTRIBUTE_LIFETIME_BOUND);
  WriteSomeOperation WriteSome(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND);
  WriteAllOperation WriteAll(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND);
  WriteAllOperation WriteRest(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND);
  void AcceptPartial() { output()->AcceptPartial(); }
  FlushOperation Flush();
  ShutdownWriteOperation ShutdownWrite();
  CloseOperation Close();
  void Abort();

 private:
  friend std::pair<PipeStream, PipeStream> MakePipe(size_t capacity);
  PipeStream(Ref<internal::PipeHalf> input, Ref<internal::PipeHalf> output)
      : input_(std::move(input)), output_(std::move(output)) {}
  void CloseNow();
  const Ref<internal::PipeHalf>& input() const {
    CheckNotEmpty();
    return input_;
  }
  const Ref<internal::PipeHalf>& output() const {
    CheckNotEmpty();
    return output_;
  }
  void CheckNotEmpty() const {
    if (ABSL_PREDICT_FALSE(!valid())) internal::DieOfEmptyHandle("PipeStream");
  }

  Ref<internal::PipeHalf> input_;
  Ref<internal::PipeHalf> output_;
};

// Two connected ends. Up to `capacity` bytes wait in each direction; beyond it writes wait. REQUIRES capacity > 0.
std::pair<PipeStream, PipeStream> MakePipe(size_t capacity);

// ---------------------------------------------------------------------------------------------------------------------

// Awaits to absl::StatusOr<size_t>.
class [[nodiscard]] PipeStream::ReadOperation final : public WithDeadline<ReadOperation>,
                                                      private internal::PipeHalf::Reader {
 public:
  ReadOperation(Ref<internal::PipeHalf> half, absl::Span<char> target) : Reader(target), half_(std::move(half)) {}
  ~ReadOperation() override { half_->StopReading(*this); }
  std::string Describe() const override { return "input from a pipe"; }
  absl::StatusOr<size_t> TakeResult() {
    if (!done_) return StopStatus();
    return std::move(result_);
  }

 private:
  bool Start() override {
    half_->StartReading(*this);
    return done_;
  }
  void OnStop() override {
    half_->StopReading(*this);
    Finish();
  }
  void OnRead() override {
    if (suspended()) Finish();
  }

  const Ref<internal::PipeHalf> half_;
};

template <typename Derived>
class PipeStream::OutputOperation : public WithDeadline<Derived>, protected internal::PipeHalf::Writer {
 public:
  std::string Describe() const override { return "room in a pipe"; }

 protected:
  OutputOperation(Ref<internal::PipeHalf> half, Kind kind, absl::string_view data)
      : Writer(kind, data), half_(std::move(half)) {}
  absl::Status EndStatus() const { return done_ ? error_ : this->StopStatus(); }

 private:
  bool Start() override {
    if (resumes_) half_->AcceptPartial();
    half_->StartWriting(*this);
    return done_;
  }
  void OnStop() override {
    half_->StopWriting(*this);
    this->Finish();
  }
  void OnWritten() override {
    if (this->suspended()) this->Finish();
  }

  const Ref<internal::PipeHalf> half_;
};

// Awaits to absl::StatusOr<size_t>.
class [[nodiscard]] PipeStream::WriteSomeOperation final : public OutputOperation<WriteSomeOperation> {
 public:
  WriteSomeOperation(Ref<internal::PipeHalf> half, absl::string_view data)
      : OutputOperation(std::move(half), Kind::kSome, data) {}
  absl::StatusOr<size_t> TakeResult() {
    absl::Status status = EndStatus();
    if (!status.ok()) return status;
    return written_;
  }
};

// Awaits to IoResult.
class [[nodiscard]] PipeStream::WriteAllOperation final : public OutputOperation<WriteAllOperation> {
 public:
  enum class Begins : bool { kAtTheStart, kInTheMiddle };
  WriteAllOperation(Ref<internal::PipeHalf> half, absl::string_view data, Begins begins)
      : OutputOperation(std::move(half), Kind::kAll, data) {
    resumes_ = begins == Begins::kInTheMiddle;
  }
  IoResult TakeResult() { return IoResult{EndStatus(), written_}; }
};

// Awaits to absl::Status.
class [[nodiscard]] PipeStream::ShutdownWriteOperation final : public OutputOperation<ShutdownWriteOperation> {
 public:
  explicit ShutdownWriteOperation(Ref<internal::PipeHalf> half)
      : OutputOperation(std::move(half), Kind::kShutdown, absl::string_view()) {}
  absl::Status TakeResult() { return EndStatus(); }
};

// Awaits to absl::Status.
class [[nodiscard]] PipeStream::CloseOperation final : public Leaf {
 public:
  explicit CloseOperation(PipeStream& stream) : stream_(stream) { set_uncancellable(); }
  std::string Describe() const override { return "the close of a pipe"; }
  absl::Status TakeResult() { return absl::OkStatus(); }

 private:
  bool Start() override {
    stream_.CloseNow();
    return true;
  }
  void OnStop() override {}
  PipeStream& stream_;
};

inline PipeStream::ReadOperation PipeStream::Read(absl::Span<char> target) { return ReadOperation(input(), target); }
inline PipeStream::WriteSomeOperation PipeStream::WriteSome(absl::string_view data) {
  return WriteSomeOperation(output(), data);
}
inline PipeStream::WriteAllOperation PipeStream::WriteAll(absl::string_view data) {
  return WriteAllOperation(output(), data, WriteAllOperation::Begins::kAtTheStart);
}
inline PipeStream::WriteAllOperation PipeStream::WriteRest(absl::string_view data) {
  return WriteAllOperation(output(), data, WriteAllOperation::Begins::kInTheMiddle);
}
inline FlushOperation PipeStream::Flush() { return FlushOperation(output()->FlushStatus()); }
inline PipeStream::ShutdownWriteOperation PipeStream::ShutdownWrite() { return ShutdownWriteOperation(output()); }
inline PipeStream::CloseOperation PipeStream::Close() {
  static_cast<void>(input());
  return CloseOperation(*this);
}

}  // namespace tandem

#endif  // TANDEM_CORE_NET_PIPE_H_
