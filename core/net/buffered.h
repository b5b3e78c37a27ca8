// SPDX-License-Identifier: Apache-2.0
//
// Buffered reading and writing over any stream: records, and many small writes in one.
//
//   BufferedReader reader(stream);                  // As a member: BufferedReader<TcpStream> reader_;
//   absl::StatusOr<absl::string_view> line = co_await reader.ReadUntil("\n", 1000);
//
// The stream must outlive the reader or writer and stay in place. All calls are lossless: what a stopped call had
// already received, or not yet sent, stays in the buffer for the next call.
//
// What a reading call returns is a view into the buffer, valid until the next call of the reader. For several parts at
// once, let them come with FillUntil() and FillAtLeast(), which consume nothing, and look at buffered() then:
//
//   absl::StatusOr<size_t> head = co_await reader.FillUntil("\r\n\r\n", 8192);
//   if (!head.ok()) co_return head.status();
//   const size_t size = *head + ContentLength(reader.buffered().substr(0, *head));
//   absl::Status filled = co_await reader.FillAtLeast(size);
//   if (!filled.ok()) co_return filled;
//   Handle(reader.buffered().substr(0, *head), reader.buffered().substr(*head, size - *head));
//   reader.Consume(size);
//
// One coroutine reads through a reader at a time; any number may write through one writer.

#ifndef TANDEM_CORE_NET_BUFFERED_H_
#define TANDEM_CORE_NET_BUFFERED_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/net/stream.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

namespace internal {

// Bytes that were received and not consumed.
class InputBuffer {
 public:
  // Memory beyond this is given back when less than a quarter of it is used.
  static constexpr size_t kUsualBytes = 64 * 1024;

  absl::string_view view() const { return absl::string_view(memory_.get() + begin_, end_ - begin_); }
  // REQUIRES count <= view().size() (CHECKed). The bytes stay in place until the next Reuse() or Room().
  absl::string_view Take(size_t count);
  // What was taken is not looked at any more. In debug builds it is overwritten, so that it shows who does; memory for
  // much more than what is left is given back.
  void Reuse();
  // Memory for at least `count` bytes behind view(); Commit() says how many were put there.
  absl::Span<char> Room(size_t count);
  void Commit(size_t count) { end_ += count; }
  void Append(absl::string_view data);
  size_t capacity() const { return capacity_; }

 private:
  // Moves what is left into memory of another size.
  void Move(size_t capacity);

  std::unique_ptr<char[]> memory_;  // Of which [begin_, end_) is the view.
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

absl::Status NoDelimiterError(size_t limit);
absl::Status EndedWithoutDelimiterError(size_t bytes);
absl::Status EndedEarlyError(size_t bytes, size_t wanted);

// Bytes that were appended and not sent. They leave in batches; a batch that went in part is finished first.
class OutputBuffer {
 public:
  // Memory of up to `usual_bytes` is kept.
  explicit OutputBuffer(size_t usual_bytes) : usual_bytes_(usual_bytes) {}

  void Append(absl::string_view data);
  // Positions in the stream of all bytes that were ever appended: its end, and where what is not sent begins.
  uint64_t appended() const { return appended_; }
  uint64_t sent() const { return sent_; }
  size_t pending() const { return static_cast<size_t>(appended_ - sent_); }

  // What goes out next. Stays in place until Sent() or Clear(), whatever is appended meanwhile.
  absl::string_view Next();
  // A part of Next() went before: it begins in the middle.
  bool torn() const { return batch_sent_ > 0; }
  // The first `count` bytes of Next() are sent.
  void Sent(size_t count);
  // Drops everything.
  void Clear();
  size_t memory_bytes() const { return batch_.capacity() + next_.capacity(); }

 private:
  void Release(std::string& memory) const;

  const size_t usual_bytes_;
  std::string batch_;  // Of which batch_sent_ are sent.
  size_t batch_sent_ = 0;
  std::string next_;  // Comes behind the batch.
  uint64_t appended_ = 0;
  uint64_t sent_ = 0;
};

// A turn that one call has at a time. The others wait in line, each until its turn has come, or until what it wants was
// done by the one before it.
class TurnLine {
 public:
  class WaitOperation;

  explicit TurnLine(absl::string_view name) : waiting_(name) {}
  // REQUIRES that nobody has the turn or waits for it, but for a simulated crash.
  ~TurnLine();

  // Takes the turn, or waits. What is wanted: that all bytes up to the position `end` are sent...
  WaitOperation WaitUntilSent(uint64_t end);
  // ...or that `data` is appended.
  WaitOperation WaitUntilAppended(absl::string_view data);
  bool taken() const { return taken_; }

  // Ends the turn. `serve(WaitOperation&)` does, or finds done, what the first in line wants, and says so; the first
  // that it cannot serve has the turn then.
  template <typename Serve>
  void Pass(Serve serve);

