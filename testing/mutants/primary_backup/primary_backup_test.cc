// SPDX-License-Identifier: Apache-2.0
//
// A primary and its backup, and a view service that says who is which.
//
// The primary does nothing alone while it has a backup: it forwards each write, and asks the backup before each read
// whether it is still its backup. A view begins when the primary has brought its backup up to date and has confirmed
// that; only then is there another view. So who becomes primary was a backup that had everything.
//
// Data are in memory. When the last server that has them is gone they are lost: the view service begins anew then, and
// the test forgets what clients were told.

#include <algorithm>
#include <cstdint>
#include <map>
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

constexpr absl::Duration kFaultsEnd = absl::Seconds(8);
constexpr absl::Duration kEnd = absl::Seconds(20);  // All is well long before.
constexpr absl::Duration kPingInterval = absl::Milliseconds(100);
constexpr absl::Duration kDeadAfter = absl::Milliseconds(600);
constexpr absl::Duration kTimeout = absl::Milliseconds(250);

struct View {
  int64_t number = 0;
  std::string primary = "-";  // "-": nobody.
  std::string backup = "-";
};

// What clients may rely on: the test's memory.
struct Promises {
  int generation = 0;                       // How often everything was lost.
  std::map<std::string, int64_t> versions;  // The latest of each key that was confirmed or shown.
};

// --- The view service ---

class Views {
 public:
  explicit Views(Promises* promises) : promises_(promises) {}

  // "PING name incarnation confirmed-view" is answered by "number primary backup".
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::vector<std::string> words = Words(line);
    const int64_t incarnation = Number(words[2]);
    Server& server = servers_[words[1]];
    if (incarnation >= server.incarnation) {  // Else it comes late, from a process that is gone.
      server = {Now(), incarnation};
      if (Holds(view_.primary, view_.primary_incarnation, words[1]) && Number(words[3]) == view_.number)
        confirmed_ = true;
      Change();
    }
    co_return absl::StrCat(view_.number, " ", view_.primary, " ", view_.backup);
  }

 private:
  struct Server {
    Instant last_ping;
    int64_t incarnation = 0;  // Another one is another process, which has nothing of what this one had.
  };
  struct IncarnatedView : View {
    int64_t primary_incarnation = 0;
    int64_t backup_incarnation = 0;
  };

  // Whether the server called `name` is the process that was given a role.
  bool Holds(const std::string& role, int64_t incarnation, const std::string& name) const {
    const auto found = servers_.find(name);
    return role == name && found != servers_.end() && found->second.incarnation == incarnation;
  }
  bool Lives(const std::string& name) const {
    const auto found = servers_.find(name);
    return found != servers_.end() && Now() - found->second.last_ping < kDeadAfter;
  }

  void Change() {
    IncarnatedView next = view_;
    const bool primary_is_gone = !Holds(view_.primary, view_.primary_incarnation, view_.primary);
    const bool backup_has_all = confirmed_ && Holds(view_.backup, view_.backup_incarnation, view_.backup);
    if (backup_has_all && (primary_is_gone || !Lives(view_.primary))) {
      next.primary = view_.backup;
      next.primary_incarnation = view_.backup_incarnation;
      next.backup = "-";
    } else if (primary_is_gone) {
      BeginAnew(&next);
    } else if (!confirmed_) {
      return;
    } else if (!backup_has_all || !Lives(view_.backup)) {
      next.backup = "-";
    }
    for (const auto& [name, server] : servers_) {
      if (next.backup != "-" || name == next.primary || !Lives(name)) continue;
      next.backup = name;
      next.backup_incarnation = server.incarnation;
    }
    if (next.primary == view_.primary && next.primary_incarnation == view_.primary_incarnation &&
        next.backup == view_.backup && next.backup_incarnation == view_.backup_incarnation) {
      return;
    }
    next.number = view_.number + 1;
    view_ = next;
    confirmed_ = false;
  }

  // Nobody has the data any more.
  void BeginAnew(IncarnatedView* next) {
    ++promises_->generation;
    promises_->versions.clear();
    for (const auto& [name, server] : servers_) {
      if (!Lives(name)) continue;
      next->primary = name;
      next->primary_incarnation = server.incarnation;
    }
    next->backup = "-";
  }

  Promises* const promises_;
  std::map<std::string, Server> servers_;
  IncarnatedView view_;
  bool confirmed_ = false;
};

