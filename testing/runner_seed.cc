// SPDX-License-Identifier: Apache-2.0
//
// What a child does between its fork and its _exit().

#include <errno.h>
#include <fcntl.h>
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
#include "absl/log/check.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/world/rehearsal.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_build.h"
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

constinit bool g_sanitizer_reported = false;
constinit bool g_rehearses = false;  // This process is a copy that nobody listens to.
constinit absl::string_view g_scenario;

constexpr char kFolderVariable[] = "TEST_TMPDIR=";
constinit char g_folder_variable[4096] = "";

// The copy that rehearses the seed says nothing, and leaves nothing behind where the seed would find it.
void Mute() {
  g_rehearses = true;
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
    const absl::string_view message = absl::StripPrefix(part.message(), "Failed\n");
    std::string text = absl::StrCat(place, message);
    if (part.failed()) {
      absl::StrAppend(&text, "\n");
      WriteCrashContext([&](absl::string_view more) { absl::StrAppend(&text, more); });
      text.resize(absl::StripSuffix(text, "\n").size());
    }
    SendRecord(part.skipped() ? RecordKind::kSkip : RecordKind::kFailure, text);
  }

 private:
  int reports_ = 0;
};

void ListenToExpectations() {
  ::testing::TestEventListeners& listeners = ::testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new ReportingListener);  // Owned by the list.
}

// The content of --scenario; mapped, since what is allocated depends on it.
void ReadScenario() {
  struct stat info;
  if (fstat(kScenarioDescriptor, &info) != 0 || info.st_size == 0) return;
  const auto size = static_cast<size_t>(info.st_size);
  const void* const text = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, kScenarioDescriptor, 0);
  if (text == MAP_FAILED) _exit(1);
  g_scenario = absl::string_view(static_cast<const char*>(text), size);
}

void ArrangeDescriptors(const Command& command) {
  const bool arranged = dup2(ReportDescriptor(command.slot), kChildReportDescriptor) >= 0 &&
                        dup2(OutputDescriptor(command.slot), 1) >= 0 && dup2(1, 2) >= 0 &&
                        (command.trace == TraceKind::kNone || dup2(kTraceDescriptor, kChildTraceDescriptor) >= 0);
  if (!arranged) _exit(1);
  ReadScenario();
  for (int fd = 3; fd < kChildReportDescriptor; ++fd) close(fd);
}

void ReportCrashes() {
  if (kThreadSanitizer) {
    // Its handlers die of their own report.
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) ::signal(signal, SIG_DFL);
  }
  InstallCrashReport();
}

// The seed's own folder takes the place of the one that all have. Allocates nothing: the length of its name must not
// move an address.
void EnterFolder(uint64_t seed) {
  const char* const outside = getenv("TEST_TMPDIR");
  if (outside == nullptr) return;
  char* const variable = g_folder_variable;
  snprintf(variable, sizeof(g_folder_variable), "%s%s/%s%ju", kFolderVariable, outside, kSeedFolder,
           static_cast<uintmax_t>(seed));
  if (mkdir(variable + strlen(kFolderVariable), 0777) != 0 && errno != EEXIST) return;  // Not there, or not ours.
  for (char** slot = environ; *slot != nullptr; ++slot) {
    if (strncmp(*slot, kFolderVariable, strlen(kFolderVariable)) == 0) *slot = variable;
  }
}

// Leaves bytes where variables without a value will be.
__attribute__((noinline)) void PaintStack() {
  char area[256 << 10];
  memset(area, 0x5a, sizeof(area));
  asm volatile("" : : "r"(area) : "memory");
}

void RunSeed(const Command& command) {
  SeedOptions options;
  options.seed = command.seed;
  options.max_events = command.max_events;
  options.trace_fd = command.trace != TraceKind::kNone ? kChildTraceDescriptor : -1;
  options.trace_records = command.trace == TraceKind::kRecords;
  options.scenario = g_scenario;
  options.all_faults = command.detail.all_faults != 0;
  const SeedResult result = SimTestAt(command.test).run(options);
  if (result.failed) SendRecord(RecordKind::kFailure, result.message);
  const ResultRecord record{result.digest_high, result.digest_low, result.events, result.faults, result.fault_counts};
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
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);  // A core of each failing seed would cost seconds and fill the disk.
  InitializeSeedLog(command.detail);
  ReportCrashes();
  ListenToExpectations();
  EnterFolder(command.seed);
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
