// SPDX-License-Identifier: Apache-2.0
//
// A situation of the search is what was linearized and the state after it. The next operation is one that began before
// the first return of those that are missing, which is called the frontier. All that returned before it is linearized,
// so a situation is told by the frontier, the few operations that are linearized ahead of their return, the open ones,
// and the state; and in this short form it is remembered.
//
// A situation is left out when one was reached before that differs in having used fewer open operations: whatever can
// follow the one can follow the other. For this to leave out much, the search takes the situation with the furthest
// frontier first, and of these the one with the fewest open operations. Else a stale read behind N open writes would be
// looked at with each of their 2^N subsets. As long as nothing is in the way it goes from each situation to one that
// follows, as a search in depth does.

#include "tandem/testing/linearizability.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <queue>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/log/check.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/base/assertions.h"

namespace tandem::testing {
namespace internal {
namespace {

using Operation = History::Operation;
using Outcome = Operation::Outcome;

// --- The search for one object ---

using Numbers = absl::InlinedVector<uint32_t, 4>;  // Sorted; one may be there more than once.

class Search {
 public:
  enum class Result { kFound, kNone, kGaveUp };

  // `operations` are of one object, in the order of invocation, and none has failed.
  Search(absl::Span<const Operation> operations, States& states, const LinearizabilityLimits& limits);

  Result Run();

  uint64_t steps() const { return steps_; }
  // How many returns, in their order, could be passed.
  size_t furthest() const { return situations_[best_].frontier; }
  // The linearization that passes so many, and of these one with as many answers and as few open operations as can be.
  std::vector<size_t> longest() const;

 private:
  static constexpr uint32_t kNone = -1;

  struct Situation {
    uint32_t frontier = 0;  // The rank of the first return that is missing.
    size_t state = 0;
    Numbers ahead;   // Ranks beyond the frontier that are linearized.
    Numbers opened;  // Open operations that are linearized: for each the number of its list in open_.

    uint32_t parent = kNone;  // The situation before the last operation.
    uint32_t operation = kNone;
    uint32_t tried = 0;  // So many of its candidates: first those with an answer, then the lists of open ones.
    bool is_needless = false;
  };
  // What is looked at first comes last.
  struct Turn {
    uint32_t frontier;
    size_t opened;
    uint64_t number;  // The later one first.
    uint32_t situation;

    friend bool operator<(const Turn& a, const Turn& b) {
      return std::tie(a.frontier, b.opened, a.number) < std::tie(b.frontier, a.opened, b.number);
    }
  };
  // What must be the same for one situation to make another one needless.
  using Place = std::tuple<uint32_t, size_t, Numbers>;
  static Place PlaceOf(const Situation& situation) { return {situation.frontier, situation.state, situation.ahead}; }

  // Those with an answer that began before the return at `frontier` and did not return before it.
  const std::vector<uint32_t>& Concurrent(uint32_t frontier);
  // Goes from a situation to the next one that can follow it.
  void Go(uint32_t from);
  // What an operation with an answer leads to, or the next open one of a list, if it can come next.
  std::optional<Situation> AfterAnswered(uint32_t from, uint32_t operation);
  std::optional<Situation> AfterOpen(uint32_t from, uint32_t list);
  std::optional<size_t> StateAfter(uint32_t operation, size_t state);
  // Whether what follows was or will be looked at in another place.
  bool IsNeedless(const Situation& situation);
  void Add(Situation situation);
  void PutInLine(uint32_t situation, size_t opened);

  const absl::Span<const Operation> operations_;
  States& states_;
  const LinearizabilityLimits& limits_;

  std::vector<uint32_t> by_return_;                // Those with an answer.
  std::vector<uint32_t> rank_;                     // The place of each in by_return_.
  std::vector<size_t> kind_;                       // Operations of one kind cannot be told apart by the model.
  std::vector<std::vector<uint32_t>> open_;        // Open ones, a list for each kind, in the order of invocation.
  std::vector<std::vector<uint32_t>> concurrent_;  // By frontier, as far as it was asked for.

