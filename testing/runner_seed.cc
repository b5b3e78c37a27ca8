// SPDX-License-Identifier: Apache-2.0
//
// What a child does between its fork and its _exit().

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/log_severity.h"
#include "absl/base/no_destructor.h"
#include "absl/log/check.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/log/log_sink_registry.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/base/cut_text.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/world/rehearsal.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_assertions.h"
#include "tandem/testing/runner_build.h"
#include "tandem/testing/runner_expectation.h"
#include "tandem/testing/runner_output.h"
#include "tandem/testing/runner_protocol.h"
#include "tandem/testing/runner_registry.h"
#include "tandem/testing/runner_zygote.h"

// Defined by the leak checker and by the runtimes of the other sanitizers, where they are linked.
extern "C" {
int __lsan_do_recoverable_leak_check() __attribute__((weak));

// The sanitizers call these for each report. A report that lets the process go on still fails the seed.
__attribute__((visibility("default"))) void __tsan_on_report(void* report);
__attribute__((visibility("default"))) void __ubsan_on_report();
}

namespace tandem::testing {
namespace {

using ::tandem::internal::CutText;
using ::tandem::internal::kMessageMax;

constinit bool g_sanitizer_reported = false;
constinit bool g_rehearses = false;  // This process is a copy that nobody listens to.
constinit absl::string_view g_scenario;

constexpr char kFolderVariable[] = "TEST_TMPDIR=";
constinit char g_folder_variable[4096] = "";

// The copy that rehearses the seed says nothing, and leaves nothing behind where the seed would find it.
void Mute() {
  g_rehearses = true;
  StopCountingAssertions();
  const int nowhere = open("/dev/null", O_WRONLY);
  dup2(nowhere, 1);
  dup2(nowhere, 2);
  close(nowhere);
  close(kChildReportDescriptor);
  close(kChildTraceDescriptor);
  if (g_folder_variable[0] == 0) return;
  strncat(g_folder_variable, kRehearsalFolder, sizeof(g_folder_variable) - strlen(g_folder_variable) - 1);
  mkdir(g_folder_variable + strlen(kFolderVariable), 0777);
}

void SendRecord(RecordKind kind, absl::string_view payload) {
  if (g_rehearses) return;
  const RecordHeader header{kind, static_cast<uint32_t>(payload.size())};
  const bool sent = WriteFully(kChildReportDescriptor, &header, sizeof(header)) &&
                    WriteFully(kChildReportDescriptor, payload.data(), payload.size());
  if (!sent) _exit(1);  // Nobody listens.
}

// For a seed that crashes or exits: how far it has come, and when and on which host that is. Why, its parent says.
void SendProgress() {
  TellFailureWitness("", "");
  const SeedProgress progress = CurrentSeedProgress();
  SendRecord(RecordKind::kProgress, absl::string_view(reinterpret_cast<const char*>(&progress), sizeof(progress)));
}

// The name of the first error in `message`: "DEADLINE_EXCEEDED". An expectation that all is well fails in many ways.
absl::string_view ErrorIn(absl::string_view message) {
  size_t first = absl::string_view::npos;
  absl::string_view error;
  for (int code = 1; code <= static_cast<int>(absl::StatusCode::kUnauthenticated); ++code) {
    const std::string name = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
    const size_t at = message.find(name);
    if (at >= first) continue;
    first = at;
    error = message.substr(at, name.size());
  }
  return error;
}

// The innermost functions that await in `context`, a line each: one expectation may serve many callers.
std::string FunctionsIn(absl::string_view context) {
  constexpr int kFunctions = 3;
  constexpr absl::string_view kIn = " in ";
  std::string functions;
  int count = 0;
  for (const absl::string_view line : absl::StrSplit(context, '\n')) {
    const size_t in = line.find(kIn);
    if (!absl::StartsWith(line, "    at ") || in == absl::string_view::npos) continue;
    absl::StrAppend(&functions, "\n", line.substr(in + kIn.size()));
    if (++count == kFunctions) break;
  }
  return functions;
}

// Reports each failed expectation at once: a later crash must not take it along.
class ReportingListener : public ::testing::EmptyTestEventListener {
 public:
  void OnTestPartResult(const ::testing::TestPartResult& part) override {
    if (part.passed()) return;
    constexpr int kMaxReports = 20;  // An expectation in a loop may fail a million times.
    if (++reports_ > kMaxReports) return;
    const std::string place =
        part.file_name() == nullptr ? "" : absl::StrCat(ProjectPath(part.file_name()), ":", part.line_number(), ": ");
    // FAIL() and ADD_FAILURE() say on a line of its own what everybody knows here.
    const absl::string_view all = absl::StripPrefix(part.message(), "Failed\n");
    if (part.failed()) TellFailureWitness(absl::StripSuffix(place, ": "), all);
    const std::string message = CutText(all, kMessageMax);
    std::string text = absl::StrCat(place, message);
    if (part.failed()) {
      absl::StrAppend(&text, "\n");
      std::string context;
      WriteCrashContext([&](absl::string_view more) { absl::StrAppend(&context, more); });
      std::string what = ExpectationIn(message);
      const absl::string_view error = ErrorIn(message);
      absl::StrAppend(&what, what.empty() || error.empty() ? "" : ", ", error);
      SendRecord(RecordKind::kPlace, absl::StrCat(place, what, FunctionsIn(context)));
      absl::StrAppend(&text, context);
      text.resize(absl::StripSuffix(text, "\n").size());
    }
    SendRecord(part.skipped() ? RecordKind::kSkip : RecordKind::kFailure, text);
  }

