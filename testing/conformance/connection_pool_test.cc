// SPDX-License-Identifier: Apache-2.0
//
// ConnectionPool on every reactor.

#include "tandem/core/net/connection_pool.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

using Pool = ConnectionPool<TcpStream>;
using LeaseOr = absl::StatusOr<Pool::Lease>;

Task<absl::StatusOr<TcpStream>> ConnectTo(std::string host) {
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(host);
  if (!address.ok()) co_return address.status();
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*address);
  co_return stream;
}

class ConnectionPoolTest : public SocketConformanceTest {
 protected:
  std::string host() { return listener_.LocalAddress().ToString(); }
  std::string other_host() { return other_listener_.LocalAddress().ToString(); }

  Pool::Lease Lend(Pool& pool, const std::string& host) {
    LeaseOr lease = Run(pool.Acquire(host));
    CHECK(lease.ok()) << lease.status();
    return *std::move(lease);
  }

  void TearDown() override {
    listener_ = TcpListener();
    other_listener_ = TcpListener();
    SocketConformanceTest::TearDown();
  }

  TcpListener listener_ = Listen();
  TcpListener other_listener_ = Listen();
};

TEST_F(ConnectionPoolTest, AReturnedConnectionIsUsedAgain) {
  Pool pool(&ConnectTo);
  Pool::Lease first = Lend(pool, host());
  const SocketAddress address = *first->LocalAddress();
  first.ReturnToPool();
  EXPECT_EQ(pool.statistics().idle, 1u);

  Pool::Lease second = Lend(pool, host());

  EXPECT_EQ(*second->LocalAddress(), address);
  EXPECT_EQ(pool.statistics().made, 1u);
  EXPECT_EQ(pool.statistics().reused, 1u);
  EXPECT_EQ(pool.statistics().in_use, 1u);
}

// What must never be reused: a request that failed or was cancelled has left an answer on its way.
TEST_F(ConnectionPoolTest, ALeaseThatJustEndsClosesTheConnection) {
  Pool pool(&ConnectTo);
  {
    Pool::Lease lease = Lend(pool, host());
  }
  EXPECT_EQ(pool.statistics().idle, 0u);
  EXPECT_EQ(pool.statistics().in_use, 0u);

  TcpStream server = Accept(listener_);

  EXPECT_EQ(*ReadAll(server), "");
}

Task<absl::Status> Exchange(Pool* pool, std::string host) {
  absl::StatusOr<Pool::Lease> lease = co_await pool->Acquire(host);
  if (!lease.ok()) co_return lease.status();
  IoResult written = co_await (*lease)->WriteAll("question");
  if (!written.ok()) co_return written.status;
  std::string answer(6, '\0');
  IoResult read = co_await (*lease)->ReadExactly(absl::MakeSpan(answer));
  if (!read.ok()) co_return read.status;
  lease->ReturnToPool();
  co_return absl::OkStatus();
}

TEST_F(ConnectionPoolTest, ACancelledRequestTakesItsConnectionWithIt) {
  Pool pool(&ConnectTo);
  auto request = Start(Exchange(&pool, host()));
  TcpStream server = Accept(listener_);
  EXPECT_EQ(*Read(server), "question");
  request->Cancel();
  EXPECT_EQ(Wait(request).code(), kCancelled);
  // The late answer belongs to nobody.
  EXPECT_EQ(pool.statistics().idle, 0u);
  EXPECT_EQ(pool.statistics().in_use, 0u);

  auto next = Start(Exchange(&pool, host()));
  TcpStream fresh = Accept(listener_);
  EXPECT_EQ(*Read(fresh), "question");
  Send(fresh, "answer");
  EXPECT_OK(Wait(next));
  EXPECT_EQ(pool.statistics().made, 2u);
}

TEST_F(ConnectionPoolTest, AConnectionThatThePeerClosedIsNotLent) {
  Pool pool(&ConnectTo);
  Pool::Lease lease = Lend(pool, host());
  TcpStream server = Accept(listener_);
  lease.ReturnToPool();
  EXPECT_OK(Run(server.Close()));
  Settle();

  Pool::Lease next = Lend(pool, host());

  EXPECT_EQ(pool.statistics().made, 2u);
  Send(*next, "works");
}

