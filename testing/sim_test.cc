// SPDX-License-Identifier: Apache-2.0
//
// The one place where the seed runner meets the World.

#include "tandem/testing/sim_test.h"

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/exception_trace.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/report/log_lines.h"
#include "tandem/sim/report/trace_text.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_output.h"

namespace tandem::testing {
namespace {

// Writes each line at once: what comes before a crash is what one wants to see.
class DescriptorTrace final : public sim::TraceText {
 public:
  DescriptorTrace(int fd, Detail detail) : TraceText(detail), fd_(fd) {}

 private:
  // A full disk cuts the trace and must not change the run.
  void Write(absl::string_view lines) override { WriteFully(fd_, lines.data(), lines.size()); }

  const int fd_;
};

// What is longer hides the rest of a failure.
constexpr size_t kFaultsOnAScreen = 20;

// Counts what the faults have hit, by kind.
FaultCounts CountHits(const sim::World& world) {
  static_assert(sim::kFaultKindCount <= kFaultKindsMax);
  FaultCounts counts;
  const std::vector<sim::FaultEntry>& entries = world.fault_plan().entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto kind = static_cast<size_t>(entries[i].kind);
    ++counts.entries[kind];
    counts.hits[kind] += world.fault_hits(i);
  }
  for (size_t kind = 0; kind < sim::kFaultKindCount; ++kind) {
    if (world.asked_faults().Has(static_cast<sim::FaultKind>(kind))) counts.asked |= uint64_t{1} << kind;
  }
  return counts;
}

// Returns how many entries of the plan have hit something, and prints them when `print` is set: without the others the
// run is the same.
uint64_t CountFaults(const sim::World& world, bool print, bool all) {
  const std::vector<sim::FaultEntry>& entries = world.fault_plan().entries();
  std::string plan;
  uint64_t count = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const uint64_t hits = world.fault_hits(i);
    if (hits == 0) continue;
    if (++count > kFaultsOnAScreen && !all) continue;
    absl::StrAppend(&plan, entries[i].ToString(), "  # hit ", hits, hits == 1 ? " time\n" : " times\n");
  }
  if (!print || entries.empty()) return count;
  if (count > kFaultsOnAScreen && !all) {
    absl::StrAppend(&plan, "# ... and ", count - kFaultsOnAScreen, " more: the seed alone shows all\n");
  }
  if (count < entries.size()) absl::StrAppend(&plan, "# ", entries.size() - count, " more have hit nothing\n");
  sim::Scenario scenario = world.scenario();
  scenario.faults = sim::FaultPlan();
  const sim::VirtualTimeText end(world.Now().nanoseconds());
  std::fprintf(stderr, "the scenario of this seed until its end, %s s, as --scenario=FILE takes it:\n%s%s\n",
               std::string(end.view()).c_str(), scenario.ToString().c_str(), plan.c_str());
  return count;
}

// Whether a failed expectation has shown `text` already: tests expect what the world returns to be OK.
bool IsReported(absl::string_view text) {
  const ::testing::TestResult& result = ::testing::UnitTest::GetInstance()->ad_hoc_test_result();
  for (int i = 0; i < result.total_part_count(); ++i) {
    const ::testing::TestPartResult& part = result.GetTestPartResult(i);
    if (part.failed() && absl::StrContains(part.message(), text)) return true;
  }
  return false;
}

// Describes an exception that came out of the test: one of a host's main goes through Run...().
std::string DescribeException(const sim::World& world, absl::string_view text) {
  std::string place = "the test";
  std::string awaits;
  for (const std::unique_ptr<sim::Host>& host : world.hosts()) {
    if (!host->alive() || !host->shard().main_ended()) continue;
    place = absl::StrCat("main of host ", host->name());
    const Shard::Entered entered(host->shard());
    const ExceptionTrace& trace = Executor::Current().exception_trace();
    if (trace.LeadsTo(nullptr)) awaits = trace.Describe();
    break;
  }
  return absl::StrCat("an exception left ", place, " at ", sim::VirtualTimeText(world.Now().nanoseconds()).view(),
                      " s: ", text, awaits);
}

// Runs `body`; returns the text of the exception that it threw, empty if it threw none.
std::string TextOfException(sim::World& world, absl::FunctionRef<void(sim::World& world)> body) {
  std::string text;
  try {
    body(world);
    return "";
  } catch (const std::exception& exception) {
    text = exception.what();
  } catch (...) {
    text = "not a std::exception";
  }
  return DescribeException(world, text);
}

}  // namespace

SeedResult RunInWorld(const SeedOptions& options, sim::WorldOptions world_options,
                      absl::FunctionRef<void(sim::World& world)> body) {
  DescriptorTrace trace(options.trace_fd,
                        options.trace_records ? sim::TraceText::Detail::kRecords : sim::TraceText::Detail::kEvents);
  world_options.set_seed(options.seed);
  if (options.max_events != 0) world_options.set_max_events(options.max_events);
  if (options.trace_fd >= 0) world_options.set_trace_sink(&trace);
  sim::Scenario scenario;
  if (!options.scenario.empty()) {
    scenario = *sim::Scenario::Parse(options.scenario);  // The parent has looked at it.
    world_options.set_scenario(&scenario);
  }
  sim::World world(world_options);
  const sim::LogLines log([&world] {
    const sim::Host* const host = world.running_host();
    return sim::LogLines::Where{world.Now().nanoseconds(), host == nullptr ? "" : absl::string_view(host->name())};
  });

  SeedResult result;
  result.message = TextOfException(world, body);
  result.failed = !result.message.empty();
  if (!world.failure().ok() && !IsReported(world.failure().message())) {
    result.failed = true;
    absl::StrAppend(&result.message, result.message.empty() ? "" : "\n", world.failure().ToString());
  }
  const bool failed = result.failed || ::testing::Test::HasFailure();
  result.faults = CountFaults(world, /*print=*/failed, options.all_faults);
  result.fault_counts = CountHits(world);
  const sim::TraceDigest digest = world.digest();
  result.digest_high = digest.high;
  result.digest_low = digest.low;
  result.events = world.events();
  return result;
}

void SimFixture::RunTest() {
  SetUp();
  if (!::testing::Test::HasFatalFailure()) TestBody();
  TearDown();
}

}  // namespace tandem::testing
