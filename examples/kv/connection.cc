// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/connection.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "absl/log/log.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tandem::kv {
namespace {

// Replies are sent at the end of what was received, or when so many bytes wait. Also the size of what piles up.
constexpr size_t kFlushBytes = size_t{64} << 10;

// A client that has not taken its replies after this time gets them from a coroutine of their own. Long enough for a
// network that drops a packet now and then; nothing else waits for it.
constexpr absl::Duration kAtOnce = absl::Milliseconds(10);

// What a client that was told to go may still send before it is cut off: on a fast network, so many bytes are in
// flight.
constexpr absl::Duration kLingerTime = absl::Seconds(5);
constexpr absl::Duration kLingerIdleTime = absl::Seconds(1);
constexpr uint64_t kLingerBytes = uint64_t{64} << 20;

// Slices kept for the next reply; more are given back.
constexpr size_t kRetainedSlices = 16;

// Zero means never.
Instant DeadlineAfter(absl::Duration timeout) {
  return timeout <= absl::ZeroDuration() ? Instant::InfiniteFuture() : Now() + timeout;
}

}  // namespace

ServerState::ServerState(const Options& options)
    : options(options), store(Random("kv-store-order").Next()), executor(&store, &settings, &statistics) {
  settings.request_limits = options.request_limits();
  settings.max_reply_bytes = options.max_reply_bytes();
  settings.max_client_buffer_bytes = options.max_client_buffer_bytes();
  settings.client_output_buffer_limit = options.client_output_buffer_limit();
  settings.max_memory_bytes = options.max_memory_bytes();
  settings.max_clients = options.max_clients();
  settings.max_clients_possible = options.max_clients();
  settings.idle_timeout = options.idle_timeout();
  statistics.started_at_ns = Now().nanoseconds();
}

void ServerState::NoteStop() {
  if (!is_stopping()) stop_deadline = Now() + options.shutdown_timeout();
}

Connection::Connection(ServerState& server, TcpStream stream)
    : Session(server.next_client_id++),
      server_(server),
      stream_(std::move(stream)),
      parser_(server.settings.request_limits),
      last_active_(Now()),
      place_(server.by_activity.insert(server.by_activity.end(), this)) {
  connected_at_ns = last_request_ns = last_active_.nanoseconds();
  server_.executor.sessions().Add(*this);
}

Connection::~Connection() {
  server_.executor.sessions().Remove(*this);
  if (!killed_) server_.by_activity.erase(place_);
  server_.killed_bytes -= killed_bytes_;
  --server_.statistics.connected_clients;
  server_.statistics.client_buffer_bytes -= counted_bytes_;
}

// --- Receiving ---

Task<void> Connection::Serve(ServerState* server, TcpStream stream) {
  Connection self(*server, std::move(stream));
  Next next = Next::kGoOn;
  while (next == Next::kGoOn) {
    const absl::StatusOr<Buffer> chunk = co_await self.stream_.Receive();
    if (self.killed_ || !chunk.ok() || chunk->empty()) {
      next = self.AtEndOfInput(chunk.status());
      break;
    }
    self.Touch();
    server->statistics.input_bytes += chunk->size();
    next = co_await self.Process(chunk->view());
  }
  if (next == Next::kFinish) co_await self.Finish();
  if (!self.sending_) co_return;
  self.stream_.Abort();
  (co_await Shield(absl::InfiniteDuration(), self.WaitForSender())).IgnoreError();
}

Connection::Next Connection::AtEndOfInput(const absl::Status& status) {
  if (killed_) return Next::kClose;
  // What was sent last may not have been read yet.
  if (absl::IsCancelled(status)) {
    server_.NoteStop();
    return Next::kFinish;
  }
  // A client that has sent all of its requests still gets its replies; one that is gone does not.
  return status.ok() && sending_ ? Next::kFinish : Next::kClose;
}

// Executes the requests that `chunk` completes, and sends their replies.
Task<Connection::Next> Connection::Process(absl::string_view chunk) {
  parser_.Feed(chunk);
  Next next = Next::kGoOn;
  RequestParser::Result result = parser_.Next();
  while (result == RequestParser::Result::kRequest) {
    server_.executor.Execute(parser_.arguments(), *this, Now().nanoseconds(), reply_);
    if (should_close) {
      next = Next::kFinish;
      break;
    }
    if (reply_.size() >= kFlushBytes) {
      const Next after = co_await Flush();
      if (after != Next::kGoOn) co_return after;
    }
    result = parser_.Next();
  }
  if (result == RequestParser::Result::kError) {
    ++server_.statistics.protocol_errors;
    reply_.Error(parser_.error());
    next = Next::kFinish;
  }
  server_.OnExecuted();
  const Next after = co_await Flush();
  if (should_stop_server) {
    server_.shut_down = true;
    server_.group->Cancel();
  }
  co_return after == Next::kGoOn ? next : after;
}

