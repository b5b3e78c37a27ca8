// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/stream_socket.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"

namespace tandem {

Ref<StreamSocket> StreamSocket::Adopt(SocketId id, const SocketAddress& peer) {
  return Ref<StreamSocket>::Adopt(new StreamSocket(id, peer));
}

StreamSocket::StreamSocket(SocketId id, const SocketAddress& peer) : id_(id), peer_(peer) {
  source_.socket = send_.socket = connect_or_close_.socket = id;
}

StreamSocket::~StreamSocket() {
  if (stall_timer_ != nullptr && stall_timer_->armed()) Executor::Current().timers().Disarm(*stall_timer_);
  while (!writers_.empty()) writers_.PopFront();
}

SocketId StreamSocket::ReleaseId() {
  CHECK(open() && !source_.armed() && !send_.in_flight() && !connect_or_close_.in_flight());
  GiveUpSocket();
  return id_;
}

absl::Status StreamSocket::ClosedStatus(absl::string_view operation) const { return StatusFor(EBADF, operation); }

absl::Status StreamSocket::StatusFor(int error, absl::string_view operation) const {
  if (error == Writer::kPoisoned) {
    return absl::FailedPreconditionError(
        absl::StrCat(operation, " ", peer_.ToString(),
                     ": an earlier WriteAll was cut short; go on with WriteRest() or AcceptPartial()"));
  }
  if (error == Writer::kFileEnded) {
    return absl::OutOfRangeError(absl::StrCat(operation, " ", peer_.ToString(), ": the file ended before"));
  }
  if (error == Writer::kStalled) {
    return absl::DeadlineExceededError(absl::StrCat(operation, " ", peer_.ToString(), ": nothing could be sent for ",
                                                    absl::FormatDuration(stall_timeout())));
  }
  return ErrnoStatus(error, absl::StrCat(operation, " ", peer_.ToString()));
}

absl::StatusOr<SocketAddress> StreamSocket::LocalAddress() const {
  if (!open()) return ClosedStatus("local address");
  SocketAddress address;
  const int result = reactor_->LocalAddress(id_, &address);
  if (result < 0) return StatusFor(-result, "local address");
  return address;
}

// --- Reading ---

void StreamSocket::BeginReading(Reader& reader) {
  CHECK(reader_ == nullptr) << "two reads at once on one stream (" << peer_.ToString() << ")";
  reader_ = &reader;
}

void StreamSocket::WaitForInput(size_t wanted) {
  CHECK(reader_ != nullptr && wanted > 0);
  wanted_ = wanted;
  ArmIfWanted();
}

void StreamSocket::EndReading(Reader& reader) {
  if (reader_ != &reader) return;
  reader_ = nullptr;
  wanted_ = 0;
}

void StreamSocket::set_high_water_mark(size_t bytes) {
  CHECK_GT(bytes, 0u);
  high_water_mark_ = bytes;
}

// Receiving begins with the first reader. It goes on while nobody waits, up to the mark; after a pause it begins again
// when less than half of the mark is unread, or less than the reader wants.
void StreamSocket::ArmIfWanted() {
  if (source_.armed() || input_ended()) return;
  if (wanted_ == 0 && !paused_by_budget_) return;
  if (unread_.bytes() > high_water_mark_ / 2 && unread_.bytes() >= wanted_) return;
  Arm();
}

void StreamSocket::Arm() {
  paused_by_budget_ = false;
  source_.budget = std::max(high_water_mark_, wanted_) - unread_.bytes();
  AddRef();
  reactor_->Arm(source_);
}

void StreamSocket::NotifyReader() {
  if (wanted_ > 0 && reader_->OnReadable()) wanted_ = 0;
}

void StreamSocket::ReceiveSource::OnDescriptors(std::vector<OwnedDescriptor> descriptors) {
  owner_.descriptors_.push_back(ArrivedDescriptors{owner_.received_bytes_, std::move(descriptors)});
}

void StreamSocket::ReceiveSource::OnReceived(Buffer buffer) {
  const uint64_t position = owner_.received_bytes_;
  owner_.received_bytes_ += buffer.size();
  if (!owner_.descriptors_.empty() && owner_.descriptors_.back().position == position) {
    owner_.unread_.Push(std::move(buffer));  // TakeBuffer() wants descriptors at the beginning of a buffer.
  } else {
    owner_.unread_.PushCompact(std::move(buffer));
  }
  if (owner_.open()) owner_.NotifyReader();
}

void StreamSocket::ReceiveSource::OnEnd(SourceEnd end, int error) {
  const Ref<StreamSocket> keep = Ref<StreamSocket>::Adopt(&owner_);
  switch (end) {
    case SourceEnd::kEndOfStream:
      owner_.end_of_stream_ = true;
      break;
    case SourceEnd::kError:
      owner_.read_error_ = error;
      break;
    case SourceEnd::kBudget:
      owner_.paused_by_budget_ = true;
      break;
    case SourceEnd::kDisarmed:
      break;
  }
  if (!owner_.open()) {
    owner_.ContinueClose();
    return;
  }
  if (end == SourceEnd::kEndOfStream || end == SourceEnd::kError) owner_.NotifyReader();
  owner_.ArmIfWanted();
}

absl::StatusOr<size_t> StreamSocket::TakeBytes(absl::Span<char> target) {
  if (!open()) return ClosedStatus("read");
  if (!unread_.empty()) {
    if (!descriptors_.empty()) [[unlikely]]
      target = target.first(PassDescriptors(target.size()));
    const size_t count = unread_.Drain(target);
    if (paused_by_budget_) ArmIfWanted();
    return count;
  }
  if (read_error_ != 0) {
    end_of_stream_ = true;
    return StatusFor(std::exchange(read_error_, 0), "read");
  }
  CHECK(end_of_stream_) << "nothing to read";
  return size_t{0};
}

absl::StatusOr<Buffer> StreamSocket::TakeBuffer() {
  if (!open() || unread_.empty()) {
    const auto ended = TakeBytes({});
    if (!ended.ok()) return ended.status();
    return Buffer();
  }
  // Descriptors come at the beginning of a buffer, so none are passed over.
  PassDescriptors(0);
  Buffer buffer = unread_.Pop();
  if (buffer.scarce()) buffer = reactor_->heap_buffers().Copy(buffer.view());
  if (paused_by_budget_) ArmIfWanted();
  return buffer;
}

absl::StatusOr<size_t> StreamSocket::PeekBytes(absl::Span<char> target, size_t min) const {
  if (!open()) return ClosedStatus("peek");
  if (unread_.bytes() < min && read_error_ != 0) return StatusFor(read_error_, "peek");
  return unread_.Peek(target);
}

absl::StatusOr<std::optional<size_t>> StreamSocket::TryTakeBytes(absl::Span<char> target) {
  CHECK(reader_ == nullptr) << "two reads at once on one stream (" << peer_.ToString() << ")";
  if (readable()) return TakeBytes(target);
  if (source_.armed()) return std::nullopt;
  if (source_.wants_descriptors) {
    // Only a source delivers them.
    Arm();
    return std::nullopt;
  }
  const int64_t result = reactor_->TryReceive(id_, target);
  if (result == -EAGAIN) return std::nullopt;
  if (result <= 0) end_of_stream_ = true;
  if (result < 0) return StatusFor(static_cast<int>(-result), "read");
  received_bytes_ += static_cast<size_t>(result);
  return static_cast<size_t>(result);
}

absl::Status StreamSocket::Unread(Buffer buffer) {
  CHECK(reader_ == nullptr) << "bytes are pushed back under a read that waits (" << peer_.ToString() << ")";
  if (!open()) return ClosedStatus("unread");
  if (!buffer.empty()) unread_.PushFront(std::move(buffer));
  return absl::OkStatus();
}

absl::Status StreamSocket::Unread(absl::string_view bytes) { return Unread(reactor_->heap_buffers().Copy(bytes)); }

absl::Status StreamSocket::ShutdownRead() {
  if (!open()) return ClosedStatus("shutdown");
  return StatusFor(-reactor_->Shutdown(id_, ShutdownHow::kRead), "shutdown");
}

std::vector<OwnedDescriptor> StreamSocket::TakeDescriptors() {
  std::vector<OwnedDescriptor> taken;
  if (!descriptors_.empty() && descriptors_.front().position == consumed_bytes()) {
    taken = std::move(descriptors_.front().descriptors);
    descriptors_.erase(descriptors_.begin());
  }
  return taken;
}

// Before bytes are taken: drops the descriptors of the first one, and returns how many of `limit` bytes may be taken
// without taking the first byte of others.
size_t StreamSocket::PassDescriptors(size_t limit) {
  if (descriptors_.empty()) return limit;
  TakeDescriptors();
  if (descriptors_.empty()) return limit;
  return static_cast<size_t>(std::min<uint64_t>(limit, descriptors_.front().position - consumed_bytes()));
}

// --- Writing ---

int StreamSocket::write_error() const {
  if (!open()) return EBADF;
  return poisoned_ ? Writer::kPoisoned : 0;
}

void StreamSocket::StartWriting(Writer& writer) {
  CHECK_EQ(write_error(), 0);
  writer.SkipEmptySlices();
  writers_.PushBack(writer);
  SendQueued();
}

void StreamSocket::Writer::SkipEmptySlices() {
  while (next_slice_ < slices_.size() && slices_[next_slice_].size == 0) ++next_slice_;
}

void StreamSocket::StopWriting(Writer& writer, int error) {
  if (!writer.in_flight_) {
    FinishWriter(writer, error);
    return;
  }
  writer.stopping_ = true;
  writer.error_ = error;
  reactor_->Cancel(send_);
}

absl::StatusOr<std::optional<size_t>> StreamSocket::TryWrite(absl::string_view data) {
  if (const int error = write_error(); error != 0) return StatusFor(error, "write");
  if (data.empty()) return size_t{0};
  if (!writers_.empty() || send_.in_flight()) return std::nullopt;
  const IoSlice slice{data.data(), data.size()};
  const int64_t result = reactor_->TrySend(id_, absl::MakeConstSpan(&slice, 1));
  if (result == -EAGAIN) return std::nullopt;
  if (result < 0) return StatusFor(static_cast<int>(-result), "write");
  return static_cast<size_t>(result);
}

void StreamSocket::ShutdownWriteWhenSent() {
  shutdown_when_sent_ = true;
  if (!Executor::Current().dead()) SendQueued();
}

// Sends as much of the queue as one operation can carry.
void StreamSocket::SendQueued() {
  if (!open() || send_.in_flight()) return;
  if (shutdown_when_sent_ || (!writers_.empty() && writers_.front().kind_ == Writer::Kind::kShutdown)) [[unlikely]] {
    FinishShutdowns();
  }
  if (writers_.empty()) return;
  if (writers_.front().kind_ == Writer::Kind::kFile) [[unlikely]] {
    GatherFile(writers_.front());
  } else if (!GatherSlices()) {
    return;
  }
  AddRef();
  reactor_->Submit(send_);
  if (stall_timer_ != nullptr) [[unlikely]]
    StartStallTimer();
}

// A shutdown at the head has nothing before it left to send.
void StreamSocket::FinishShutdowns() {
  while (!writers_.empty() && writers_.front().kind_ == Writer::Kind::kShutdown) {
    const int result = reactor_->Shutdown(id_, ShutdownHow::kWrite);
    FinishWriter(writers_.front(), -result);
  }
  if (writers_.empty() && std::exchange(shutdown_when_sent_, false)) {
    // Fails when the connection is gone, and then the peer knows.
    reactor_->Shutdown(id_, ShutdownHow::kWrite);
  }
}

void StreamSocket::GatherFile(Writer& writer) {
  send_.kind = OperationKind::kSendFile;
  send_.file = &writer.file_;
  writer.in_flight_ = true;
}

// The writers in flight are those at the head of the queue: nobody else is looked at, however many wait.
bool StreamSocket::GatherSlices() {
  send_.kind = OperationKind::kSend;
  send_.descriptors = {};
  send_.some_is_enough = false;
  size_t count = 0;
  for (Writer* writer = writers_.First(); writer != nullptr; writer = writers_.Next(*writer)) {
    ++queue_steps_;
    if (!GatherSlicesOf(*writer, count)) break;
  }
  send_.slices = absl::MakeConstSpan(gather_ != nullptr ? gather_.get() : &slice_, count);
  return count > 0;
}

// Adds what fits of `writer` to the send, which has `count` slices. Returns false when nothing may follow. Descriptors
// start a send of their own, since they travel with its first byte.
bool StreamSocket::GatherSlicesOf(Writer& writer, size_t& count) {
  if (writer.kind_ == Writer::Kind::kShutdown || writer.kind_ == Writer::Kind::kFile) return false;
  const bool fresh_descriptors = !writer.descriptors_.empty() && writer.written_ == 0;
  if (fresh_descriptors && count > 0) return false;
  if (fresh_descriptors) send_.descriptors = writer.descriptors_;
  for (size_t i = writer.next_slice_; i < writer.slices_.size(); ++i) {
    if (count == Operation::kMaxSlices) return false;
    IoSlice slice = writer.slices_[i];
    if (i == writer.next_slice_) {
      slice.data += writer.slice_offset_;
      slice.size -= writer.slice_offset_;
    }
    if (slice.size == 0) continue;
    GatherSlice(slice, count++);
    writer.in_flight_ = true;
    if (writer.kind_ == Writer::Kind::kSome) send_.some_is_enough = true;
  }
  return count < Operation::kMaxSlices;
}

void StreamSocket::GatherSlice(const IoSlice& slice, size_t count) {
  if (count == 1 && gather_ == nullptr) {
    gather_ = std::make_unique<IoSlice[]>(Operation::kMaxSlices);
    gather_[0] = slice_;
  }
  (gather_ != nullptr ? gather_[count] : slice_) = slice;
}

void StreamSocket::set_stall_timeout(absl::Duration timeout) {
  CHECK_GT(timeout, absl::ZeroDuration()) << "a stall timeout is positive";
  if (stall_timer_ != nullptr) Executor::Current().timers().Disarm(*stall_timer_);
  if (timeout == absl::InfiniteDuration()) {
    stall_timer_.reset();
    return;
  }
  if (stall_timer_ == nullptr) {
    stall_timer_ = std::make_unique<StallTimer>(*this);
    stall_timer_->last_sent = reactor_->ReadClock();
  }
  stall_timer_->timeout = timeout;
  if (send_.in_flight() && open()) Executor::Current().timers().Arm(*stall_timer_, stall_timer_->last_sent + timeout);
}

absl::Duration StreamSocket::stall_timeout() const {
  return stall_timer_ == nullptr ? absl::InfiniteDuration() : stall_timer_->timeout;
}

// A send has begun. The timer goes on from one send to the next: only after a pause it begins anew.
void StreamSocket::StartStallTimer() {
  if (stall_timer_->armed()) return;
  stall_timer_->last_sent = reactor_->ReadClock();
  Executor::Current().timers().Arm(*stall_timer_, stall_timer_->last_sent + stall_timer_->timeout);
}

void StreamSocket::OnStallTimer() {
  const Instant last = std::max(stall_timer_->last_sent, send_.progress());
  const Instant end = last + stall_timer_->timeout;
  if (end > Executor::Current().now()) {
    Executor::Current().timers().Arm(*stall_timer_, end);
  } else {
    StopQueued(Writer::kStalled);
  }
}

void StreamSocket::OnSent(int64_t result) {
  if (send_.kind == OperationKind::kSendFile) [[unlikely]] {
    OnFileSent(result);
  } else {
    Distribute(result > 0 ? static_cast<size_t>(result) : 0);
    if (result < 0 && result != -ECANCELED) OnSendError(static_cast<int>(-result));
  }
  if (result > 0 && stall_timer_ != nullptr) stall_timer_->last_sent = reactor_->ReadClock();
  // What was cancelled ends here, with what is now known to be sent.
  for (Writer* writer = writers_.First(); writer != nullptr && writer->in_flight_;) {
    ++queue_steps_;
    Writer* const next = writers_.Next(*writer);
    writer->in_flight_ = false;
    if (writer->stopping_) FinishWriter(*writer, writer->error_);
    writer = next;
  }
  if (poisoned_) FailQueued(Writer::kPoisoned);
  if (!open()) {
    ContinueClose();
  } else {
    SendQueued();
  }
  if (stall_timer_ != nullptr && !send_.in_flight()) Executor::Current().timers().Disarm(*stall_timer_);
}

void StreamSocket::OnSendError(int error) {
  if (!send_.descriptors.empty() && CodeForErrno(error) != absl::StatusCode::kUnavailable) {
    FinishWriter(writers_.front(), error);  // The descriptors' error; the connection is well.
  } else {
    // The connection is gone for writing, and with it everything that was queued.
    FailQueued(error);
  }
}

void StreamSocket::OnFileSent(int64_t result) {
  Writer& writer = writers_.front();
  if (result > 0) {
    const auto bytes = static_cast<size_t>(result);
    writer.written_ += bytes;
    writer.file_.offset += bytes;
    writer.file_.count -= bytes;
    if (writer.file_.count == 0) FinishWriter(writer, 0);
  } else if (result == 0) {
    FinishWriter(writer, Writer::kFileEnded);
  } else if (const int error = static_cast<int>(-result); CodeForErrno(error) == absl::StatusCode::kUnavailable) {
    FailQueued(error);
  } else if (error != ECANCELED) {
    FinishWriter(writer, error);  // The file's error; the connection is well.
  }
}

// Counts `bytes` sent bytes to the writers, in the order in which they were gathered.
void StreamSocket::Distribute(size_t bytes) {
  while (bytes > 0) {
    CHECK(!writers_.empty());
    Writer& writer = writers_.front();
    while (bytes > 0 && writer.next_slice_ < writer.slices_.size()) {
      const size_t left = writer.slices_[writer.next_slice_].size - writer.slice_offset_;
      const size_t count = std::min(bytes, left);
      bytes -= count;
      writer.written_ += count;
      writer.slice_offset_ += count;
      if (count < left) break;
      ++writer.next_slice_;
      writer.slice_offset_ = 0;
      writer.SkipEmptySlices();
    }
    const bool all = writer.next_slice_ == writer.slices_.size();
    if (all || writer.kind_ == Writer::Kind::kSome) {
      FinishWriter(writer, 0);
    } else {
      CHECK_EQ(bytes, 0u);
    }
  }
}

void StreamSocket::FinishWriter(Writer& writer, int error) {
  writer.in_flight_ = false;
  writer.error_ = error;
  // A half-sent message must not be followed by another one by accident. On a dead connection nothing follows anyway.
  const bool begun = writer.written_ > 0 || writer.resumes_;
  const bool cut = error != 0 && CodeForErrno(error) != absl::StatusCode::kUnavailable && begun;
  if (cut && writer.kind_ != Writer::Kind::kSome) poisoned_ = true;
  writer.Unlink();
  writer.OnWritten();
}

void StreamSocket::FailQueued(int error) {
  while (!writers_.empty()) FinishWriter(writers_.front(), error);
}

// Stops all writers, but those that are being stopped already.
void StreamSocket::StopQueued(int error) {
  for (Writer* writer = writers_.First(); writer != nullptr;) {
    Writer* const next = writers_.Next(*writer);
    if (!writer->stopping_) StopWriting(*writer, error);
    writer = next;
  }
}

// --- Connecting ---

void StreamSocket::StartConnecting(const SocketAddress& address, Connector& connector) {
  peer_ = address;
  connector_ = &connector;
  connect_or_close_.kind = OperationKind::kConnect;
  connect_or_close_.address = address;
  AddRef();
  reactor_->Submit(connect_or_close_);
}

void StreamSocket::StopConnecting() {
  if (connector_ != nullptr) reactor_->Cancel(connect_or_close_);
}

void StreamSocket::OnConnectOrCloseDone(int64_t result) {
  if (connect_or_close_.kind == OperationKind::kConnect) {
    OnConnectDone(result);
  } else {
    EndClose();
  }
}

void StreamSocket::OnConnectDone(int64_t result) {
  // The address that was asked for may stand for another: 0.0.0.0 is this host.
  if (result == 0) reactor_->PeerAddress(id_, &peer_);
  std::exchange(connector_, nullptr)->OnConnected(static_cast<int>(-result));
  if (!open()) ContinueClose();
}

// --- Closing ---

void StreamSocket::Close(CloseMode mode) {
  if (mode == CloseMode::kReset) reset_ = true;
  if (!BeginClose()) return;
  if (Executor::Current().dead()) {
    unread_.Clear();
    descriptors_.clear();
    return;
  }
  NotifyReader();
  CHECK_EQ(wanted_, 0u);
  StopQueued(EBADF);
  StopConnecting();
  reactor_->Disarm(source_);
  ContinueClose();
}

void StreamSocket::ContinueClose() {
  if (send_.in_flight() || connect_or_close_.in_flight() || source_.armed() || !BeginSubmittingClose()) return;
  // Read-ahead took these bytes from the kernel, which would have answered a close with them unread by RST.
  if (reset_ || !unread_.empty()) {
    reactor_->SetOption(id_, SocketOption::kLinger, 0);
    connect_or_close_.may_block = false;
  }
  unread_.Clear();
  descriptors_.clear();
  connect_or_close_.kind = OperationKind::kClose;
  AddRef();
  reactor_->Submit(connect_or_close_);
}

}  // namespace tandem
