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
// Waiters are served in order. Belongs to one shard.

#ifndef TANDEM_CORE_NET_CONNECTION_POOL_H_
#define TANDEM_CORE_NET_CONNECTION_POOL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/async/combinators.h"
#include "core/async/task.h"
#include "core/async/timer_queue.h"
#include "core/base/instant.h"
#include "core/base/intrusive_list.h"
#include "core/base/ref.h"
#include "core/net/tcp_stream.h"

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

 private:
  size_t max_per_host_ = 32;
  size_t max_total_ = 1024;
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
class PoolState final : public Counted<PoolState>, private Timer {
 public:
  class AnyConnection {
   public:
    virtual ~AnyConnection() = default;
    // False: it is of no use any more.
    virtual bool IsHealthy() = 0;
  };

  // The right to one connection, which it may hold.
  class Slot {
   public:
    Slot() = default;
    Slot(Ref<PoolState> pool, std::string host, std::unique_ptr<AnyConnection> connection)
        : pool_(std::move(pool)), host_(std::move(host)), connection_(std::move(connection)) {}
    Slot(Slot&& other) noexcept = default;
    Slot& operator=(Slot&& other) noexcept {
      if (this != &other) {
        Free();
        pool_ = std::move(other.pool_);
        host_ = std::move(other.host_);
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
    std::string host_;
    std::unique_ptr<AnyConnection> connection_;
  };

  struct WaitListTag;
  class [[nodiscard]] TakeSlotOperation final : public WithDeadline<TakeSlotOperation>, public ListLink<WaitListTag> {
   public:
    TakeSlotOperation(PoolState& pool, std::string host) : pool_(pool), host_(std::move(host)) {}
    ~TakeSlotOperation() override;
    std::string Describe() const override;
    absl::StatusOr<Slot> TakeResult();

   private:
    friend class PoolState;
    bool Start() override;
    void OnStop() override;
    PoolState& pool_;
    const std::string host_;
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

 private:
  friend class Counted<PoolState>;

  struct Idle {
    std::unique_ptr<AnyConnection> connection;
    Instant until;
  };
  struct Host {
    size_t total = 0;       // Idle and in use.
    std::deque<Idle> idle;  // Longest idle first.
  };

  ~PoolState();

  void OnTimer() override;
  void ArmTimer();
  // Gives slots to waiters, in order, as far as there are any to give.
  void Serve();
  std::optional<Slot> TryTake(const std::string& host);
  bool EvictIdle();
  void DropIdle(Host& host);
  void FreeSlot(const std::string& host);
  void KeepIdle(const std::string& host, std::unique_ptr<AnyConnection> connection);

  const PoolOptions options_;
  std::map<std::string, Host> hosts_;
  size_t total_ = 0;
  bool closed_ = false;
  IntrusiveList<TakeSlotOperation, WaitListTag> waiters_;
  PoolStatistics statistics_;
};

}  // namespace internal

// True when `stream` waits for nothing: a peer that has closed it, an error, or bytes that nobody asked for make it
// useless for another request.
bool IsIdle(TcpStream& stream);

template <typename Connection>
class ConnectionPool {
 public:
  // Makes a connection to `host`, the name that Acquire() was called with.
  using Connector = std::function<Task<absl::StatusOr<Connection>>(std::string host)>;
  // Says, without waiting, whether an idle connection can be used.
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

    Connection& operator*() const { return static_cast<Held*>(slot_.connection())->connection; }
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
    if constexpr (std::is_base_of_v<TcpStream, Connection>) idle_check_ = &IsIdle;
  }
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;
  // Closes the idle connections. REQUIRES that no Acquire() is pending.
  ~ConnectionPool() { state_->Close(); }

  // Asked when a connection is returned and before an idle one is lent; the default for TcpStream is IsIdle().
  void set_idle_check(IdleCheck check) { idle_check_ = std::move(check); }
  // Asked before an idle connection is lent; when it fails, another connection is made.
  void set_health_check(HealthCheck check) { health_check_ = std::move(check); }

  // Lends a connection to `host`: the one that was idle for the shortest time, or a new one. Waits, in order, while the
  // limits are reached. Limit it with WithTimeout() or WithDeadlineAt(), which covers waiting and connecting. A call
  // that is stopped gives its place and what it had got back to the next one.
  //
  // Errors:
  //   kDeadlineExceeded, kCancelled  The call was stopped.
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
    bool IsHealthy() override { return *check == nullptr || (*check)(connection); }
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
