// SPDX-License-Identifier: Apache-2.0
//
// The server's own tasks: it accepts, turns away, closes idle connections, and removes keys whose time has come. What
// happens on a connection is in connection.h.

#include "tandem/examples/kv/server.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "tandem/examples/kv/connection.h"
#include "tandem/examples/kv/connection_errors.h"
#include "tandem/examples/kv/reply.h"

namespace tandem::kv {
namespace {

// How long a client that is turned away may take to notice.
constexpr absl::Duration kRejectionTime = absl::Seconds(1);
// Clients beyond max_clients that are told so at the same time. More are closed without a word.
constexpr size_t kMaxRejections = 256;

// Between two looks at the keys that expire: when the next one is due, but within these. A key that is set meanwhile
// may be due earlier.
constexpr int64_t kExpiryIntervalMinMs = 100;
constexpr int64_t kExpiryIntervalMaxMs = 1000;
constexpr size_t kExpiriesAtOnce = 1000;

constexpr int64_t kNanosecondsPerMillisecond = 1'000'000;

class Server final : public ServerState {
 public:
  explicit Server(const Options& options) : ServerState(options) {}

  // The body of the server's task group: accepts until it is cancelled.
  Task<absl::Status> Accept(TaskGroup* task_group, TcpListener listener);

 private:
  void OnExecuted() override;
  void Admit(TcpStream stream);
  Task<void> Reject(TcpStream stream);
  Task<absl::Status> CloseIdle();
  Task<void> ExpireKeys();

  size_t rejections_ = 0;
  bool expiring_ = false;  // ExpireKeys() runs.
  uint64_t settings_version_ = 0;
  Event settings_changed_;
};

Task<absl::Status> Server::Accept(TaskGroup* task_group, TcpListener listener) {
  group = task_group;
  settings.port = listener.LocalAddress().port();
  group->Spawn(&Server::CloseIdle, this);
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener.Accept();
    absl::Status status = stream.status();
    if (stream.ok()) {
      ++statistics.connections_received;
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
  if (statistics.connected_clients < settings.max_clients) {
    ++statistics.connected_clients;
    group->Spawn(&Connection::Serve, static_cast<ServerState*>(this), std::move(stream));
    return;
  }
  ++statistics.connections_rejected;
  if (rejections_ == kMaxRejections) return;
  ++rejections_;
  group->Spawn(&Server::Reject, this, std::move(stream));
}

Task<void> Server::Reject(TcpStream stream) {
  ReplyBuffer reply;
  reply.Error(kMaxClientsError);
  const std::string text = reply.Flatten();
  const IoResult sent = co_await stream.WriteAll(text).By(Now() + kRejectionTime);
  statistics.output_bytes += sent.bytes;
  LingerOptions linger;
  linger.set_time_limit(kRejectionTime);
  if (sent.ok()) (co_await LingeringClose(stream, linger)).IgnoreError();
  --rejections_;
}

// Closes connections that have been silent for the idle timeout: without a word, which a client that sends a request
// just then would take for its reply.
Task<absl::Status> Server::CloseIdle() {
  for (;;) {
    const absl::Duration timeout = settings.idle_timeout;
    Instant due = Instant::InfiniteFuture();
    if (timeout > absl::ZeroDuration()) {
      // Who connects later is due later.
      due = (by_activity.empty() ? Now() : by_activity.front()->last_active()) + timeout;
    }
    if (Now() < due) {
      const absl::Status changed = co_await settings_changed_.Wait().By(due);
      if (absl::IsCancelled(changed)) co_return absl::OkStatus();
      settings_changed_.Reset();
      continue;
    }
    ++statistics.connections_timed_out;
    by_activity.front()->Kill();  // It leaves the list.
  }
}

void Server::OnExecuted() {
  if (settings_version_ != settings.version) {
    settings_version_ = settings.version;
    settings_changed_.Set();
  }
  if (expiring_ || !store.next_expiry_ms().has_value()) return;
  expiring_ = true;
  group->Spawn(&Server::ExpireKeys, this);
}

// Removes keys whose time has come, as long as there are any that expire: nobody may ever look them up again. Lookups
// do not rely on it.
Task<void> Server::ExpireKeys() {
  absl::Status status;
  while (status.ok()) {
    const std::optional<int64_t> next = store.next_expiry_ms();
    if (!next.has_value()) break;
    // Many keys may be due at once: others get their turn in between.
    if (store.ExpireDue(Now().nanoseconds() / kNanosecondsPerMillisecond, kExpiriesAtOnce) == kExpiriesAtOnce) {
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
  if (server.shut_down) co_return absl::OkStatus();
  co_return status;
}

Task<absl::Status> Serve(Options options) {
  absl::StatusOr<TcpListener> listener = Listen(options);
  if (!listener.ok()) co_return listener.status();
  co_return co_await Serve(*std::move(listener), options);
}

}  // namespace tandem::kv