// --- Sending ---

// Sends the replies that wait, as far as the client takes them at once.
Task<Connection::Next> Connection::Flush() {
  if (sending_ && reply_.size() >= kFlushBytes) PileUp(0);
  if (!KeepsToLimits()) co_return Next::kClose;
  if (sending_ || reply_.empty()) co_return Next::kGoOn;
  pieces_.clear();
  slices_.clear();
  reply_.AppendPieces(pieces_);
  for (const std::string_view piece : pieces_) slices_.push_back({piece.data(), piece.size()});
  const IoResult sent = co_await stream_.WriteAll(slices_).By(Now() + kAtOnce);
  server_.statistics.output_bytes += sent.bytes;
  if (slices_.capacity() > kRetainedSlices) {
    std::vector<std::string_view>().swap(pieces_);
    std::vector<IoSlice>().swap(slices_);
  }
  if (killed_) co_return Next::kClose;
  if (sent.ok()) {
    reply_.Clear();
    CountBytes();
    co_return Next::kGoOn;
  }
  const bool is_cancelled = absl::IsCancelled(sent.status);
  if (is_cancelled) server_.NoteStop();
  if (!is_cancelled && !absl::IsDeadlineExceeded(sent.status)) co_return Next::kClose;
  // The rest follows where this was cut: until it has gone, Send() is the only one that writes. It does so piece by
  // piece, for the timeout, where WriteRest() would take it all.
  stream_.AcceptPartial();
  PileUp(sent.bytes);
  sending_ = true;
  sender_ended_.Reset();
  server_.group->Spawn(&Connection::Send, this);
  co_return is_cancelled ? Next::kFinish : Next::kGoOn;
}

// Moves the replies, of which `sent` bytes are gone already, to what piles up.
void Connection::PileUp(size_t sent) {
  backlog_.emplace_back(reply_.Take(), sent);
  backlog_bytes_ += backlog_.back().replies.size();
  backlog_owned_bytes_ += backlog_.back().replies.owned_bytes();
}

// Sends what has piled up and what is added meanwhile. When the server is told to stop, within a bounded time.
Task<void> Connection::Send() {
  absl::Status status;
  // Between the last look and the end nobody else runs: what is added later is Flush()'s to send.
  while (status.ok() && (!backlog_.empty() || !reply_.empty())) {
    status = co_await SendUnsent();
    if (!absl::IsCancelled(status)) continue;
    server_.NoteStop();
    status = co_await Shield(server_.TimeLeftToStop(), SendUnsent());
  }
  if (!status.ok()) {
    stream_.Abort();  // The kernel is not to keep replies either.
    reply_.Clear();
    backlog_.clear();
    backlog_bytes_ = backlog_owned_bytes_ = 0;
    CountBytes();
  }
  sending_ = false;
  sender_ended_.Set();
}

// Waits as long as the client goes on taking bytes.
Task<absl::Status> Connection::SendUnsent() {
  while (!backlog_.empty() || !reply_.empty()) {
    if (backlog_.empty()) PileUp(0);
    std::vector<std::string_view> pieces;
    backlog_.front().replies.AppendPieces(pieces);
    size_t skip = backlog_.front().sent;
    for (std::string_view piece : pieces) {
      const size_t skipped = std::min(skip, piece.size());
      skip -= skipped;
      piece.remove_prefix(skipped);
      while (!piece.empty()) {
        // One write for each time that the kernel takes something: so the timeout counts from the last byte that it
        // took.
        const Instant deadline = DeadlineAfter(server_.options.write_timeout());
        const absl::StatusOr<size_t> taken = co_await stream_.WriteSome(piece).By(deadline);
        if (absl::IsDeadlineExceeded(taken.status()) && Now() >= deadline) {
          ++server_.statistics.connections_timed_out;
          Cut("it takes nothing of its replies");
        }
        if (!taken.ok()) co_return taken.status();
        piece.remove_prefix(*taken);
        backlog_.front().sent += *taken;
        server_.statistics.output_bytes += *taken;
        Touch();
      }
    }
    backlog_bytes_ -= backlog_.front().replies.size();
    backlog_owned_bytes_ -= backlog_.front().replies.owned_bytes();
    backlog_.pop_front();
    CountBytes();
  }
  co_return absl::OkStatus();
}

// --- The end ---

