// SPDX-License-Identifier: Apache-2.0
//
// Three clients count in the store, under the lock, while network, machines and clocks fail. What they do is recorded
// three times: as calls of the lock, as calls of the store, and as additions.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tandem/examples/cluster/ask.h"
#include "tandem/examples/cluster/memory_disk.h"
#include "tandem/examples/lock_service/lock_service.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/op.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/history.h"
#include "tandem/testing/linearizability.h"
#include "tandem/testing/linearizability_models.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace lock_service {
namespace {

using namespace tandem;
using examples::Number;
using tandem::testing::CheckLinearizable;
using tandem::testing::History;

// acquire -> token, held(token), release(token). A lease ends in silence: so whoever comes next may have the lock.
struct LeasedLock {
  using State = std::pair<int64_t, int64_t>;  // The token of who has the lock, and the highest so far.
  State Start() const { return {0, 0}; }
  std::optional<std::string> Apply(const History::Operation& operation, State* state) const {
    if (operation.name == "acquire") {
      const int64_t token = Number(operation.answer);
      if (token <= state->second) return std::nullopt;
      *state = {token, token};
      return operation.answer;
    }
    const bool has_it = Number(operation.arguments[0]) == state->first;
    if (operation.name == "held") return has_it ? std::optional<std::string>("") : std::nullopt;
    if (has_it) state->first = 0;
    return "";
  }
};

// read(token) -> value, write(token, value), and both "fenced" when the token is too low.
struct FencedValue {
  using State = std::pair<int64_t, std::string>;  // The highest token so far, and the value.
  State Start() const { return {0, ""}; }
  std::optional<std::string> Apply(const History::Operation& operation, State* state) const {
    const int64_t token = Number(operation.arguments[0]);
    if (token < state->first) return "fenced";
    state->first = token;
    if (operation.name == "read") return state->second;
    state->second = operation.arguments[1];
    return "";
  }
};

struct Histories {
  History lock{Now};
  History store{Now};
  History sum{Now};
};

TcpListener Listen() { return *TcpListener::Listen(SocketAddress::AnyIpv4(7400)); }

// Whether a client may go on; it then claims that nobody else has the lock.
absl::Status RelyOn(const Lease& lease, Histories* histories, const std::string& who) {
  if (!lease.Held()) return absl::AbortedError("the lease is over");
  histories->lock.Invoke(who, "lock", "held", lease.token).Return();
  return absl::OkStatus();
}

// What a client does under one lease.
struct Plan {
  uint64_t steps = 1;
  bool adds = true;       // Else it looks at the sum, again and again.
  absl::Duration thinks;  // After it has looked.
};

// A step. After an error the lease is not to be used any more.
Task<absl::Status> LookAndAdd(Histories* histories, std::string who, Lease lease, Plan plan) {
  if (absl::Status held = RelyOn(lease, histories, who); !held.ok()) co_return held;
  History::Call read = histories->store.Invoke(who, "store", "read", lease.token);
  const absl::StatusOr<std::string> value = co_await Read("store:7400", lease);
  if (value.ok() || absl::IsAborted(value.status())) read.Return(value.ok() ? *value : "fenced");
  if (!value.ok()) co_return value.status();
  co_await Pause(plan.thinks);
  absl::Status held = RelyOn(lease, histories, who);
  if (!held.ok() || !plan.adds) co_return held;
  const int64_t sum = Number(value->substr(0, value->find(' '))) + 1;
  const std::string next = absl::StrCat(sum, " by ", who, " with ", lease.token);  // Which nobody else writes.
  History::Call add = histories->sum.Invoke(who, "sum", "add_and_get", 1);
  History::Call write = histories->store.Invoke(who, "store", "write", lease.token, next);
  const absl::Status written = co_await Write("store:7400", lease, next);
  if (written.ok() || absl::IsAborted(written)) write.Return(written.ok() ? "" : "fenced");
  if (written.ok()) add.Return(sum);
  if (absl::IsAborted(written)) add.Fail();
  co_return written;
}

Task<absl::Status> UseLock(Histories* histories, std::string who, Plan plan) {
  History::Call acquire = histories->lock.Invoke(who, "lock", "acquire");
  absl::StatusOr<Lease> lease = co_await Acquire("lock:7400");
  if (absl::IsAborted(lease.status())) acquire.Fail();  // Somebody else has it.
  if (!lease.ok()) co_return lease.status();
  acquire.Return(lease->token);
  absl::Status status;
  for (uint64_t i = 0; i < plan.steps && status.ok(); ++i) {
    if (i > 0) status = co_await Renew("lock:7400", &*lease);
    if (status.ok()) status = co_await LookAndAdd(histories, who, *lease, plan);
  }
  History::Call release = histories->lock.Invoke(who, "lock", "release", lease->token);
  const absl::Status released = co_await Release("lock:7400", *lease);
  if (released.ok()) release.Return();
  co_return status;
}

Task<absl::Status> RunClient(Histories* histories, std::string who, std::vector<sim::Op> ops) {
  for (const sim::Op& op : ops) {
    const Plan plan{1 + op.Draw("steps", 6), op.Draw("adds", 2) == 0, absl::Milliseconds(op.Draw("thinks", 400))};
    (void)co_await UseLock(histories, who, plan);
    co_await Pause(absl::Milliseconds(op.Draw("pause", 200)));
  }
  co_return absl::OkStatus();
}

// One who comes when all is well goes on until it has added one.
Task<absl::Status> AddInTheEnd(Histories* histories, bool* added) {
  const Plan plan;
  while (!*added) {
    const absl::Status status = co_await UseLock(histories, "late", plan);
    *added = status.ok();
    co_await Pause(absl::Milliseconds(100));
  }
  co_return absl::OkStatus();
}

SIM_TEST(LockService, KeepsItsPromises) {
  examples::MemoryDisk disk_of_lock;
  examples::MemoryDisk disk_of_store;
  Histories histories;
  world.AddServer("lock", [&] { return ServeLock(Listen(), &disk_of_lock); });
  world.AddServer("store", [&] { return ServeStore(Listen(), &disk_of_store); });
  for (std::string name : {"ann", "bob", "eve"}) {
    world.AddClient(name, [&, name, ops = world.Ops(name, 60)] { return RunClient(&histories, name, ops); });
  }
  world.Inject(sim::Faults::All()
                   .With(sim::FaultKind::kTerminate)
                   .With(sim::FaultKind::kClockFast)
                   .With(sim::FaultKind::kClockSlow)
                   .With(sim::FaultKind::kBootOffset)
                   .During(absl::ZeroDuration(), absl::Seconds(15)));
  EXPECT_OK(world.RunClients(absl::Minutes(5)));

  bool added = false;
  world.AddHost("late", [&] { return AddInTheEnd(&histories, &added); });
  EXPECT_OK(world.HealAndExpect(absl::Seconds(30), "somebody has added one", [&] { return added; }));
  EXPECT_OK(CheckLinearizable(histories.lock.operations(), LeasedLock()));
  EXPECT_OK(CheckLinearizable(histories.store.operations(), FencedValue()));
  EXPECT_OK(CheckLinearizable(histories.sum.operations(), tandem::testing::Counter()));
}

}  // namespace
}  // namespace lock_service
