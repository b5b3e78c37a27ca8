// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/random/choices.h"

#include <algorithm>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kLeast = 0;
constexpr uint64_t kHalf = uint64_t{1} << 63;
constexpr uint64_t kMost = ~uint64_t{0};

struct Traits {
  absl::string_view name;
  uint64_t neutral;
  absl::string_view entity;
  absl::string_view meaning;
};

constexpr std::array<Traits, kChoiceCount> kTraits = {{
#define TANDEM_CHOICE(id, name, neutral, entity, meaning) {name, neutral, entity, meaning},
#include "tandem/sim/random/choices.inc"
#undef TANDEM_CHOICE
}};
static_assert(kChoiceCount <= 64, "special_kinds_ has a bit for each");

absl::Status Wrong(absl::string_view line, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("\"", line, "\": ", why));
}

absl::StatusOr<Choice> ParseChoice(absl::string_view name) {
  const auto found = std::find_if(kTraits.begin(), kTraits.end(), [&](const Traits& t) { return t.name == name; });
  if (found != kTraits.end()) return static_cast<Choice>(found - kTraits.begin());
  std::string names;
  for (const Traits& traits : kTraits) absl::StrAppend(&names, names.empty() ? "" : ", ", traits.name);
  return absl::InvalidArgumentError(
      absl::StrCat("nothing that is decided is called \"", name, "\"; there are ", names));
}

bool IsBefore(Entity a, Entity b) { return a.hash() < b.hash(); }

}  // namespace

absl::string_view ChoiceName(Choice what) { return kTraits[static_cast<size_t>(what)].name; }

std::string ChoicesAsMarkdown() {
  std::string text = "| what | of whom | decides |\n|---|---|---|\n";
  for (const Traits& traits : kTraits) {
    absl::StrAppend(&text, "| ", traits.name, " | ", traits.entity, " | ", traits.meaning, " |\n");
  }
  return text;
}

absl::StatusOr<Entity> Entity::Parse(absl::string_view path) {
  Entity entity;
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    const size_t hash = part.find('#');
    uint64_t n = 0;
    if (hash != absl::string_view::npos && !absl::SimpleAtoi(part.substr(hash + 1), &n)) {
      return Wrong(path, "expected a number after '#'");
    }
    if (part.empty() || hash == 0) return Wrong(path, "a path has names between its slashes");
    entity = entity.Part(part.substr(0, hash), n);
  }
  return entity;
}

bool Entity::IsName(absl::string_view name) {
  return !name.empty() && name.find_first_of(" \t\n/#\"") == absl::string_view::npos;
}

void Entity::Learn(absl::string_view name, uint64_t n, Entity part) const {
  constexpr size_t kMost = 100'000;
  if (learner_->made_.size() < kMost) learner_->made_.try_emplace(part.hash(), *this, std::string(name), n);
}

EntityPaths::EntityPaths() {
  CHECK(Entity::learner_ == nullptr);
  Entity::learner_ = this;
}

EntityPaths::~EntityPaths() { Entity::learner_ = nullptr; }

std::optional<std::string> EntityPaths::Of(Entity entity) const {
  std::string path;
  for (; entity != Entity();) {
    const auto made = made_.find(entity.hash());
    if (made == made_.end()) return std::nullopt;
    const auto& [of, name, n] = made->second;
    path = absl::StrCat(name, n == 0 ? "" : absl::StrCat("#", n), path.empty() ? "" : "/", path);
    entity = of;
  }
  return path;
}

std::string Calm::ToString() const {
  std::string text = absl::StrCat("calm ", ChoiceName(what), " ", whom);
  if (!but.empty()) absl::StrAppend(&text, " but ", but);
  if (from != 0 || to != kEnd) absl::StrAppend(&text, " from ", from);
  if (to != kEnd) absl::StrAppend(&text, " to ", to);
  return text;
}

