// SPDX-License-Identifier: Apache-2.0
//
// Two-phase commit, presumed abort: a coordinator moves money between the accounts of two banks.
//
// A bank writes down that it is prepared before it votes yes, and then waits for the outcome, however long that takes.
// The coordinator writes down that it commits before it tells anybody; of what it has written nothing about, and does
// not work on, it says that it was aborted. Both repeat themselves until they are answered.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
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

constexpr absl::Duration kFaultsEnd = absl::Seconds(10);
constexpr absl::Duration kTimeout = absl::Milliseconds(300);
constexpr absl::Duration kInDoubt = absl::Milliseconds(500);
constexpr int64_t kFirstBalance = 20;

// --- A bank ---

// Holds one account. Of a transfer it knows that it is prepared, with an amount to add, or its outcome.
class Bank {
 public:
  explicit Bank(Disk* disk) : disk_(disk) {
    const std::vector<std::string> words = Words(disk->Read("bank"));
    if (!words.empty()) balance_ = Number(words[0]);
    for (size_t i = 1; i + 2 < words.size(); i += 3) {
      transfers_[words[i]] = {Number(words[i + 1]), words[i + 2], Now()};
    }
  }

  // "PREPARE id amount" is answered by "YES" or "NO", "COMMIT id" and "ABORT id" by "DONE".
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::vector<std::string> words = Words(line);
    absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
    if (!guard.ok()) co_return guard.status();
    if (words[0] == "PREPARE") co_return co_await Prepare(words[1], Number(words[2]));
    const absl::Status ended = co_await End(words[1], words[0] == "COMMIT");
    if (!ended.ok()) co_return ended;
    co_return "DONE";
  }

  // Asks for the outcome of what was prepared for long.
  Task<void> AskForOutcomes() {
    for (;;) {
      const absl::Status slept = co_await Sleep(absl::Milliseconds(200));
      if (!slept.ok()) co_return;
      std::vector<std::string> prepared;
      for (const auto& [id, transfer] : transfers_) {
        if (transfer.state == "prepared" && Now() - transfer.since >= kInDoubt) prepared.push_back(id);
      }
      for (const std::string& id : prepared) {
        const absl::StatusOr<std::string> outcome = co_await Ask("coordinator", absl::StrCat("OUTCOME ", id), kTimeout);
        if (!outcome.ok() || *outcome == "WAIT") continue;
        absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
        if (!guard.ok()) co_return;
        (co_await End(id, *outcome == "COMMITTED")).IgnoreError();
      }
    }
  }

 private:
  struct Transfer {
    int64_t amount = 0;
    std::string state;  // "prepared", "committed" or "aborted".
    Instant since;      // When this process has got to know that it is prepared.
  };

  Task<absl::StatusOr<std::string>> Prepare(std::string id, int64_t amount) {
    const auto found = transfers_.find(id);
    if (found != transfers_.end()) co_return found->second.state == "prepared" ? "YES" : "NO";
    // What others that are prepared may take away is not there any more.
    int64_t available = balance_;
    for (const auto& [other, transfer] : transfers_) {
      if (transfer.state == "prepared" && transfer.amount < 0) available += transfer.amount;
    }
    if (available + amount < 0) co_return "NO";
    transfers_[id] = {amount, "prepared", Now()};
    const absl::Status written = co_await Save();
    if (!written.ok()) co_return written;
    co_return "YES";
  }

  // REQUIRES the lock.
  Task<absl::Status> End(std::string id, bool commits) {
    Transfer& transfer = transfers_[id];  // An abort may come before what it aborts.
    if (transfer.state == "committed" || transfer.state == "aborted") {
      EXPECT_EQ(transfer.state == "committed", commits) << id << " has two outcomes";
      co_return absl::OkStatus();
    }
    if (commits) balance_ += transfer.amount;
    transfer.state = commits ? "committed" : "aborted";
    co_return co_await Save();
  }

  Task<absl::Status> Save() {
    std::string text = absl::StrCat(balance_);
    for (const auto& [id, transfer] : transfers_)
      absl::StrAppend(&text, " ", id, " ", transfer.amount, " ", transfer.state);
    co_return co_await disk_->Write("bank", text);
  }

  Disk* const disk_;
  Mutex mutex_;
  int64_t balance_ = kFirstBalance;
  std::map<std::string, Transfer> transfers_;
};

Task<absl::Status> RunBank(Disk* disk) {
  Bank bank(disk);
  const auto body = [&bank](TaskGroup& group) -> Task<absl::Status> {
    group.Spawn(&Bank::AskForOutcomes, &bank);
    return mutants::Answer(&bank);
  };
  co_return co_await WithTaskGroup(body);
}

// --- The coordinator ---

class Coordinator {
 public:
  explicit Coordinator(Disk* disk) : disk_(disk) {
    const std::vector<std::string> words = Words(disk->Read("committed"));
    committed_.insert(words.begin(), words.end());
  }

