// SPDX-License-Identifier: Apache-2.0
//
// ConnectionPool: connections to several hosts, kept for the next request.
//
//   ConnectionPool<TcpStream> pool(&ConnectTo, PoolOptions().set_max_per_host(8));
//   auto lease = co_await WithTimeout(absl::Seconds(1), pool.Acquire("db:1"));
//   if (!lease.ok()) co_return lease.status();
//   absl::Status status = co_await Exchange(**lease, request);
//   if (status.ok()) lease->ReturnToPool();
//
// A connection goes back into the pool only when it is said to: a lease that just ends (its request failed, timed out,
// was cancelled, threw) closes the connection, since an answer may still be on its way, which the next request would
// take for its own.
//
// Waiters are served in order: those of one host in the order in which they asked, and where the limit of the whole
// pool is what they wait for, those of all hosts. What a call, a return or a timeout costs does not depend on how many
// wait. Belongs to one shard.

#ifndef TANDEM_CORE_NET_CONNECTION_POOL_H_
#define TANDEM_CORE_NET_CONNECTION_POOL_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/async/timer_queue.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/net/handle.h"

namespace tandem {

class PoolOptions {
 public:
  PoolOptions() {}

  // Connections to one host: idle, leased and being made. At least 1. Default 32.
  size_t max_per_host() const { return max_per_host_; }
  PoolOptions& set_max_per_host(size_t count) {
    max_per_host_ = count == 0 ? 1 : count;
    return *this;
  }
  // Connections in all; an idle one to another host makes room for a new one. At least 1. Default 1024.
  size_t max_total() const { return max_total_; }
  PoolOptions& set_max_total(size_t count) {
    max_total_ = count == 0 ? 1 : count;
    return *this;
  }
  // How long a connection may be idle before it is closed. Default 90 s; keep it below what the servers allow.
  absl::Duration idle_timeout() const { return idle_timeout_; }
  PoolOptions& set_idle_timeout(absl::Duration timeout) {
    idle_timeout_ = timeout;
    return *this;
  }
  // How many calls may wait for a connection; more are refused at once. Default 2^20: coroutines that wait take a
  // kilobyte or so each, and one that waits behind a million is better told so.
  size_t max_waiting() const { return max_waiting_; }
  PoolOptions& set_max_waiting(size_t count) {
    max_waiting_ = count;
    return *this;
  }

 private:
  size_t max_per_host_ = 32;
  size_t max_total_ = 1024;
  size_t max_waiting_ = size_t{1} << 20;
  absl::Duration idle_timeout_ = absl::Seconds(90);
};

// Counters of a pool.
struct PoolStatistics {
  size_t idle = 0;
  size_t in_use = 0;  // Leased, or being made.
  size_t waiting = 0;
  uint64_t made = 0;    // Connections that were asked for.
  uint64_t reused = 0;  // Leases of a connection that had been idle.
};

namespace internal {

// What of a pool does not depend on the type of its connections: slots, idle connections, waiters.
//
// A host whose waiters could be served if only the pool had room is *ready*: it has an idle connection, or fewer than
// the limit for one host. Ready hosts are sorted by the time when the first of their waiters asked. Whenever something
// is given back, the first ready host is served, until that is impossible: then it is for all of them, since any idle
// connection would make room. Between two events no ready host can be served.
class PoolState final : public Counted<PoolState>, private Timer {
 public:
  struct Host;
  struct HostIdleTag;
  struct IdleTag;
  struct WaitListTag;

  class AnyConnection : public ListLink<HostIdleTag>, public ListLink<IdleTag> {
   public:
    virtual ~AnyConnection() = default;
    // False: it is of no use any more. Throws nothing.
    virtual bool IsHealthy() = 0;

   private:
    friend class PoolState;
    Host* host_ = nullptr;
    Instant idle_until_;
  };

  // The right to one connection, which it may hold.
  class Slot {
   public:
    Slot() = default;
    Slot(Ref<PoolState> pool, Host& host, std::unique_ptr<AnyConnection> connection)
        : pool_(std::move(pool)), host_(&host), connection_(std::move(connection)) {}
    Slot(Slot&& other) noexcept = default;
    Slot& operator=(Slot&& other) noexcept {
      if (this != &other) {
        Free();
        pool_ = std::move(other.pool_);
        host_ = other.host_;
        connection_ = std::move(other.connection_);
      }
      return *this;
    }
    ~Slot() { Free(); }

