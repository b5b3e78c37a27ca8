// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/primary_backup/primary_backup.h"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/examples/cluster/ask.h"
#include "tandem/tandem.h"

namespace primary_backup {

using namespace tandem;
using examples::Ask;
using examples::Number;

namespace {

constexpr absl::Duration kPingInterval = absl::Milliseconds(100);
constexpr absl::Duration kDeadAfter = absl::Seconds(1);           // Without a ping.
constexpr absl::Duration kPeerTimeout = absl::Milliseconds(250);  // Of servers. Several fit into kDeadAfter.
constexpr absl::Duration kClientTimeout = absl::Seconds(1);
// A longer one would not fit into the line that copies it: the backup would never have everything.
constexpr size_t kValueBytesMax = 60'000;

// --- The view service ---

struct View {
  int64_t number = 0;
  std::string primary = "-";  // "-" is nobody.
  std::string backup = "-";
  bool is_ready = false;  // The primary has said that the backup has everything.

  static View Parse(absl::string_view text) {
    const std::vector<std::string> words = absl::StrSplit(text, ' ');
    return words.size() == 4 ? View{Number(words[0]), words[1], words[2], words[3] == "1"} : View();
  }
  std::string ToString() const { return absl::StrCat(number, " ", primary, " ", backup, " ", is_ready ? 1 : 0); }
  friend bool operator==(const View&, const View&) = default;
};

class ViewServer {
 public:
  // Whoever has a role in `view` lives at first: an earlier start got the pings.
  ViewServer(examples::Disk* disk, View view) : disk_(disk), view_(std::move(view)) {
    last_ping_[view_.primary] = last_ping_[view_.backup] = Now();
  }

  // "PING id number" of a replica is answered by the view, which is on the disk before anybody hears of it. `number` is
  // that of a view of which the replica is primary and its backup has everything, else 0.
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() != 3 || words[0] != "PING") co_return "ERR say PING ID NUMBER";
    const absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
    if (!guard.ok()) co_return guard.status();
    last_ping_[words[1]] = Now();
    View view = view_;
    if (words[1] == view.primary && Number(words[2]) == view.number) view.is_ready = true;
    view = Next(view);
    if (view != view_) {
      const absl::Status written = co_await disk_->Write(view.ToString());
      if (!written.ok()) co_return written;
      view_ = view;
    }
    co_return view_.ToString();
  }

 private:
  bool Lives(const std::string& id) const {
    const auto found = last_ping_.find(id);
    return id != "-" && found != last_ping_.end() && Now() - found->second < kDeadAfter;
  }
  std::string AnybodyBut(const std::string& primary) const {
    for (const auto& [id, time] : last_ping_) {
      if (id != primary && Lives(id)) return id;
    }
    return "-";
  }

  // What follows `view`: itself, if nothing is to change. A dead primary is kept while nobody is there to follow it.
  View Next(const View& view) const {
    View next{view.number + 1, view.primary, view.backup};
    if (next.primary == "-") next.primary = AnybodyBut("-");
    if (!Lives(next.primary)) {
      if (!view.is_ready || !Lives(next.backup)) return view;
      next.primary = next.backup;
      TANDEM_REACHABLE("a backup takes over");
    }
    if (!Lives(next.backup) || next.backup == next.primary) next.backup = AnybodyBut(next.primary);
    return next.primary == view.primary && next.backup == view.backup ? view : next;
  }

  examples::Disk* const disk_;
  Mutex mutex_;
  View view_;
  std::map<std::string, Instant> last_ping_;
};

// --- A replica ---

// All that a replica has. In a later view, and in one view after more writes, it is newer.
struct State {
  int64_t view = 0;  // The last one whose primary had it.
  int64_t writes = 0;
  std::string value;

  static State Parse(absl::string_view text) {
    const std::vector<std::string> words = absl::StrSplit(text, absl::MaxSplits(' ', 2));
    return words.size() == 3 ? State{Number(words[0]), Number(words[1]), words[2]} : State();
  }
  std::string ToString() const { return absl::StrCat(view, " ", writes, " ", value); }
  friend auto operator<=>(const State&, const State&) = default;
};

class Replica {
 public:
  Replica(std::string id, examples::Disk* disk, State state)
      : id_(std::move(id)), disk_(disk), state_(std::move(state)) {}

