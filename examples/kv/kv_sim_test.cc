// SPDX-License-Identifier: Apache-2.0
//
// The server with clients under faults, in a simulated world: one test, as many seeds as you like.
//
// Every client writes keys that nobody else writes, and knows at each moment what a reply must be. Keys belong to one
// connection: after a failure, requests of the old connection may still be on their way and be executed later, so the
// client goes on with new keys, and an old key may show any state from the last acknowledged one to the last one sent,
// but never an earlier one than before. Data are in memory: a server that was started anew has none of the old keys.
//
// Each seed has two parts. While faults happen, requests may fail, by an error of the network or by their timeout, but
// what comes back must be right, also what comes before a failure. Afterwards, when the network is healthy and old
// connections have timed out, nothing that begins then may fail any more, and the server must have forgotten every
// client that is gone. Short reads and writes may go on then: they are no excuse.

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/client.h"
#include "tandem/examples/kv/connection_errors.h"
#include "tandem/examples/kv/server.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/sim_test.h"

namespace tandem::kv {
namespace {

constexpr uint16_t kPort = 6379;
constexpr int kWriters = 3;

// Virtual time.
constexpr absl::Duration kFaultsEnd = absl::Seconds(15);
constexpr absl::Duration kIdleTimeout = absl::Seconds(12);
constexpr absl::Duration kWriteTimeout = absl::Seconds(8);
constexpr absl::Duration kShutdownTimeout = absl::Seconds(2);  // Over, before the server is started anew.
constexpr absl::Duration kRequestTimeout = absl::Seconds(3);
// Longer after the faults than the timeouts together: the server has given up every connection that a fault left open.
constexpr absl::Duration kCalm = absl::Seconds(55);
constexpr absl::Duration kTimeLimit = absl::Minutes(5);

constexpr size_t kMaxRequestBytes = size_t{256} << 10;
constexpr size_t kMaxClientBufferBytes = size_t{8} << 20;
constexpr size_t kLargeValueBytes = size_t{48} << 10;

// What a key that its writer lost sight of may show: the last acknowledged state, then those that were sent after it.
// Null is a key that does not exist.
struct KeyHistory {
  int generation = 0;
  std::vector<std::optional<std::string>> states{std::nullopt};
  size_t forgotten = 0;  // So many states came before these: states are numbered from the first one on.

  size_t newest() const { return forgotten + states.size() - 1; }
  // The key shows the state of this number, or a later one, from now on.
  void ForgetBefore(size_t number) {
    if (number <= forgotten) return;
    states.erase(states.begin(), states.begin() + static_cast<std::ptrdiff_t>(number - forgotten));
    forgotten = number;
  }
};

// What a writer knows beyond its own crashes: the test's memory, not the host's.
struct Writer {
  int connections_left = 25;
  int epochs = 0;
  uint64_t serial = 0;
  std::map<std::string, KeyHistory> old_keys;
};

// What everybody knows of the counter that all increase, for one start of the server.
struct SharedCounter {
  int64_t highest = 0;
  std::set<int64_t> seen;
};

struct Cluster {
  Cluster(sim::World& world, uint32_t max_clients) : world(world), max_clients(max_clients) {}

  sim::World& world;
  const uint32_t max_clients;
  int server_starts = 0;
  Writer writers[kWriters];
  std::map<int, SharedCounter> shared_counters;
  int connections = 0;
  int failed_connections = 0;
  int right_replies = 0;
  bool broken = false;  // A check has failed: say it once.

  // Nothing may fail that begins now. To be asked at its beginning: what began amid faults may fail later than this. A
  // client that only reads sends nothing but acknowledgements; when they went out while the server's machine was down,
  // no reset answers them, and it waits at its half-open connection (RFC 9293, section 3.5.1) for as long as it likes.
  bool calm() const { return world.Now() >= Instant() + start + kCalm; }
  absl::Duration start = world.Now() - Instant();
  Instant At(absl::Duration time) const { return Instant() + start + time; }

  void Fail(absl::string_view what) {
    if (!broken) ADD_FAILURE() << "at " << absl::FormatDuration(world.Now() - At(absl::ZeroDuration())) << ": " << what;
    broken = true;
  }
};

// --- A writer ---

// One request and what its reply must be.
struct Step {
  enum class Expect : uint8_t { kExactly, kError, kSharedCounter };

  Request request;
  Expect expect = Expect::kExactly;
  Reply reply;       // kExactly.
  std::string text;  // kError: the reply's text has this in it.
  // The keys that it writes, and of each the number of the state that it gets.
  std::vector<std::pair<std::string, size_t>> written;
};

Step Exactly(Request request, Reply reply) {
  return {std::move(request), Step::Expect::kExactly, std::move(reply), "", {}};
}

// One connection of a writer: makes up requests and keeps track of what they do.
class Epoch {
 public:
  Epoch(Cluster& cluster, int writer, int generation, RandomStream random)
      : cluster_(cluster),
        writer_(cluster.writers[writer]),
        prefix_(absl::StrCat("w", writer, ":e", absl::Dec(writer_.epochs++, absl::kZeroPad3), ":")),
        generation_(generation),
        random_(random) {}

  // Makes up the next pipeline.
  std::vector<Step> NextPipeline();
  // The same with far more bytes, both ways, than the sockets hold.
  std::vector<Step> NextBulkPipeline();
  // Compares the replies, of which the last ones may be missing, and remembers what is acknowledged now.
  void CheckReplies(const std::vector<Step>& steps, const std::vector<Reply>& replies, int64_t shared_before);

  int generation() const { return generation_; }
  RandomStream& random() { return random_; }
  std::string NewValue();
  std::string ExpiringKey() { return absl::StrCat(prefix_, "x", writer_.serial++); }

 private:
  static constexpr int kKeys = 4;

