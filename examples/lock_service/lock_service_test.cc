// SPDX-License-Identifier: Apache-2.0
//
// The servers as main() has them, with files, over the loopback address of each world.

#include "tandem/examples/lock_service/lock_service.h"

#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/examples/cluster/ask.h"
#include "tandem/examples/cluster/disk.h"
#include "tandem/tandem.h"
#include "tandem/testing/co_assert.h"
#include "tandem/testing/status_matchers.h"

namespace lock_service {
namespace {

using namespace tandem;
using tandem::testing::IsOkAndHolds;
using tandem::testing::StatusIs;

using Serve = Task<absl::Status>(TcpListener, examples::Disk*);

// A server on a free port, from its construction to Stop().
class Server {
 public:
  Server(Serve* serve, const std::string& file) : disk_(absl::StrCat(std::getenv("TEST_TMPDIR"), "/", file)) {
    TcpListener listener = *TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
    address_ = listener.LocalAddress().ToString();
    running_ = SpawnJoinable(serve, std::move(listener), &disk_);
  }
  const std::string& address() const { return address_; }
  Task<absl::Status> Stop() {
    running_.Cancel();
    co_return co_await running_.Join();
  }

 private:
  examples::FileDisk disk_;
  std::string address_;
  JoinHandle<absl::Status> running_;
};

// Goes on until the lock is free: a server that has just started grants nothing for a while.
Task<absl::StatusOr<Lease>> AcquireInTheEnd(std::string server) {
  for (;;) {
    const absl::StatusOr<Lease> lease = co_await Acquire(server);
    if (lease.ok()) co_return lease;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(20));
    if (!slept.ok()) co_return slept;
  }
}

Task<absl::Status> UseAndRestart() {
  Server lock(&ServeLock, "lock");
  Server store(&ServeStore, "store");
  CO_ASSERT_OK_AND_ASSIGN(Lease first, co_await AcquireInTheEnd(lock.address()));
  CO_ASSERT_OK(co_await Write(store.address(), first, "a value"));
  EXPECT_THAT(co_await Read(store.address(), first), IsOkAndHolds("a value"));
  const absl::Status renewed = co_await Renew(lock.address(), &first);
  EXPECT_TRUE(renewed.ok() || absl::IsAborted(renewed)) << renewed;  // On a slow machine the lease is over.
  const absl::Status released = co_await Release(lock.address(), first);
  EXPECT_TRUE(released.ok() || absl::IsAborted(released)) << released;

  CO_ASSERT_OK_AND_ASSIGN(const Lease second, co_await AcquireInTheEnd(lock.address()));
  EXPECT_GT(second.token, first.token);
  EXPECT_THAT(co_await Read(store.address(), second), IsOkAndHolds("a value"));
  EXPECT_THAT(co_await Write(store.address(), first, "too late"), StatusIs(absl::StatusCode::kAborted));

  EXPECT_THAT(co_await lock.Stop(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(co_await store.Stop(), StatusIs(absl::StatusCode::kCancelled));
  Server new_lock(&ServeLock, "lock");
  Server new_store(&ServeStore, "store");
  EXPECT_THAT(co_await Write(new_store.address(), first, "too late"), StatusIs(absl::StatusCode::kAborted));
  CO_ASSERT_OK_AND_ASSIGN(const Lease third, co_await AcquireInTheEnd(new_lock.address()));
  EXPECT_GT(third.token, second.token);
  EXPECT_THAT(co_await Read(new_store.address(), third), IsOkAndHolds("a value"));
  EXPECT_THAT(co_await new_lock.Stop(), StatusIs(absl::StatusCode::kCancelled));
  co_return co_await new_store.Stop();
}

TEST(LockServiceTest, TokensRiseAndTheStoreKnowsThem) {
  EXPECT_THAT(Runtime().BlockOn(UseAndRestart()), StatusIs(absl::StatusCode::kCancelled));
}

Task<absl::StatusOr<std::string>> AskOnce(Serve* serve, std::string line) {
  Server server(serve, "of_nobody");
  absl::StatusOr<std::string> answer = co_await examples::Ask(server.address(), line, absl::Minutes(1));
  EXPECT_THAT(co_await server.Stop(), StatusIs(absl::StatusCode::kCancelled));
  co_return answer;
}

TEST(LockServiceTest, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(Runtime().BlockOn(AskOnce(&ServeLock, "STEAL 3")), IsOkAndHolds(::testing::StartsWith("ERR")));
  EXPECT_THAT(Runtime().BlockOn(AskOnce(&ServeLock, "")), IsOkAndHolds(::testing::StartsWith("ERR")));
  EXPECT_THAT(Runtime().BlockOn(AskOnce(&ServeLock, "RENEW x")), IsOkAndHolds("LOST"));
  EXPECT_THAT(Runtime().BlockOn(AskOnce(&ServeStore, "WRITE a value")), IsOkAndHolds(::testing::StartsWith("ERR")));
  EXPECT_THAT(Runtime().BlockOn(AskOnce(&ServeStore, "READ 0")), IsOkAndHolds(::testing::StartsWith("ERR")));
}

}  // namespace
}  // namespace lock_service