absl::StatusOr<Calm> Calm::Parse(absl::string_view line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.size() < 2 || words[0] != "calm")
    return Wrong(line, "expected calm WHAT [WHOM] [but WHOM,...] [from N] [to N]");
  const absl::StatusOr<Choice> what = ParseChoice(words[1]);
  if (!what.ok()) return Wrong(line, what.status().message());
  Calm calm;
  calm.what = *what;
  size_t next = 2;
  const auto is_of_the_line = [](absl::string_view word) { return word == "from" || word == "to" || word == "but"; };
  if (next < words.size() && !is_of_the_line(words[next])) calm.whom = words[next++];
  if (calm.whom != "*" && !Entity::Parse(calm.whom).ok())
    return Wrong(line, Entity::Parse(calm.whom).status().message());
  if (next < words.size() && words[next] == "but") {
    if (calm.whom != "*" || next + 1 == words.size()) return Wrong(line, "expected calm WHAT * but WHOM,...");
    calm.but = words[next + 1];
    for (const absl::string_view path : absl::StrSplit(calm.but, ',')) {
      if (const absl::StatusOr<Entity> entity = Entity::Parse(path); !entity.ok()) {
        return Wrong(line, entity.status().message());
      }
    }
    next += 2;
  }
  for (; next < words.size(); next += 2) {
    uint64_t* number = words[next] == "from" ? &calm.from : words[next] == "to" ? &calm.to : nullptr;
    if (number == nullptr) return Wrong(line, absl::StrCat("expected from or to, found \"", words[next], "\""));
    if (next + 1 == words.size() || !absl::SimpleAtoi(words[next + 1], number)) {
      return Wrong(line, absl::StrCat("expected a number after ", words[next]));
    }
  }
  if (calm.from >= calm.to) return Wrong(line, "the range is empty");
  return calm;
}

Choices::Choices(uint64_t seed) : seed_(seed) { MakeKeys(seed); }

void Choices::MakeKeys(uint64_t seed) {
  for (size_t kind = 0; kind < kChoiceCount; ++kind) keys_[kind] = HashCombine(seed, HashName(kTraits[kind].name));
}

void Choices::Branch(uint64_t salt) {
  MakeKeys(HashCombine(seed_, salt));
  ranges_.clear();
}

uint64_t Choices::Neutral(Choice what) { return kTraits[static_cast<size_t>(what)].neutral; }

void Choices::AddCalm(const Calm& calm) {
  const bool all = calm.whom == "*";
  const absl::StatusOr<Entity> whom = all ? Entity() : Entity::Parse(calm.whom);
  CHECK(whom.ok()) << whom.status();
  calms_.push_back(calm);
  used_.push_back(false);
  ranges_.push_back({calms_.size() - 1, calm.what, all, *whom, calm.from, calm.to, {}});
  for (const absl::string_view path : absl::StrSplit(calm.but, ',', absl::SkipEmpty())) {
    const absl::StatusOr<Entity> but = Entity::Parse(path);
    CHECK(but.ok()) << but.status();
    ranges_.back().but.push_back(*but);
  }
  std::sort(ranges_.back().but.begin(), ranges_.back().but.end(), IsBefore);
  special_kinds_ |= uint64_t{1} << static_cast<size_t>(calm.what);
}

void Choices::set_observer(ChoicesObserver& observer) {
  observer_ = &observer;
  special_kinds_ = ~uint64_t{0};
}

uint64_t Choices::DrawSpecial(Choice what, Entity whom, uint64_t n, uint64_t part) const {
  const uint64_t value = IsCalm(what, whom, n) ? Neutral(what) : Hash(static_cast<size_t>(what), whom, n, part);
  if (observer_ != nullptr) observer_->OnDraw(what, whom, n, part, value);
  return value;
}

bool Choices::IsCalm(Choice what, Entity whom, uint64_t n) const {
  const auto found = std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& range) {
    return range.what == what && (range.all || range.whom == whom) && range.from <= n && n < range.to &&
           !std::binary_search(range.but.begin(), range.but.end(), whom, IsBefore);
  });
  if (found == ranges_.end()) return false;
  used_[found->calm] = true;
  return true;
}

}  // namespace tandem::sim