TEST_F(ConnectionPoolTest, AConnectionWithBytesThatNobodyAskedForIsNotKept) {
  Pool pool(&ConnectTo);
  Pool::Lease lease = Lend(pool, host());
  TcpStream server = Accept(listener_);
  Send(server, "a late answer");
  Settle();

  lease.ReturnToPool();

  EXPECT_EQ(pool.statistics().idle, 0u);
}

TEST_F(ConnectionPoolTest, BytesThatComeWhileIdleMakeItUseless) {
  Pool pool(&ConnectTo);
  Pool::Lease lease = Lend(pool, host());
  TcpStream server = Accept(listener_);
  lease.ReturnToPool();
  Send(server, "a late answer");
  Settle();

  Pool::Lease next = Lend(pool, host());

  EXPECT_EQ(pool.statistics().made, 2u);
}

Task<absl::Status> Healthy(TcpStream*) { co_return absl::OkStatus(); }
Task<absl::Status> Sick(TcpStream*) { co_return absl::UnavailableError("no PONG"); }

TEST_F(ConnectionPoolTest, AHealthCheckDecidesAboutIdleConnections) {
  Pool pool(&ConnectTo);
  pool.set_health_check(&Healthy);
  Lend(pool, host()).ReturnToPool();
  Lend(pool, host()).ReturnToPool();
  EXPECT_EQ(pool.statistics().made, 1u);

  pool.set_health_check(&Sick);
  Pool::Lease lease = Lend(pool, host());

  EXPECT_EQ(pool.statistics().made, 2u);
  EXPECT_EQ(pool.statistics().idle, 0u);
}

Task<LeaseOr> AcquireFrom(Pool* pool, std::string host) {
  LeaseOr lease = co_await pool->Acquire(std::move(host));
  co_return lease;
}

Task<absl::Status> AskForever(TcpStream* stream) {
  IoResult written = co_await stream->WriteAll("PING");
  if (!written.ok()) co_return written.status;
  char answer = 0;
  const absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(&answer, 1));
  co_return count.status();
}

// Its answer may still come.
TEST_F(ConnectionPoolTest, AHealthCheckThatIsStoppedTakesItsConnectionWithItAndTheNextIsServed) {
  Pool pool(&ConnectTo, PoolOptions().set_max_per_host(1));
  Lend(pool, host()).ReturnToPool();
  TcpStream server = Accept(listener_);
  pool.set_health_check(&AskForever);
  auto checking = Start(AcquireFrom(&pool, host()));
  auto next = Start(AcquireFrom(&pool, host()));
  EXPECT_EQ(*Read(server), "PING");

  checking->Cancel();

  EXPECT_EQ(Wait(checking).status().code(), kCancelled);
  EXPECT_OK(Wait(next).status());
  EXPECT_EQ(*ReadAll(server), "");
  EXPECT_EQ(pool.statistics().idle, 0u);
  EXPECT_EQ(pool.statistics().waiting, 0u);
}

Task<absl::StatusOr<TcpStream>> Throw(std::string) {
  throw std::runtime_error("no connector");
  co_return absl::UnknownError("not reached");
}

Task<absl::Status> Catch(Pool* pool, std::string host) {
  try {
    const absl::StatusOr<Pool::Lease> lease = co_await pool->Acquire(host);
    co_return lease.status();
  } catch (const std::runtime_error& error) {
    co_return absl::InternalError(error.what());
  }
}

TEST_F(ConnectionPoolTest, AConnectorThatThrowsGivesItsSlotBack) {
  Pool pool(&Throw, PoolOptions().set_max_total(1));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Run(Catch(&pool, host())), absl::InternalError("no connector"));
  EXPECT_EQ(pool.statistics().in_use, 0u);
}

