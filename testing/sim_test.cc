// SPDX-License-Identifier: Apache-2.0
//
// The one place where the seed runner meets the World.

#include "tandem/testing/sim_test.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/exception_trace.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/process/isolation/globals.h"
#include "tandem/sim/process/isolation/isolation.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/random/decision_counts.h"
#include "tandem/sim/report/log_lines.h"
#include "tandem/sim/report/recorder.h"
#include "tandem/sim/report/trace_text.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/history.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_output.h"

namespace tandem::testing {
namespace {

// Writes each line at once: what comes before a crash is what one wants to see.
class DescriptorTrace final : public sim::TraceText {
 public:
  DescriptorTrace(int fd, Detail detail) : TraceText(detail), fd_(fd) { error_ = 0; }

  // Why the trace is cut off; 0: it is not.
  static uint64_t error() { return static_cast<uint64_t>(error_); }

 private:
  // A full disk cuts the trace and must not change the run.
  void Write(absl::string_view lines) override {
    if (error_ == 0 && !WriteFully(fd_, lines.data(), lines.size())) error_ = errno;
  }

  static inline int error_ = 0;
  const int fd_;
};

// What happens from some event of the world on, for a report.
class DescriptorRecorder final : public sim::Recorder {
 public:
  DescriptorRecorder(int fd, RecordedWindow window) : fd_(fd), window_(window) {}

  void OnAbout(const sim::TraceAbout& about) override {
    if (Records()) Recorder::OnAbout(about);
  }
  void OnRecord(const sim::TraceRecord& record, const sim::TraceDigest& digest) override {
    if (Records()) Recorder::OnRecord(record, digest);
  }
  void OnLog(const sim::LoggedLine& line) override {
    if (Records()) Recorder::OnLog(line);
  }

 private:
  // Remarks are always written: a fault that began long ago may still be there.
  bool Records() const {
    const sim::World* const world = sim::World::Current();
    if (world == nullptr) return true;
    const int64_t now_ns = world->Now().nanoseconds();
    return world->events() >= window_.from_event && window_.from_ns <= now_ns && now_ns <= window_.to_ns;
  }
  void Write(absl::string_view bytes) override { WriteFully(fd_, bytes.data(), bytes.size()); }

  const int fd_;
  const RecordedWindow window_;
};

// Counts the events as a recording does, and traps at one of them.
class Breakpoint final : public sim::Recorder {
 public:
  explicit Breakpoint(uint64_t at) : at_(at) {}

  void OnAbout(const sim::TraceAbout& /*about*/) override {}
  void OnRecord(const sim::TraceRecord& record, const sim::TraceDigest& /*digest*/) override {
    if (IsEvent(record)) Count();
  }
  void OnNote(int64_t /*time_ns*/, absl::string_view /*text*/) override { Count(); }
  void OnLog(const sim::LoggedLine& /*line*/) override { Count(); }
  void OnFailure(int64_t /*time_ns*/, uint32_t /*host*/, absl::string_view /*place*/,
                 absl::string_view /*text*/) override {
    Count();
  }

  uint64_t events() const { return events_; }

 private:
  void Write(absl::string_view /*bytes*/) override {}
  void Count() {
    if (events_++ == at_) Stop();
  }
  // Here, and not in a function of libc: this is the first frame that a debugger shows.
  static void Stop() {
#if defined(__x86_64__)
    asm volatile("int3");
#else
    raise(SIGTRAP);
#endif
  }

  const uint64_t at_;
  uint64_t events_ = 0;
};

// While it lives, the recorder, if there is one, is told of the first expectation that fails, or of the error that ends
// the run, and the run ends there if it is to.
class FailureWitness {
 public:
  FailureWitness(sim::Recorder* recorder, bool ends_run) {
    recorder_ = recorder;
    ends_run_ = ends_run;
    told_ = false;
    SetFailureWitness(&Tell);
  }
  ~FailureWitness() { SetFailureWitness(nullptr); }
  FailureWitness(const FailureWitness&) = delete;
  FailureWitness& operator=(const FailureWitness&) = delete;

  static void Tell(absl::string_view place, absl::string_view why) {
    sim::World* const world = sim::World::Current();
    if (world == nullptr || std::exchange(told_, true)) return;
    if (ends_run_) world->EndRun();
    if (recorder_ == nullptr) return;
    const sim::Host* const host = world->running_host();
    recorder_->OnFailure(world->Now().nanoseconds(), host == nullptr ? sim::kNoTraceHost : host->index(),
                         place.substr(place.rfind('/') + 1), why);
  }