 private:
  int reports_ = 0;
};

// Reports the message of a CHECK or a LOG(FATAL), which is what failed: of the crash that follows only the signal is
// known.
class FatalLogSink final : public absl::LogSink {
 public:
  void Send(const absl::LogEntry& entry) override {
    // It comes a second time, with a stack.
    if (entry.log_severity() != absl::LogSeverity::kFatal || !entry.stacktrace().empty()) return;
    const std::string place = absl::StrCat(ProjectPath(entry.source_filename()), ":", entry.source_line());
    SendRecord(RecordKind::kPlace, absl::StrCat(place, kFatalPlace));
    TellFailureWitness(place, entry.text_message());
    SendRecord(RecordKind::kFailure, absl::StrCat(place, ": ", CutText(entry.text_message(), kMessageMax)));
  }
};

void ListenToFatalMessages() {
  static absl::NoDestructor<FatalLogSink> sink;
  absl::AddLogSink(sink.get());
}

void ListenToExpectations() {
  ::testing::TestEventListeners& listeners = ::testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new ReportingListener);  // Owned by the list.
}

// The scenario of the seed; mapped, since what is allocated depends on it.
void ReadScenario(uint32_t slot) {
  struct stat info;
  if (fstat(ScenarioDescriptor(slot), &info) != 0 || info.st_size == 0) return;
  const auto size = static_cast<size_t>(info.st_size);
  const void* const text = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, ScenarioDescriptor(slot), 0);
  if (text == MAP_FAILED) _exit(1);
  g_scenario = absl::string_view(static_cast<const char*>(text), size);
}

void ArrangeDescriptors(const Command& command) {
  const bool arranged = dup2(ReportDescriptor(command.slot), kChildReportDescriptor) >= 0 &&
                        dup2(OutputDescriptor(command.slot), 1) >= 0 && dup2(1, 2) >= 0 &&
                        (command.trace == TraceKind::kNone || dup2(kTraceDescriptor, kChildTraceDescriptor) >= 0);
  if (!arranged) _exit(1);
  ReadScenario(command.slot);
  WatchAssertions(AssertionDescriptor(command.slot));
  for (int fd = 3; fd < kChildReportDescriptor; ++fd) close(fd);
}

void ReportCrashes() {
  if (kThreadSanitizer) {
    // Its handlers die of their own report.
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) ::signal(signal, SIG_DFL);
  }
  InstallCrashReport();
  SetCrashWitness(&SendProgress);
  atexit(&SendProgress);  // A seed that comes to its end leaves by _exit().
}

// The seed's own folder takes the place of the one that all have. Allocates nothing: the length of its name must not
// move an address.
void EnterFolder(uint64_t seed, bool disturbed) {
  const char* const outside = getenv("TEST_TMPDIR");
  if (outside == nullptr) return;
  char* const variable = g_folder_variable;
  snprintf(variable, sizeof(g_folder_variable), "%s%s/%s%ju", kFolderVariable, outside,
           disturbed ? kDisturbedFolder : kSeedFolder, static_cast<uintmax_t>(seed));
  if (mkdir(variable + strlen(kFolderVariable), 0777) != 0 && errno != EEXIST) return;  // Not there, or not ours.
  for (char** slot = environ; *slot != nullptr; ++slot) {
    if (strncmp(*slot, kFolderVariable, strlen(kFolderVariable)) == 0) *slot = variable;
  }
}