Task<absl::Status> RunViews(Promises* promises) {
  Views views(promises);
  co_return co_await mutants::Answer(&views);
}

// --- A server ---

class Server {
 public:
  explicit Server(std::string name) : name_(std::move(name)), incarnation_(Now().nanoseconds() + 1) {}

  // Of clients: "PUT key version" is answered by "OK", "GET key" by the version, and both by "NO".
  // Of the primary, which gives its view and the number of the write: "STATE view number key version ...",
  // "FORWARD view number key version" and "CONFIRM view 0" are answered by "OK" or "NO".
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::vector<std::string> words = Words(line);
    if (words[0] == "PUT") co_return co_await Put(words[1], Number(words[2]));
    if (words[0] == "GET") co_return co_await Get(words[1]);
    const bool is_backup = view_.number == Number(words[1]) && view_.backup == name_;
    if (!is_backup) co_return "NO";
    const bool has_state = state_of_ == view_.number;
    if (words[0] == "STATE") {
      if (has_state) co_return "OK";  // A second copy, which may come late.
      data_.clear();
      for (size_t i = 3; i + 1 < words.size(); i += 2) data_[words[i]] = Number(words[i + 1]);
      writes_ = Number(words[2]);
      state_of_ = view_.number;
      co_return "OK";
    }
    if (!has_state) co_return "NO";
    if (words[0] == "FORWARD") {
      const int64_t number = Number(words[2]);
      if (number == writes_ + 1) Write(words[3], Number(words[4]));
      if (number != writes_) co_return "NO";
    }
    co_return "OK";
  }

  // Asks for the view, again and again, and does what there is to do when it has changed.
  Task<absl::Status> FollowViews() {
    for (;;) {
      const absl::Status slept = co_await Sleep(kPingInterval);
      if (!slept.ok()) co_return slept;
      const absl::StatusOr<std::string> answer =
          co_await Ask("views", absl::StrCat("PING ", name_, " ", incarnation_, " ", confirmed_), kTimeout);
      if (!answer.ok()) continue;
      const std::vector<std::string> words = Words(*answer);
      if (Number(words[0]) > view_.number) view_ = {Number(words[0]), words[1], words[2]};
      if (view_.primary != name_ || confirmed_ == view_.number) continue;
      absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
      if (!guard.ok()) co_return guard.status();
      std::string state = absl::StrCat("STATE ", view_.number, " ", writes_);
      for (const auto& [key, version] : data_) absl::StrAppend(&state, " ", key, " ", version);
      if (view_.backup == "-" || co_await BackupSays(state)) confirmed_ = view_.number;
    }
  }

 private:
  // A write that the backup may have or not is repeated until it has, or until there is another view.
  Task<absl::StatusOr<std::string>> Put(std::string key, int64_t version) {
    absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
    if (!guard.ok()) co_return guard.status();
    const int64_t view = view_.number;
    if (!IsPrimary()) co_return "NO";
    if (view_.backup != "-") {
      const std::string line = absl::StrCat("FORWARD ", view, " ", writes_ + 1, " ", key, " ", version);
      while (!co_await BackupSays(line)) {
        if (view_.number != view) co_return "NO";
        const absl::Status slept = co_await Sleep(absl::Milliseconds(20));
        if (!slept.ok()) co_return slept;
      }
      // It has it: also when there is another view by now, whose primary it may be.
    }
    Write(key, version);
    co_return "OK";
  }

  Task<absl::StatusOr<std::string>> Get(std::string key) {
    absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
    if (!guard.ok()) co_return guard.status();
    if (!IsPrimary()) co_return "NO";
    if (view_.backup != "-" && !co_await BackupSays(absl::StrCat("CONFIRM ", view_.number, " 0"))) co_return "NO";
    const auto found = data_.find(key);
    co_return absl::StrCat(found == data_.end() ? 0 : found->second);
  }

  // Of two versions of a key the higher one counts, whichever comes first.
  void Write(const std::string& key, int64_t version) {
    int64_t& known = data_[key];
    known = std::max(known, version);
    ++writes_;
  }

  Task<bool> BackupSays(std::string line) {
    const absl::StatusOr<std::string> answer = co_await Ask(view_.backup, std::move(line), kTimeout);
    co_return answer.ok() && *answer == "OK";
  }

  bool IsPrimary() const { return view_.primary == name_ && confirmed_ == view_.number; }

  const std::string name_;
  const int64_t incarnation_;  // When it began: later processes have a higher one.
  View view_;
  int64_t confirmed_ = 0;  // As primary: the last view whose backup has everything.
  int64_t state_of_ = 0;   // As backup: the last view in which it was brought up to date.
  std::map<std::string, int64_t> data_;
  int64_t writes_ = 0;
  Mutex mutex_;  // The primary does one thing at a time.
};

