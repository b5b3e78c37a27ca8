// SPDX-License-Identifier: Apache-2.0
//
// A lock with leases and fencing tokens. A worker that was granted the lease adds one to a cell on a third host.
//
// The lease counts from when the worker has asked for it, which is before it was granted: so a worker never believes
// that it holds what the lock server has given to another. A request to the cell may arrive when the lease is over: the
// cell therefore refuses tokens that are older than one that it has seen.

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/mutants/cluster.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::mutants {
namespace {

constexpr absl::Duration kFaultsEnd = absl::Seconds(12);
constexpr absl::Duration kLease = absl::Milliseconds(800);
constexpr absl::Duration kTimeout = absl::Milliseconds(600);

// --- The lock server ---

class LockServer {
 public:
  // Whom an earlier process has granted the lease is not known: so nobody gets it for as long as a lease lasts.
  explicit LockServer(Disk* disk)
      : disk_(disk), token_(disk->Read("token").empty() ? 0 : Number(disk->Read("token"))), end_(Now() + kLease) {}

  // "ACQUIRE" is answered by "TOKEN n" or "BUSY", "RENEW n" by "RENEWED" or "LOST", "RELEASE n" by "RELEASED".
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::vector<std::string> words = Words(line);
    if (words[0] == "ACQUIRE") co_return co_await Acquire();
    const int64_t token = Number(words[1]);
    const bool holds = token == token_ && Now() < end_;
    if (words[0] == "RENEW") {
      if (!holds) co_return "LOST";
      end_ = Now() + kLease;
      co_return "RENEWED";
    }
    if (holds) end_ = Now();
    co_return "RELEASED";
  }

 private:
  Task<absl::StatusOr<std::string>> Acquire() {
    absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
    if (!guard.ok()) co_return guard.status();
    if (Now() < end_) co_return "BUSY";
    const int64_t token = token_ + 1;
    const absl::Status written = co_await disk_->Write("token", absl::StrCat(token));
    if (!written.ok()) co_return written;
    token_ = token;
    end_ = Now() + kLease;
    co_return absl::StrCat("TOKEN ", token);
  }

  Disk* const disk_;
  Mutex mutex_;
  int64_t token_;  // The last one that was granted.
  Instant end_;    // Of its lease.
};

Task<absl::Status> RunLockServer(Disk* disk) {
  LockServer server(disk);
  co_return co_await mutants::Answer(&server);
}

// --- The cell ---

class Cell {
 public:
  explicit Cell(Disk* disk) : disk_(disk) {
    const std::vector<std::string> words = Words(disk->Read("cell"));
    if (words.empty()) return;
    fence_ = Number(words[0]);
    value_ = Number(words[1]);
  }

  // "READ token" is answered by "VALUE n", "WRITE token n" by "WRITTEN", and both by "FENCED" when the token is old.
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::vector<std::string> words = Words(line);
    const int64_t token = Number(words[1]);
    absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
    if (!guard.ok()) co_return guard.status();
    if (token < fence_) co_return "FENCED";
    const bool writes = words[0] == "WRITE";
    const int64_t value = writes ? Number(words[2]) : value_;
    if (writes || token != fence_) {
      const absl::Status written = co_await disk_->Write("cell", absl::StrCat(token, " ", value));
      if (!written.ok()) co_return written;
    }
    if (writes) EXPECT_EQ(value, value_ + 1) << "a write was lost, by token " << token << " after " << fence_;
    fence_ = token;
    value_ = value;
    co_return writes ? std::string("WRITTEN") : absl::StrCat("VALUE ", value_);
  }

 private:
  Disk* const disk_;
  Mutex mutex_;
  int64_t fence_ = 0;
  int64_t value_ = 0;
};

Task<absl::Status> RunCell(Disk* disk) {
  Cell cell(disk);
  co_return co_await mutants::Answer(&cell);
}

// --- The workers ---

// What the test knows of all workers.
struct Workers {
  std::map<std::string, Instant> believe;  // Who believes to hold the lease, and until when.
  std::set<int64_t> tokens;
  int64_t added = 0;  // Additions that were confirmed.

  void CheckAlone(const std::string& name) const {
    for (const auto& [other, until] : believe) {
      EXPECT_FALSE(other != name && Now() < until) << other << " holds the lease as well as " << name;
    }
  }
};

struct Lease {
  int64_t token = 0;
  Instant end;
};

