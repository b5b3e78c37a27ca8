// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_failures.h"

#include <stdio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/testing/report/gist.h"
#include "tandem/testing/report/json.h"
#include "tandem/testing/runner_build.h"
#include "tandem/testing/runner_last_scenario.h"
#include "tandem/testing/runner_place.h"
#include "tandem/testing/runner_report.h"
#include "tandem/testing/runner_scenarios.h"
#include "tandem/testing/runner_stop.h"

namespace tandem::testing {
namespace {

// The seed to look at first: one that does not do the same again, else one that fails without faults, else the
// smallest. Of a crash nobody knows its faults.
bool IsBefore(const SeedOutcome& a, const SeedOutcome& b) {
  if (a.differs != b.differs) return a.differs;
  const bool plain_a = a.ended && a.result.faults == 0;
  const bool plain_b = b.ended && b.result.faults == 0;
  return plain_a != plain_b ? plain_a : a.seed < b.seed;
}

}  // namespace

std::string Failures::TestName() const { return absl::StrCat(test_.suite, ".", test_.name); }

// As it is run again: what comes behind the failure does not matter then.
SeedRun Failures::RunOf(const SeedOutcome& failure) const {
  SeedRun run = SeedRunOf(run_, index_, failure.seed, TraceKind::kNone, /*details=*/false);
  run.ends_at_failure = true;
  return run;
}

// Twice, if its two runs differ or the caller asks for two runs of each.
std::string Failures::Replay(const SeedOutcome& failure) const {
  const bool twice = failure.differs || run_.flags.check_determinism == CheckedSeeds::kAll;
  return ReplayCommand(run_, test_, failure.seed, twice);
}

void Failures::Add(SeedOutcome outcome) {
  std::erase_if(failures_, [&](const SeedOutcome& failure) { return failure.seed == outcome.seed; });
  if (!run_.flags.seed.has_value()) {
    fprintf(stderr, "[sim] %s.%s: seed %ju failed\n", test_.suite, test_.name, static_cast<uintmax_t>(outcome.seed));
  }
  failures_.push_back(std::move(outcome));
  if (failures_.size() == 1) return;
  // The one to look at stays in front, and of the others a line is kept.
  if (IsBefore(failures_.back(), failures_.front())) std::swap(failures_.back(), failures_.front());
  SeedOutcome& other = failures_.back();
  other.output.clear();
  other.message = absl::StrCat(FailureGist(other.message), "\n");
}

void Failures::Report() {
  if (failures_.empty()) return;
  SeedOutcome& shown = failures_.front();
  const bool shrinks = run_.flags.shrink_s.value_or(run_.flags.seed.has_value() ? 0 : 1) != 0;
  if (run_.flags.report || shrinks) SayShortly(shown);
  const bool said = !shown.scenario.empty();
  const std::string no_scenario = FindScenario(shown);
  const ShrunkFailure shrunk = Shrink(shown);
  const bool in_haste = StopSignal() != 0;
  std::string scenario = shrunk.scenario;
  if (scenario.empty() && shrunk.replays) scenario = shown.scenario;
  std::string kept = absl::StrCat(Pin(shown, scenario), in_haste || shown.stopped ? KeepScenario(shown, scenario) : "");
  // What is shown of a run that was shrunk is the shorter one's.
  const bool says_itself = !shrunk.scenario.empty() && run_.flags.report && !in_haste;
  if (!shown.output.empty() && !run_.flags.seed.has_value() && !says_itself) {
    absl::StrAppend(&shown.message, "--- what it printed:\n", absl::StripTrailingAsciiWhitespace(shown.output),
                    "\n---\n");
  }
  if (!said && shrunk.scenario.empty()) absl::StrAppend(&shown.message, no_scenario, Drawn(shown.scenario));
  FailureToExplain what = WhatToExplain(shown, shrunk.scenario);
  const std::string others = KeepOthers(shown, shrunk, what.files);
  const std::string story = Explain(shown, std::move(what));
  if (StopSignal() != 0 && !in_haste) absl::StrAppend(&kept, KeepScenario(shown, scenario));
  absl::StrAppend(&shown.message, shrunk.text, others, kept, story);
  if (StopSignal() != 0) absl::StrAppend(&shown.message, "not shrunk or explained to the end: ", StoppedBy(), "\n");
  std::rotate(failures_.begin(), failures_.begin() + 1, failures_.end());
  std::sort(failures_.begin(), failures_.end() - 1,
            [](const SeedOutcome& a, const SeedOutcome& b) { return a.seed < b.seed; });
  for (const SeedOutcome& failure : failures_) {
    ADD_FAILURE_AT(test_.file, test_.line)
        << "seed " << failure.seed << " failed: " << Printable(failure.message) << "replay: " << Replay(failure);
  }
}

std::string Failures::FindScenario(SeedOutcome& failure) const {
  constexpr int64_t kStoppedLimitNs = (kSanitized ? 100 : 10) * kNsPerSecond;
  constexpr absl::string_view kThereIsNone = "there is no scenario of it: ";
  if (!failure.scenario.empty()) return "";
  if (failure.differs) return absl::StrCat(kThereIsNone, "two runs of the seed differ\n");
  if (StopSignal() != 0) return absl::StrCat(kThereIsNone, StoppedBy(), "\n");
  SeedPool::Options options = PoolOptions(run_, -1);
  // One that does not end stands still much earlier.
  if (failure.stopped) options.wall_limit_ns = std::min(options.wall_limit_ns, kStoppedLimitNs);
  const absl::StatusOr<std::unique_ptr<LastScenario>> last = LastScenario::Start(options);
  if (!last.ok()) return absl::StrCat(kThereIsNone, last.status().message(), "\n");
  absl::StatusOr<SeedOutcome> completed = (*last)->Complete(RunOf(failure), failure);
  if (!completed.ok()) return absl::StrCat(kThereIsNone, completed.status().message(), "\n");
  failure = *std::move(completed);
  return "";
}

// The scenario of a seed that has not printed it.
std::string Failures::Drawn(const std::string& scenario) const {
  constexpr size_t kLinesOnAScreen = 30;
  if (scenario.empty()) return "";
  std::vector<absl::string_view> lines = absl::StrSplit(scenario, '\n', absl::SkipEmpty());
  std::string more;
  if (lines.size() > kLinesOnAScreen && !run_.flags.seed.has_value()) {
    more = absl::StrCat("# ... and ", lines.size() - kLinesOnAScreen, " more lines: the seed alone shows all\n");
    lines.resize(kLinesOnAScreen);
  }
  return absl::StrCat("the scenario of this seed until its death, as --scenario=FILE takes it:\n",
                      absl::StrJoin(lines, "\n"), "\n", more);
}

// What is known before all that takes time, for whoever ends this process while it looks on.
void Failures::SayShortly(const SeedOutcome& failure) const {
  fprintf(stderr, "[sim] %s: looks into seed %ju: %s\n[sim] replay: %s\n", TestName().c_str(),
          static_cast<uintmax_t>(failure.seed), Printable(FailureGist(failure.message)).c_str(),
          Replay(failure).c_str());
}

// What is left of the scenario of `failure`.
ShrunkFailure Failures::Shrink(const SeedOutcome& failure) const {
  constexpr uint64_t kDefaultSeconds = 10;
  const bool by_default = !run_.flags.seed.has_value() || !run_.flags.pin.empty();
  const uint64_t seconds = run_.flags.shrink_s.value_or(by_default ? kDefaultSeconds : 0);
  if (seconds == 0 || failure.scenario.empty() || failure.differs || failure.stopped || StopSignal() != 0) return {};
  SeedPool::Options options = PoolOptions(run_, -1);
  // A run that takes much longer than the failure did is something else. Other seeds may have run at the same time, and
  // the machine may be busier now.
  constexpr int64_t kAtLeastNs = (kSanitized ? 20 : 2) * kNsPerSecond;
  constexpr int64_t kTimes = 5;
  options.wall_limit_ns = std::min(options.wall_limit_ns, std::max(kAtLeastNs, kTimes * failure.wall_ns));
  const absl::StatusOr<std::unique_ptr<LastScenario>> last = LastScenario::Start(options);
  if (!last.ok()) {
    ShrunkFailure failed;
    failed.text = absl::StrCat("not shrunk: ", last.status().ToString(), "\n");
    return failed;
  }
  return ShrinkFailure(**last, RunOf(failure), failure, static_cast<int64_t>(seconds) * kNsPerSecond);
}

// Writes `scenario` where the report would be, of a failure that there is no time to explain; returns where that is.
std::string Failures::KeepScenario(const SeedOutcome& failure, const std::string& scenario) const {
  const std::string folder = FolderOf(failure);
  if (folder.empty() || scenario.empty()) return "";
  std::error_code ignored;  // Writing says it better.
  std::filesystem::create_directories(folder, ignored);
  const std::string place = absl::StrCat(folder, "/scenario.txt");
  const absl::Status written = WriteScenarioFile(place, failure.message, scenario);
  return written.ok() ? absl::StrCat("its scenario: ", ShownPlace(place), "\n") : absl::StrCat(written.message(), "\n");
}

// Writes the file of --pin, with what failed as a remark; returns what became of it.
std::string Failures::Pin(const SeedOutcome& failure, const std::string& scenario) const {
  if (run_.flags.pin.empty()) return "";
  run_.has_to_pin = true;
  if (scenario.empty()) return absl::StrCat("nothing is written to ", run_.flags.pin, ": there is no scenario\n");
  if (std::exchange(run_.pinned, true)) {
    return absl::StrCat("nothing is written to ", run_.flags.pin, ": it has the failure of another test\n");
  }
  const std::string place = PlaceOf(run_.flags.pin);
  if (const absl::Status is_new = TryNewFile(place); !is_new.ok()) {  // Another shard may have been quicker.
    return absl::StrCat("nothing is written to ", run_.flags.pin, ": ", is_new.message(), "\n");
  }
  const absl::Status written = WriteScenarioFile(place, failure.message, scenario);
  return written.ok() ? absl::StrCat("written to ", ShownPlace(place), "\n") : absl::StrCat(written.message(), "\n");
}

// What failed in another way while `shrunk` was looked for, a line each; where there is a folder, with a scenario of
// it, whose names are added to `files`.
std::string Failures::KeepOthers(const SeedOutcome& failure, const ShrunkFailure& shrunk,
                                 std::vector<std::string>& files) const {
  const std::string folder = FolderOf(failure);
  std::error_code ignored;  // Writing says it better.
  if (!folder.empty() && !shrunk.others.empty()) std::filesystem::create_directories(folder, ignored);
  std::string text;
  size_t number = 0;
  for (const auto& [what, scenario] : shrunk.others) {
    const std::string line = FailureGist(what);
    absl::StrAppend(&text, "another failure on the way: ", line);
    const std::string name = absl::StrCat("other-", ++number, ".scenario");
    const std::string place = absl::StrCat(folder, "/", name);
    if (!folder.empty() && WriteScenarioFile(place, line, scenario).ok()) {
      absl::StrAppend(&text, ": ", ShownPlace(place));
      files.push_back(name);
    }
    text += "\n";
  }
  return text;
}

// Where the files of a report go, a folder for each test and what `of` says; empty: nowhere.
std::string Failures::Folder(absl::string_view of) const {
  const std::string outputs =
      run_.flags.out.empty() ? Environment("TEST_UNDECLARED_OUTPUTS_DIR") : PlaceOf(run_.flags.out);
  return outputs.empty() ? "" : absl::StrCat(outputs, "/", TestName(), "-", of);
}

// A failing seed, or what is left of its scenario.
FailureToExplain Failures::WhatToExplain(const SeedOutcome& failure, const std::string& scenario) const {
  FailureToExplain what;
  what.run = RunOf(failure);
  if (!scenario.empty()) {
    what.run.scenario = scenario;
    what.is_shrunk = true;
  } else {
    what.scenario = failure.scenario;
  }
  what.folder = FolderOf(failure);
  what.replay = run_.flags.out.empty() ? ReplayCommand(run_, test_, failure.seed, /*twice=*/false)
                                       : ScenarioCommand(run_, test_, absl::StrCat(what.folder, "/scenario.txt"));
  return what;
}

// What led to `failure`; empty: there is nothing to say.
std::string Failures::Explain(const SeedOutcome& failure, FailureToExplain what) const {
  if (!run_.flags.report || failure.differs || failure.stopped || StopSignal() != 0) return "";
  what.test = TestName();
  what.message = failure.message;
  what.branches = run_.flags.cause;
  return ExplainFailure(PoolOptions(run_, -1), what);
}

void Failures::ReportRegression(const ScenarioFile& regression, const SeedOutcome& failure) {
  FailureToExplain what;
  what.run = RunOf(failure);
  what.run.scenario = regression.text;
  what.folder = Folder(std::filesystem::path(regression.name).stem().string());
  what.replay = ScenarioCommand(run_, test_, regression.name);
  const std::string replay = what.replay;
  const std::string story = std::exchange(regression_explained_, true) ? "" : Explain(failure, std::move(what));
  ADD_FAILURE_AT(test_.file, test_.line) << "the regression " << regression.name << " (seed " << *regression.seed
                                         << ") failed: "
                                         << Printable(absl::StrCat(failure.message, "--- what it printed:\n",
                                                                   failure.output, "---\n", story))
                                         << "replay: " << replay;
}

}  // namespace tandem::testing
