// SPDX-License-Identifier: Apache-2.0
//
// Whether a history is linearizable: whether all its operations could have taken effect one after the other, each
// between its invocation and its return, so that a sequential model would have given the same answers.
//
//   EXPECT_OK(testing::CheckLinearizable(history.operations(), testing::Register()));
//
// linearizability_models.h has models of a register, a key-value store, a counter, a queue and a lock. A model is a
// state and what operations do to it. This one keeps the highest number that was written:
//
//   struct Highest {
//     using State = int64_t;
//     State Start() const { return 0; }
//     std::optional<std::string> Apply(const testing::History::Operation& operation, State* state) const {
//       if (operation.name == "read") return absl::StrCat(*state);
//       *state = std::max(*state, Number(operation.arguments[0]));
//       return "";
//     }
//   };
//
// The objects of a history are checked one by one (a history is linearizable if that of each object is), the smallest
// first. What concerns several objects at once, as a transaction does, is recorded as operations on one, whose State is
// the whole.
//
// The search is that of Wing and Gong with Lowe's memory of what was reached before. It makes the same steps for the
// same history always. An open operation need not take effect and may do so at any time after its invocation; of those
// that ask the same, the first is tried first, and one that would change nothing is not tried at all.

#ifndef TANDEM_TESTING_LINEARIZABILITY_H_
#define TANDEM_TESTING_LINEARIZABILITY_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/testing/history.h"

namespace tandem::testing {

// A sequential object. Apply() lets an operation take effect on `*state` and returns its answer; an operation that has
// another one in the history cannot take effect there. nullopt: it can take effect in another state only, as the
// acquiring of a lock that is held. What it does depends on the state and on the operation's name, arguments and answer
// alone; where several answers are right it may look at the one that was given. States are copied, and ordered: a
// struct has `friend auto operator<=>(const State&, const State&) = default`. Reports show what googletest prints of
// them.
//
// A model with a function Knows(operation) refuses what it has no operation for, as an absl::Status.
template <typename M>
concept SequentialModel = std::totally_ordered<typename M::State> &&
                          requires(const M& model, const History::Operation& operation, typename M::State* state) {
                            { model.Start() } -> std::convertible_to<typename M::State>;
                            { model.Apply(operation, state) } -> std::convertible_to<std::optional<std::string>>;
                          };

// Limits of the search, for each object. They count, so a search ends at the same place on every machine. Most
// histories need about as many steps as they have operations; what takes many is a long time in which many orders are
// possible, as appends of which nobody reads.
struct LinearizabilityLimits {
  uint64_t steps_max = 2'000'000;     // Attempts to let an operation take effect, and comparisons of situations.
  uint64_t situations_max = 500'000;  // That are remembered: some 200 bytes each, and the states.
};

// The shortest beginning of the history of one object that is not linearizable: what began until an operation returned,
// with the answers that had come until then. Without the last of them it is linearizable.
struct BadWindow {
  std::string object;
  std::vector<History::Operation> operations;  // In the order of invocation; what returned later is open.
  size_t of_operations = 0;                    // So many has the object in all.
  bool is_shortest = true;                     // False: a limit ended the search for a shorter one.
  // Indices of `operations`: the longest linearization that was found, and what is missing.
  std::vector<size_t> linearized;
  std::vector<std::string> states;  // What the model's state was after each.
  struct Missing {
    size_t operation;
    std::string why;  // It cannot come next.
  };
  std::vector<Missing> missing;  // First those with an answer.

  // Several lines, for people. The linearization is shown from where it matters.
  std::string ToString() const;
};

struct Linearizability {
  enum class Verdict { kLinearizable, kNotLinearizable, kGaveUp };
  Verdict verdict = Verdict::kLinearizable;
  uint64_t steps = 0;                   // Of the searches for the verdict, of all objects.
  std::vector<std::string> gave_up_on;  // Objects at which a limit ended the search.
  std::optional<BadWindow> window;      // If kNotLinearizable: of the smallest object that is not.

  // OK, or kDataLoss with the window, or kResourceExhausted with the objects that the search gave up on.
  absl::Status ToStatus() const;
};

namespace internal {

// A check of nothing proves nothing: fails a simulation test in whose seeds no operation that is checked has returned.
void NoteChecked(absl::Span<const History::Operation> operations);
// Tells a report what has no place in the window of `result`, if there is one.
void NoteMisfits(const Linearizability& result);

}  // namespace internal

// Searches for a linearization. Stops at the first object that has none; one at which it gives up does not keep it from
// looking at the others. REQUIRES operations that the model knows (CHECKed where the model can say).
template <SequentialModel Model>
Linearizability SearchLinearization(absl::Span<const History::Operation> operations, const Model& model,
                                    const LinearizabilityLimits& limits = {});

// The same, for tests: OK if the history is linearizable. Errors: those of Linearizability::ToStatus().
template <SequentialModel Model>
absl::Status CheckLinearizable(absl::Span<const History::Operation> operations, const Model& model,
                               const LinearizabilityLimits& limits = {}) {
  internal::NoteChecked(operations);
  const Linearizability result = SearchLinearization(operations, model, limits);
  internal::NoteMisfits(result);
  return result.ToStatus();
}

// --- Inline details --------------------------------------------------------------------------------------------------

namespace internal {

// What the search knows of a model: states are numbers, equal ones the same.
class States {
 public:
  // What an operation does in a state, and what it would answer.
  struct Effect {
    size_t state;
    std::string answer;
  };
  virtual ~States() = default;
  virtual size_t Start() = 0;
  virtual std::optional<Effect> Apply(const History::Operation& operation, size_t state) = 0;
  virtual std::string Describe(size_t state) const = 0;
};

template <typename Model>
class StatesOf final : public States {
 public:
  explicit StatesOf(const Model& model) : model_(model) {}

  size_t Start() override { return NumberOf(model_.Start()); }
  std::optional<Effect> Apply(const History::Operation& operation, size_t state) override {
    typename Model::State next = by_number_[state]->first;
    std::optional<std::string> answer = model_.Apply(operation, &next);
    if (!answer) return std::nullopt;
    return Effect{NumberOf(std::move(next)), *std::move(answer)};
  }
  std::string Describe(size_t state) const override { return ::testing::PrintToString(by_number_[state]->first); }

 private:
  using Numbers = std::map<typename Model::State, size_t>;

  size_t NumberOf(typename Model::State state) {
    const auto [place, is_new] = numbers_.try_emplace(std::move(state), by_number_.size());
    if (is_new) by_number_.push_back(place);
    return place->second;
  }

  const Model& model_;
  Numbers numbers_;
  std::vector<typename Numbers::const_iterator> by_number_;
};

Linearizability SearchObjects(absl::Span<const History::Operation> operations, States& states,
                              const LinearizabilityLimits& limits);

}  // namespace internal

template <SequentialModel Model>
Linearizability SearchLinearization(absl::Span<const History::Operation> operations, const Model& model,
                                    const LinearizabilityLimits& limits) {
  if constexpr (requires { model.Knows(operations[0]); }) {
    for (const History::Operation& operation : operations) CHECK_OK(model.Knows(operation));
  }
  internal::StatesOf<Model> states(model);
  return internal::SearchObjects(operations, states, limits);
}

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_LINEARIZABILITY_H_