 private:
  static inline sim::Recorder* recorder_ = nullptr;
  static inline bool ends_run_ = false;
  static inline bool told_ = false;
};

// While it lives, the recorder is told of the operations of clients. Uses no heap: neither does the recorder.
class OperationWitness final : public internal::HistoryWatcher {
 public:
  explicit OperationWitness(sim::Recorder& recorder) : recorder_(recorder) { internal::history_watcher = this; }
  ~OperationWitness() { internal::history_watcher = nullptr; }
  OperationWitness(const OperationWitness&) = delete;
  OperationWitness& operator=(const OperationWitness&) = delete;

  void OnOperation(const History& history, size_t index, const History::Operation& operation) override {
    sim::RecordedCall call = CallOf(operation);
    call.history = reinterpret_cast<uintptr_t>(&history);  // Compared with others of this run only.
    call.number = index;
    call.outcome = static_cast<uint64_t>(operation.outcome);
    call.returned = operation.returned;
    call.arguments = Arguments(operation);
    call.answer = operation.answer;
    Tell(call);
  }
  void OnMisfit(const History::Operation& operation) override {
    sim::RecordedCall call = CallOf(operation);
    call.misfit = true;
    Tell(call);
  }

 private:
  static sim::RecordedCall CallOf(const History::Operation& operation) {
    sim::RecordedCall call;
    call.invoked = operation.invoked;
    call.client = operation.client;
    call.object = operation.object;
    call.name = operation.name;
    return call;
  }
  // Those that fit into the buffer, each with a NUL behind it.
  absl::string_view Arguments(const History::Operation& operation) {
    size_t size = 0;
    for (const std::string& argument : operation.arguments) {
      if (argument.size() >= arguments_.size() - size) break;
      size = static_cast<size_t>(absl::c_copy(argument, arguments_.begin() + size) - arguments_.begin());
      arguments_[size++] = 0;
    }
    return absl::string_view(arguments_.data(), size);
  }
  void Tell(const sim::RecordedCall& call) {
    const sim::World* const world = sim::World::Current();
    if (world != nullptr) recorder_.OnOperation(world->Now().nanoseconds(), call);
  }

  sim::Recorder& recorder_;
  static inline std::array<char, 64 << 10> arguments_;
};

// Of the trace, one record, and the stack that led to it; then the process ends.
class StackTrace final : public sim::TraceText {
 public:
  StackTrace(int fd, uint64_t at) : TraceText(Detail::kRecords), fd_(fd), at_(at) {}

  void OnRecord(const sim::TraceRecord& record, const sim::TraceDigest& digest) override {
    if (record.ordinal != at_) return;
    TraceText::OnRecord(record, digest);
    constexpr absl::string_view kOfTheTrace[] = {"testing/sim_test.cc", "sim/trace/", "sim/report/",
                                                 "sim/world/world.cc", "sim/world/process.cc"};
    WriteStack([this](absl::string_view text) { Write(text); }, kOfTheTrace);
    _exit(0);
  }

 private:
  void Write(absl::string_view text) override { WriteFully(fd_, text.data(), text.size()); }

  const int fd_;
  const uint64_t at_;
};

// Counts the records, in a file that outlives the process; at one of them it hands over the scenario of the world.
class RecordCounter final : public sim::TraceSink {
 public:
  explicit RecordCounter(const SeedOptions& options) : options_(options) {}

  // From now on it may be asked.
  void OnWorld(const sim::World& world) {
    world_ = &world;
    Look();
  }
  // It goes, and has nothing to say any more.
  void OnEnd() { world_ = nullptr; }
  void OnRecord(const sim::TraceRecord& /*record*/, const sim::TraceDigest& /*digest*/) override {
    ++records_;
    Look();
  }

 private:
  void Look() const;

