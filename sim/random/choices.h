// SPDX-License-Identifier: Apache-2.0
//
// The one door for what a seed decides: value = hash(seed, what, whom, n).
//
// Every decision of the simulator, of the schedules and of the operating system's randomness that programs ask for has
// an address: what is decided (a Choice), whom it concerns (an Entity, which has a path as text), and the how-manieth
// decision of this kind about it. The value depends on the address and the seed, and on nothing that was decided
// elsewhere: one host, message or task more moves no decision of another.
//
// A decision has a neutral value, with which nothing special happens. "calm" lines take it: they remove decisions and
// move none.
//
//   calm latency client/tcp/server#0              every packet of this flow takes the median time
//   calm jitter server/accepted from 3 to 10      the decisions 3 to 9
//   calm schedule *                               first in, first out, everywhere
//   calm loss * but a/udp#0/b,b/udp#0/a           no packet is lost, but of these flows

#ifndef TANDEM_SIM_RANDOM_CHOICES_H_
#define TANDEM_SIM_RANDOM_CHOICES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/core/base/random.h"

namespace tandem::sim {

// What is decided.
enum class Choice : uint8_t {
#define TANDEM_CHOICE(id, name, neutral, entity, meaning) id,
#include "tandem/sim/random/choices.inc"
#undef TANDEM_CHOICE
};
inline constexpr size_t kChoiceCount = 0
#define TANDEM_CHOICE(id, name, neutral, entity, meaning) +1
#include "tandem/sim/random/choices.inc"
#undef TANDEM_CHOICE
    ;

// Whether it is what chance decides about packets, calls and machines: no program draws it, and no other line of a
// scenario says it.
constexpr bool IsFate(Choice what) {
  switch (what) {
    case Choice::kStart:
    case Choice::kClock:
    case Choice::kKnob:
    case Choice::kScheduleKind:
    case Choice::kSchedule:
    case Choice::kOsRandom:
    case Choice::kProgram:
    case Choice::kTest:
    case Choice::kFaults:
      return false;
    default:
      return true;
  }
}

inline constexpr auto kFates = [] {
  constexpr size_t kOthers = 9;
  std::array<Choice, kChoiceCount - kOthers> fates{};
  size_t count = 0;
  for (size_t i = 0; i < kChoiceCount; ++i) {
    if (IsFate(static_cast<Choice>(i))) fates.at(count++) = static_cast<Choice>(i);
  }
  return fates;
}();

// As calm lines call it: "latency", "loss", ...
absl::string_view ChoiceName(Choice what);
// A table of all of them, for docs/simulation.md.
std::string ChoicesAsMarkdown();

class EntityPaths;

// Whom a decision concerns, hashed from its path: "client/tcp/server#0" is the first connection that host client has
// made to host server.
class Entity {
 public:
  // The whole world.
  constexpr Entity() = default;
  // A host, or something else that has a name of its own.
  static constexpr Entity Of(absl::string_view name) { return Entity().Part(name); }

  // Below this one: "/name" or "/name#n".
  constexpr Entity Part(absl::string_view name, uint64_t n = 0) const {
    const Entity part(HashCombine(HashCombine(hash_, HashName(name)), n));
    if (!std::is_constant_evaluated() && learner_ != nullptr) [[unlikely]] {
      Learn(name, n, part);
    }
    return part;
  }
  // The entity that `path` means. "#0" may be left out.
  //
  // Errors: kInvalidArgument: `path` is empty, has an empty part, or something else than a number behind a '#'.
  static absl::StatusOr<Entity> Parse(absl::string_view path);

  // Whether `name` can be a part of a path: not empty, and without blanks, '/', '#' and '"'.
  static bool IsName(absl::string_view name);

  constexpr uint64_t hash() const { return hash_; }
  friend constexpr bool operator==(Entity, Entity) = default;

 private:
  friend class EntityPaths;

  explicit constexpr Entity(uint64_t hash) : hash_(hash) {}
  void Learn(absl::string_view name, uint64_t n, Entity part) const;

  static inline constinit EntityPaths* learner_ = nullptr;