TEST_F(ConnectionPoolTest, IdleConnectionsCloseAfterTheirTime) {
  Pool pool(&ConnectTo, PoolOptions().set_idle_timeout(absl::Milliseconds(30)));
  Lend(pool, host()).ReturnToPool();
  TcpStream server = Accept(listener_);
  EXPECT_EQ(*ReadAll(server), "");  // Waits for the close.
  EXPECT_EQ(pool.statistics().idle, 0u);
  // And once more: the timer starts anew.
  Lend(pool, host()).ReturnToPool();
  TcpStream again = Accept(listener_);
  EXPECT_EQ(*ReadAll(again), "");
}

TEST_F(ConnectionPoolTest, TheNewestIdleConnectionIsLentFirst) {
  Pool pool(&ConnectTo);
  Pool::Lease first = Lend(pool, host());
  Pool::Lease second = Lend(pool, host());
  const SocketAddress newest = *first->LocalAddress();
  second.ReturnToPool();
  first.ReturnToPool();

  EXPECT_EQ(*Lend(pool, host())->LocalAddress(), newest);
}

TEST_F(ConnectionPoolTest, WaitersAreServedInOrder) {
  Pool pool(&ConnectTo, PoolOptions().set_max_per_host(1));
  std::optional<Pool::Lease> held = Lend(pool, host());
  auto first = Start(AcquireFrom(&pool, host()));
  Settle();
  auto second = Start(AcquireFrom(&pool, host()));
  Settle();
  EXPECT_EQ(pool.statistics().waiting, 2u);

  held->ReturnToPool();
  LeaseOr lease = Wait(first);
  ASSERT_OK(lease.status());
  Settle();
  EXPECT_FALSE(second->done());
  lease->ReturnToPool();

  EXPECT_OK(Wait(second).status());
  EXPECT_EQ(pool.statistics().made, 1u);
}

TEST_F(ConnectionPoolTest, AWaiterWithADeadlineLeavesTheLine) {
  Pool pool(&ConnectTo, PoolOptions().set_max_per_host(1));
  std::optional<Pool::Lease> held = Lend(pool, host());
  auto patient = Start(AcquireFrom(&pool, host()));
  Settle();

  const LeaseOr late = Run(WithTimeout(absl::Milliseconds(10), pool.Acquire(host())));

  EXPECT_EQ(late.status().code(), kDeadlineExceeded);
  EXPECT_EQ(pool.statistics().waiting, 1u);
  held.reset();  // Closes: the slot is what becomes free.
  EXPECT_OK(Wait(patient).status());
}

TEST_F(ConnectionPoolTest, ACancelledWaiterHandsItsTurnOn) {
  Pool pool(&ConnectTo, PoolOptions().set_max_per_host(1));
  std::optional<Pool::Lease> held = Lend(pool, host());
  auto first = Start(AcquireFrom(&pool, host()));
  Settle();
  auto second = Start(AcquireFrom(&pool, host()));
  Settle();
  // Served and cancelled in one turn.
  held->ReturnToPool();
  first->Cancel();

  const LeaseOr lease = Wait(first);
  if (lease.ok()) {
    EXPECT_EQ(pool.statistics().in_use, 1u);
  } else {
    EXPECT_EQ(lease.status().code(), kCancelled);
    EXPECT_OK(Wait(second).status());
    return;
  }
  second->Cancel();
  EXPECT_EQ(Wait(second).status().code(), kCancelled);
}

TEST_F(ConnectionPoolTest, AnotherHostDoesNotWaitBehindAFullOne) {
  Pool pool(&ConnectTo, PoolOptions().set_max_per_host(1));
  Pool::Lease held = Lend(pool, host());
  auto waiting = Start(AcquireFrom(&pool, host()));
  Settle();

  Pool::Lease other = Lend(pool, other_host());

  EXPECT_FALSE(waiting->done());
  waiting->Cancel();
  EXPECT_EQ(Wait(waiting).status().code(), kCancelled);
}

TEST_F(ConnectionPoolTest, AnIdleConnectionToAnotherHostMakesRoom) {
  Pool pool(&ConnectTo, PoolOptions().set_max_total(1));
  Lend(pool, host()).ReturnToPool();
  TcpStream server = Accept(listener_);

  Pool::Lease other = Lend(pool, other_host());

  EXPECT_EQ(pool.statistics().idle, 0u);
  EXPECT_EQ(*ReadAll(server), "");
}