    bool valid() const { return pool_.get() != nullptr; }
    AnyConnection* connection() const { return connection_.get(); }
    void set_connection(std::unique_ptr<AnyConnection> connection) { connection_ = std::move(connection); }
    // Closes the connection and gives the slot back.
    void Free();
    // Puts the connection among the idle ones.
    void KeepIdle();

   private:
    Ref<PoolState> pool_;
    Host* host_ = nullptr;  // Stays while it has slots.
    std::unique_ptr<AnyConnection> connection_;
  };

  class [[nodiscard]] TakeSlotOperation final : public WithDeadline<TakeSlotOperation>, public ListLink<WaitListTag> {
   public:
    TakeSlotOperation(PoolState& pool, std::string name) : pool_(pool), name_(std::move(name)) {}
    ~TakeSlotOperation() override;
    std::string Describe() const override;
    // kResourceExhausted when too many wait.
    absl::StatusOr<Slot> TakeResult();

   private:
    friend class PoolState;
    bool Start() override;
    void OnStop() override;

    PoolState& pool_;
    const std::string name_;
    Host* host_ = nullptr;  // While it waits.
    uint64_t arrival_ = 0;  // Counts those that have waited before.
    bool refused_ = false;
    std::optional<Slot> slot_;
  };

  explicit PoolState(const PoolOptions& options) : options_(options) {}

  TakeSlotOperation TakeSlot(std::string host) { return TakeSlotOperation(*this, std::move(host)); }
  void CountMade() { ++statistics_.made; }
  // Closes the idle connections.
  void CloseIdle();
  // The pool is gone: what is still leased closes when its lease ends.
  void Close();
  PoolStatistics statistics() const { return statistics_; }

  // For tests: how many times a host was looked at to find out whom to serve.
  uint64_t steps() const { return steps_; }

 private:
  friend class Counted<PoolState>;

  ~PoolState();

  void OnTimer() override;
  void ArmTimer();
  // The host of that name, made when there is none.
  Host& HostNamed(const std::string& name);
  // Forgets the host when it has neither connections nor waiters.
  void ForgetIfUnused(Host& host);
  // A connection for a waiter of `host`, when there can be one: an idle one, or the right to make one.
  std::optional<Slot> TryTake(Host& host);
  // Brings the host's place among the ready ones up to date after any change of it.
  void UpdateReady(Host& host);
  // Gives slots to waiters, in order, as far as there are any to give.
  void Serve();
  // Takes an idle connection out of the lists. It still counts for its host, until DropSlot().
  std::unique_ptr<AnyConnection> TakeIdle(AnyConnection& connection);
  void DropSlot(Host& host);
  // Closes the connection that is idle for the longest time. Returns false when none is.
  bool EvictIdle();
  void FreeSlot(Host& host);
  void KeepIdle(Host& host, std::unique_ptr<AnyConnection> connection);

  const PoolOptions options_;
  std::map<std::string, Host> hosts_;
  std::map<uint64_t, Host*> ready_;             // By the arrival of the host's first waiter.
  IntrusiveList<AnyConnection, IdleTag> idle_;  // Owns its elements. Longest idle first.
  size_t total_ = 0;
  uint64_t arrivals_ = 0;
  uint64_t steps_ = 0;
  bool closed_ = false;
  PoolStatistics statistics_;
};

struct PoolState::Host {
  std::string name;
  size_t total = 0;                                // Idle and in use.
  IntrusiveList<AnyConnection, HostIdleTag> idle;  // Newest first. PoolState::idle_ owns them.
  IntrusiveList<TakeSlotOperation, WaitListTag> waiters;
  std::optional<uint64_t> ready_as;  // The key in PoolState::ready_.
};

}  // namespace internal

// A stream that can tell, without waiting, what has come: TcpStream, UnixStream.
template <typename T>
concept TryReader = requires(T& stream, absl::Span<char> target) {
  { stream.TryRead(target) } -> std::same_as<absl::StatusOr<std::optional<size_t>>>;
};

// True when `stream` waits for nothing: a peer that has closed it, an error, or bytes that nobody asked for make it
// useless for another request.
template <TryReader Stream>
bool IsIdle(Stream& stream) {
  char byte;
  const absl::StatusOr<std::optional<size_t>> read = stream.TryRead(absl::MakeSpan(&byte, 1));
  return read.ok() && !read->has_value();
}

template <typename Connection>
class ConnectionPool {
 public:
  // Makes a connection to `host`, the name that Acquire() was called with.
  using Connector = std::function<Task<absl::StatusOr<Connection>>(std::string host)>;
  // Says, without waiting, whether an idle connection can be used. When it throws, it cannot.
  using IdleCheck = std::function<bool(Connection& connection)>;
  // Says whether an idle connection can be used, for example by a PING and its answer.
  using HealthCheck = std::function<Task<absl::Status>(Connection* connection)>;