// Everything was said: the peer gets it, although it may still be sending.
Task<void> Connection::Finish() {
  finishing_ = true;
  // A peer that is held up in its sending might not read.
  if (sending_) (co_await Shield(absl::InfiniteDuration(), DropInputWhileSending())).IgnoreError();
  if (killed_) co_return;
  LingerOptions options;
  options.set_idle_limit(kLingerIdleTime).set_time_limit(kLingerTime).set_byte_limit(kLingerBytes);
  if (server_.is_stopping()) {
    options.set_time_limit(server_.TimeLeftToStop()).set_byte_limit(std::numeric_limits<uint64_t>::max());
  }
  (co_await Shield(absl::InfiniteDuration(), LingeringClose(stream_, options))).IgnoreError();
}

Task<absl::Status> Connection::DropInputWhileSending() {
  const std::tuple<std::optional<absl::Status>, std::optional<absl::Status>> first =
      co_await WhenAny(sender_ended_.Wait(), DropInput());
  if (std::get<0>(first).has_value()) co_return absl::OkStatus();
  const std::optional<absl::Status>& input_ended = std::get<1>(first);
  if (input_ended.has_value() && !input_ended->ok()) stream_.Abort();  // The peer is gone.
  co_return co_await WaitForSender();
}

Task<absl::Status> Connection::DropInput() {
  for (;;) {
    const absl::StatusOr<Buffer> chunk = co_await stream_.Receive();
    if (!chunk.ok()) co_return chunk.status();
    if (chunk->empty()) co_return absl::OkStatus();
  }
}

Task<absl::Status> Connection::WaitForSender() { co_return co_await sender_ended_.Wait(); }

// --- Limits ---

void Connection::Touch() {
  if (killed_) return;
  last_active_ = Now();
  server_.by_activity.splice(server_.by_activity.end(), server_.by_activity, place_);
}

void Connection::CountBytes() {
  const size_t bytes = parser_.held_bytes() + held_bytes() + reply_.owned_bytes() + backlog_owned_bytes_;
  server_.statistics.client_buffer_bytes += bytes - counted_bytes_;
  counted_bytes_ = bytes;
}

// Brings the sum of what all clients hold up to date. Returns false when this one holds too much, and is cut.
bool Connection::KeepsToLimits() {
  CountBytes();
  const size_t limit = server_.settings.client_output_buffer_limit;
  if (limit != 0 && reply_.owned_bytes() + backlog_owned_bytes_ > limit) {
    ++server_.statistics.output_limit_disconnections;
    Cut("its unread replies exceed client-output-buffer-limit");
  } else {
    CutLargest(server_);
  }
  return !killed_;
}

void Connection::Cut(absl::string_view why) {
  LOG(WARNING) << "client id=" << id << " addr=" << stream_.PeerAddress().ToString() << " name=" << name
               << " is cut: " << why << " (requests " << parser_.held_bytes() + held_bytes() << " bytes, replies "
               << reply_.size() + backlog_bytes_ << " bytes)";
  if (!killed_) MarkKilled();
  stream_.Abort();
}

void Connection::MarkKilled() {
  killed_ = true;
  server_.by_activity.erase(place_);
  killed_bytes_ = unfinished_bytes();
  server_.killed_bytes += killed_bytes_;
}

void Connection::Kill() {
  if (killed_) return;
  MarkKilled();
  if (finishing_ || sending_ || !reply_.empty()) {
    stream_.Abort();  // Half of a reply must not look like its end.
  } else {
    stream_.ShutdownRead().IgnoreError();  // Serve() sees the end. Fails when the connection is gone, and so does it.
  }
}

Session::Connection Connection::DescribeConnection() const {
  Session::Connection connection;
  connection.address = stream_.PeerAddress().ToString();
  const absl::StatusOr<SocketAddress> local = stream_.LocalAddress();
  if (local.ok()) connection.local_address = local->ToString();
  connection.request_bytes = parser_.held_bytes() + held_bytes();
  connection.reply_bytes = reply_.owned_bytes() + backlog_owned_bytes_;
  connection.reply_buffers = backlog_.size();
  return connection;
}

void CutLargest(ServerState& server) {
  const size_t limit = server.settings.max_client_buffer_bytes;
  const size_t held = ClientBytes(server.statistics, server.store);
  if (limit == 0 || held <= limit) return;
  // What connections hold that were told to end comes back as soon as the kernel lets go of it.
  while (held > limit + server.killed_bytes) {
    Connection* largest = nullptr;
    for (Connection* connection : server.by_activity) {
      if (connection->no_evict) continue;
      if (largest == nullptr || connection->unfinished_bytes() > largest->unfinished_bytes()) largest = connection;
    }
    if (largest == nullptr || largest->unfinished_bytes() == 0) return;
    ++server.statistics.evicted_clients;
    largest->Cut("all clients together hold more than maxmemory-clients, and it holds most");
  }
}

}  // namespace tandem::kv
