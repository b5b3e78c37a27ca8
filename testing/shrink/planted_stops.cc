// SPDX-License-Identifier: Apache-2.0
//
// Planted bugs of programs that are stopped: crashed, killed or paused.

#include <algorithm>
#include <cstdint>
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
#include "tandem/sim/world/op.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/shrink/planted.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

constexpr absl::Duration kEnd = absl::Minutes(10);

// --- A pause of a host: a lease has ended between the look at it and the write ---

Task<absl::Status> WriteUnderLease(bool* late) {
  for (int i = 0; i < 100; ++i) {
    const Instant lease_end = Now() + absl::Milliseconds(300);
    const absl::Status slept = co_await Sleep(absl::Milliseconds(50));
    if (!slept.ok()) co_return slept;
    if (Now() > lease_end) *late = true;
  }
  co_return absl::OkStatus();
}

SIM_TEST(Planted, WritesAfterItsLease) {
  bool late = false;
  AddBystanders(world);
  world.AddHost("holder", [&] { return WriteUnderLease(&late); });
  world.Inject(sim::Faults::Hosts().During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunFor(absl::Seconds(30)));
  EXPECT_FALSE(late) << "bug: written without a lease";
}

// --- Two faults of different hosts: one copy is lost by a restart, the other one by a gap in time ---

struct Copy {
  int starts = 0;
  bool late = false;
};

Task<absl::Status> KeepCopy(Copy* copy) {
  ++copy->starts;
  while (true) {
    const Instant begin = Now();
    const absl::Status slept = co_await Sleep(absl::Milliseconds(100));
    if (!slept.ok()) co_return slept;
    if (Now() - begin > absl::Milliseconds(500)) copy->late = true;
  }
}

SIM_TEST(Planted, LosesBothCopies) {
  Copy left;
  Copy right;
  AddBystanders(world);
  world.AddHost("left", [&] { return KeepCopy(&left); });
  world.AddHost("right", [&] { return KeepCopy(&right); });
  world.Inject(sim::Faults::All().During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunFor(kFaultsEnd + absl::Seconds(2)));
  EXPECT_FALSE(left.starts > 1 && right.late) << "bug: both copies are lost";
}

// --- A partition, and a crash while it holds: what was answered and not yet copied is lost ---

Task<absl::StatusOr<std::string>> KeepNumber(std::set<std::string>* kept, std::string number) {
  kept->insert(number);
  co_return "kept";
}

// Answers though it could not copy the number: it will later.
Task<absl::StatusOr<std::string>> CopyNumber(std::set<std::string>* left, std::string number) {
  const absl::StatusOr<std::string> copied = co_await Ask("backup", number);
  if (!copied.ok()) left->insert(number);
  co_return "done";
}

Task<void> CopyTheRest(std::set<std::string>* left) {
  while (true) {
    const absl::Status slept = co_await Sleep(absl::Milliseconds(50));
    if (!slept.ok()) co_return;
    if (left->empty()) continue;
    const std::string number = *left->begin();
    const absl::StatusOr<std::string> copied = co_await Ask("backup", number);
    if (copied.ok()) left->erase(number);
  }
}

Task<absl::Status> RunPrimary() {
  std::set<std::string> left;
  Spawn(&CopyTheRest, &left);
  co_return co_await AnswerLines([&left](std::string number) { return CopyNumber(&left, std::move(number)); });
}

Task<void> SendNumber(std::set<std::string>* answered, std::string number) {
  const absl::StatusOr<std::string> answer = co_await Ask("primary", number, absl::Seconds(3));
  if (answer.ok()) answered->insert(number);
}