  std::string SomeKey();
  Step NextStep();
  Step SetStep(const std::string& key);
  Step AppendStep(const std::string& key);
  Step DeleteStep(const std::string& key);
  Step SetAndReadManyStep();
  Step CountStep();
  Step ErrorStep();
  Step MoveStep(const std::string& key);
  void AddExpiryThatIsTakenBack(std::vector<Step>& steps);
  void AddTransaction(std::vector<Step>& steps);
  Reply ReplyFor(const std::string& key) const;
  void Write(Step& step, const std::string& key, std::optional<std::string> state);

  Cluster& cluster_;
  Writer& writer_;
  const std::string prefix_;
  const int generation_;
  RandomStream random_;
  std::map<std::string, std::string> data_;  // What the server has once it has executed everything so far.
};

std::string Epoch::NewValue() {
  const std::string token = absl::StrCat("<", prefix_, writer_.serial++, ">");
  size_t size = random_.Below(100);
  if (random_.Below(24) == 0) size = random_.Below(kLargeValueBytes);
  std::string value = token;
  while (value.size() < size) value.append(token);
  return value;
}

std::string Epoch::SomeKey() { return absl::StrCat(prefix_, "k", random_.Below(kKeys)); }

Reply Epoch::ReplyFor(const std::string& key) const {
  const auto found = data_.find(key);
  return found == data_.end() ? Reply::Null() : Reply::Bulk(found->second);
}

void Epoch::Write(Step& step, const std::string& key, std::optional<std::string> state) {
  KeyHistory& history = writer_.old_keys[key];
  history.generation = generation_;
  if (state.has_value()) {
    data_[key] = *state;
  } else {
    data_.erase(key);
  }
  history.states.push_back(std::move(state));
  step.written.emplace_back(key, history.newest());
}

Step Epoch::SetStep(const std::string& key) {
  const std::string value = NewValue();
  const bool returns_old = random_.Below(4) == 0;
  Step step = returns_old ? Exactly(Request("GETSET", key, value), ReplyFor(key))
                          : Exactly(Request("SET", key, value), Reply::String("OK"));
  Write(step, key, value);
  return step;
}

Step Epoch::AppendStep(const std::string& key) {
  const std::string tail = absl::StrCat("+", writer_.serial++);
  const std::string value = absl::StrCat(data_[key], tail);
  Step step = Exactly(Request("APPEND", key, tail), Reply::Integer(static_cast<int64_t>(value.size())));
  Write(step, key, value);
  return step;
}

Step Epoch::DeleteStep(const std::string& key) {
  Step step = Exactly(Request("DEL", key), Reply::Integer(data_.contains(key) ? 1 : 0));
  Write(step, key, std::nullopt);
  return step;
}

// Takes a value away from `key`: to another key, or for good.
Step Epoch::MoveStep(const std::string& key) {
  const std::string other = SomeKey();
  const auto found = data_.find(key);
  if (found == data_.end() || other == key) {
    Step step = Exactly(Request("GETDEL", key), ReplyFor(key));
    Write(step, key, std::nullopt);
    return step;
  }
  const std::string value = found->second;
  Step step = Exactly(Request("RENAME", key, other), Reply::String("OK"));
  Write(step, key, std::nullopt);
  Write(step, other, value);
  return step;
}

Step Epoch::SetAndReadManyStep() {
  if (random_.Below(2) == 0) {
    const std::string a = absl::StrCat(prefix_, "k0");
    const std::string b = absl::StrCat(prefix_, "k1");
    const std::string value_a = NewValue();
    const std::string value_b = NewValue();
    Step step = Exactly(Request("MSET", a, value_a, b, value_b), Reply::String("OK"));
    Write(step, a, value_a);
    Write(step, b, value_b);
    return step;
  }
  std::vector<std::string> words = {"MGET"};
  Reply reply;
  reply.kind = Reply::Kind::kArray;
  for (int i = 0; i <= kKeys; ++i) {  // The last one never exists.
    words.push_back(absl::StrCat(prefix_, "k", i));
    reply.elements.push_back(ReplyFor(words.back()));
  }
  return Exactly(Request::Of(words), reply);
}

Step Epoch::CountStep() {
  if (random_.Below(2) == 0) return {Request("INCR", "shared"), Step::Expect::kSharedCounter, Reply(), "", {}};
  const std::string key = absl::StrCat(prefix_, "n");
  int64_t count = 0;
  if (data_.contains(key)) {
    if (!absl::SimpleAtoi(data_[key], &count)) cluster_.Fail("the model of a counter is no number");
  }
  ++count;
  Step step = Exactly(Request("INCR", key), Reply::Integer(count));
  Write(step, key, absl::StrCat(count));
  return step;
}

Step Epoch::ErrorStep() {
  const std::string token = absl::StrCat("nonsense", writer_.serial++);
  if (random_.Below(2) == 0) return {Request("GET"), Step::Expect::kError, Reply(), "wrong number of arguments", {}};
  return {Request(token), Step::Expect::kError, Reply(), token, {}};
}

Step Epoch::NextStep() {
  const std::string key = SomeKey();
  switch (random_.Below(13)) {
    case 0:
    case 1: {
      const std::string token = NewValue();
      return Exactly(Request("ECHO", token), Reply::Bulk(token));
    }
    case 2:
    case 3:
    case 4:
      return SetStep(key);
    case 5:
      return AppendStep(key);
    case 6:
      return DeleteStep(key);
    case 7:
      return SetAndReadManyStep();
    case 8:
    case 9:
      return CountStep();
    case 10:
      return ErrorStep();
    case 11:
      return MoveStep(key);
    default:
      return Exactly(Request("GET", key), ReplyFor(key));
  }
}

std::vector<Step> Epoch::NextPipeline() {
  std::vector<Step> steps;
  uint64_t count = 1;
  if (random_.Below(2) == 0) count += random_.Below(12);
  for (uint64_t i = 0; i < count; ++i) steps.push_back(NextStep());
  if (random_.Below(4) == 0) AddExpiryThatIsTakenBack(steps);
  if (random_.Below(4) == 0) AddTransaction(steps);
  return steps;
}

// Nothing of a transaction happens before its EXEC, and then all of it: when the connection ends in between, the keys
// are as before. One that is given up changes nothing.
void Epoch::AddTransaction(std::vector<Step>& steps) {
  const bool is_given_up = random_.Below(4) == 0;
  const Reply queued = Reply::String("QUEUED");
  steps.push_back(Exactly(Request("MULTI"), Reply::String("OK")));
  Step end = Exactly(Request(is_given_up ? "DISCARD" : "EXEC"), Reply::String("OK"));
  if (!is_given_up) end.reply = Reply();
  if (!is_given_up) end.reply.kind = Reply::Kind::kArray;
  const uint64_t count = random_.Below(4);
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = SomeKey();
    if (is_given_up) {
      steps.push_back(Exactly(Request("SET", key, NewValue()), queued));
      continue;
    }
    Step step = random_.Below(2) == 0 ? SetStep(key) : AppendStep(key);
    end.reply.elements.push_back(std::exchange(step.reply, queued));
    for (auto& written : step.written) end.written.push_back(std::move(written));
    step.written.clear();
    steps.push_back(std::move(step));
  }
  steps.push_back(std::move(end));
}

// A key that is written anew does not expire any more. In between, it may.
void Epoch::AddExpiryThatIsTakenBack(std::vector<Step>& steps) {
  const std::string key = SomeKey();
  const std::string soon_gone = NewValue();
  const std::string kept = NewValue();
  const int64_t ttl_ms = random_.Between(1, 2000);
  const std::string ttl = absl::StrCat(ttl_ms);
  Step set = Exactly(Request("SET", key, soon_gone, "PX", ttl), Reply::String("OK"));
  Write(set, key, soon_gone);
  steps.push_back(std::move(set));
  Step set_again = Exactly(Request("SET", key, kept), Reply::String("OK"));
  Write(set_again, key, std::nullopt);
  Write(set_again, key, kept);
  steps.push_back(std::move(set_again));
}

std::vector<Step> Epoch::NextBulkPipeline() {
  std::vector<Step> steps;
  const uint64_t count = 2 + random_.Below(10);
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = SomeKey();
    std::string value = NewValue();
    value.append(20'000 + random_.Below(10'000), 'b');
    Step set = Exactly(Request("SET", key, value), Reply::String("OK"));
    Write(set, key, value);
    steps.push_back(std::move(set));
    steps.push_back(Exactly(Request("GET", key), Reply::Bulk(value)));
  }
  return steps;
}