  // "TRANSFER id amount" is answered by "COMMITTED" or "ABORTED", "OUTCOME id" by one of these or by "WAIT".
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::vector<std::string> words = Words(line);
    const std::string& id = words[1];
    if (words[0] == "TRANSFER" && !committed_.contains(id) && !aborted_.contains(id) && !working_.contains(id)) {
      working_.insert(id);
      const absl::StatusOr<bool> commits = co_await Decide(id, Number(words[2]));
      if (!commits.ok()) co_return commits.status();
      if (!*commits) aborted_.insert(id);
      working_.erase(id);
      // A bank that cannot be reached asks for the outcome itself.
      for (const char* bank : {"north", "south"}) {
        (co_await Ask(bank, absl::StrCat(*commits ? "COMMIT " : "ABORT ", id), kTimeout)).status().IgnoreError();
      }
    }
    if (committed_.contains(id)) co_return "COMMITTED";
    if (working_.contains(id)) co_return "WAIT";
    aborted_.insert(id);  // For a transfer that comes later than this question.
    co_return "ABORTED";
  }

 private:
  Task<absl::StatusOr<bool>> Decide(std::string id, int64_t amount) {
    const absl::StatusOr<std::string> north =
        co_await Ask("north", absl::StrCat("PREPARE ", id, " ", -amount), kTimeout);
    if (!north.ok() || *north != "YES") co_return false;
    const absl::StatusOr<std::string> south =
        co_await Ask("south", absl::StrCat("PREPARE ", id, " ", amount), kTimeout);
    if (!south.ok() || *south != "YES") co_return false;
    absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
    if (!guard.ok()) co_return guard.status();
    std::string text = id;
    for (const std::string& other : committed_) absl::StrAppend(&text, " ", other);
    const absl::Status written = co_await disk_->Write("committed", text);
    if (!written.ok()) co_return written;
    committed_.insert(id);
    co_return true;
  }

  Disk* const disk_;
  Mutex mutex_;
  std::set<std::string> committed_;
  std::set<std::string> working_;  // Neither yet.
  std::set<std::string> aborted_;  // Those of this start that were asked for.
};

Task<absl::Status> RunCoordinator(Disk* disk) {
  Coordinator coordinator(disk);
  co_return co_await mutants::Answer(&coordinator);
}

// --- Clients ---

// What a client was told: the test's memory.
struct Told {
  std::map<std::string, std::string> outcomes;
  int64_t number = 0;
};

Task<absl::Status> RunClient(std::string name, Told* told) {
  while (Now() < Instant() + kFaultsEnd) {
    const std::string id = absl::StrCat(name, told->number++);
    const int64_t amount = Random("amount").Between(-5, 5);
    absl::StatusOr<std::string> outcome =
        co_await Ask("coordinator", absl::StrCat("TRANSFER ", id, " ", amount), 4 * kTimeout);
    if (outcome.ok() && *outcome != "WAIT") told->outcomes[id] = *outcome;
    const int64_t pause_ms = Random("pause").Between(0, 200);
    co_await Pause(absl::Milliseconds(pause_ms));
  }
  // All is well now: nothing is in doubt for long, and a transfer of nothing goes through.
  co_await Pause(absl::Minutes(2));
  const std::string id = absl::StrCat(name, told->number++);
  const absl::StatusOr<std::string> outcome =
      co_await Ask("coordinator", absl::StrCat("TRANSFER ", id, " 0"), 4 * kTimeout);
  if (!outcome.ok()) co_return outcome.status();
  EXPECT_EQ(*outcome, "COMMITTED") << id;
  told->outcomes[id] = *outcome;
  co_return absl::OkStatus();
}

// The transfers of a bank by their state, as its disk has them.
std::map<std::string, std::string> StatesOf(const Disk& disk) {
  std::map<std::string, std::string> states;
  const std::vector<std::string> words = Words(disk.Read("bank"));
  for (size_t i = 1; i + 2 < words.size(); i += 3) states[words[i]] = words[i + 2];
  return states;
}

SIM_TEST(TwoPhase, BothBanksOrNone) {
  Disk coordinator_disk;
  Disk north_disk;
  Disk south_disk;
  std::map<std::string, Told> told;
  world.AddHost("coordinator", [&] { return RunCoordinator(&coordinator_disk); });
  world.AddHost("north", [&] { return RunBank(&north_disk); });
  world.AddHost("south", [&] { return RunBank(&south_disk); });
  for (const char* name : {"ann", "bob"}) {
    world.AddClient(name, [&told, name] { return RunClient(name, &told[name]); });
  }
  world.Inject(sim::Faults::All().During(absl::ZeroDuration(), kFaultsEnd));
  EXPECT_OK(world.RunClients(absl::Minutes(10)));

  std::map<std::string, std::string> north = StatesOf(north_disk);
  std::map<std::string, std::string> south = StatesOf(south_disk);
  for (auto& [id, state] : north) {
    EXPECT_NE(state, "prepared") << id << " has no outcome in the north";
    EXPECT_EQ(state == "committed", south[id] == "committed") << id << " is not the same for both banks";
  }
  for (auto& [id, state] : south) {
    EXPECT_NE(state, "prepared") << id << " has no outcome in the south";
    EXPECT_EQ(state == "committed", north[id] == "committed") << id << " is not the same for both banks";
  }
  for (auto& [name, client] : told) {
    for (auto& [id, outcome] : client.outcomes) EXPECT_EQ(outcome == "COMMITTED", north[id] == "committed") << id;
  }
  const int64_t sum = Number(Words(north_disk.Read("bank"))[0]) + Number(Words(south_disk.Read("bank"))[0]);
  EXPECT_EQ(sum, 2 * kFirstBalance);
}

}  // namespace
}  // namespace tandem::mutants
