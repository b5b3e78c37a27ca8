// SPDX-License-Identifier: Apache-2.0
//
// Serve(): the loop of a server, from the first accepted connection to the end of the last one.
//
//   Task<void> Talk(TcpStream stream, CancelScope* idle) {
//     for (;;) {
//       absl::StatusOr<Request> request = co_await idle->Run(ReadRequest(&stream));
//       if (!request.ok()) co_return;  // The peer has ended; or the server stops.
//       ...                            // What goes on outside of `idle` is finished when the server stops.
//     }
//   }
//
//   absl::Status status = co_await Serve(*std::move(listener), Talk, ServeOptions().set_max_connections(10'000));
//
// A stop drops what was received of a further request, in part or whole. Who wants to answer what is there already goes
// on reading, outside of `idle`, while a BufferedReader's buffered() is not empty.
//
// Structured: no handler outlives the call, so what handlers share may live in the caller's frame.

#ifndef TANDEM_CORE_NET_SERVE_H_
#define TANDEM_CORE_NET_SERVE_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/net/stream.h"
#include "tandem/core/runtime/stop.h"
#include "tandem/core/sync/event.h"

namespace tandem {

class ServeOptions {
 public:
  ServeOptions() {}

  // How many connections are handled at the same time. At least 1. Default: no limit but that of the descriptors.
  size_t max_connections() const { return max_connections_; }
  ServeOptions& set_max_connections(size_t count) {
    max_connections_ = count == 0 ? 1 : count;
    return *this;
  }
  // What becomes of a connection beyond the limit.
  enum class Overload : uint8_t {
    kWait,   // It waits until another one ends: a few in the listener (SocketListener::Accept()), the rest in the
             // kernel's backlog.
    kClose,  // It is accepted and closed at once.
  };
  // Default kWait.
  Overload overload() const { return overload_; }
  ServeOptions& set_overload(Overload overload) {
    overload_ = overload;
    return *this;
  }
  // How long handlers may go on when the server stops, before they are cancelled. Zero or less cancels them at once.
  // Default 10 s.
  absl::Duration drain_limit() const { return drain_limit_; }
  ServeOptions& set_drain_limit(absl::Duration limit) {
    drain_limit_ = limit;
    return *this;
  }

 private:
  size_t max_connections_ = std::numeric_limits<size_t>::max();
  Overload overload_ = Overload::kWait;
  absl::Duration drain_limit_ = absl::Seconds(10);
};

namespace internal {

// What `co_await` of a task or of a leaf operation gives.
template <typename Awaitable>
struct AwaitedFrom {
  using Type = decltype(std::declval<Awaitable&>().TakeResult());
};
template <typename T>
struct AwaitedFrom<Task<T>> {
  using Type = T;
};

// What a listener accepts.
template <typename Listener>
using AcceptedBy = typename AwaitedFrom<decltype(std::declval<Listener&>().Accept())>::Type::value_type;

}  // namespace internal

// Accepts streams: TcpListener, UnixListener.
template <typename L>
concept AsyncListener = std::movable<L> && requires(L& listener) {
  { listener.Accept() } -> AwaitsTo<absl::StatusOr<internal::AcceptedBy<L>>>;
  { listener.Close() } -> AwaitsTo<absl::Status>;
};

// Handles a connection, and may be told that the server stops.
template <typename F, typename S>
concept DrainingHandler = requires(F& handler, S stream, CancelScope* idle) {
  { handler(std::move(stream), idle) } -> std::same_as<Task<void>>;
};
template <typename F, typename S>
concept ConnectionHandler = DrainingHandler<F, S> || requires(F& handler, S stream) {
  { handler(std::move(stream)) } -> std::same_as<Task<void>>;
};

namespace internal {

// The connections that are being handled.
class ServedConnections {
 public:
  explicit ServedConnections(size_t limit) : limit_(limit) {}
  ServedConnections(const ServedConnections&) = delete;
  ServedConnections& operator=(const ServedConnections&) = delete;
  ~ServedConnections();

  struct ListTag;
  // Lives in the frame that calls the handler.
  class Connection : public ListLink<ListTag> {
   public:
    ~Connection() {
      if (linked()) Unlink();  // Only when a simulated crash destroys the frame.
    }
    CancelScope idle;
  };

  // Counts a connection, which begins in a later turn.
  void Add() { ++count_; }
  void Begin(Connection& connection);
  void End(Connection& connection);

  bool full() const { return count_ >= limit_; }
  // Returns when it is not full.
  Task<absl::Status> WaitForRoom();
  // Cancels what runs in the idle scopes, also in those of connections that begin later.
  void Drain();
  Task<absl::Status> WaitUntilNone();

 private:
  Task<absl::Status> WaitUntilBelow(size_t count);

  const size_t limit_;
  size_t count_ = 0;
  bool draining_ = false;
  IntrusiveList<Connection, ListTag> connections_;
  Event ended_;  // A connection has, since the last Reset().
};

// The pauses after errors of Accept(): short first, since most errors are those of one connection.
class AcceptBackoff {
 public:
  SleepOperation Pause();
  void Reset() { next_ = kShortest; }
  // Whether accepting again is of no use: the call was stopped, or this is no listener (any more).
  static bool IsFinal(const absl::Status& status);