Task<absl::Status> RunServer(std::string name) {
  Server server(std::move(name));
  const auto [served, followed] = co_await WhenAny(mutants::Answer(&server), server.FollowViews());
  // Neither has a result when the server is told to stop.
  if (!served.has_value() && !followed.has_value()) co_return absl::CancelledError("told to stop");
  co_return served.has_value() ? *served : *followed;
}

// --- Clients ---

const std::vector<std::string>& ServerNames() {
  static const auto& names = *new std::vector<std::string>{"one", "two", "three"};
  return names;
}

// Asks one server after the other, the last one that has answered first. Errors: none has.
Task<absl::StatusOr<std::string>> AskPrimary(size_t* primary, std::string line) {
  for (size_t tries = 0; tries < ServerNames().size(); ++tries) {
    absl::StatusOr<std::string> answer = co_await Ask(ServerNames()[*primary], line, 2 * kTimeout);
    if (answer.ok() && *answer != "NO") co_return answer;
    *primary = (*primary + 1) % ServerNames().size();
  }
  co_return absl::UnavailableError("no server is primary");
}

// Writes the client's own key, or reads any.
Task<absl::Status> Use(Promises* promises, std::string name, size_t* primary, int64_t* version) {
  const int generation = promises->generation;
  const uint64_t what = Random("what").Below(4);
  const std::string key = what == 0 ? "ann" : what == 1 ? "bob" : name;
  if (what > 1) {
    ++*version;
    const absl::StatusOr<std::string> put = co_await AskPrimary(primary, absl::StrCat("PUT ", key, " ", *version));
    if (!put.ok()) co_return put.status();
    if (promises->generation == generation) promises->versions[key] = std::max(promises->versions[key], *version);
    co_return absl::OkStatus();
  }
  const int64_t least = promises->versions[key];
  const absl::StatusOr<std::string> got = co_await AskPrimary(primary, absl::StrCat("GET ", key));
  if (!got.ok()) co_return got.status();
  if (promises->generation != generation) co_return absl::OkStatus();
  EXPECT_GE(Number(*got), least) << "a write of " << key << " is lost";
  promises->versions[key] = std::max(promises->versions[key], Number(*got));
  co_return absl::OkStatus();
}

// Goes on until some time after the faults; the last of it must succeed.
Task<absl::Status> RunClient(Promises* promises, std::string name) {
  int64_t version = 0;
  size_t primary = 0;
  absl::Status status;
  for (const Instant end = Instant() + kEnd; Now() < end;) {
    status = co_await Use(promises, name, &primary, &version);
    const int64_t pause_ms = Random("pause").Between(0, Now() < Instant() + kFaultsEnd ? 100 : 1000);
    co_await Pause(absl::Milliseconds(pause_ms));
  }
  co_return status;
}

SIM_TEST(PrimaryBackup, LosesNothing) {
  Promises promises;
  world.AddHost("views", [&] { return RunViews(&promises); });
  for (const std::string& name : ServerNames()) world.AddHost(name, [name] { return RunServer(name); });
  for (const char* name : {"ann", "bob"}) {
    world.AddClient(name, [&promises, name] { return RunClient(&promises, name); });
  }
  world.Inject(sim::Faults::All().Spare("views").Spare("ann").Spare("bob").During(absl::ZeroDuration(), kFaultsEnd));
  EXPECT_OK(world.RunClients(absl::Minutes(5)));
}

}  // namespace
}  // namespace tandem::mutants