 private:
  bool taken_ = false;
  WaitList<WaitOperation> waiting_;
};

class [[nodiscard]] TurnLine::WaitOperation final : public WaitingOperation<WaitOperation> {
 public:
  WaitOperation(TurnLine& line, uint64_t end, absl::string_view data) : line_(line), end_(end), data_(data) {}
  std::string Describe() const override { return "its turn at a buffered writer"; }
  // True when the call has the turn, which it must Pass(); false when what it wants is done.
  absl::StatusOr<bool> TakeResult() {
    if (!granted()) return StopStatus();
    return has_turn_;
  }
  uint64_t end() const { return end_; }
  absl::string_view data() const { return data_; }

 private:
  friend class TurnLine;
  bool Start() override;
  void OnStop() override {
    LeaveLine();
    Finish();
  }

  TurnLine& line_;
  const uint64_t end_;
  const absl::string_view data_;
  bool has_turn_ = false;
};

inline TurnLine::WaitOperation TurnLine::WaitUntilSent(uint64_t end) { return WaitOperation(*this, end, {}); }
inline TurnLine::WaitOperation TurnLine::WaitUntilAppended(absl::string_view data) {
  return WaitOperation(*this, 0, data);
}

template <typename Serve>
void TurnLine::Pass(Serve serve) {
  while (!waiting_.empty()) {
    WaitOperation& next = waiting_.front();
    const bool served = serve(next);
    waiting_.PopFront();
    next.has_turn_ = !served;
    next.Grant();
    if (!served) return;
  }
  taken_ = false;
}

}  // namespace internal

// Itself an AsyncReader.
template <AsyncReader Source>
class BufferedReader {
 public:
  explicit BufferedReader(Source& stream) : stream_(stream) {}
  BufferedReader(const BufferedReader&) = delete;
  BufferedReader& operator=(const BufferedReader&) = delete;

  // What has been received and not consumed. Valid until the next waiting call.
  absl::string_view buffered() const { return input_.view(); }
  // Removes the first `count` bytes of buffered(); they stay where they are until the next waiting call. REQUIRES
  // count <= buffered().size().
  void Consume(size_t count) { input_.Take(count); }

  // Ends the validity of what was returned before; every waiting call begins with this. In debug builds and under
  // AddressSanitizer those bytes are overwritten.
  void EndViews() { input_.Reuse(); }

  // Receives more bytes into buffered() and returns how many; 0 at the end of the stream. Errors: those of the stream's
  // Read().
  Task<absl::StatusOr<size_t>> Fill();

  // Receives until buffered() has a `delimiter`, and returns the number of bytes up to its end. Consumes nothing; limit
  // and errors are those of ReadUntil().
  Task<absl::StatusOr<size_t>> FillUntil(std::string delimiter, size_t limit);

  // Receives until buffered() has at least `count` bytes. Consumes nothing. Errors are those of ReadExactly().
  Task<absl::Status> FillAtLeast(size_t count);

  // Reads between 1 and `target.size()` bytes; 0 at the end of the stream. Errors: those of the stream's Read().
  Task<absl::StatusOr<size_t>> Read(absl::Span<char> target);

  // Reads up to and including the first `delimiter` and returns it all, valid until the next call. At most `limit`
  // bytes. At the end of the stream without a delimiter nothing is consumed.
  //
  // Errors: those of the stream's Read(), and
  //   kOutOfRange         The stream ended first; buffered() has the unfinished rest.
  //   kResourceExhausted  No delimiter within `limit` bytes; buffered() has them.
  //   kInvalidArgument    `delimiter` is empty.
  Task<absl::StatusOr<absl::string_view>> ReadUntil(std::string delimiter, size_t limit);

  // Reads exactly `count` bytes, valid until the next call. Errors: those of the stream's Read(), and
  //   kOutOfRange         The stream ended first; buffered() has the unfinished rest.
  Task<absl::StatusOr<absl::string_view>> ReadExactly(size_t count);

 private:
  // What a stream that cannot hand over its own buffers is asked for at once.
  static constexpr size_t kReadBytes = 16 * 1024;

  Source& stream_;
  internal::InputBuffer input_;
};

// Many small writes in one. Any number of coroutines may use one writer: what each of them appends or writes stays
// together, goes out in the order in which it was taken, and is sent once, whichever of them is stopped when. The bytes
// are sent by the Flush() calls, one after the other, each of which sends what waits for all of them.
//
// At most `capacity` bytes wait, or one write that is larger: WriteAll() takes nothing before there is room. Only
// Append() does not ask.
//
// Itself an AsyncWriter, whose Flush() sends; a write either takes all or nothing.
template <AsyncWriter Sink>
class BufferedWriter {
 public:
  static constexpr size_t kDefaultCapacity = 16 * 1024;

