// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/sentences.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/faults/seconds.h"
#include "tandem/sim/random/choices.h"

namespace tandem::testing {
namespace {

using sim::FaultEntry;

std::string Hosts(absl::string_view names) {
  return names == "*" ? "any host" : absl::StrReplaceAll(names, {{",", ", "}});
}

std::string Who(const FaultEntry& fault) {
  if (!sim::HitsLinks(fault.kind) || fault.other.empty()) return Hosts(fault.target);
  if (sim::IsSwizzle(fault.kind)) {
    return absl::StrCat(Hosts(fault.target), ", healing in the order ", Hosts(fault.other));
  }
  return absl::StrCat(Hosts(fault.target), sim::IsOneWay(fault.kind) ? " to " : " and ", Hosts(fault.other));
}

std::string Ordinal(uint64_t number) {
  const bool teen = number % 100 / 10 == 1;
  constexpr absl::string_view kEndings[] = {"th", "st", "nd", "rd"};
  return absl::StrCat(number, teen || number % 10 > 3 ? kEndings[0] : kEndings[number % 10]);
}

std::string When(const FaultEntry& fault) {
  std::string text;
  switch (fault.trigger) {
    case FaultEntry::Trigger::kTime:
      if (!sim::Lasts(fault.kind)) return absl::StrCat("at ", sim::SecondsText(fault.from));
      if (fault.to == absl::InfiniteDuration()) return absl::StrCat("from ", sim::SecondsText(fault.from), " on");
      return absl::StrCat("from ", sim::SecondsText(fault.from), " to ", sim::SecondsText(fault.to));
    case FaultEntry::Trigger::kCall:
      text = absl::StrCat("at its ", Ordinal(fault.count), " call into the reactor");
      break;
    case FaultEntry::Trigger::kVisit:
      text = absl::StrCat("when it is at \"", fault.site, "\" for the ", Ordinal(fault.count), " time");
      break;
    case FaultEntry::Trigger::kPacket:
      text = absl::StrCat("at the ", Ordinal(fault.count), " packet");
      break;
  }
  if (fault.lasts > absl::ZeroDuration()) absl::StrAppend(&text, ", for ", sim::SecondsText(fault.lasts));
  return text;
}

std::string Strength(const FaultEntry& fault) {
  const absl::string_view unit = sim::StrengthUnit(fault.kind);
  if (unit.empty()) return "";
  if (unit == "ns") return sim::SecondsText(absl::Nanoseconds(static_cast<int64_t>(fault.strength)));
  if (unit != "millionths") return absl::StrCat(fault.strength, " ", unit);
  if (fault.strength % 10'000 == 0) return absl::StrCat(fault.strength / 10'000, " %");
  return absl::StrCat(fault.strength, " in a million");
}

std::string Say(const FaultEntry& fault) {
  const std::string strength = Strength(fault);
  return absl::StrCat(Who(fault), ", ", When(fault), strength.empty() ? "" : ", ", strength, ": ",
                      sim::FaultKindMeaning(fault.kind), ".\n");
}

std::string Numbers(uint64_t from, uint64_t to) {
  if (to == sim::Skip::kEnd) return absl::StrCat(from, " and all behind it");
  return to == from + 1 ? absl::StrCat(from) : absl::StrCat(from, " to ", to - 1);
}

// Which decisions of its kind `calm` is about: " of a/tcp/b#0, number 3"; empty: all.
std::string Which(const sim::Calm& calm) {
  const bool all = calm.from == 0 && calm.to == sim::Calm::kEnd;
  const std::string but = calm.but.empty() ? "" : absl::StrCat(" of all but ", calm.but);
  return absl::StrCat(calm.whom == "*" ? but : absl::StrCat(" of ", calm.whom),
                      all ? "" : absl::StrCat(" number ", Numbers(calm.from, calm.to)));
}

// The numbers that none of `calms` has: "102", "3 to 7, 9 and all behind it"; empty: there is none.
std::string OtherNumbers(std::vector<std::pair<uint64_t, uint64_t>> calms) {
  std::sort(calms.begin(), calms.end());
  std::vector<std::string> left;
  uint64_t next = 0;
  for (const auto& [from, to] : calms) {
    if (from > next) left.push_back(Numbers(next, from));
    next = std::max(next, to);
  }
  if (next != sim::Calm::kEnd) left.push_back(Numbers(next, sim::Calm::kEnd));
  return absl::StrJoin(left, ", ");
}

// What is left to chance of the decisions of the kind `fate`: "latency number 3"; nothing: none.
std::optional<std::string> LeftOf(sim::Choice fate, const std::vector<sim::Calm>& calms) {
  std::vector<sim::Calm> parts;
  std::optional<std::vector<std::string>> whom;  // Of whom alone; nothing: of all.
  for (const sim::Calm& line : calms) {
    if (line.what != fate) continue;
    if (line.but.empty() || line.from != 0 || line.to != sim::Calm::kEnd) {
      parts.push_back(line);
      continue;
    }
    const std::vector<std::string> named = absl::StrSplit(line.but, ',');
    if (!whom.has_value()) {
      whom = named;
    } else {  // What one line leaves out, another takes in.
      std::erase_if(*whom, [&](const std::string& one) { return !absl::c_linear_search(named, one); });
    }
  }
  if (whom.has_value() && whom->empty()) return std::nullopt;
  const std::string left = absl::StrCat(sim::ChoiceName(fate), whom.has_value() ? " of " : "",
                                        absl::StrJoin(whom.value_or(std::vector<std::string>()), ","));
  std::vector<std::pair<uint64_t, uint64_t>> calm;  // Of all that is left.
  std::vector<std::string> but;
  for (const sim::Calm& part : parts) {
    const bool only_it = whom.has_value() && whom->size() == 1 && whom->front() == part.whom;
    if (part.but.empty() && (part.whom == "*" || only_it)) {
      calm.emplace_back(part.from, part.to);
    } else {
      but.push_back(Which(part));
    }
  }
  const std::string numbers = calm.empty() ? "" : OtherNumbers(calm);
  if (!calm.empty() && numbers.empty()) return std::nullopt;
  return absl::StrCat(left, numbers.empty() ? "" : " number ", numbers, but.empty() ? "" : " but",
                      absl::StrJoin(but, " and"));
}

// What is left to chance and what is not, whichever is less to read.
std::string Chance(const std::vector<sim::Calm>& calms) {
  std::vector<std::string> calm;
  calm.reserve(calms.size());
  for (const sim::Calm& line : calms) calm.push_back(absl::StrCat(sim::ChoiceName(line.what), Which(line)));
  std::vector<std::string> free;
  for (const sim::Choice fate : sim::kFates) {
    if (const std::optional<std::string> left = LeftOf(fate, calms)) free.push_back(*left);
  }
  if (free.empty()) {
    return "Nothing else is left to chance: packets arrive in time and in order, and calls do all that they can.\n";
  }
  if (calm.empty()) return "";
  return free.size() < calm.size() ? absl::StrCat("All else that is left to chance: ", absl::StrJoin(free, ", "), ".\n")
                                   : absl::StrCat("Not left to chance: ", absl::StrJoin(calm, ", "), ".\n");
}

}  // namespace

std::string ScenarioSentences(const sim::Scenario& scenario) {
  std::string text;
  for (const FaultEntry& fault : scenario.faults.entries()) absl::StrAppend(&text, Say(fault));
  for (const sim::OperationFailure& failure : scenario.failures) {
    absl::StrAppend(&text, "The ", Ordinal(failure.number), " operation of ", failure.host,
                    failure.and_after ? ", and each after it, fails.\n" : " fails.\n");
  }
  if (scenario.schedule == "fifo") {
    text += "Tasks go on in the order in which they become ready, as in production.\n";
  } else if (!scenario.schedule.empty()) {
    absl::StrAppend(&text, "Which of the ready tasks goes on is decided by the schedule ", scenario.schedule, ".\n");
  }
  for (const auto& [name, value] : scenario.knobs) absl::StrAppend(&text, "The knob \"", name, "\" is ", value, ".\n");
  for (const auto& [host, after] : scenario.starts) {
    absl::StrAppend(&text, host, " starts ", sim::SecondsText(after), " late.\n");
  }
  for (const auto& [host, ahead] : scenario.clocks) {
    const bool behind = ahead < absl::ZeroDuration();
    absl::StrAppend(&text, "The wall clock of ", host, " is ", sim::SecondsText(behind ? -ahead : ahead),
                    behind ? " behind.\n" : " ahead.\n");
  }
  std::map<std::string, std::vector<std::string>> skipped;
  for (const sim::Skip& skip : scenario.skips) skipped[skip.what].push_back(Numbers(skip.from, skip.to));
  for (const auto& [what, numbers] : skipped) {
    absl::StrAppend(&text, "Of the operations of ", what, " these are left out: ", absl::StrJoin(numbers, ", "), ".\n");
  }
  absl::StrAppend(&text, Chance(scenario.calms));
  return text;
}

}  // namespace tandem::testing