  uint64_t hash_ = 0;
};

// The paths of the entities that are made while it lives. At most one lives at a time.
class EntityPaths {
 public:
  EntityPaths();
  ~EntityPaths();
  EntityPaths(const EntityPaths&) = delete;
  EntityPaths& operator=(const EntityPaths&) = delete;

  // "client/tcp/server#1", without "#0"; none: it was made before, or after too many others.
  std::optional<std::string> Of(Entity entity) const;

 private:
  friend class Entity;
  struct Made {
    Entity of;
    std::string name;
    uint64_t n;
  };

  std::map<uint64_t, Made> made_;  // By hash.
};

// Decisions that have their neutral value.
struct Calm {
  static constexpr uint64_t kEnd = std::numeric_limits<uint64_t>::max();

  Choice what = Choice::kLatency;
  std::string whom = "*";           // The path of an entity; "*": all.
  uint64_t from = 0;                // The first of them...
  uint64_t to = kEnd;               // ...and the first behind them.
  std::string but = std::string();  // Of "*": the paths of those that are left out, with commas between them.

  // Whether it is of every decision of its kind.
  bool IsOfAll() const { return whom == "*" && from == 0 && to == kEnd && but.empty(); }

  // "calm latency client/tcp/server#0 from 3 to 10", "calm loss * but a/udp#0/b". Parses back.
  std::string ToString() const;
  // Errors: kInvalidArgument: not such a line; the message quotes it and says what is wrong.
  static absl::StatusOr<Calm> Parse(absl::string_view line);

  friend bool operator==(const Calm&, const Calm&) = default;
};

// Told of each decision.
class ChoicesObserver {
 public:
  virtual void OnDraw(Choice what, Entity whom, uint64_t n, uint64_t part, uint64_t value) = 0;

 protected:
  ~ChoicesObserver() = default;
};

class Choices {
 public:
  explicit Choices(uint64_t seed);

  uint64_t seed() const { return seed_; }

  // Decision `n` of this kind about `whom`: uniform over all 64-bit values, or neutral. A decision that takes several
  // numbers has them as parts, from 0 to 7.
  uint64_t Draw(Choice what, Entity whom, uint64_t n, uint64_t part = 0) const {
    const auto kind = static_cast<size_t>(what);
    if ((special_kinds_ >> kind & 1) != 0) [[unlikely]] {
      return DrawSpecial(what, whom, n, part);
    }
    return Hash(kind, whom, n, part);
  }

  // The value that a decision has when it is calm.
  static uint64_t Neutral(Choice what);

  // Decisions that were taken before keep their values. CHECKs that `calm.whom` and `calm.but` are paths.
  void AddCalm(const Calm& calm);
  const std::vector<Calm>& calms() const { return calms_; }
  // Whether some decision was calm by the one of calms() with this index, and by none before it.
  bool WasUsed(size_t calm) const { return used_[calm]; }

  // From now on every decision is another one, and none is calm: another future of the same past for each `salt`.
  void Branch(uint64_t salt);

  // `observer` outlives this.
  void set_observer(ChoicesObserver& observer);

 private:
  struct Range {
    size_t calm;  // Its index.
    Choice what;
    bool all;
    Entity whom;
    uint64_t from;
    uint64_t to;
    std::vector<Entity> but;  // By hash.
  };

  uint64_t Hash(size_t kind, Entity whom, uint64_t n, uint64_t part) const {
    return HashCombine(HashCombine(keys_[kind], whom.hash()), n << 3 | part);
  }
  uint64_t DrawSpecial(Choice what, Entity whom, uint64_t n, uint64_t part) const;
  bool IsCalm(Choice what, Entity whom, uint64_t n) const;

  void MakeKeys(uint64_t seed);

  const uint64_t seed_;
  std::array<uint64_t, kChoiceCount> keys_;
  uint64_t special_kinds_ = 0;  // A bit for each Choice: there are calm ones, or somebody is told.
  std::vector<Calm> calms_;
  mutable std::vector<bool> used_;  // By calm.
  std::vector<Range> ranges_;
  ChoicesObserver* observer_ = nullptr;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_RANDOM_CHOICES_H_
