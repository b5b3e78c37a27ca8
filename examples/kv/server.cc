// SPDX-License-Identifier: Apache-2.0
//
// How a client ends decides how its connection is closed. A peer that is still sending must not be closed with input
// unread: TCP would answer that with a reset, and a reset throws away replies that the peer has not read yet. So after
// an error reply the server ends its sending half and drops input for a bounded while (Linger) before it closes.

#include "examples/kv/server.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/types/span.h"
#include "examples/kv/commands.h"
#include "examples/kv/connection_errors.h"
#include "examples/kv/reply.h"
#include "examples/kv/store.h"

namespace tandem::kv {
namespace {

// Replies are sent at the end of what was received, or when so many bytes wait.
constexpr size_t kFlushBytes = size_t{64} << 10;

// What a client that was told to go may still send before it is cut off. A second of it drains any network; the bytes
// are those that may be in flight on a fast one.
constexpr absl::Duration kLingerTime = absl::Seconds(1);
constexpr size_t kLingerBytes = size_t{64} << 20;
// Clients beyond max_clients that are told so at the same time. More are closed without a word.
constexpr size_t kMaxRejections = 256;

// How long replies of executed requests may take to go out once the server was told to stop.
constexpr absl::Duration kStopTime = absl::Seconds(1);

// Between two looks at the keys that expire: when the next one is due, but within these. A key that is set meanwhile
// may be due earlier.
constexpr int64_t kExpiryIntervalMinMs = 100;
constexpr int64_t kExpiryIntervalMaxMs = 1000;
constexpr size_t kExpiriesAtOnce = 1000;

constexpr int64_t kNanosecondsPerMillisecond = 1'000'000;

// Slices kept for the next reply; more are given back.
constexpr size_t kRetainedSlices = 16;

// Zero means never.
Instant DeadlineAfter(absl::Duration timeout) {
  return timeout <= absl::ZeroDuration() ? Instant::InfiniteFuture() : Now() + timeout;
}

// Takes what is known to be sent off `slices`.
void DropSent(size_t bytes, absl::Span<IoSlice>& slices) {
  while (bytes > 0) {
    CHECK(!slices.empty());
    const size_t count = std::min(bytes, slices.front().size);
    slices.front().data += count;
    slices.front().size -= count;
    bytes -= count;
    if (slices.front().size == 0) slices.remove_prefix(1);
  }
}

class Server {
 public:
  explicit Server(const Options& options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // The body of the server's task group: accepts until it is cancelled.
  Task<absl::Status> Accept(TaskGroup* group, TcpListener listener);

  bool shut_down() const { return shut_down_; }

 private:
  // What belongs to one client. Lives in the frame of TalkTo().
  struct Client {
    Client(Server& server, TcpStream stream);
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client();

    // Brings the sum of what all clients hold up to date.
    void CountBytes();

    Server& server;
    TcpStream stream;
    RequestParser parser;
    Session session;
    ReplyBuffer reply;
    std::vector<std::string_view> pieces;  // Scratch space of Flush().
    std::vector<IoSlice> slices;
    size_t counted_bytes = 0;
  };

  enum class Next : uint8_t {
    kGoOn,
    kClose,   // Nothing is to be said any more.
    kLinger,  // The peer has to get what was sent although it may still be sending.
  };

  void Admit(TcpStream stream);
  Task<void> TalkTo(TcpStream stream);
  Task<Next> Process(Client* client, absl::string_view chunk);
  Task<absl::Status> Flush(Client* client);
  Task<absl::Status> Send(TcpStream* stream, absl::Span<IoSlice>* slices);
  Task<absl::Status> Linger(TcpStream* stream);
  Task<void> Reject(TcpStream stream);
  Task<void> ExpireKeys();

  bool HoldsTooMuch(const Client& client) const;
  void StartExpiry();

  const Options options_;
  Settings settings_;
  Statistics statistics_;
  Store store_;
  CommandExecutor executor_;
  TaskGroup* group_ = nullptr;
  uint64_t next_client_id_ = 1;
  size_t rejections_ = 0;
  bool expiring_ = false;  // ExpireKeys() runs.
  bool shut_down_ = false;
};

Server::Server(const Options& options)
    : options_(options), store_(Random("kv-store-order").Next()), executor_(&store_, &settings_, &statistics_) {
  settings_.request_limits = options_.request_limits();
  settings_.max_reply_bytes = options_.max_reply_bytes();
  settings_.max_client_buffer_bytes = options_.max_client_buffer_bytes();
  settings_.max_memory_bytes = options_.max_memory_bytes();
  settings_.max_clients = options_.max_clients();
  settings_.idle_timeout_s = static_cast<uint32_t>(absl::ToInt64Seconds(options_.idle_timeout()));
  statistics_.started_at_ns = Now().nanoseconds();
}

Server::Client::Client(Server& server, TcpStream stream)
    : server(server),
      stream(std::move(stream)),
      parser(server.settings_.request_limits),
      session(server.next_client_id_++) {}

Server::Client::~Client() {
  --server.statistics_.connected_clients;
  server.statistics_.client_buffer_bytes -= counted_bytes;
}

void Server::Client::CountBytes() {
  const size_t bytes = parser.held_bytes() + session.held_bytes() + reply.owned_bytes();
  server.statistics_.client_buffer_bytes += bytes - counted_bytes;
  counted_bytes = bytes;
}

Task<absl::Status> Server::Accept(TaskGroup* group, TcpListener listener) {
  group_ = group;
  settings_.port = listener.LocalAddress().port();
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener.Accept();
    absl::Status status = stream.status();
    if (stream.ok()) {
      ++statistics_.connections_received;
      Admit(*std::move(stream));
      continue;
    }
    // Errors of accept(2) are those of one connection, or pass.
    if (!absl::IsCancelled(status)) status = co_await Sleep(absl::Milliseconds(100));
    if (!status.ok()) {
      (co_await listener.Close()).IgnoreError();  // Always OK.
      co_return status;
    }
  }
}

// The client counts from here on, though its coroutine begins later.
void Server::Admit(TcpStream stream) {
  if (statistics_.connected_clients < options_.max_clients()) {
    ++statistics_.connected_clients;
    group_->Spawn(&Server::TalkTo, this, std::move(stream));
    return;
  }
  ++statistics_.connections_rejected;
  if (rejections_ == kMaxRejections) return;
  ++rejections_;
  group_->Spawn(&Server::Reject, this, std::move(stream));
}

Task<void> Server::Reject(TcpStream stream) {
  ReplyBuffer reply;
  reply.Error(kMaxClientsError);
  const std::string text = reply.Flatten();
  const IoResult sent = co_await stream.WriteAll(text).By(Now() + kLingerTime);
  statistics_.output_bytes += sent.bytes;
  if (sent.ok()) (co_await Linger(&stream)).IgnoreError();
  --rejections_;
}

// Receives, executes and replies until the client has nothing more to say, or the server nothing more to do with it.
Task<void> Server::TalkTo(TcpStream stream) {
  Client client(*this, std::move(stream));
  Next next = Next::kGoOn;
  while (next == Next::kGoOn) {
    const absl::StatusOr<Buffer> chunk = co_await client.stream.Receive().By(DeadlineAfter(options_.idle_timeout()));
    if (absl::IsDeadlineExceeded(chunk.status())) {
      ++statistics_.connections_timed_out;
      client.reply.Error(kIdleTimeoutError);
      const absl::Status sent = co_await Flush(&client);
      if (!sent.ok()) co_return;
      next = Next::kLinger;
      break;
    }
    // Nothing is unsent here, so there is nothing to add when the peer is gone or the server stops.
    if (!chunk.ok() || chunk->empty()) co_return;
    statistics_.input_bytes += chunk->size();
    next = co_await Process(&client, chunk->view());
  }
  if (next == Next::kLinger) (co_await Shield(kStopTime, Linger(&client.stream))).IgnoreError();
}

// Executes the requests that `chunk` completes, and sends their replies.
Task<Server::Next> Server::Process(Client* client, absl::string_view chunk) {
  client->parser.Feed(chunk);
  Next next = Next::kGoOn;
  RequestParser::Result result = client->parser.Next();
  while (result == RequestParser::Result::kRequest) {
    executor_.Execute(client->parser.arguments(), client->session, Now().nanoseconds(), client->reply);
    if (client->session.should_close) {
      next = Next::kLinger;
      break;
    }
    if (client->reply.size() >= kFlushBytes) {
      const absl::Status sent = co_await Flush(client);
      if (!sent.ok()) co_return absl::IsCancelled(sent) ? Next::kLinger : Next::kClose;
    }
    result = client->parser.Next();
  }
  if (result == RequestParser::Result::kError) {
    ++statistics_.protocol_errors;
    client->reply.Error(client->parser.error());
    next = Next::kLinger;
  } else if (HoldsTooMuch(*client)) {
    client->reply.Error(kClientBytesError);
    next = Next::kLinger;
  }
  StartExpiry();
  const absl::Status sent = co_await Flush(client);
  if (client->session.should_stop_server) {
    shut_down_ = true;
    group_->Cancel();
  }
  if (!sent.ok()) co_return absl::IsCancelled(sent) ? Next::kLinger : Next::kClose;
  co_return next;
}

bool Server::HoldsTooMuch(const Client& client) const {
  const size_t held = client.parser.held_bytes() + client.session.held_bytes();
  return held > kAlwaysAllowedBytes &&
         ClientBytes(statistics_, store_) - client.counted_bytes + held > options_.max_client_buffer_bytes();
}

// Sends all replies that wait. When the server is told to stop meanwhile, they still get a bounded time, and the status
// is kCancelled.
Task<absl::Status> Server::Flush(Client* client) {
  client->CountBytes();
  if (client->reply.empty()) co_return absl::OkStatus();
  client->pieces.clear();
  client->slices.clear();
  client->reply.AppendPieces(client->pieces);
  for (const std::string_view piece : client->pieces) client->slices.push_back({piece.data(), piece.size()});
  absl::Span<IoSlice> unsent = absl::MakeSpan(client->slices);
  absl::Status status = co_await Send(&client->stream, &unsent);
  if (absl::IsCancelled(status)) (co_await Shield(kStopTime, Send(&client->stream, &unsent))).IgnoreError();
  client->reply.Clear();
  if (client->slices.capacity() > kRetainedSlices) {
    std::vector<std::string_view>().swap(client->pieces);
    std::vector<IoSlice>().swap(client->slices);
  }
  client->CountBytes();
  co_return status;
}

// Sends `slices` and takes off what was sent. Waits as long as the peer goes on taking bytes.
Task<absl::Status> Server::Send(TcpStream* stream, absl::Span<IoSlice>* slices) {
  while (!slices->empty()) {
    const IoResult sent = co_await stream->WriteV(*slices).By(DeadlineAfter(options_.write_timeout()));
    statistics_.output_bytes += sent.bytes;
    DropSent(sent.bytes, *slices);
    if (sent.ok()) continue;
    // What follows goes on where this send was cut.
    stream->AcceptPartial();
    if (absl::IsDeadlineExceeded(sent.status) && sent.bytes > 0) continue;
    if (absl::IsDeadlineExceeded(sent.status)) {
      ++statistics_.connections_timed_out;
      stream->Abort();  // The kernel is not to keep the replies either.
    }
    co_return sent.status;
  }
  co_return absl::OkStatus();
}

// Ends the sending half and drops what the peer still sends, so that it gets to read what it was sent.
Task<absl::Status> Server::Linger(TcpStream* stream) {
  const Instant deadline = Now() + kLingerTime;
  absl::Status status = co_await stream->ShutdownWrite();
  size_t dropped = 0;
  while (status.ok() && dropped < kLingerBytes) {
    const absl::StatusOr<Buffer> chunk = co_await stream->Receive().By(deadline);
    status = chunk.status();
    if (!status.ok() || chunk->empty()) break;
    dropped += chunk->size();
  }
  co_return status;
}

void Server::StartExpiry() {
  if (expiring_ || !store_.next_expiry_ms().has_value()) return;
  expiring_ = true;
  group_->Spawn(&Server::ExpireKeys, this);
}

// Removes keys whose time has come, as long as there are any that expire: nobody may ever look them up again. Lookups
// do not rely on it.
Task<void> Server::ExpireKeys() {
  absl::Status status;
  while (status.ok()) {
    const std::optional<int64_t> next = store_.next_expiry_ms();
    if (!next.has_value()) break;
    // Many keys may be due at once: others get their turn in between.
    if (store_.ExpireDue(Now().nanoseconds() / kNanosecondsPerMillisecond, kExpiriesAtOnce) == kExpiriesAtOnce) {
      status = co_await Yield();
      continue;
    }
    // In milliseconds, because the due time itself may lie beyond what nanoseconds reach.
    const int64_t wait_ms = *next - Now().nanoseconds() / kNanosecondsPerMillisecond;
    status = co_await Sleep(absl::Milliseconds(std::clamp(wait_ms, kExpiryIntervalMinMs, kExpiryIntervalMaxMs)));
  }
  expiring_ = false;
}

}  // namespace

absl::StatusOr<TcpListener> Listen(const Options& options) { return TcpListener::Listen(options.address()); }

Task<absl::Status> Serve(TcpListener listener, Options options) {
  Server server(options);
  // Not a temporary of the await below: g++ 12 destroys such a lambda twice.
  auto body = [&server, &listener](TaskGroup& group) { return server.Accept(&group, std::move(listener)); };
  const absl::Status status = co_await WithTaskGroup(body);
  if (server.shut_down()) co_return absl::OkStatus();
  co_return status;
}

Task<absl::Status> Serve(Options options) {
  absl::StatusOr<TcpListener> listener = Listen(options);
  if (!listener.ok()) co_return listener.status();
  co_return co_await Serve(*std::move(listener), options);
}

}  // namespace tandem::kv