  // "READ" is answered by "VALUE value", "WRITE value" by "OK"; "COPY state", which comes from a primary, by "OK" when
  // that is the state of this replica now. All are answered by "NO" when nothing was done.
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::pair<std::string, std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    const absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
    if (!guard.ok()) co_return guard.status();
    if (words.first == "COPY") co_return co_await TakeCopy(State::Parse(words.second));
    if (words.first == "READ") co_return co_await Read();
    if (words.first == "WRITE" && words.second.size() <= kValueBytesMax) co_return co_await Write(words.second);
    co_return absl::StrCat("ERR say READ or WRITE VALUE, of at most ", kValueBytesMax, " bytes");
  }

  // Asks for the view, again and again, and becomes primary when it says so.
  Task<absl::Status> FollowViews(std::string views) {
    for (;;) {
      const absl::Status slept = co_await Sleep(kPingInterval);
      if (!slept.ok()) co_return slept;
      const std::string ping = absl::StrCat("PING ", id_, " ", is_active_ ? view_.number : 0);
      const absl::StatusOr<std::string> answer = co_await Ask(views, ping, kPeerTimeout);
      const View heard = View::Parse(answer.value_or(""));
      if (heard.number > view_.number) {
        view_ = heard;
        is_active_ = false;
      }
      if (view_.primary == id_ && !is_active_) (co_await BecomePrimary()).IgnoreError();
    }
  }

 private:
  // Before anything is done in a view, the state has its number: nothing that comes from an older one counts any more.
  Task<absl::Status> BecomePrimary() {
    const absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();
    if (!guard.ok()) co_return guard.status();
    if (view_.number < state_.view) co_return absl::OkStatus();  // The state came from a newer one.
    State state = state_;
    state.view = view_.number;
    const absl::Status kept = co_await Keep(std::move(state));
    if (kept.ok()) is_active_ = co_await BackupHasAll();
    co_return kept;
  }

  Task<absl::StatusOr<std::string>> Read() {
    if (!is_active_ || !co_await BackupHasAll()) co_return "NO";
    co_return absl::StrCat("VALUE ", state_.value);
  }

  Task<absl::StatusOr<std::string>> Write(std::string value) {
    if (!is_active_) co_return "NO";
    State state{state_.view, state_.writes + 1, std::move(value)};
    const absl::Status kept = co_await Keep(std::move(state));
    if (!kept.ok()) co_return kept;
    while (is_active_) {
      if (co_await BackupHasAll()) co_return "OK";
      const absl::Status slept = co_await Sleep(absl::Milliseconds(20));
      if (!slept.ok()) co_return slept;
    }
    TANDEM_REACHABLE("a write ends in another view");
    co_return absl::AbortedError("another view");  // Ends the connection: nobody knows who has the value in the end.
  }

  Task<absl::StatusOr<std::string>> TakeCopy(State copy) {
    if (copy < state_) {
      TANDEM_REACHABLE("an old primary is refused");
      co_return "NO";
    }
    is_active_ = false;  // Of an older view.
    const absl::Status kept = co_await Keep(std::move(copy));
    if (!kept.ok()) co_return kept;
    co_return "OK";
  }

  Task<bool> BackupHasAll() {
    if (view_.backup == "-") co_return true;
    const std::string copy = absl::StrCat("COPY ", state_.ToString());
    const absl::StatusOr<std::string> answer = co_await Ask(view_.backup, copy, kPeerTimeout);
    co_return answer.value_or("NO") == "OK";
  }

  Task<absl::Status> Keep(State state) {
    if (state == state_) co_return absl::OkStatus();
    const absl::Status written = co_await disk_->Write(state.ToString());
    if (!written.ok()) co_return written;
    state_ = std::move(state);
    VisitSite("state.kept");  // Where a simulation may let something happen.
    co_return absl::OkStatus();
  }

  const std::string id_;
  examples::Disk* const disk_;
  Mutex mutex_;             // One thing at a time.
  State state_;             // As on the disk.
  View view_;               // The newest one that it has heard of.
  bool is_active_ = false;  // It is the primary of view_, and its backup has everything.
};

}  // namespace

Task<absl::Status> ServeViews(TcpListener listener, examples::Disk* disk) {
  const absl::StatusOr<std::string> text = co_await disk->Read();
  if (!text.ok()) co_return text.status();
  ViewServer server(disk, View::Parse(*text));
  const auto answer = [&server](std::string line) { return server.Answer(std::move(line)); };
  co_return co_await ServeLines(std::move(listener), answer);
}

Task<absl::Status> ServeReplica(TcpListener listener, std::string id, std::string views, examples::Disk* disk) {
  const absl::StatusOr<std::string> text = co_await disk->Read();
  if (!text.ok()) co_return text.status();
  Replica replica(id, disk, State::Parse(*text));
  const auto answer = [&replica](std::string line) { return replica.Answer(std::move(line)); };
  auto [served, followed] = co_await WhenAny(ServeLines(std::move(listener), answer), replica.FollowViews(views));
  co_return served.value_or(absl::CancelledError("told to stop"));
}

Task<absl::StatusOr<std::string>> Client::Read() { co_return co_await AskPrimary("VALUE", "READ"); }

Task<absl::Status> Client::Write(std::string value) {
  const absl::StatusOr<std::string> written = co_await AskPrimary("OK", absl::StrCat("WRITE ", value));
  co_return written.status();
}

Task<absl::StatusOr<std::string>> Client::AskPrimary(std::string yes, std::string line) {
  for (size_t tries = 0; tries < replicas_.size(); ++tries) {
    const absl::StatusOr<std::string> answer = co_await Ask(replicas_[next_], line, kClientTimeout);
    const std::pair<std::string, std::string> words = absl::StrSplit(answer.value_or("NO"), absl::MaxSplits(' ', 1));
    if (words.first == yes) co_return words.second;
    if (words.first != "NO") co_return absl::InvalidArgumentError(*answer);
    next_ = (next_ + 1) % replicas_.size();
    if (!answer.ok()) co_return answer.status();
  }
  co_return absl::AbortedError("no replica is the primary");
}

}  // namespace primary_backup