// For people: what the reply of `step` should have been.
std::string Wanted(const Step& step, int64_t highest) {
  switch (step.expect) {
    case Step::Expect::kExactly:
      return step.reply.ToString();
    case Step::Expect::kError:
      return absl::StrCat("an error with \"", step.text, "\"");
    case Step::Expect::kSharedCounter:
      break;
  }
  return absl::StrCat("a number above ", highest, " that nobody else has got");
}

void Epoch::CheckReplies(const std::vector<Step>& steps, const std::vector<Reply>& replies, int64_t shared_before) {
  SharedCounter& shared = cluster_.shared_counters[generation_];
  int64_t highest = shared_before;
  for (size_t i = 0; i < replies.size(); ++i) {
    const Step& step = steps[i];
    const Reply& reply = replies[i];
    bool right = false;
    switch (step.expect) {
      case Step::Expect::kExactly:
        right = reply == step.reply;
        break;
      case Step::Expect::kError:
        right = reply.is_error() && absl::StrContains(reply.text, step.text);
        break;
      case Step::Expect::kSharedCounter:
        right =
            reply.kind == Reply::Kind::kInteger && reply.integer > highest && shared.seen.insert(reply.integer).second;
        if (right) highest = reply.integer;
        break;
    }
    if (!right) {
      return cluster_.Fail(absl::StrCat("request ", i + 1, " of ", steps.size(), ": ",
                                        absl::CHexEscape(step.request.wire().substr(0, 80)), " got ", reply.ToString(),
                                        " instead of ", Wanted(step, highest)));
    }
    ++cluster_.right_replies;
    for (const auto& [key, number] : step.written) writer_.old_keys[key].ForgetBefore(number);
  }
  shared.highest = std::max(shared.highest, highest);
}

std::optional<int64_t> InfoField(absl::string_view info, absl::string_view name) {
  for (const absl::string_view line : absl::StrSplit(info, "\r\n")) {
    const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(line, absl::MaxSplits(':', 1));
    int64_t value = 0;
    if (field.first == name && absl::SimpleAtoi(field.second, &value)) return value;
  }
  return std::nullopt;
}

// The server keeps to its limits, whatever happens.
void CheckLimits(Cluster& cluster, const Reply& info) {
  const int64_t clients = InfoField(info.text, "connected_clients").value_or(-1);
  if (clients < 1 || clients > cluster.max_clients) cluster.Fail(absl::StrCat("the server has ", clients, " clients"));
  const int64_t buffered = InfoField(info.text, "mem_clients_normal").value_or(-1);
  if (buffered < 0 || buffered > static_cast<int64_t>(kMaxClientBufferBytes)) {
    cluster.Fail(absl::StrCat("the server holds ", buffered, " bytes for its clients"));
  }
}