Task<absl::StatusOr<Lease>> Acquire() {
  const Instant asked = Now();
  const absl::StatusOr<std::string> answer = co_await Ask("lock", "ACQUIRE", kTimeout);
  if (!answer.ok()) co_return answer.status();
  if (*answer == "BUSY") co_return absl::UnavailableError("busy");
  co_return Lease{Number(Words(*answer)[1]), asked + kLease};
}

Task<absl::Status> Renew(Lease* lease) {
  const Instant asked = Now();
  const absl::StatusOr<std::string> answer = co_await Ask("lock", absl::StrCat("RENEW ", lease->token), kTimeout);
  if (!answer.ok()) co_return answer.status();
  if (*answer != "RENEWED") co_return absl::AbortedError("the lease is lost");
  lease->end = asked + kLease;
  co_return absl::OkStatus();
}

// Adds one to the cell. After an error nobody knows whether it was added, or will be: the token is not used again.
Task<absl::Status> AddOne(Workers* workers, std::string name, const Lease* lease) {
  const absl::StatusOr<std::string> read = co_await Ask("cell", absl::StrCat("READ ", lease->token), kTimeout);
  if (!read.ok()) co_return read.status();
  if (*read == "FENCED") co_return absl::AbortedError("fenced");
  if (Now() >= lease->end) co_return absl::AbortedError("the lease is over");
  workers->CheckAlone(name);
  const int64_t value = Number(Words(*read)[1]) + 1;
  const absl::StatusOr<std::string> written =
      co_await Ask("cell", absl::StrCat("WRITE ", lease->token, " ", value), kTimeout);
  if (!written.ok()) co_return written.status();
  if (*written != "WRITTEN") co_return absl::AbortedError("fenced");
  ++workers->added;
  co_return absl::OkStatus();
}

Task<absl::Status> UseLock(Workers* workers, std::string name) {
  absl::StatusOr<Lease> lease = co_await Acquire();
  if (!lease.ok()) co_return lease.status();
  EXPECT_TRUE(workers->tokens.insert(lease->token).second) << "token " << lease->token << " was granted twice";
  workers->believe[name] = lease->end;
  absl::Status status;
  const int64_t additions = Random("additions").Between(1, 6);
  for (int64_t i = 0; i < additions && status.ok(); ++i) {
    if (lease->end - Now() < kLease / 2) {
      status = co_await Renew(&*lease);
      if (!status.ok()) break;
      workers->believe[name] = lease->end;
    }
    status = co_await AddOne(workers, name, &*lease);
    const int64_t pause_ms = Random("pause").Between(0, 200);
    co_await Pause(absl::Milliseconds(pause_ms));
  }
  workers->believe.erase(name);
  const absl::StatusOr<std::string> released = co_await Ask("lock", absl::StrCat("RELEASE ", lease->token), kTimeout);
  if (status.ok()) status = released.status();
  co_return status;
}

Task<absl::Status> RunWorker(Workers* workers, std::string name) {
  workers->believe.erase(name);
  while (Now() < Instant() + kFaultsEnd) {
    (void)co_await UseLock(workers, name);
    const int64_t pause_ms = Random("idle").Between(0, 300);
    co_await Pause(absl::Milliseconds(pause_ms));
  }
  // Everything is well now, or will be soon: what was held up by a fault arrives, and the other worker goes on.
  absl::Status status;
  for (const Instant end = Now() + absl::Minutes(2); Now() < end;) {
    status = co_await UseLock(workers, name);
    if (status.ok()) break;
    const int64_t pause_ms = Random("idle").Between(100, 300);
    co_await Pause(absl::Milliseconds(pause_ms));
  }
  co_return status;
}

SIM_TEST(Lease, HoldersNeverOverlap) {
  Disk lock_disk;
  Disk cell_disk;
  Workers workers;
  world.AddHost("lock", [&] { return RunLockServer(&lock_disk); });
  world.AddHost("cell", [&] { return RunCell(&cell_disk); });
  for (const char* name : {"ann", "bob", "eve"}) {
    world.AddClient(name, [&workers, name] { return RunWorker(&workers, name); });
  }
  world.Inject(sim::Faults::All().With(sim::FaultKind::kClockOffset).During(absl::ZeroDuration(), kFaultsEnd));
  EXPECT_OK(world.RunClients(absl::Minutes(5)));
  EXPECT_GE(Number(Words(cell_disk.Read("cell"))[1]), workers.added);
}

}  // namespace
}  // namespace tandem::mutants