  explicit BufferedWriter(Sink& stream, size_t capacity = kDefaultCapacity)
      : stream_(stream), capacity_(capacity), output_(std::max(4 * capacity, internal::InputBuffer::kUsualBytes)) {}
  BufferedWriter(const BufferedWriter&) = delete;
  BufferedWriter& operator=(const BufferedWriter&) = delete;
  // Does not flush: bytes that wait are dropped; see Discard(). REQUIRES that no call is under way (CHECKed).
  ~BufferedWriter() = default;

  // Adds `data` to the buffer without sending and without asking for room.
  void Append(absl::string_view data) { output_.Append(data); }
  // Bytes that wait to be sent.
  size_t pending() const { return output_.pending(); }
  // True when more than the capacity waits: time to Flush().
  bool full() const { return pending() > capacity_; }

  // Takes `data` when there is room, and makes room with Flush() when there is none: calls wait in the order in which
  // they were made. OK says that `data` was taken, and goes out behind everything that was taken before, with the next
  // Flush(). A call that fails has taken nothing, and `bytes` is 0. Errors: those of Flush().
  Task<IoResult> WriteAll(absl::string_view data);
  // As WriteAll(). Returns data.size().
  Task<absl::StatusOr<size_t>> WriteSome(absl::string_view data);
  // As WriteAll(); no write of a BufferedWriter is cut short in the middle, so...
  Task<IoResult> WriteRest(absl::string_view data) { return WriteAll(data); }
  // ...there is nothing to accept, either.
  void AcceptPartial() {}

  // Sends everything that waits; OK says that all that was taken before the call is sent, by whichever Flush(). A call
  // that is stopped keeps exactly what was not sent, and the next one goes on from there. When that is the rest of
  // something of which the peer has a part, the stream refuses to write anything else (as after a WriteAll() that was
  // cut short) until a Flush() goes on with it, or until Discard(). Errors: those of the stream's WriteAll().
  Task<absl::Status> Flush();

  // Flush(), and then ShutdownWrite() of the stream. Errors: those of both.
  Task<absl::Status> ShutdownWrite();

  // Gives up what waits to be sent. When the peer has a part of it, this says that it can make sense of that part (see
  // AcceptPartial() of the stream): the stream may be written to again. REQUIRES that no call is under way (CHECKed).
  void Discard();

 private:
  // Ends a turn at the end of a block.
  template <void (BufferedWriter::*kPass)()>
  class Turn {
   public:
    explicit Turn(BufferedWriter& writer) : writer_(writer) {}
    Turn(const Turn&) = delete;
    ~Turn() {
      if (!ShardCrashed()) (writer_.*kPass)();
    }

   private:
    BufferedWriter& writer_;
  };

  bool HasRoomFor(size_t bytes) const { return pending() == 0 || pending() + bytes <= capacity_; }
  void PassWriting();
  void PassSending();
  // Sends until everything before the position `end` is sent. REQUIRES the turn to send.
  Task<absl::Status> SendUntil(uint64_t end);