  const SeedOptions& options_;
  const sim::World* world_ = nullptr;
  uint64_t records_ = 0;
};

// Where in the world something is logged.
sim::LogLines::Where WhereItIs() {
  const sim::World* const world = sim::World::Current();
  if (world == nullptr) return {0, ""};
  const sim::Host* const host = world->running_host();
  if (host == nullptr) return {world->Now().nanoseconds(), ""};
  return {world->Now().nanoseconds(), host->name(), host->index()};
}

// For a seed that crashes. Uses no heap.
SeedProgress ProgressOfWorld() {
  const sim::World* const world = sim::World::Current();
  SeedProgress progress;
  progress.trace_errno = DescriptorTrace::error();
  if (world == nullptr) return progress;
  const sim::TraceDigest digest = world->digest();
  const sim::TraceDigest fine = world->trace_details() ? world->fine_digest() : sim::TraceDigest();
  progress.digest_high = digest.high;
  progress.digest_low = digest.low;
  progress.fine_digest_high = fine.high;
  progress.fine_digest_low = fine.low;
  progress.events = world->events();
  return progress;
}

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

// The scenario without its faults, and with no more lines about hosts than a screen has.
std::string ScenarioText(const sim::World& world, const SeedOptions& options) {
  sim::Scenario scenario = world.scenario();
  scenario.test = options.test;
  scenario.faults = sim::FaultPlan();
  std::string remark;
  for (auto* times : {&scenario.starts, &scenario.clocks}) {
    if (times->size() <= kFaultsOnAScreen || options.all_faults) continue;
    remark = "# ... and when hosts start and what their clocks show: the seed alone shows all\n";
    times->clear();
  }
  return scenario.ToString() + remark;
}

// The whole scenario, without the faults that have hit nothing: without them the run is the same.
std::string EffectiveScenario(const sim::World& world, const SeedOptions& options) {
  sim::Scenario scenario = world.scenario();
  scenario.test = options.test;
  scenario.faults = sim::FaultPlan();
  for (size_t i = 0; i < world.fault_plan().entries().size(); ++i) {
    if (world.fault_hits(i) > 0) scenario.faults.Add(world.fault_plan().entries()[i]);
  }
  return scenario.ToString();
}

std::string WorkloadSteps(const sim::World& world) {
  std::string text;
  for (const auto& [what, steps] : world.workload_steps()) absl::StrAppend(&text, what, " ", steps, "\n");
  return text;
}

std::string Decisions(const sim::World& world) {
  std::string text;
  for (const sim::DecisionCount& decision : world.decisions()) {
    absl::StrAppend(&text, sim::ChoiceName(decision.what), " ", decision.count, " ", decision.whom, "\n");
  }
  return text;
}

void RecordCounter::Look() const {
  if (world_ == nullptr) return;
  // What was written last counts: somebody else may have closed the file, or written to it.
  if (options_.trace_count) static_cast<void>(pwrite(options_.trace_fd, &records_, sizeof(records_), 0));
  if (records_ != options_.tells_at) return;
  SeedResult result;
  result.scenario = EffectiveScenario(*world_, options_);
  result.steps = WorkloadSteps(*world_);
  result.decisions = Decisions(*world_);
  options_.tell(result);
}

// Returns how many entries of the plan have hit something, and prints them with the rest of the scenario when `print`
// is set: without the others the run is the same.
uint64_t CountFaults(const sim::World& world, const SeedOptions& options, bool print) {
  const bool all = options.all_faults;
  const std::vector<sim::FaultEntry>& entries = world.fault_plan().entries();
  std::string plan;
  uint64_t count = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const uint64_t hits = world.fault_hits(i);
    if (hits == 0) continue;
    if (++count > kFaultsOnAScreen && !all) continue;
    absl::StrAppend(&plan, entries[i].ToString(), "  # hit ", hits, hits == 1 ? " time\n" : " times\n");
  }
  const sim::Scenario scenario = world.scenario();
  const bool plain = entries.empty() && scenario.knobs.empty() && scenario.failures.empty() && scenario.calms.empty() &&
                     scenario.skips.empty();
  if (!print || plain) return count;
  if (count > kFaultsOnAScreen && !all) {
    absl::StrAppend(&plan, "# ... and ", count - kFaultsOnAScreen, " more: the seed alone shows all\n");
  }
  if (count < entries.size()) absl::StrAppend(&plan, "# ", entries.size() - count, " more have hit nothing\n");
  const sim::VirtualTimeText end(world.Now().nanoseconds());
  std::fprintf(stderr, "the scenario of this seed until its end, %s s, as --scenario=FILE takes it:\n%s%s\n",
               std::string(end.view()).c_str(), ScenarioText(world, options).c_str(), plan.c_str());
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
  } catch (const sim::World::RunEnded&) {
    return "";
  } catch (const std::exception& exception) {
    text = exception.what();
  } catch (...) {
    text = "not a std::exception";
  }
  return DescribeException(world, text);
}