// What the server shows of `key` now is what it may show.
void CheckOldKey(Cluster& cluster, int generation, absl::string_view key, KeyHistory& history, const Reply& reply) {
  std::optional<std::string> shown;
  if (!reply.is_null()) shown = reply.text;
  if (history.generation != generation) {
    if (shown.has_value()) cluster.Fail(absl::StrCat("a restarted server has ", key, " = ", reply.ToString()));
    return;
  }
  const auto state = std::find(history.states.begin(), history.states.end(), shown);
  if (state == history.states.end()) {
    return cluster.Fail(absl::StrCat(
        "a write was lost: ", key, " is ", reply.ToString(), " and may be one of ", history.states.size(),
        " states from ", history.states.front().has_value() ? history.states.front()->substr(0, 60) : "nil"));
  }
  history.ForgetBefore(history.forgotten + static_cast<size_t>(state - history.states.begin()));
}

// Reads keys of earlier connections back, the latest first.
Task<absl::Status> ReadOldKeys(Cluster* cluster, int index, int generation, size_t count, Client* client) {
  Writer& writer = cluster->writers[index];
  std::vector<std::string> words = {"MGET"};
  for (auto it = writer.old_keys.rbegin(); it != writer.old_keys.rend() && words.size() <= count; ++it) {
    words.push_back(it->first);
  }
  if (words.size() == 1) co_return absl::OkStatus();
  const Request request = Request::Of(words);
  const absl::StatusOr<Reply> reply = co_await client->Command(request, kRequestTimeout);
  if (!reply.ok()) co_return reply.status();
  if (reply->is_error() && absl::StrContains(reply->text, kMaxClientsError)) {
    co_return absl::ResourceExhaustedError(reply->text);
  }
  if (reply->elements.size() != words.size() - 1) {
    cluster->Fail(absl::StrCat("MGET of ", words.size() - 1, " keys gave ", reply->ToString()));
    co_return absl::OkStatus();
  }
  for (size_t i = 1; i < words.size(); ++i) {
    CheckOldKey(*cluster, generation, words[i], writer.old_keys[words[i]], reply->elements[i - 1]);
  }
  co_return absl::OkStatus();
}

// Sets a key that expires and watches its time to live run out. Where the expiry lies is known up to the time that the
// request took, and to the millisecond in which the server counts.
Task<absl::Status> WatchExpiry(Cluster* cluster, Epoch* epoch, Client* client) {
  const std::string key = epoch->ExpiringKey();
  const int64_t ttl_ms = epoch->random().Between(100, 2000);
  const Instant set_begin = Now();
  const Request set("SET", key, "soon gone", "PX", absl::StrCat(ttl_ms));
  const absl::StatusOr<Reply> set_reply = co_await client->Command(set, kRequestTimeout);
  if (!set_reply.ok()) co_return set_reply.status();
  const Instant expiry_min = set_begin + absl::Milliseconds(ttl_ms - 1);
  const Instant expiry_max = Now() + absl::Milliseconds(ttl_ms);
  int64_t shown_before = ttl_ms;
  for (int i = 0; i < 3; ++i) {
    const int64_t pause_ms = epoch->random().Between(0, ttl_ms * 3 / 4);
    const absl::Status slept = co_await Sleep(absl::Milliseconds(pause_ms));
    if (!slept.ok()) co_return slept;
    const Instant begin = Now();
    const Request ask("PTTL", key);
    const absl::StatusOr<Reply> reply = co_await client->Command(ask, kRequestTimeout);
    if (!reply.ok()) co_return reply.status();
    const int64_t shown = reply->integer;
    const bool may_be_gone = Now() >= expiry_min;
    const bool may_be_there = begin < expiry_max;
    const bool in_range = shown >= absl::ToInt64Milliseconds(expiry_min - Now()) &&
                          shown <= absl::ToInt64Milliseconds(expiry_max - begin) + 1 && shown <= shown_before;
    const bool right = shown == -2 ? may_be_gone : may_be_there && shown >= 0 && in_range;
    if (!right) {
      cluster->Fail(absl::StrCat("PTTL of a key set ", absl::FormatDuration(begin - set_begin), " ago for ", ttl_ms,
                                 " ms gave ", reply->ToString(), " after ", shown_before));
    }
    if (shown == -2) break;
    shown_before = shown;
  }
  co_return absl::OkStatus();
}

// Sets a key that expires and, at about that time, sets it anew for good: then it stays.
Task<absl::Status> OutliveExpiry(Cluster* cluster, Epoch* epoch, Client* client) {
  const std::string key = epoch->ExpiringKey();
  const int64_t ttl_ms = epoch->random().Between(100, 2000);
  const Instant expiry = Now() + absl::Milliseconds(ttl_ms);
  const Request set("SET", key, "soon gone", "PX", absl::StrCat(ttl_ms));
  absl::StatusOr<Reply> reply = co_await client->Command(set, kRequestTimeout);
  if (!reply.ok()) co_return reply.status();
  const int64_t late_us = epoch->random().Between(-2000, 2000);
  absl::Status slept = co_await SleepUntil(expiry + absl::Microseconds(late_us));
  if (!slept.ok()) co_return slept;
  const Request set_again("SET", key, "kept");
  reply = co_await client->Command(set_again, kRequestTimeout);
  if (!reply.ok()) co_return reply.status();
  const int64_t pause_ms = epoch->random().Between(0, 200);
  slept = co_await Sleep(absl::Milliseconds(pause_ms));
  if (!slept.ok()) co_return slept;
  const Request get("GET", key);
  reply = co_await client->Command(get, kRequestTimeout);
  if (!reply.ok()) co_return reply.status();
  if (*reply != Reply::Bulk("kept")) {
    cluster->Fail(absl::StrCat("a key that was set for ", ttl_ms, " ms and then for good is ", reply->ToString()));
  }
  co_return absl::OkStatus();
}

