// SPDX-License-Identifier: Apache-2.0
//
// The one place where the seed runner meets the World.

#include "tandem/testing/sim_test.h"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/sim/host.h"
#include "tandem/sim/log_lines.h"
#include "tandem/sim/trace.h"
#include "tandem/sim/world.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_output.h"

namespace tandem::testing {
namespace {

// Writes each line at once: what comes before a crash is what one wants to see.
class DescriptorSink final : public sim::TraceSink {
 public:
  explicit DescriptorSink(int fd) : fd_(fd) {}

  void OnRecord(const sim::TraceRecord& record, const sim::TraceDigest& digest) override {
    // Without the heap: a run that is traced has to have the addresses of the run that it is to show.
    char text[sim::kTraceRecordTextMax];
    const absl::string_view shown(text, sim::FormatTraceRecord(record, text));
    char line[sizeof(text) + 64];
    const int size = absl::SNPrintF(line, sizeof(line), "%s digest=%016x%016x\n", shown, digest.high, digest.low);
    Write(absl::string_view(line, static_cast<size_t>(size)));
  }
  void OnNote(absl::string_view text) override {
    Write("# ");
    Write(text);
    Write("\n");
  }

 private:
  // A full disk cuts the trace and must not change the run.
  void Write(absl::string_view text) { WriteFully(fd_, text.data(), text.size()); }

  const int fd_;
};

// What is longer hides the rest of a failure. A plan has up to some hundred entries.
constexpr size_t kFaultsOnAScreen = 20;

// Those that had begun; the others have done nothing.
void PrintFaults(const sim::World& world, bool all) {
  const absl::Duration passed = world.Now() - Instant();
  std::string plan;
  size_t shown = 0;
  size_t left_out = 0;
  size_t to_come = 0;
  for (const sim::FaultEntry& entry : world.fault_plan().entries()) {
    if (entry.from > passed) {
      ++to_come;
    } else if (shown == kFaultsOnAScreen && !all) {
      ++left_out;
    } else {
      ++shown;
      absl::StrAppend(&plan, entry.ToString(), "\n");
    }
  }
  if (shown == 0 && to_come == 0) return;
  if (left_out > 0) absl::StrAppend(&plan, "... and ", left_out, " more: the seed alone shows all\n");
  if (to_come > 0) absl::StrAppend(&plan, "(", to_come, " more would have begun later)\n");
  std::fprintf(stderr, "the faults of this seed until its end, %s:\n%s\n", absl::FormatDuration(passed).c_str(),
               plan.c_str());
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

// Names the place of an exception that came out of the test: an exception of a host's main goes through Run...().
std::string PlaceOfException(const sim::World& world) {
  for (const std::unique_ptr<sim::Host>& host : world.hosts()) {
    if (host->alive() && host->shard().main_ended()) return absl::StrCat("main of host ", host->name());
  }
  return "the test";
}

// Runs `body`; returns the text of the exception that it threw, empty if it threw none.
std::string TextOfException(sim::World& world, void (*body)(sim::World& world)) {
  std::string text;
  try {
    body(world);
    return "";
  } catch (const std::exception& exception) {
    text = exception.what();
  } catch (...) {
    text = "not a std::exception";
  }
  return absl::StrCat("an exception left ", PlaceOfException(world), ": ", text);
}

}  // namespace

SeedResult RunInWorld(const SeedOptions& options, void (*body)(sim::World& world)) {
  DescriptorSink sink(options.trace_fd);
  sim::WorldOptions world_options;
  world_options.set_seed(options.seed).set_max_events(options.max_events);
  if (options.trace_fd >= 0) world_options.set_trace_sink(&sink);
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
  if (result.failed || ::testing::Test::HasFailure()) PrintFaults(world, options.all_faults);
  const sim::TraceDigest digest = world.digest();
  result.digest_high = digest.high;
  result.digest_low = digest.low;
  result.events = world.events();
  return result;
}

}  // namespace tandem::testing