// From now on it runs on one processor, another one for each slot: of those that there are, from the last.
void ChooseProcessor(uint32_t slot) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  auto before = static_cast<int>(slot % static_cast<uint32_t>(CPU_COUNT(&allowed)));
  int chosen = CPU_SETSIZE - 1;
  while (!CPU_ISSET(chosen, &allowed) || before-- > 0) --chosen;
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(chosen, &only);
  sched_setaffinity(0, sizeof(only), &only);
}

// Leaves bytes where variables without a value will be.
__attribute__((noinline)) void PaintStack() {
  char area[256 << 10];
  memset(area, 0x5a, sizeof(area));
  asm volatile("" : : "r"(area) : "memory");
}

void SendScenario(const SeedResult& result) {
  if (result.scenario.empty()) return;
  SendRecord(RecordKind::kScenario, result.scenario);
  SendRecord(RecordKind::kSteps, result.steps);
  SendRecord(RecordKind::kDecisions, result.decisions);
}

// What a seed that is about to die says of itself.
void TellAndExit(const SeedResult& so_far) {
  if (g_rehearses) return;
  SendScenario(so_far);
  _exit(0);
}

void RunSeed(const Command& command) {
  SeedOptions options;
  options.seed = command.seed;
  options.max_events = command.max_events;
  options.trace_fd = command.trace != TraceKind::kNone ? kChildTraceDescriptor : -1;
  options.trace_records = command.trace == TraceKind::kRecords;
  options.recording = command.trace == TraceKind::kRecording;
  options.trace_count = command.trace == TraceKind::kCount;
  options.window = command.window;
  options.details = command.details != 0;
  options.counts_decisions = command.counts_decisions != 0;
  options.ends_at_failure = command.ends_at_failure != 0;
  if (command.stack_at != kNoStack) options.stack_at = command.stack_at;
  if (command.tells_at != kNotTold) options.tells_at = command.tells_at;
  options.tell = &TellAndExit;
  options.scenario = g_scenario;
  options.isolation = command.detail.isolation != 0;
  options.all_faults = command.detail.all_faults != 0;
  const SimTestCase& test = SimTestAt(command.test);
  options.test = absl::StrCat(test.suite, ".", test.name);
  SeedResult result = test.run(options);
  result.progress.trace_errno = CurrentSeedProgress().trace_errno;  // The end of the world is traced, too.
  if (result.failed) {
    SendRecord(RecordKind::kPlace, result.place);
    SendRecord(RecordKind::kFailure, CutText(result.message, kMessageMax));
  }
  SendScenario(result);
  SendRecord(RecordKind::kHandOffs, absl::string_view(reinterpret_cast<const char*>(result.hand_offs.data()),
                                                      result.hand_offs.size() * sizeof(uint16_t)));
  const ResultRecord record{result.progress, result.faults, result.operations, result.fault_counts};
  SendRecord(RecordKind::kResult, absl::string_view(reinterpret_cast<const char*>(&record), sizeof(record)));
}

}  // namespace

void InitializeSeedLog(const Detail& detail) {
  absl::InitializeLog();
  absl::SetStderrThreshold(static_cast<absl::LogSeverityAtLeast>(detail.stderr_threshold));
  absl::SetMinLogLevel(static_cast<absl::LogSeverityAtLeast>(detail.min_log_level));
  absl::SetGlobalVLogLevel(detail.verbosity);
}

void RunSeedAndExit(const Command& command, bool disturbed) {
  ArrangeDescriptors(command);
  if (disturbed) ChooseProcessor(command.slot);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);  // A core of each failing seed would cost seconds and fill the disk.
  InitializeSeedLog(command.detail);
  ReportCrashes();
  ListenToExpectations();
  ListenToFatalMessages();
  EnterFolder(command.seed, disturbed);
  sim::Rehearsal::Allow(&Mute);
  sim::TrapSystemCalls(sim::TrapScope::kSeed);
  if (disturbed) PaintStack();
  RunSeed(command);
  if (&__lsan_do_recoverable_leak_check != nullptr && __lsan_do_recoverable_leak_check() != 0) {
    SendRecord(RecordKind::kFailure, "memory leaked, see the output");
  }
  if (g_sanitizer_reported) SendRecord(RecordKind::kFailure, "a sanitizer reported, see the output");
  fflush(nullptr);
  _exit(0);
}

}  // namespace tandem::testing

void __tsan_on_report(void* /*report*/) { tandem::testing::g_sanitizer_reported = true; }
void __ubsan_on_report() { tandem::testing::g_sanitizer_reported = true; }