// Runs `body` in a world that is gone when this returns. `recorder` is told of it; null for none.
SeedResult RunBody(const SeedOptions& options, const sim::WorldOptions& world_options,
                   absl::FunctionRef<void(sim::World& world)> body, RecordCounter& counter, sim::Recorder* recorder) {
  sim::World world(world_options);
  counter.OnWorld(world);

  SeedResult result;
  result.message = TextOfException(world, body);
  counter.OnEnd();
  result.failed = !result.message.empty();
  if (result.failed) result.place = "an exception left a program or the test";
  if (!world.failure().ok() && !IsReported(world.failure().message())) {
    result.failed = true;
    if (result.place.empty()) result.place = absl::StatusCodeToString(world.failure().code());
    absl::StrAppend(&result.message, result.message.empty() ? "" : "\n", world.failure().ToString());
  }
  const auto add_name = [](std::string* out, const std::unique_ptr<sim::Host>& host) { out->append(host->name()); };
  if (const std::string line = world.LineOfUnknownHost();
      !line.empty() && !result.failed && !::testing::Test::HasFailure()) {
    result.failed = true;
    result.place = kWrongScenario;
    result.message = absl::StrCat("the scenario has a line about a host that the test has not added: ", line,
                                  "\nit has added: ", absl::StrJoin(world.hosts(), ", ", add_name));
  }
  if (!world.hosts().empty() && world.events() == 0 && !result.failed && !::testing::Test::HasFailure() &&
      !::testing::Test::IsSkipped()) {
    result.failed = true;
    result.place = "nothing has run";
    result.message = "the test has added hosts and never called world.Run...(): nothing has run";
  }
  if (result.failed) {
    if (options.break_at.has_value()) std::fprintf(stderr, "%s\n", result.message.c_str());
    FailureWitness::Tell("", result.message.substr(0, result.message.find('\n')));
  }
  const bool failed = result.failed || ::testing::Test::HasFailure();
  if (!failed) {
    for (const std::string& line : world.LinesWithoutEffect()) {
      std::fprintf(stderr, "%s%s\n", kNoEffect, line.c_str());
    }
  }
  result.faults = CountFaults(world, options, /*print=*/failed && !options.ends_at_failure);
  result.fault_counts = CountHits(world);
  if (failed) {
    result.scenario = EffectiveScenario(world, options);
    result.steps = WorkloadSteps(world);
    result.decisions = Decisions(world);
  }
  if (recorder != nullptr) {
    for (size_t i = 0; i < world.fault_plan().entries().size(); ++i) {
      recorder->OnHits(world.fault_plan().entries()[i].ToString(), world.fault_hits(i));
    }
  }
  result.progress = ProgressOfWorld();
  result.hand_offs = world.hand_offs().Seen();
  return result;
}

}  // namespace

SeedResult RunInWorld(const SeedOptions& options, sim::WorldOptions world_options,
                      absl::FunctionRef<void(sim::World& world)> body) {
  DescriptorTrace trace(options.trace_fd,
                        options.trace_records ? sim::TraceText::Detail::kRecords : sim::TraceText::Detail::kEvents);
  world_options.set_seed(options.seed).set_keeps_hand_offs(true);
  if (options.max_events != 0) world_options.set_max_events(options.max_events);
  StackTrace stack(options.trace_fd, options.stack_at.value_or(0));
  DescriptorRecorder recorder(options.trace_fd, options.window);
  std::optional<OperationWitness> operations;
  Breakpoint breakpoint(options.break_at.value_or(0));
  RecordCounter counter(options);
  if (options.trace_count) {
    world_options.set_trace_sink(&counter);
  } else if (options.break_at.has_value()) {
    world_options.set_trace_sink(&breakpoint);
  } else if (options.stack_at.has_value()) {
    world_options.set_trace_sink(&stack);
  } else if (options.recording) {
    world_options.set_trace_sink(&recorder);
    operations.emplace(recorder);
  } else if (options.trace_fd >= 0) {
    world_options.set_trace_sink(&trace);
  }
  sim::Recorder* told = nullptr;
  if (options.recording) told = &recorder;
  if (options.break_at.has_value()) told = &breakpoint;
  world_options.set_trace_details(options.details).set_counts_decisions(options.counts_decisions);
  std::optional<sim::Isolation> isolation;
  if (options.isolation) {
    absl::StatusOr<std::vector<sim::GlobalVariable>> variables = sim::ProgramGlobals();
    if (!variables.ok()) ADD_FAILURE() << "--check_isolation: " << variables.status();
    isolation.emplace(variables.value_or(std::vector<sim::GlobalVariable>()),
                      [](absl::string_view finding) { ADD_FAILURE_AT(nullptr, -1) << finding; });
    world_options.set_isolation(&*isolation);
  }
  SetSeedProgress(&ProgressOfWorld);
  sim::Scenario scenario;
  if (!options.scenario.empty()) {
    scenario = *sim::Scenario::Parse(options.scenario);  // The parent has looked at it.
    world_options.set_scenario(&scenario);
  }
  SeedResult result;
  {
    const sim::LogLines log(&WhereItIs, told);  // Destructors may log, and fail, too.
    const FailureWitness witness(told, options.ends_at_failure);
    result = RunBody(options, world_options, body, counter, options.recording ? &recorder : nullptr);
  }
  if (options.break_at.has_value() && breakpoint.events() <= *options.break_at) {
    ADD_FAILURE_AT(nullptr, -1) << "--break_at: the run has no event " << *options.break_at << ", but "
                                << breakpoint.events() << ", from 0";
  }
  return result;
}

void SimFixture::RunTest() {
  SetUp();
  if (!::testing::Test::HasFatalFailure()) TestBody();
  TearDown();
}

}  // namespace tandem::testing