  std::vector<Situation> situations_;
  std::priority_queue<Turn> line_;
  uint32_t best_ = 0;
  uint64_t turns_ = 0;
  uint64_t steps_ = 0;
  // Neither is ever iterated over, so that the order of the hashes decides nothing.
  absl::flat_hash_map<Place, std::vector<uint32_t>> seen_;
  absl::flat_hash_map<std::pair<size_t, size_t>, std::optional<size_t>> effects_;  // Of a kind in a state.
};

bool IsOpen(const Operation& operation) { return operation.outcome == Outcome::kOpen; }

void InsertSorted(Numbers& numbers, uint32_t number) {
  numbers.insert(std::upper_bound(numbers.begin(), numbers.end(), number), number);
}

Search::Search(absl::Span<const Operation> operations, States& states, const LinearizabilityLimits& limits)
    : operations_(operations), states_(states), limits_(limits), rank_(operations.size(), kNone) {
  std::map<std::tuple<absl::string_view, absl::Span<const std::string>, Outcome, absl::string_view>, size_t> kinds;
  std::map<size_t, size_t> list_of_kind;
  for (uint32_t i = 0; i < operations.size(); ++i) {
    const Operation& operation = operations[i];
    kind_.push_back(
        kinds.try_emplace({operation.name, operation.arguments, operation.outcome, operation.answer}, kinds.size())
            .first->second);
    if (!IsOpen(operation)) {
      by_return_.push_back(i);
      continue;
    }
    const auto [list, is_new] = list_of_kind.try_emplace(kind_[i], open_.size());
    if (is_new) open_.emplace_back();
    open_[list->second].push_back(i);
  }
  absl::c_sort(by_return_, [&](uint32_t a, uint32_t b) { return operations[a].returned < operations[b].returned; });
  for (uint32_t rank = 0; rank < by_return_.size(); ++rank) rank_[by_return_[rank]] = rank;
}

Search::Result Search::Run() {
  Situation start;
  start.state = states_.Start();
  Add(std::move(start));
  while (situations_[best_].frontier < by_return_.size()) {
    if (line_.empty()) return Result::kNone;
    if (steps_ > limits_.steps_max || situations_.size() > limits_.situations_max) return Result::kGaveUp;
    const uint32_t next = line_.top().situation;
    line_.pop();
    if (!situations_[next].is_needless) Go(next);
  }
  return Result::kFound;
}

std::vector<size_t> Search::longest() const {
  std::vector<size_t> operations;
  for (uint32_t at = best_; situations_[at].parent != kNone; at = situations_[at].parent) {
    operations.push_back(situations_[at].operation);
  }
  absl::c_reverse(operations);
  return operations;
}

const std::vector<uint32_t>& Search::Concurrent(uint32_t frontier) {
  while (concurrent_.size() <= frontier) {
    const auto rank = static_cast<uint32_t>(concurrent_.size());
    std::vector<uint32_t> concurrent;
    uint32_t next = 0;  // The first operation that began after the return before.
    if (rank > 0) {
      for (const uint32_t operation : concurrent_.back()) {
        if (rank_[operation] >= rank) concurrent.push_back(operation);
      }
      const uint64_t before = operations_[by_return_[rank - 1]].returned;
      const auto after = absl::c_partition_point(operations_, [&](const Operation& o) { return o.invoked < before; });
      next = static_cast<uint32_t>(after - operations_.begin());
    }
    for (; next < operations_.size() && operations_[next].invoked < operations_[by_return_[rank]].returned; ++next) {
      if (!IsOpen(operations_[next])) concurrent.push_back(next);
    }
    concurrent_.push_back(std::move(concurrent));
  }
  return concurrent_[frontier];
}

void Search::Go(uint32_t from) {
  const std::vector<uint32_t>& concurrent = Concurrent(situations_[from].frontier);
  uint32_t& tried = situations_[from].tried;
  // The open ones wait for all that can be reached at this frontier without one more.
  const bool are_open = tried >= concurrent.size();
  const size_t end = concurrent.size() + (are_open ? open_.size() : 0);
  std::optional<Situation> next;
  while (tried < end && !next) {
    const uint32_t candidate = tried++;
    next = are_open ? AfterOpen(from, candidate - static_cast<uint32_t>(concurrent.size()))
                    : AfterAnswered(from, concurrent[candidate]);
    if (next && IsNeedless(*next)) next.reset();
  }
  if (tried < concurrent.size() + open_.size()) {
    PutInLine(from, situations_[from].opened.size() + (tried < concurrent.size() ? 0 : 1));
  }
  if (next) Add(*std::move(next));
}

std::optional<Search::Situation> Search::AfterAnswered(uint32_t from, uint32_t operation) {
  const Situation& before = situations_[from];
  if (absl::c_binary_search(before.ahead, rank_[operation])) return std::nullopt;
  const std::optional<size_t> state = StateAfter(operation, before.state);
  if (!state) return std::nullopt;
  Situation after{.frontier = before.frontier, .state = *state, .ahead = before.ahead, .opened = before.opened};
  InsertSorted(after.ahead, rank_[operation]);
  auto missing = after.ahead.begin();
  for (; missing != after.ahead.end() && *missing == after.frontier; ++missing) ++after.frontier;
  after.ahead.erase(after.ahead.begin(), missing);
  after.parent = from;
  after.operation = operation;
  return after;
}

std::optional<Search::Situation> Search::AfterOpen(uint32_t from, uint32_t list) {
  const Situation& before = situations_[from];
  const auto used = static_cast<size_t>(absl::c_count(before.opened, list));
  if (used == open_[list].size()) return std::nullopt;
  const uint32_t operation = open_[list][used];
  if (operations_[operation].invoked > operations_[by_return_[before.frontier]].returned) return std::nullopt;
  const std::optional<size_t> state = StateAfter(operation, before.state);
  if (!state || *state == before.state) return std::nullopt;
  Situation after{.frontier = before.frontier, .state = *state, .ahead = before.ahead, .opened = before.opened};
  InsertSorted(after.opened, list);
  after.parent = from;
  after.operation = operation;
  return after;
}

std::optional<size_t> Search::StateAfter(uint32_t operation, size_t state) {
  ++steps_;
  const auto [known, is_new] = effects_.try_emplace({state, kind_[operation]});
  if (!is_new) return known->second;
  const std::optional<States::Effect> effect = states_.Apply(operations_[operation], state);
  if (!effect) return std::nullopt;
  if (!IsOpen(operations_[operation]) && effect->answer != operations_[operation].answer) return std::nullopt;
  return known->second = effect->state;
}

bool Search::IsNeedless(const Situation& situation) {
  const auto found = seen_.find(PlaceOf(situation));
  if (found == seen_.end()) return false;
  steps_ += found->second.size();
  return absl::c_any_of(found->second,
                        [&](uint32_t other) { return absl::c_includes(situation.opened, situations_[other].opened); });
}

void Search::Add(Situation situation) {
  const auto number = static_cast<uint32_t>(situations_.size());
  std::vector<uint32_t>& others = seen_[PlaceOf(situation)];
  std::erase_if(others, [&](uint32_t other) {
    const bool is_needless = absl::c_includes(situations_[other].opened, situation.opened);
    if (is_needless) situations_[other].is_needless = true;
    return is_needless;
  });
  others.push_back(number);
  const auto worth = [](const Situation& s) {
    return std::tuple(s.frontier, s.ahead.size(), -static_cast<ptrdiff_t>(s.opened.size()));
  };
  if (number == 0 || worth(situation) > worth(situations_[best_])) best_ = number;
  situations_.push_back(std::move(situation));
  PutInLine(number, situations_.back().opened.size());
}

void Search::PutInLine(uint32_t situation, size_t opened) {
  line_.push({situations_[situation].frontier, opened, turns_++, situation});
}

// --- The bad window ---

// What began until the return of number `returns` (from 1), with the answers until then.
std::vector<Operation> BeginningOf(absl::Span<const Operation> operations, size_t returns) {
  std::vector<uint64_t> ends;
  for (const Operation& operation : operations) {
    if (operation.outcome == Outcome::kAnswered) ends.push_back(operation.returned);
  }
  absl::c_sort(ends);
  const uint64_t end = ends[returns - 1];
  std::vector<Operation> beginning;
  for (const Operation& operation : operations) {
    if (operation.invoked > end) break;
    beginning.push_back(operation);
    if (operation.outcome != Outcome::kAnswered || operation.returned <= end) continue;
    beginning.back().outcome = Outcome::kOpen;
    beginning.back().answer.clear();
    beginning.back().returned = Operation::kNever;
    beginning.back().returned_at.reset();
  }
  return beginning;
}

std::string WhyNotNext(const std::vector<Operation>& operations, const std::vector<bool>& is_linearized, size_t index,
                       size_t state, States& states) {
  const Operation& operation = operations[index];
  for (size_t i = 0; i < operations.size(); ++i) {
    if (is_linearized[i] || operations[i].returned > operation.invoked) continue;
    return absl::StrCat("began when ", ToString(operations[i]), " had returned, which is missing");
  }
  const std::optional<States::Effect> effect = states.Apply(operation, state);
  if (!effect) return "cannot take effect now";
  if (!IsOpen(operation)) return effect->answer.empty() ? "no answer" : absl::StrCat("would answer ", effect->answer);
  if (effect->state == state) return "would change nothing";
  return absl::StrCat("then it would be ", states.Describe(effect->state), ", which leads no further");
}

// `longest` is of `window->operations`.
void Explain(const std::vector<size_t>& longest, States& states, BadWindow* window) {
  window->linearized = longest;
  std::vector<bool> is_linearized(window->operations.size());
  size_t state = states.Start();
  for (const size_t index : longest) {
    is_linearized[index] = true;
    state = states.Apply(window->operations[index], state)->state;
    window->states.push_back(states.Describe(state));
  }
  for (const Outcome outcome : {Outcome::kAnswered, Outcome::kOpen}) {
    for (size_t i = 0; i < window->operations.size(); ++i) {
      if (is_linearized[i] || window->operations[i].outcome != outcome) continue;
      window->missing.push_back({i, WhyNotNext(window->operations, is_linearized, i, state, states)});
    }
  }
}

// `operations` has no linearization; it has one until so many returns as `lowest`.
BadWindow FindWindow(absl::Span<const Operation> operations, size_t lowest, States& states,
                     const LinearizabilityLimits& limits) {
  BadWindow window;
  window.object = operations[0].object;
  window.of_operations = operations.size();
  size_t good = lowest;
  size_t bad = absl::c_count_if(operations, [](const Operation& o) { return o.outcome == Outcome::kAnswered; });
  // Most windows end at the return that the search could not pass. They may be longer, since there an answer is not
  // known yet that keeps a linearization from being the right one.
  for (size_t probe = good + 1; bad - good > 1; probe = good + (bad - good) / 2) {
    const std::vector<Operation> beginning = BeginningOf(operations, probe);
    Search search(beginning, states, limits);
    const Search::Result result = search.Run();
    if (result == Search::Result::kGaveUp) {
      window.is_shortest = false;
      break;
    }
    (result == Search::Result::kFound ? good : bad) = probe;
  }
  window.operations = BeginningOf(operations, bad);
  Search search(window.operations, states, limits);
  CHECK(search.Run() == Search::Result::kNone);
  Explain(search.longest(), states, &window);
  return window;
}

}  // namespace

Linearizability SearchObjects(absl::Span<const Operation> operations, States& states,
                              const LinearizabilityLimits& limits) {
  std::map<absl::string_view, std::vector<Operation>> by_name;
  for (const Operation& operation : operations) {
    if (operation.outcome != Outcome::kFailed) by_name[operation.object].push_back(operation);
  }
  std::vector<std::vector<Operation>> objects;
  for (auto& [name, object] : by_name) {
    absl::c_sort(object, [](const Operation& a, const Operation& b) { return a.invoked < b.invoked; });
    objects.push_back(std::move(object));
  }
  absl::c_sort(objects, [](const auto& a, const auto& b) {
    return std::pair(a.size(), absl::string_view(a[0].object)) < std::pair(b.size(), absl::string_view(b[0].object));
  });

  Linearizability found;
  for (const std::vector<Operation>& object : objects) {
    Search search(object, states, limits);
    const Search::Result result = search.Run();
    found.steps += search.steps();
    if (result == Search::Result::kNone) {
      found.verdict = Linearizability::Verdict::kNotLinearizable;
      found.window = FindWindow(object, search.furthest(), states, limits);
      return found;
    }
    if (result == Search::Result::kGaveUp) {
      found.verdict = Linearizability::Verdict::kGaveUp;
      found.gave_up_on.push_back(object[0].object);
    }
  }
  return found;
}

}  // namespace internal

// --- Text ---

namespace {

constexpr size_t kShown = 12;  // Lines of each list; more hide what matters.

// Where the operation lies in the order of the history.
std::string Interval(const History::Operation& operation) {
  if (operation.returned == History::Operation::kNever) return absl::StrCat("[", operation.invoked, ", ...]");
  return absl::StrCat("[", operation.invoked, ", ", operation.returned, "]");
}

// Of what is long, both ends.
std::string Shorten(absl::string_view text) {
  constexpr size_t kEnd = 80;
  if (text.size() <= 2 * kEnd) return std::string(text);
  return absl::StrCat(text.substr(0, kEnd), " ... ", text.substr(text.size() - kEnd));
}

std::string Line(const History::Operation& operation, absl::string_view remark) {
  const std::string line = absl::StrFormat("    %-14s %-40s %s", Interval(operation),
                                           Shorten(testing::ToString(operation)), Shorten(remark));
  return absl::StrCat(absl::StripTrailingAsciiWhitespace(line), "\n");
}

}  // namespace

std::string BadWindow::ToString() const {
  const History::Operation* last = nullptr;
  for (const History::Operation& operation : operations) {
    if (operation.returned == History::Operation::kNever) continue;
    if (last == nullptr || operation.returned > last->returned) last = &operation;
  }
  // All in one line, as it may be all that is shown.
  std::string text = absl::StrCat(
      object.empty() ? "the history" : absl::StrCat("\"", object, "\""), " is not linearizable: no order explains ",
      Shorten(testing::ToString(*last)), " in ", Interval(*last), ", the ",
      operations.size() == 1 ? "first" : absl::StrCat("last to return of the first ", operations.size()), " of its ",
      of_operations, of_operations == 1 ? " operation\n" : " operations\n",
      is_shortest ? "" : "  (perhaps there is a shorter such beginning: the search for it gave up)\n");
  if (!linearized.empty()) {
    absl::StrAppend(&text, "  The longest linearization has ", linearized.size(), " of them",
                    linearized.size() > kShown ? absl::StrCat(", the last ", kShown, " are:\n") : ":\n");
  }
  for (size_t i = linearized.size() > kShown ? linearized.size() - kShown : 0; i < linearized.size(); ++i) {
    absl::StrAppend(&text, Line(operations[linearized[i]], absl::StrCat("then it is ", states[i])));
  }
  absl::StrAppend(&text, linearized.empty() ? "  None can come first:\n" : "  None of the others can come next:\n");
  for (size_t i = 0; i < missing.size() && i < kShown; ++i) {
    absl::StrAppend(&text, Line(operations[missing[i].operation], missing[i].why));
  }
  if (missing.size() > kShown) absl::StrAppend(&text, "    and ", missing.size() - kShown, " more\n");
  return text;
}

absl::Status Linearizability::ToStatus() const {
  switch (verdict) {
    case Verdict::kLinearizable:
      return absl::OkStatus();
    case Verdict::kNotLinearizable:
      return absl::DataLossError(window->ToString());
    case Verdict::kGaveUp:
      return absl::ResourceExhaustedError(
          absl::StrCat("gave up looking for a linearization of \"", absl::StrJoin(gave_up_on, "\", \""), "\""));
  }
  return absl::OkStatus();
}

void internal::NoteChecked(absl::Span<const History::Operation> operations) {
  TANDEM_ASSERTION_(
      kChecker,
      absl::c_any_of(operations,
                     [](const auto& operation) { return operation.outcome == History::Operation::Outcome::kAnswered; }),
      "operations of a history return");
}

void internal::NoteMisfits(const Linearizability& result) {
  if (history_watcher == nullptr || !result.window.has_value()) return;
  for (const BadWindow::Missing& missing : result.window->missing) {
    const History::Operation& operation = result.window->operations[missing.operation];
    if (operation.outcome == History::Operation::Outcome::kAnswered) history_watcher->OnMisfit(operation);
  }
}

}  // namespace tandem::testing
