// SPDX-License-Identifier: Apache-2.0
//
// A request deduplicator: a server that applies each request once, however often a client sends it.
//
// A client numbers its requests, sends one until it is answered, and then goes on to the next. It counts its own starts
// on its disk, since it begins again with 1 after each; (start, number) is therefore larger than any before. The server
// keeps the last request of each client with its answer, in the same file as what the requests have changed.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/history.h"
#include "tandem/testing/linearizability.h"
#include "tandem/testing/mutants/cluster.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::mutants {
namespace {

constexpr absl::Duration kFaultsEnd = absl::Seconds(10);
constexpr absl::Duration kTimeout = absl::Milliseconds(400);

struct RequestId {
  int64_t start = 0;
  int64_t number = 0;
  friend auto operator<=>(const RequestId&, const RequestId&) = default;
};

// What the server knows: a journal of all that was applied, and the last request of each client.
struct State {
  struct Last {
    RequestId id;
    std::string answer;
  };
  std::vector<std::string> journal;
  std::map<std::string, Last> table;

  std::string ToString() const {
    std::string text = absl::StrJoin(journal, " ");
    for (const auto& [client, last] : table) {
      absl::StrAppend(&text, "\n", client, " ", last.id.start, " ", last.id.number, " ", last.answer);
    }
    return text;
  }

  static State Parse(const std::string& text) {
    State state;
    const std::vector<std::string> lines = absl::StrSplit(text, '\n');
    state.journal = Words(lines[0]);
    for (size_t i = 1; i < lines.size(); ++i) {
      const std::vector<std::string> words = Words(lines[i]);
      state.table[words[0]] = {{Number(words[1]), Number(words[2])}, words[3]};
    }
    return state;
  }
};

class Server {
 public:
  explicit Server(Disk* disk) : disk_(disk), state_(State::Parse(disk->Read("state"))) {}

  // "CLIENT START NUMBER ENTRY" is answered by the entry's place in the journal.
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::vector<std::string> words = Words(line);
    const std::string& client = words[0];
    const RequestId id = {Number(words[1]), Number(words[2])};
    absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
    if (!guard.ok()) co_return guard.status();
    const auto found = state_.table.find(client);
    const State::Last last = found == state_.table.end() ? State::Last() : found->second;
    if (id == last.id) co_return last.answer;
    if (id < last.id) co_return "STALE";
    State next = state_;
    next.journal.push_back(words[3]);
    std::string answer = absl::StrCat(next.journal.size());
    next.table[client] = {id, answer};
    const absl::Status written = co_await disk_->Write("state", next.ToString());
    if (!written.ok()) co_return written;
    state_ = std::move(next);
    co_return answer;
  }

 private:
  Disk* const disk_;
  Mutex mutex_;
  State state_;
};

Task<absl::Status> RunServer(Disk* disk) {
  Server server(disk);
  co_return co_await mutants::Answer(&server);
}

// What the server promises: a request appends its entry once, however often it is sent, and is told the place. The
// order is what the journal says in the end.
struct Journal {
  using State = size_t;  // So many entries are there.
  State Start() const { return 0; }
  std::optional<std::string> Apply(const testing::History::Operation& operation, State* state) const {
    if (operation.name == "size") return absl::StrCat(*state);
    if (*state == entries.size() || entries[*state] != operation.arguments[0]) return std::nullopt;
    return absl::StrCat(++*state);
  }

  std::vector<std::string> entries;
};

struct Client {
  std::string name;
  Disk disk;
};

// Sends one request until it is answered.
Task<absl::StatusOr<std::string>> Request(std::string line) {
  for (const Instant end = Now() + kFaultsEnd + absl::Minutes(2);;) {
    absl::StatusOr<std::string> answer = co_await Ask("server", line, kTimeout);
    if (answer.ok() || Now() > end) co_return answer;
    const int64_t pause_ms = Random("retry").Between(1, 50);
    co_await Pause(absl::Milliseconds(pause_ms));
  }
}

Task<absl::Status> RunClient(Client* client, testing::History* history) {
  const int64_t start = client->disk.Read("start").empty() ? 1 : Number(client->disk.Read("start")) + 1;
  absl::Status written = co_await client->disk.Write("start", absl::StrCat(start));
  if (!written.ok()) co_return written;
  bool calm = false;
  for (int64_t number = 1; !calm; ++number) {
    calm = Now() >= Instant() + kFaultsEnd;  // The last one begins when all faults are over.
    const std::string entry = absl::StrCat(client->name, "/", start, "/", number);
    testing::History::Call append = history->Invoke(client->name, "journal", "append", entry);
    const absl::StatusOr<std::string> answer =
        co_await Request(absl::StrCat(client->name, " ", start, " ", number, " ", entry));
    if (!answer.ok()) co_return answer.status();
    EXPECT_NE(*answer, "STALE") << entry << ", which was never answered";
    if (*answer == "STALE") co_return absl::InternalError("stale");
    append.Return(*answer);
    const int64_t pause_ms = Random("pause").Between(0, 200);
    co_await Pause(absl::Milliseconds(pause_ms));
  }
  co_return absl::OkStatus();
}

SIM_TEST(Dedup, AppliesEachRequestOnce) {
  Disk disk;
  Client ann{"ann", {}};
  Client bob{"bob", {}};
  testing::History history;
  world.AddHost("server", [&] { return RunServer(&disk); });
  for (Client* client : {&ann, &bob}) {
    world.AddClient(client->name, [client, &history] { return RunClient(client, &history); });
  }
  world.Inject(sim::Faults::All().During(absl::ZeroDuration(), kFaultsEnd));
  EXPECT_OK(world.RunClients(absl::Minutes(5)));

  const Journal journal = {State::Parse(disk.Read("state")).journal};
  history.Invoke("test", "journal", "size").Return(journal.entries.size());
  EXPECT_OK(testing::CheckLinearizable(history.operations(), journal));
}

}  // namespace
}  // namespace tandem::mutants