// Adds one to the counter that all share, by WATCH: what EXEC stores nobody else may have got.
Task<absl::Status> CountByWatch(Cluster* cluster, int generation, Client* client) {
  SharedCounter& shared = cluster->shared_counters[generation];
  const int64_t highest = shared.highest;
  std::vector<Request> look;
  look.emplace_back("WATCH", "shared");
  look.emplace_back("GET", "shared");
  std::vector<Reply> seen;
  absl::Status status = co_await client->PipelineInto(std::move(look), kRequestTimeout, &seen);
  if (!status.ok()) co_return status;
  int64_t count = 0;
  if (!seen[1].is_null() && !absl::SimpleAtoi(seen[1].text, &count)) {
    cluster->Fail(absl::StrCat("the shared counter is ", seen[1].ToString()));
  }
  if (count < highest) cluster->Fail(absl::StrCat("the shared counter is ", count, " after ", highest));
  ++count;
  std::vector<Request> change;
  change.emplace_back("MULTI");
  change.emplace_back("SET", "shared", absl::StrCat(count));
  change.emplace_back("EXEC");
  std::vector<Reply> changed;
  status = co_await client->PipelineInto(std::move(change), kRequestTimeout, &changed);
  if (!status.ok()) co_return status;
  const Reply& executed = changed[2];
  if (executed.is_null()) co_return absl::OkStatus();  // Somebody else was faster.
  if (executed.elements.size() != 1 || !(executed.elements[0] == Reply::String("OK"))) {
    cluster->Fail(absl::StrCat("EXEC gave ", executed.ToString()));
  } else if (!shared.seen.insert(count).second) {
    cluster->Fail(absl::StrCat("two clients have set the shared counter to ", count));
  }
  shared.highest = std::max(shared.highest, count);
  co_return absl::OkStatus();
}

// One connection: old keys first, then some pipelines. A failure is returned; wrong replies are reported.
Task<absl::Status> UseConnection(Cluster* cluster, int index, RandomStream random, SocketAddress address) {
  const int generation = cluster->server_starts;
  absl::StatusOr<Client> client = co_await Client::Connect(address, kRequestTimeout);
  if (!client.ok()) co_return client.status();
  // When the server was started anew meanwhile, nobody knows which one has the connection.
  if (generation != cluster->server_starts) co_return absl::OkStatus();
  // Also tells whether there was room for this client.
  const size_t old_keys = cluster->calm() ? 1000 : 5;
  const Request info("INFO");
  const absl::StatusOr<Reply> welcome = co_await client->Command(info, kRequestTimeout);
  if (!welcome.ok()) co_return welcome.status();
  if (welcome->is_error()) co_return absl::ResourceExhaustedError(welcome->text);
  CheckLimits(*cluster, *welcome);
  absl::Status status = co_await ReadOldKeys(cluster, index, generation, old_keys, &*client);
  if (!status.ok()) co_return status;

  Epoch epoch(*cluster, index, generation, random);
  const uint64_t pipelines = 1 + random.Below(5);
  for (uint64_t i = 0; i < pipelines && !cluster->broken; ++i) {
    const bool is_bulk = random.Below(cluster->calm() ? 12 : 40) == 0;
    const std::vector<Step> steps = is_bulk ? epoch.NextBulkPipeline() : epoch.NextPipeline();
    std::vector<Request> requests;
    for (const Step& step : steps) requests.push_back(step.request);
    const int64_t shared_before = cluster->shared_counters[generation].highest;
    std::vector<Reply> replies;
    const Instant begin = Now();
    status = co_await client->PipelineInto(std::move(requests), kRequestTimeout, &replies);
    epoch.CheckReplies(steps, replies, shared_before);
    // A pause of this host may have held it up, but for no longer than faults last.
    const absl::Duration taken = Now() - begin;
    if (taken > kRequestTimeout + kFaultsEnd) {
      cluster->Fail(absl::StrCat("requests took ", absl::FormatDuration(taken)));
    }
    if (!status.ok()) co_return status;
    if (random.Below(3) == 0) {
      status = co_await CountByWatch(cluster, generation, &*client);
      if (!status.ok()) co_return status;
    }
    const int64_t pause_ms = random.Between(0, 300);
    status = co_await Sleep(absl::Milliseconds(pause_ms));
    if (!status.ok()) co_return status;
  }
  switch (random.Below(6)) {
    case 0:
    case 1:
      co_return co_await WatchExpiry(cluster, &epoch, &*client);
    case 2:
      co_return co_await OutliveExpiry(cluster, &epoch, &*client);
    default:
      break;
  }
  co_return absl::OkStatus();
}

RandomStream StreamFor(const Cluster& cluster, absl::string_view name, uint64_t n) {
  return RandomStream(HashCombine(HashCombine(cluster.world.seed(), HashName(name)), n));
}