  Sink& stream_;
  const size_t capacity_;
  internal::OutputBuffer output_;
  internal::TurnLine writing_{"buffered writer"};  // Those who want room; the one whose turn it is makes some.
  internal::TurnLine sending_{"buffered writer"};  // Those who want to flush; the one whose turn it is sends.
};

// ---------------------------------------------------------------------------------------------------------------------

template <AsyncReader Source>
Task<absl::StatusOr<size_t>> BufferedReader<Source>::Fill() {
  EndViews();
  if constexpr (BufferReader<Source>) {
    absl::StatusOr<Buffer> received = co_await stream_.Receive();
    if (!received.ok()) co_return received.status();
    input_.Append(received->view());
    co_return received->size();
  } else {
    absl::StatusOr<size_t> count = co_await stream_.Read(input_.Room(kReadBytes));
    if (count.ok()) input_.Commit(*count);
    co_return count;
  }
}

template <AsyncReader Source>
Task<absl::StatusOr<size_t>> BufferedReader<Source>::Read(absl::Span<char> target) {
  EndViews();
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  if (buffered().empty() || target.empty()) {
    absl::StatusOr<size_t> read = co_await stream_.Read(target);
    co_return read;
  }
  const absl::string_view taken = input_.Take(std::min(target.size(), buffered().size()));
  std::memcpy(target.data(), taken.data(), taken.size());
  co_return taken.size();
}

template <AsyncReader Source>
Task<absl::StatusOr<size_t>> BufferedReader<Source>::FillUntil(std::string delimiter, size_t limit) {
  EndViews();
  if (delimiter.empty()) co_return absl::InvalidArgumentError("read until: the delimiter is empty");
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  size_t searched = 0;  // No delimiter begins before this.
  for (;;) {
    const size_t found = buffered().find(delimiter, searched);
    if (found != absl::string_view::npos && found + delimiter.size() <= limit) co_return found + delimiter.size();
    if (found != absl::string_view::npos || buffered().size() >= limit) co_return internal::NoDelimiterError(limit);
    searched = buffered().size() - std::min(buffered().size(), delimiter.size() - 1);
    absl::StatusOr<size_t> filled = co_await Fill();
    if (!filled.ok()) co_return filled.status();
    if (*filled == 0) co_return internal::EndedWithoutDelimiterError(buffered().size());
  }
}

template <AsyncReader Source>
Task<absl::Status> BufferedReader<Source>::FillAtLeast(size_t count) {
  EndViews();
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  while (buffered().size() < count) {
    absl::StatusOr<size_t> filled = co_await Fill();
    if (!filled.ok()) co_return filled.status();
    if (*filled == 0) co_return internal::EndedEarlyError(buffered().size(), count);
  }
  co_return absl::OkStatus();
}

template <AsyncReader Source>
Task<absl::StatusOr<absl::string_view>> BufferedReader<Source>::ReadUntil(std::string delimiter, size_t limit) {
  absl::StatusOr<size_t> size = co_await FillUntil(std::move(delimiter), limit);
  if (!size.ok()) co_return size.status();
  co_return input_.Take(*size);
}

template <AsyncReader Source>
Task<absl::StatusOr<absl::string_view>> BufferedReader<Source>::ReadExactly(size_t count) {
  absl::Status filled = co_await FillAtLeast(count);
  if (!filled.ok()) co_return filled;
  co_return input_.Take(count);
}

template <AsyncWriter Sink>
void BufferedWriter<Sink>::PassWriting() {
  writing_.Pass([this](const internal::TurnLine::WaitOperation& next) {
    if (!HasRoomFor(next.data().size())) return false;
    Append(next.data());
    return true;
  });
}

template <AsyncWriter Sink>
void BufferedWriter<Sink>::PassSending() {
  sending_.Pass([this](const internal::TurnLine::WaitOperation& next) { return next.end() <= output_.sent(); });
}

template <AsyncWriter Sink>
Task<IoResult> BufferedWriter<Sink>::WriteAll(absl::string_view data) {
  absl::StatusOr<bool> turn = co_await writing_.WaitUntilAppended(data);
  if (!turn.ok()) co_return IoResult{turn.status(), 0};
  if (*turn) {
    const Turn<&BufferedWriter::PassWriting> turn_to_write(*this);
    while (!HasRoomFor(data.size())) {
      absl::Status flushed = co_await Flush();
      if (!flushed.ok()) co_return IoResult{std::move(flushed), 0};
    }
    Append(data);
  }
  co_return IoResult{absl::OkStatus(), data.size()};
}

template <AsyncWriter Sink>
Task<absl::StatusOr<size_t>> BufferedWriter<Sink>::WriteSome(absl::string_view data) {
  IoResult written = co_await WriteAll(data);
  if (!written.ok()) co_return std::move(written.status);
  co_return written.bytes;
}

template <AsyncWriter Sink>
Task<absl::Status> BufferedWriter<Sink>::SendUntil(uint64_t end) {
  while (output_.sent() < end) {
    const bool torn = output_.torn();
    const absl::string_view data = output_.Next();
    IoResult result;
    if (torn) {
      result = co_await stream_.WriteRest(data);
    } else {
      result = co_await stream_.WriteAll(data);
    }
    output_.Sent(result.bytes);
    if (!result.ok()) co_return std::move(result.status);
  }
  co_return absl::OkStatus();
}

template <AsyncWriter Sink>
Task<absl::Status> BufferedWriter<Sink>::Flush() {
  const uint64_t end = output_.appended();
  if (output_.sent() < end) {
    absl::StatusOr<bool> turn = co_await sending_.WaitUntilSent(end);
    if (!turn.ok()) co_return turn.status();
    if (*turn) {
      const Turn<&BufferedWriter::PassSending> turn_to_send(*this);
      absl::Status sent = co_await SendUntil(end);
      if (!sent.ok()) co_return sent;
    }
  }
  absl::Status status = co_await stream_.Flush();
  co_return status;
}

template <AsyncWriter Sink>
Task<absl::Status> BufferedWriter<Sink>::ShutdownWrite() {
  absl::Status flushed = co_await Flush();
  if (!flushed.ok()) co_return flushed;
  absl::Status status = co_await stream_.ShutdownWrite();
  co_return status;
}

template <AsyncWriter Sink>
void BufferedWriter<Sink>::Discard() {
  CHECK(!writing_.taken() && !sending_.taken()) << "a buffered writer was told to give up what is being sent";
  if (output_.torn()) stream_.AcceptPartial();
  output_.Clear();
}

}  // namespace tandem

#endif  // TANDEM_CORE_NET_BUFFERED_H_