TEST_F(ConnectionPoolTest, TheTotalLimitMakesOthersWait) {
  Pool pool(&ConnectTo, PoolOptions().set_max_total(1));
  std::optional<Pool::Lease> held = Lend(pool, host());
  auto other = Start(AcquireFrom(&pool, other_host()));
  Settle();
  EXPECT_FALSE(other->done());

  held.reset();

  EXPECT_OK(Wait(other).status());
}

TEST_F(ConnectionPoolTest, AFailedConnectGivesItsSlotBack) {
  TcpListener gone = Listen();
  const std::string closed = gone.LocalAddress().ToString();
  EXPECT_OK(Run(gone.Close()));
  Pool pool(&ConnectTo, PoolOptions().set_max_total(1));

  EXPECT_EQ(Run(pool.Acquire(closed)).status().code(), kUnavailable);

  EXPECT_EQ(pool.statistics().in_use, 0u);
  Pool::Lease lease = Lend(pool, host());
}

TEST_F(ConnectionPoolTest, ALeaseMayOutliveThePool) {
  auto pool = std::make_unique<Pool>(&ConnectTo);
  Pool::Lease kept = Lend(*pool, host());
  std::optional<Pool::Lease> returned = Lend(*pool, host());
  Lend(*pool, host()).ReturnToPool();
  TcpStream servers[] = {Accept(listener_), Accept(listener_), Accept(listener_)};

  pool.reset();

  EXPECT_EQ(*ReadAll(servers[2]), "");  // The idle one.
  Send(*kept, "still works");
  EXPECT_EQ(*Read(servers[0]), "still works");
  returned->ReturnToPool();  // Closes it: there is no pool.
  EXPECT_EQ(*ReadAll(servers[1]), "");
}

// The check runs in the return of the lease and, for one that waits, in whatever gave a connection back.
TEST_F(ConnectionPoolTest, ACheckThatThrowsClosesTheConnectionAndServesTheNext) {
  Pool pool(&ConnectTo, PoolOptions().set_max_per_host(1));
  bool throws = true;
  pool.set_idle_check([&throws](TcpStream&) -> bool {
    if (throws) throw std::runtime_error("no answer");
    return true;
  });
  std::optional<Pool::Lease> held = Lend(pool, host());
  auto first = Start(AcquireFrom(&pool, host()));
  auto second = Start(AcquireFrom(&pool, host()));
  Settle();

  held->ReturnToPool();

  LeaseOr lease = Wait(first);
  ASSERT_OK(lease.status());
  EXPECT_EQ(pool.statistics().made, 2u);
  throws = false;
  lease->ReturnToPool();
  EXPECT_OK(Wait(second).status());
  EXPECT_EQ(pool.statistics().made, 2u);
  EXPECT_EQ(pool.statistics().in_use, 0u);
}

TEST_F(ConnectionPoolTest, MoreThanTheLimitMayNotWait) {
  Pool pool(&ConnectTo, PoolOptions().set_max_per_host(1).set_max_waiting(1));
  std::optional<Pool::Lease> held = Lend(pool, host());
  auto waiting = Start(AcquireFrom(&pool, host()));
  Settle();

  EXPECT_EQ(Run(pool.Acquire(host())).status().code(), absl::StatusCode::kResourceExhausted);
  Pool::Lease other = Lend(pool, other_host());  // Need not wait.

  held->ReturnToPool();
  EXPECT_OK(Wait(waiting).status());
}

TEST_F(ConnectionPoolTest, CloseIdleClosesThemAll) {
  Pool pool(&ConnectTo);
  Pool::Lease first = Lend(pool, host());
  Pool::Lease second = Lend(pool, host());
  first.ReturnToPool();
  second.ReturnToPool();
  EXPECT_EQ(pool.statistics().idle, 2u);

  pool.CloseIdle();

  EXPECT_EQ(pool.statistics().idle, 0u);
  TcpStream server = Accept(listener_);
  EXPECT_EQ(*ReadAll(server), "");
}

}  // namespace
}  // namespace tandem::testing