 private:
  static constexpr absl::Duration kShortest = absl::Milliseconds(5);
  static constexpr absl::Duration kLongest = absl::Seconds(1);
  absl::Duration next_ = kShortest;
};

template <typename Listener, typename Handler>
class Server {
 public:
  Server(Listener listener, Handler handler, const ServeOptions& options)
      : listener_(std::move(listener)),
        handler_(std::move(handler)),
        options_(options),
        connections_(options.max_connections()) {}

  Task<absl::Status> Run() {
    CancelScope& outer = co_await ThisScope{};
    // Handlers are not cancelled with the caller, but when the drain is over.
    ScopeEntry entry(handlers_.scope(), outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kYes);
    absl::Status status = co_await UntilStop(accepting_.Run(AcceptAll()));
    absl::Status closed = co_await listener_.Close();
    closed.IgnoreError();  // Always OK.
    connections_.Drain();
    if (options_.drain_limit() > absl::ZeroDuration()) {
      absl::Status drained = co_await Shield(options_.drain_limit(), connections_.WaitUntilNone());
      drained.IgnoreError();  // Whoever is left is cancelled.
    }
    handlers_.scope().Cancel();
    co_await handlers_.Join();
    handlers_.RethrowFirst();
    co_return status;
  }

 private:
  using Stream = AcceptedBy<Listener>;

  Task<absl::Status> AcceptAll() {
    AcceptBackoff backoff;
    for (;;) {
      if (connections_.full() && options_.overload() == ServeOptions::Overload::kWait) {
        absl::Status room = co_await connections_.WaitForRoom();
        if (!room.ok()) co_return room;
      }
      absl::StatusOr<Stream> stream = co_await listener_.Accept();
      if (!stream.ok()) {
        if (AcceptBackoff::IsFinal(stream.status())) co_return stream.status();
        absl::Status paused = co_await backoff.Pause();
        if (!paused.ok()) co_return paused;
        continue;
      }
      backoff.Reset();
      if (connections_.full()) continue;  // The destructor closes it.
      connections_.Add();
      handlers_.Start(Handle(this, *std::move(stream)));
    }
  }

  static RootCoroutine Handle(Server* server, Stream stream) {
    ServedConnections::Connection connection;
    server->connections_.Begin(connection);
    try {
      if constexpr (DrainingHandler<Handler, Stream>) {
        co_await server->handler_(std::move(stream), &connection.idle);
      } else {
        co_await server->handler_(std::move(stream));
      }
    } catch (...) {
      server->connections_.End(connection);
      server->accepting_.Cancel();
      throw;
    }
    server->connections_.End(connection);
  }

  Listener listener_;
  Handler handler_;
  const ServeOptions options_;
  CancelScope accepting_;
  ServedConnections connections_;
  TaskSet handlers_;
};

}  // namespace internal

// Accepts connections and calls `handler(stream)` or `handler(stream, idle)` for each, a coroutine that returns
// Task<void> and owns the stream. Goes on until the call is cancelled or a stop of the program is announced (stop.h),
// by SIGTERM for example. Then it stops: closes the listener, cancels what runs in the `idle` scopes of the handlers,
// lets the handlers finish within `options.drain_limit()`, cancels those that are left, and returns when all have
// ended.
//
// A handler runs in `idle` what need not go on when the server stops, which is to wait for the next request; a call
// that is cancelled there has lost nothing, and the handler's other calls go on. A handler that takes no scope is not
// told that the server stops: it ends by itself or is cancelled after the drain limit.
//
// `handler` is a function, or a callable that captures references or nothing (it is trivially copyable) and that stays
// where it is until all handlers have ended. An exception that escapes a handler stops the server, without a drain, and
// is rethrown.
//
// Errors of one connection, and shortages, are waited out: accepting goes on after a pause of 5 ms that doubles up to
// 1 s. Errors that end the call, after the drain:
//   kCancelled, kDeadlineExceeded  The call was stopped: how a server ends well.
//   kFailedPrecondition, kInvalidArgument  EBADF, EINVAL: the listener was closed, or shut down by another process.
template <AsyncListener Listener, typename Handler>
Task<absl::Status> Serve(Listener listener, Handler handler, ServeOptions options = ServeOptions()) {
  static_assert(std::is_trivially_copyable_v<Handler>,
                "a handler of connections captures references or nothing; what it refers to outlives Serve()");
  static_assert(
      ConnectionHandler<Handler, internal::AcceptedBy<Listener>>,
      "a handler of connections takes its stream by value and returns Task<void>, as nobody is there to see a "
      "Status: Task<void> Talk(TcpStream stream)");
  if constexpr (ConnectionHandler<Handler, internal::AcceptedBy<Listener>>) {
    internal::Server<Listener, Handler> server(std::move(listener), std::move(handler), options);
    // What else was spawned goes on while the handlers finish.
    const absl::Duration drain_limit = std::max(options.drain_limit(), absl::ZeroDuration());
    absl::Status status = co_await WithDrain(drain_limit, server.Run());
    co_return status;
  }
}

}  // namespace tandem

#endif  // TANDEM_CORE_NET_SERVE_H_
