// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/scenario.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tandem/core/base/cut_text.h"
#include "tandem/sim/faults/seconds.h"
#include "tandem/sim/schedule/schedule.h"

namespace tandem::sim {
namespace {

using Words = std::vector<absl::string_view>;

// A file that is no scenario may have lines of any length.
absl::Status Wrong(absl::string_view line, absl::string_view why) {
  constexpr size_t kShownMax = 200;
  return absl::InvalidArgumentError(absl::StrCat("\"", internal::CutText(line, kShownMax), "\": ", why));
}

absl::Status Expected(absl::string_view line, absl::string_view what) {
  return Wrong(line, absl::StrCat("expected ", what));
}

// Which of two would count is nothing that a reader can see.
absl::Status OneAtMost(absl::string_view line, absl::string_view what) {
  return Expected(line, absl::StrCat("one ", what, " at most"));
}

absl::Status ParseSeed(absl::string_view line, const Words& words, Scenario& scenario) {
  uint64_t seed = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[1], &seed)) return Wrong(line, "not a seed");
  if (scenario.seed.has_value()) return OneAtMost(line, "seed");
  scenario.seed = seed;
  return absl::OkStatus();
}

absl::Status ParseTest(absl::string_view line, const Words& words, Scenario& scenario) {
  if (words.size() != 2) return Expected(line, "test SUITE.NAME");
  if (!scenario.test.empty()) return OneAtMost(line, "test");
  scenario.test = std::string(words[1]);
  return absl::OkStatus();
}

absl::Status ParseScheduleLine(absl::string_view line, const Words& words, Scenario& scenario) {
  constexpr absl::string_view kForm = "schedule KIND, or schedule KIND steps N of N tasks N";
  if (words.size() != 2 && words.size() != 8) return Expected(line, kForm);
  if (!scenario.schedule.empty()) return OneAtMost(line, "schedule");
  scenario.schedule = std::string(words[1]);
  if (!ParseSchedule(words[1]).has_value())
    return Wrong(line, "no such kind of schedule: fifo, random, pct, pos, urw or delay");
  if (words.size() == 2) return absl::OkStatus();
  StepTotals steps;
  if (words[2] != "steps" || !absl::SimpleAtoi(words[3], &steps.longest) || words[4] != "of" ||
      !absl::SimpleAtoi(words[5], &steps.total) || words[6] != "tasks" || !absl::SimpleAtoi(words[7], &steps.tasks)) {
    return Expected(line, kForm);
  }
  scenario.steps = steps;
  return absl::OkStatus();
}

// "start HOST after 1s", "clock HOST ahead 1s".
absl::Status ParseHostTime(absl::string_view line, const Words& words, absl::string_view preposition,
                           std::map<std::string, absl::Duration>& times) {
  absl::Duration time;
  if (words.size() != 4 || words[2] != preposition || !ParseSeconds(words[3], &time)) {
    return Expected(line, absl::StrCat(words[0], " HOST ", preposition, " SECONDSs"));
  }
  const bool is_first = times.emplace(words[1], time).second;
  return is_first ? absl::OkStatus() : OneAtMost(line, absl::StrCat(words[0], " of ", words[1]));
}

absl::Status ParseKnob(absl::string_view line, Scenario& scenario) {
  const size_t open = line.find('"');
  const size_t close = line.rfind('"');
  int64_t value = 0;
  if (open == line.npos || open == close || absl::StripAsciiWhitespace(line.substr(0, open)) != "knob" ||
      !absl::SimpleAtoi(line.substr(close + 1), &value)) {
    return Expected(line, "knob \"NAME\" NUMBER");
  }
  const absl::string_view name = line.substr(open + 1, close - open - 1);
  const bool is_first = scenario.knobs.emplace(name, value).second;
  return is_first ? absl::OkStatus() : OneAtMost(line, absl::StrCat("value of \"", name, "\""));
}

absl::Status ParseFailure(absl::string_view line, const Words& words, Scenario& scenario) {
  OperationFailure failure;
  if (words.size() != 5 || (words[2] != "at" && words[2] != "from") || words[3] != "operation" ||
      !absl::SimpleAtoi(words[4], &failure.number) || failure.number == 0) {
    return Expected(line, "fail HOST at|from operation NUMBER, from 1");
  }
  failure.host = std::string(words[1]);
  failure.and_after = words[2] == "from";
  scenario.failures.push_back(std::move(failure));
  return absl::OkStatus();
}

absl::Status ParseSkip(absl::string_view line, const Words& words, Scenario& scenario) {
  Skip skip;
  bool good = false;
  if (words.size() == 3) {
    good = absl::SimpleAtoi(words[2], &skip.from);
    skip.to = skip.from + 1;
  } else if (words.size() == 6) {
    good = words[2] == "from" && absl::SimpleAtoi(words[3], &skip.from) && words[4] == "to" &&
           absl::SimpleAtoi(words[5], &skip.to) && skip.from < skip.to;
  }
  if (!good) return Expected(line, "skip WHAT NUMBER, or skip WHAT from NUMBER to NUMBER");
  skip.what = std::string(words[1]);
  scenario.skips.push_back(std::move(skip));
  return absl::OkStatus();
}

absl::Status ParseBranch(absl::string_view line, const Words& words, Scenario& scenario) {
  Branch branch;
  if (words.size() != 6 || words[1] != "at" || words[2] != "event" || !absl::SimpleAtoi(words[3], &branch.event) ||
      words[4] != "salt" || !absl::SimpleAtoi(words[5], &branch.salt)) {
    return Expected(line, "branch at event NUMBER salt NUMBER");
  }
  if (scenario.branch.has_value()) return OneAtMost(line, "branch");
  scenario.branch = branch;
  return absl::OkStatus();
}