  // A connection that the pool has lent. Movable; may outlive the pool.
  class Lease {
   public:
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) noexcept = default;
    // Closes the connection, unless it was returned.
    ~Lease() = default;

    // A lease that was returned or moved from has none (CHECKed).
    Connection& operator*() const {
      if (!slot_.valid()) internal::DieOfEmptyHandle("Lease");
      return static_cast<Held*>(slot_.connection())->connection;
    }
    Connection* operator->() const { return &**this; }
    // Says that the last request was answered in full and that the connection is good for the next one. The lease is
    // then empty.
    void ReturnToPool() { slot_.KeepIdle(); }

   private:
    friend class ConnectionPool;
    explicit Lease(internal::PoolState::Slot slot) : slot_(std::move(slot)) {}
    internal::PoolState::Slot slot_;
  };

  explicit ConnectionPool(Connector connector, const PoolOptions& options = PoolOptions())
      : connector_(std::move(connector)), state_(Ref<internal::PoolState>::Adopt(new internal::PoolState(options))) {
    if constexpr (TryReader<Connection>) idle_check_ = &IsIdle<Connection>;
  }
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;
  // Closes the idle connections. REQUIRES that no Acquire() is pending.
  ~ConnectionPool() { state_->Close(); }

  // Asked when a connection is returned and before an idle one is lent. The default is IsIdle() for streams that can
  // tell, and else none: connections that have died while they were idle are lent then.
  void set_idle_check(IdleCheck check) { idle_check_ = std::move(check); }
  // Asked before an idle connection is lent; when it fails, another connection is made.
  void set_health_check(HealthCheck check) { health_check_ = std::move(check); }

  // Lends a connection to `host`: the one that was idle for the shortest time, or a new one. Waits, in order, while the
  // limits are reached. Limit it with WithTimeout() or WithDeadlineAt(), which covers waiting and connecting. A call
  // that is stopped gives its place and what it had got back to the next one.
  //
  // Errors:
  //   kDeadlineExceeded, kCancelled  The call was stopped.
  //   kResourceExhausted             As many calls wait as PoolOptions::max_waiting() allows.
  //   Others                         Those of the connector.
  Task<absl::StatusOr<Lease>> Acquire(std::string host) {
    absl::StatusOr<internal::PoolState::Slot> slot = co_await state_->TakeSlot(host);
    if (!slot.ok()) co_return slot.status();
    if (slot->connection() != nullptr && health_check_ != nullptr) {
      absl::Status healthy = co_await health_check_(&static_cast<Held*>(slot->connection())->connection);
      if (!healthy.ok()) slot->set_connection(nullptr);
    }
    if (slot->connection() == nullptr) {
      state_->CountMade();
      absl::StatusOr<Connection> connection = co_await connector_(host);
      if (!connection.ok()) co_return connection.status();
      slot->set_connection(std::make_unique<Held>(*std::move(connection), &idle_check_));
    }
    co_return Lease(*std::move(slot));
  }

  // Closes the idle connections now.
  void CloseIdle() { state_->CloseIdle(); }
  PoolStatistics statistics() const { return state_->statistics(); }

 private:
  struct Held final : internal::PoolState::AnyConnection {
    Held(Connection connection, const IdleCheck* check) : connection(std::move(connection)), check(check) {}
    // The caller may be a destructor or a timer, where an exception has nowhere to go.
    bool IsHealthy() override {
      try {
        return *check == nullptr || (*check)(connection);
      } catch (...) {
        return false;
      }
    }
    Connection connection;
    const IdleCheck* check;  // The pool's; not asked once the pool is gone.
  };

  Connector connector_;
  IdleCheck idle_check_;
  HealthCheck health_check_;
  Ref<internal::PoolState> state_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_CONNECTION_POOL_H_