// Whether faults may be the cause of `status`. They never are of a reply that is none (kInvalidArgument).
bool IsExcused(const absl::Status& status) {
  return status.ok() || absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

Task<absl::Status> RunWriter(Cluster* cluster, int index) {
  Writer& writer = cluster->writers[index];
  const absl::StatusOr<SocketAddress> address = cluster->world.Resolve(absl::StrCat("server:", kPort));
  if (!address.ok()) co_return address.status();
  while (writer.connections_left > 0 && Now() < cluster->At(kFaultsEnd)) {
    RandomStream random =
        StreamFor(*cluster, absl::StrCat("writer ", index), static_cast<uint64_t>(writer.connections_left));
    --writer.connections_left;
    const absl::Status status = co_await UseConnection(cluster, index, random, *address);
    ++cluster->connections;
    if (!status.ok()) ++cluster->failed_connections;
    if (absl::IsCancelled(status)) co_return status;  // A SIGTERM.
    if (!IsExcused(status)) cluster->Fail(absl::StrCat("writer ", index, " failed: ", status.ToString()));
    const int64_t pause_max_ms = random.Below(8) == 0 ? 1500 : 200;
    const int64_t pause_ms = random.Between(0, pause_max_ms);
    const absl::Status slept = co_await Sleep(absl::Milliseconds(pause_ms));
    if (!slept.ok()) co_return slept;
  }
  const absl::Status slept = co_await SleepUntil(cluster->At(kCalm));
  if (!slept.ok()) co_return slept;
  const RandomStream random = StreamFor(*cluster, absl::StrCat("writer ", index), 1000);
  const absl::Status status = co_await UseConnection(cluster, index, random, *address);
  if (!status.ok()) cluster->Fail(absl::StrCat("without faults, writer ", index, " failed: ", status.ToString()));
  co_return status;
}

// --- A client that means no good ---

// Reads until the end and returns what came.
Task<absl::StatusOr<std::string>> ReadAll(TcpStream* stream, Instant deadline) {
  std::string all;
  for (;;) {
    const absl::StatusOr<Buffer> chunk = co_await stream->Receive().By(deadline);
    if (!chunk.ok()) co_return chunk.status();
    if (chunk->empty()) co_return all;
    all.append(chunk->view());
  }
}

std::string Garbage(RandomStream& random) {
  switch (random.Below(5)) {
    case 0:
      return "*2147483648\r\n$4\r\nECHO\r\n";
    case 1:
      return "*2\r\n$4\r\nECHO\r\n$99999999999\r\n";
    case 2:
      return "*1\r\n+PING\r\n";
    case 3:
      return "SET \"unbalanced\r\n";
    default:
      break;
  }
  // A type byte that begins an array, and then anything.
  std::string bytes = "*x";
  for (int i = 0; i < 20; ++i) bytes.push_back(static_cast<char>(random.Below(256)));
  return absl::StrCat(bytes, "\r\n");
}

// The error comes through although more input follows it.
Task<absl::Status> BreakProtocol(Cluster* cluster, TcpStream* stream, RandomStream random) {
  std::string bytes = Garbage(random);
  const size_t more = random.Below(4) == 0 ? random.Below(100'000) : 0;
  bytes.append(more, 'x');
  const bool must_succeed = cluster->calm();
  const Instant deadline = Now() + kRequestTimeout;
  // Fails when the server has closed meanwhile, having dropped as much as it wants to.
  const IoResult sent = co_await stream->WriteAll(bytes).By(deadline);
  if (!sent.ok() && !must_succeed) co_return sent.status;
  const absl::StatusOr<std::string> reply = co_await ReadAll(stream, deadline);
  // A server that is killed while it writes leaves the beginning of the error, or nothing (seed 7313 has "-ER").
  const bool begins_right =
      reply.ok() && (absl::StartsWith(*reply, "-ERR ") || (!must_succeed && absl::StartsWith("-ERR ", *reply)));
  if (reply.ok() && !begins_right) {
    cluster->Fail(absl::StrCat("garbage got '", *reply, "'"));
  }
  if (!reply.ok() && must_succeed) {
    cluster->Fail(absl::StrCat("garbage got no reply: ", reply.status().ToString()));
  }
  co_return reply.status();
}

// Asks for far more than the network holds and reads late: in time, or so late that the server has given up.
Task<absl::Status> ReadLate(Cluster* cluster, TcpStream* stream, RandomStream random) {
  const std::string value(20'000, 'l');
  const Request set("SET", "large", value);
  const Request get("GET", "large");
  const bool began_calm = cluster->calm();
  std::string wire = set.wire();
  std::string expected = "+OK\r\n";
  const uint64_t count = began_calm ? 50 : 1 + random.Below(50);
  for (uint64_t i = 0; i < count; ++i) {
    wire.append(get.wire());
    absl::StrAppend(&expected, "$", value.size(), "\r\n", value, "\r\n");
  }
  const IoResult sent = co_await stream->WriteAll(wire).By(Now() + kRequestTimeout);
  if (!sent.ok()) co_return sent.status;
  // The server's kernel may find a little more room for some seconds, and each byte that it takes counts; then it is
  // over.
  const bool in_time = random.Below(2) == 0;
  const bool at_once = in_time && random.Below(2) == 0;
  const absl::Duration late = in_time ? kWriteTimeout - absl::Seconds(1) : kWriteTimeout * 4 + absl::Seconds(2);
  const absl::Duration pause = at_once ? absl::Seconds(1) : late;
  const absl::Status slept = co_await Sleep(pause);
  if (!slept.ok()) co_return slept;
  std::string got(expected.size(), '\0');
  const IoResult read = co_await stream->ReadExactly(absl::MakeSpan(got.data(), got.size())).By(Now() + kTimeLimit / 2);
  got.resize(read.bytes);
  if (!began_calm && absl::StartsWith(got, absl::StrCat("-", kMaxClientsError))) co_return absl::OkStatus();
  const auto wrong = static_cast<size_t>(std::mismatch(got.begin(), got.end(), expected.begin()).first - got.begin());
  if (wrong < got.size()) {
    cluster->Fail(absl::StrCat("a client that reads late got a wrong byte ", wrong, " of ", got.size(), ": ",
                               absl::CHexEscape(got.substr(wrong, 80))));
  }
  if (began_calm && read.ok() != in_time) {
    cluster->Fail(absl::StrCat("a client that reads after ", absl::FormatDuration(pause), " got ", read.bytes, " of ",
                               expected.size(), " bytes: ", read.status.ToString()));
  }
  co_return absl::OkStatus();
}

// Sends far more than the network holds, whose replies are as long, and reads only then: nobody holds up the other.
Task<absl::Status> SendAllThenRead(Cluster* cluster, TcpStream* stream, RandomStream random) {
  const bool began_calm = cluster->calm();
  std::string wire;
  std::string expected;
  const uint64_t count = 100 + random.Below(100);
  for (uint64_t i = 0; i < count; ++i) {
    std::string text = absl::StrCat(i);
    text.resize(10'000 + random.Below(1000), '.');
    wire.append(Request("ECHO", text).wire());
    absl::StrAppend(&expected, "$", text.size(), "\r\n", text, "\r\n");
  }
  const IoResult sent = co_await stream->WriteAll(wire).By(Now() + kTimeLimit / 2);
  std::string got(expected.size(), '\0');
  IoResult read;
  if (sent.ok()) {
    read = co_await stream->ReadExactly(absl::MakeSpan(got.data(), got.size())).By(Now() + kTimeLimit / 2);
    got.resize(read.bytes);
    const bool is_rejected = !began_calm && absl::StartsWith(got, absl::StrCat("-", kMaxClientsError));
    if (!is_rejected && !absl::StartsWith(expected, got)) {
      cluster->Fail(absl::StrCat("a client that sends all before it reads got ", got.size(), " bytes, some wrong"));
    }
  }
  if (began_calm && (!sent.ok() || !read.ok())) {
    cluster->Fail(absl::StrCat("a client that sends all before it reads has sent ", sent.bytes, " of ", wire.size(),
                               " bytes and got ", read.bytes, " of ", expected.size(), ": ", sent.status.ToString(),
                               ", ", read.status.ToString()));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Misbehave(Cluster* cluster, RandomStream random, SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address).By(Now() + kRequestTimeout);
  if (!stream.ok()) co_return stream.status();
  switch (random.Below(6)) {
    case 0:
      stream->Abort();
      co_return absl::OkStatus();
    case 1: {  // Says nothing, or half of something, until the server has had enough.
      const absl::string_view half = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\nabc";
      const IoResult sent =
          co_await stream->WriteAll(half.substr(0, random.Below(half.size()))).By(Now() + kRequestTimeout);
      if (!sent.ok()) co_return sent.status;
      const absl::StatusOr<std::string> reply = co_await ReadAll(&*stream, Now() + kIdleTimeout + absl::Seconds(5));
      // Who asks nothing is told nothing.
      if (reply.ok() && !reply->empty() && !absl::StrContains(*reply, kMaxClientsError) &&
          !absl::StrContains(absl::StrCat("-", kMaxClientsError), *reply)) {
        cluster->Fail(absl::StrCat("a silent client got ", absl::CHexEscape(*reply)));
      }
      co_return reply.status();
    }
    case 4:
      co_return co_await SendAllThenRead(cluster, &*stream, random);
    case 2:
      co_return co_await ReadLate(cluster, &*stream, random);
    case 3: {  // Half of a request, and gone.
      const IoResult sent = co_await stream->WriteAll("*2\r\n$4\r\nECHO\r\n$100\r\nabc").By(Now() + kRequestTimeout);
      if (random.Below(2) == 0) stream->Abort();
      co_return sent.status;
    }
    default:
      co_return co_await BreakProtocol(cluster, &*stream, random);
  }
}

Task<absl::Status> RunVandal(Cluster* cluster) {
  const absl::StatusOr<SocketAddress> address = cluster->world.Resolve(absl::StrCat("server:", kPort));
  if (!address.ok()) co_return address.status();
  for (uint64_t n = 0; n < 6 && Now() < cluster->At(kFaultsEnd); ++n) {
    RandomStream random = StreamFor(*cluster, "vandal", n);
    (co_await Misbehave(cluster, random, *address)).IgnoreError();
    const int64_t pause_ms = random.Child(1).Between(0, 2000);
    const absl::Status slept = co_await Sleep(absl::Milliseconds(pause_ms));
    if (!slept.ok()) co_return slept;
  }
  const absl::Status slept = co_await SleepUntil(cluster->At(kCalm));
  if (!slept.ok()) co_return slept;
  const RandomStream random = StreamFor(*cluster, "vandal", 1000);
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*address).By(Now() + kRequestTimeout);
  if (!stream.ok()) co_return stream.status();
  const absl::Status broken = co_await BreakProtocol(cluster, &*stream, random);
  if (!broken.ok()) co_return broken;
  stream = co_await TcpStream::Connect(*address).By(Now() + kRequestTimeout);
  if (!stream.ok()) co_return stream.status();
  const absl::Status sent_first = co_await SendAllThenRead(cluster, &*stream, random);
  if (!sent_first.ok()) co_return sent_first;
  stream = co_await TcpStream::Connect(*address).By(Now() + kRequestTimeout);
  if (!stream.ok()) co_return stream.status();
  co_return co_await ReadLate(cluster, &*stream, random);
}

// --- Afterwards ---

// Waits until the server has forgotten everybody else.
Task<absl::Status> RunChecker(Cluster* cluster) {
  const absl::StatusOr<SocketAddress> address = cluster->world.Resolve(absl::StrCat("server:", kPort));
  if (!address.ok()) co_return address.status();
  absl::StatusOr<Client> client = co_await Client::Connect(*address, kRequestTimeout);
  if (!client.ok()) co_return client.status();
  const Instant deadline = Now() + kIdleTimeout + kWriteTimeout + absl::Seconds(5);
  for (;;) {
    const Request ask("INFO");
    const absl::StatusOr<Reply> info = co_await client->Command(ask, kRequestTimeout);
    if (!info.ok()) co_return info.status();
    const int64_t clients = InfoField(info->text, "connected_clients").value_or(-1);
    const int64_t buffered = InfoField(info->text, "mem_clients_normal").value_or(-1);
    if (clients == 1 && buffered >= 0 && buffered < 1024) co_return absl::OkStatus();
    if (Now() >= deadline) {
      cluster->Fail(absl::StrCat("everybody is gone, but the server has ", clients, " clients and holds ", buffered,
                                 " bytes for them"));
      co_return absl::OkStatus();
    }
    const absl::Status slept = co_await Sleep(absl::Seconds(1));
    if (!slept.ok()) co_return slept;
  }
}

// Has the server stopped while a long reply is on its way, and goes on sending: the reply arrives all the same.
Task<absl::Status> RunLastClient(Cluster* cluster, sim::Host* server) {
  const absl::StatusOr<SocketAddress> address = cluster->world.Resolve(absl::StrCat("server:", kPort));
  if (!address.ok()) co_return address.status();
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*address).By(Now() + kRequestTimeout);
  if (!stream.ok()) co_return stream.status();
  const Request set("SET", "last", std::string(20'000, 'l'));
  std::string wire = set.wire();
  std::string mget = "MGET";
  for (int i = 0; i < 40; ++i) mget.append(" last");
  const size_t expected =
      absl::string_view("+OK\r\n*40\r\n").size() + 40 * (20'000 + absl::string_view("$20000\r\n\r\n").size());
  const IoResult sent = co_await stream->WriteAll(absl::StrCat(wire, mget, "\r\n")).By(Now() + kRequestTimeout);
  if (!sent.ok()) co_return sent.status;
  absl::Status status;
  size_t got = 0;
  bool is_stopped = false;
  while (status.ok() && got < expected) {
    const absl::StatusOr<Buffer> chunk = co_await stream->Receive().By(Now() + kRequestTimeout);
    status = chunk.status();
    if (!status.ok() || chunk->empty()) break;
    got += chunk->size();
    // Once the long reply has begun, its request was executed.
    if (!is_stopped && got > absl::string_view("+OK\r\n").size()) {
      is_stopped = true;
      cluster->world.At(cluster->world.Now(), [server] { server->DeliverSignal(SIGTERM); });
    }
    // Unread on the other side, these make a reset of a close that is not a lingering one.
    const IoResult more = co_await stream->WriteAll("PING\r\nPING\r\n").By(Now() + kRequestTimeout);
    if (!more.ok() && got < expected) status = more.status;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(2));
    if (!slept.ok()) co_return slept;
  }
  if (got < expected) {
    cluster->Fail(absl::StrCat("the server was stopped, and of a reply to a request that it had executed, ", got,
                               " of ", expected, " bytes came: ", status.ToString()));
  }
  co_return absl::OkStatus();
}

SIM_TEST(Kv, RepliesMatchRequestsUnderFaults) {
  RandomStream random = world.random("kv test");
  // Few clients at a time, sometimes: then some are turned away.
  Cluster cluster(world, random.Below(4) == 0 ? 5 : 100);
  const bool with_vandal = random.Below(2) == 0;
  const bool with_stop = random.Below(3) == 0;
  Options options;
  options.set_address(SocketAddress::AnyIpv4(kPort))
      .set_idle_timeout(kIdleTimeout)
      .set_write_timeout(kWriteTimeout)
      .set_shutdown_timeout(kShutdownTimeout)
      .set_max_request_bytes(kMaxRequestBytes)
      .set_max_client_buffer_bytes(kMaxClientBufferBytes)
      .set_max_clients(cluster.max_clients);
  sim::Host& server = world.AddHost("server", [&cluster, options] {
    ++cluster.server_starts;
    return Serve(options);
  });
  std::vector<sim::Host*> clients;
  for (int i = 0; i < kWriters; ++i) {
    clients.push_back(&world.AddHost(absl::StrCat("writer", i), [&cluster, i] { return RunWriter(&cluster, i); }));
  }
  if (with_vandal) clients.push_back(&world.AddHost("vandal", [&cluster] { return RunVandal(&cluster); }));
  world.Inject(sim::Faults::All().During(absl::ZeroDuration(), kFaultsEnd));
  // Short reads and writes hurt nobody: they may go on when nothing may fail any more.
  if (random.Below(2) == 0) {
    sim::FaultPlan plan;
    plan.Add({sim::FaultKind::kShortReads, "*", "", kCalm, kCalm + kTimeLimit, 300'000});
    plan.Add({sim::FaultKind::kShortWrites, "*", "", kCalm, kCalm + kTimeLimit, 300'000});
    world.Inject(plan);
  }

  if (with_stop) {
    // Stopped in the middle of everything and started anew; again after the faults, which may have held it up.
    const int64_t stop_ms = random.Between(1000, 12'000);
    world.At(cluster.At(absl::Milliseconds(stop_ms)), [&server] {
      server.DeliverSignal(SIGTERM);
      server.Restart(absl::Seconds(4));
    });
    world.At(cluster.At(kFaultsEnd + absl::Seconds(5)), [&server] { server.Restart(); });
  }

  for (sim::Host* client : clients) {
    const absl::Status status = world.RunUntilDone(*client, kTimeLimit);
    EXPECT_TRUE(status.ok()) << client->name() << ": " << status;
    if (!status.ok() || cluster.broken) return;
  }
  sim::Host& checker = world.AddHost("checker", [&cluster] { return RunChecker(&cluster); });
  const absl::Status checked = world.RunUntilDone(checker, kTimeLimit);
  EXPECT_TRUE(checked.ok()) << "checker: " << checked;
  sim::Host& last = world.AddHost("last", [&cluster, &server] { return RunLastClient(&cluster, &server); });
  const absl::Status read_all = world.RunUntilDone(last, kTimeLimit);
  EXPECT_TRUE(read_all.ok()) << "last client: " << read_all;
  const absl::Status stopped = world.RunUntilDone(server, absl::Minutes(1));
  EXPECT_TRUE(absl::IsCancelled(stopped)) << "server: " << stopped;
  absl::PrintF("%d connections under faults, %d of them failed; %d right replies; the server was started %d times\n",
               cluster.connections, cluster.failed_connections, cluster.right_replies, cluster.server_starts);
}

}  // namespace
}  // namespace tandem::kv