SIM_TEST(Planted, AnswersBeforeItIsCopied) {
  std::set<std::string> kept;
  std::set<std::string> answered;
  AddBystanders(world);
  world.AddHost("backup", [&] {
    return AnswerLines([&kept](std::string number) { return KeepNumber(&kept, std::move(number)); });
  });
  world.AddHost("primary", [] { return RunPrimary(); });
  const std::vector<sim::Op> ops = world.Ops("writer", kOps);
  world.AddClient("writer", [&] {
    return DoOneByOne(ops, [&](const sim::Op& op) { return SendNumber(&answered, absl::StrCat(op.number())); });
  });
  world.Inject(sim::Faults::Hosts({"primary"})
                   .With(sim::FaultKind::kPartition)
                   .With(sim::FaultKind::kPartitionOneWay)
                   .With(sim::FaultKind::kClog)
                   .Always()
                   .During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  static_cast<void>(world.RunFor(absl::Minutes(1)));
  EXPECT_TRUE(std::includes(kept.begin(), kept.end(), answered.begin(), answered.end()))
      << "bug: answered, and not there";
}

// --- A crash at a call: the halves of a record are written in one turn, which takes no time ---

struct Record {
  int64_t begun = 0;
  int64_t ended = 0;
  bool torn = false;
};

Task<absl::StatusOr<std::string>> WriteRecord(Record* record) {
  ++record->begun;
  static_cast<void>(UdpSocket::Bind(SocketAddress::AnyIpv4(0)));
  static_cast<void>(co_await Yield());
  ++record->ended;
  co_return "written";
}

Task<absl::Status> RunRecorder(Record* record) {
  if (record->begun != record->ended) record->torn = true;
  co_return co_await AnswerLines([record](std::string) { return WriteRecord(record); });
}

Task<void> AskForRecord() { static_cast<void>(co_await Ask("recorder", "write")); }

SIM_TEST(Planted, TearsARecord) {
  Record record;
  AddBystanders(world);
  world.AddHost("recorder", [&] { return RunRecorder(&record); });
  const std::vector<sim::Op> ops = world.Ops("writer", kOps);
  world.AddClient("writer", [&] { return DoOneByOne(ops, [](const sim::Op&) { return AskForRecord(); }); });
  world.Inject(sim::Faults::Hosts({"recorder", "bystander"}).Always().During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  static_cast<void>(world.RunFor(kFaultsEnd));
  EXPECT_FALSE(record.torn) << "bug: half a record";
}

// --- Two operations and a crash between them: what was opened is known on the disk, and not in memory ---

struct Door {
  bool open = false;  // On the disk.
  bool bug = false;
};

Task<absl::StatusOr<std::string>> TurnDoor(Door* door, bool* known, std::string how) {
  if (how == "open") {
    door->open = true;
    *known = true;
  }
  if (how == "close" && door->open) {
    if (!*known) door->bug = true;
    door->open = false;
  }
  co_return "done";
}

Task<absl::Status> RunDoor(Door* door) {
  bool known = false;
  co_return co_await AnswerLines([door, &known](std::string how) { return TurnDoor(door, &known, std::move(how)); });
}

Task<void> AskUntilAnswered(std::string server, std::string line) {
  for (int tries = 0; tries < 30; ++tries) {
    const absl::StatusOr<std::string> answer = co_await Ask(server, line);
    if (answer.ok()) co_return;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(200));
    if (!slept.ok()) co_return;
  }
}

SIM_TEST(Planted, ForgetsWhatIsOpen) {
  Door door;
  AddBystanders(world);
  world.AddHost("server", [&] { return RunDoor(&door); });
  const std::vector<sim::Op> ops = world.Ops("client", kOps);
  world.AddClient("client", [&] {
    return DoOneByOne(ops, [](const sim::Op& op) {
      const std::string kinds[] = {"open", "close", "look", "look", "look", "look"};
      return AskUntilAnswered("server", kinds[op.Draw("kind", 6)]);
    });
  });
  world.Inject(sim::Faults::All().Spare("client").During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  EXPECT_FALSE(door.bug) << "bug: it was closed, and nobody knew that it was open";
}

// --- A second bug tempts: whatever else is taken away, the first operation must not ---

struct Counter {
  int sum = 0;    // What the server has.
  int added = 0;  // What the client believes.
};

Task<absl::StatusOr<std::string>> AddOne(Counter* counter) {
  ++counter->sum;
  co_return "added";
}

// Every third operation, number 1, 4, ..., takes a failure for a success.
Task<void> AskToAdd(Counter* counter, uint64_t number) {
  const absl::StatusOr<std::string> answer = co_await Ask("server", "add");
  if (answer.ok() || number % 3 == 1) ++counter->added;
}

Task<absl::Status> AddAll(std::vector<sim::Op> ops, Counter* counter) {
  if (ops.empty() || ops.front().number() != 0) co_return absl::InternalError("bug: it must begin with 0");
  const absl::Status done =
      co_await DoOneByOne(ops, [counter](const sim::Op& op) { return AskToAdd(counter, op.number()); });
  if (!done.ok()) co_return done;
  co_return counter->added <= counter->sum ? absl::OkStatus() : absl::DataLossError("bug: it counts what failed");
}

SIM_TEST(Planted, CountsWhatFailed) {
  Counter counter;
  AddBystanders(world);
  world.AddHost("server", [&] { return AnswerLines([&](std::string) { return AddOne(&counter); }); });
  const std::vector<sim::Op> ops = world.Ops("adder", kOps);
  world.AddClient("client", [&] { return AddAll(ops, &counter); });
  world.Inject(sim::Faults::Network().Always().During(absl::ZeroDuration(), kFaultsEnd));
  EXPECT_EQ(world.RunClients(kEnd), absl::OkStatus());
}

}  // namespace
}  // namespace tandem