constexpr absl::string_view kAllFates = "*";

// "calm latency,loss server" is two of them, "calm * server" all that chance decides.
absl::Status ParseCalms(absl::string_view line, const Words& words, Scenario& scenario) {
  if (words.size() < 2) return Calm::Parse(line).status();
  const absl::string_view names = words[1];
  const absl::string_view rest = line.substr(static_cast<size_t>(names.end() - line.begin()));
  std::vector<absl::string_view> kinds = absl::StrSplit(names, ',');
  if (names == kAllFates) {
    kinds.clear();
    for (const Choice fate : kFates) kinds.push_back(ChoiceName(fate));
  }
  for (const absl::string_view kind : kinds) {
    absl::StatusOr<Calm> calm = Calm::Parse(absl::StrCat("calm ", kind, rest));
    if (!calm.ok()) return calm.status();
    scenario.calms.push_back(*std::move(calm));
  }
  return absl::OkStatus();
}

// Those that follow each other and differ in the kind only are one line.
std::string CalmsText(const std::vector<Calm>& calms) {
  std::string text;
  for (size_t i = 0; i < calms.size();) {
    const Calm& first = calms[i];
    const std::string line = first.ToString();
    const std::string rest = line.substr(absl::string_view("calm ").size() + ChoiceName(first.what).size());
    std::vector<Choice> kinds;
    for (; i < calms.size() && calms[i].whom == first.whom && calms[i].from == first.from && calms[i].to == first.to &&
           calms[i].but == first.but;
         ++i) {
      kinds.push_back(calms[i].what);
    }
    const bool all = std::equal(kinds.begin(), kinds.end(), kFates.begin(), kFates.end());
    const auto add_name = [](std::string* out, Choice kind) { absl::StrAppend(out, ChoiceName(kind)); };
    absl::StrAppend(&text, "calm ", all ? std::string(kAllFates) : absl::StrJoin(kinds, ",", add_name), rest, "\n");
  }
  return text;
}

absl::Status ParseLine(absl::string_view line, Scenario& scenario) {
  const Words words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words[0] == "seed") return ParseSeed(line, words, scenario);
  if (words[0] == "test") return ParseTest(line, words, scenario);
  if (words[0] == "schedule") return ParseScheduleLine(line, words, scenario);
  if (words[0] == "start") return ParseHostTime(line, words, "after", scenario.starts);
  if (words[0] == "clock") return ParseHostTime(line, words, "ahead", scenario.clocks);
  if (words[0] == "knob") return ParseKnob(line, scenario);
  if (words[0] == "fail") return ParseFailure(line, words, scenario);
  if (words[0] == "skip") return ParseSkip(line, words, scenario);
  if (words[0] == "branch") return ParseBranch(line, words, scenario);
  if (words[0] == "calm") return ParseCalms(line, words, scenario);
  absl::StatusOr<FaultPlan> plan = FaultPlan::Parse(line);
  if (!plan.ok()) return plan.status();
  for (const FaultEntry& entry : plan->entries()) scenario.faults.Add(entry);
  return absl::OkStatus();
}

}  // namespace

std::string OperationFailure::ToString() const {
  return absl::StrCat("fail ", host, and_after ? " from" : " at", " operation ", number);
}

std::string Skip::ToString() const {
  return to == from + 1 ? absl::StrCat("skip ", what, " ", from)
                        : absl::StrCat("skip ", what, " from ", from, " to ", to);
}

std::string Branch::ToString() const { return absl::StrCat("branch at event ", event, " salt ", salt); }

std::string Scenario::ToString() const {
  std::string text;
  if (seed.has_value()) absl::StrAppend(&text, "seed ", *seed, "\n");
  if (!test.empty()) absl::StrAppend(&text, "test ", test, "\n");
  if (!schedule.empty()) {
    absl::StrAppend(&text, "schedule ", schedule);
    if (steps.has_value()) {
      absl::StrAppend(&text, " steps ", steps->longest, " of ", steps->total, " tasks ", steps->tasks);
    }
    absl::StrAppend(&text, "\n");
  }
  for (const auto& [host, time] : starts) absl::StrAppend(&text, "start ", host, " after ", SecondsText(time), "\n");
  for (const auto& [host, time] : clocks) absl::StrAppend(&text, "clock ", host, " ahead ", SecondsText(time), "\n");
  for (const auto& [name, value] : knobs) absl::StrAppend(&text, "knob \"", name, "\" ", value, "\n");
  absl::StrAppend(&text, faults.ToString());
  for (const OperationFailure& failure : failures) absl::StrAppend(&text, failure.ToString(), "\n");
  absl::StrAppend(&text, CalmsText(calms));
  for (const Skip& skip : skips) absl::StrAppend(&text, skip.ToString(), "\n");
  if (branch.has_value()) absl::StrAppend(&text, branch->ToString(), "\n");
  return text;
}

absl::StatusOr<Scenario> Scenario::Parse(absl::string_view text) {
  if (std::any_of(text.begin(), text.end(), [](char c) { return absl::ascii_iscntrl(c) && !absl::ascii_isspace(c); })) {
    return absl::InvalidArgumentError("not a text");
  }
  Scenario scenario;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line.substr(0, line.find(" #")));
    if (line.empty() || line.front() == '#') continue;
    if (absl::Status status = ParseLine(line, scenario); !status.ok()) return status;
  }
  return scenario;
}

}  // namespace tandem::sim
