// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/scenario.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace tandem::sim {
namespace {

absl::Status ParseLine(absl::string_view line, Scenario& scenario) {
  absl::string_view rest = line;
  if (absl::ConsumePrefix(&rest, "seed ")) {
    uint64_t seed = 0;
    if (!absl::SimpleAtoi(rest, &seed)) return absl::InvalidArgumentError(absl::StrCat("\"", line, "\": not a seed"));
    scenario.seed = seed;
    return absl::OkStatus();
  }
  if (absl::ConsumePrefix(&rest, "schedule ")) {
    scenario.schedule = std::string(absl::StripAsciiWhitespace(rest));
    return absl::OkStatus();
  }
  if (absl::StartsWith(line, "calm")) {
    absl::StatusOr<Calm> calm = Calm::Parse(line);
    if (!calm.ok()) return calm.status();
    scenario.calms.push_back(*std::move(calm));
    return absl::OkStatus();
  }
  absl::StatusOr<FaultPlan> plan = FaultPlan::Parse(line);
  if (!plan.ok()) return plan.status();
  for (const FaultEntry& entry : plan->entries()) scenario.faults.Add(entry);
  return absl::OkStatus();
}

}  // namespace

std::string Scenario::ToString() const {
  std::string text;
  if (seed.has_value()) absl::StrAppend(&text, "seed ", *seed, "\n");
  if (!schedule.empty()) absl::StrAppend(&text, "schedule ", schedule, "\n");
  absl::StrAppend(&text, faults.ToString());
  for (const Calm& calm : calms) absl::StrAppend(&text, calm.ToString(), "\n");
  return text;
}

absl::StatusOr<Scenario> Scenario::Parse(absl::string_view text) {
  Scenario scenario;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line.substr(0, line.find(" #")));
    if (line.empty() || line.front() == '#') continue;
    if (absl::Status status = ParseLine(line, scenario); !status.ok()) return status;
  }
  return scenario;
}

}  // namespace tandem::sim
