// SPDX-License-Identifier: Apache-2.0
//
// What parent, zygote and children say to each other, and over which descriptors.
//
// The parent sends Commands to the zygote and receives Events. A running seed has a slot, and each slot two pipes from
// its children to the parent, one for Records, one for what the child prints, a file with the scenario of the seed, and
// one that its assertions count in.
// Messages are below PIPE_BUF or have one writer, so none is torn.

#ifndef TANDEM_TESTING_RUNNER_PROTOCOL_H_
#define TANDEM_TESTING_RUNNER_PROTOCOL_H_

#include <cstdint>

#include "tandem/sim/process/reexec.h"
#include "tandem/testing/runner.h"

namespace tandem::testing {

// A parent polls two descriptors per slot; more children than this have no use.
inline constexpr uint32_t kMaxSlots = 64;

// The descriptors of the zygote.
inline constexpr int kCommandDescriptor = sim::kFirstCleanDescriptor;
inline constexpr int kEventDescriptor = kCommandDescriptor + 1;
inline constexpr int kTraceDescriptor = kCommandDescriptor + 2;
constexpr int ReportDescriptor(uint32_t slot) { return kCommandDescriptor + 3 + 4 * static_cast<int>(slot); }
constexpr int OutputDescriptor(uint32_t slot) { return ReportDescriptor(slot) + 1; }
constexpr int ScenarioDescriptor(uint32_t slot) { return ReportDescriptor(slot) + 2; }
constexpr int AssertionDescriptor(uint32_t slot) { return ReportDescriptor(slot) + 3; }

// The descriptors of a child, which are the same in every slot. 3 and up are free for the test.
inline constexpr int kChildReportDescriptor = ReportDescriptor(kMaxSlots);
inline constexpr int kChildTraceDescriptor = kChildReportDescriptor + 1;

// What the place of a failed CHECK or a LOG(FATAL) ends with; that of an expectation does not.
inline constexpr char kFatalPlace[] = ": a fatal message";

// The configuration of a zygote whose seeds are disturbed (sim::CleanProcessOptions); that of others is empty.
inline constexpr char kDisturbedConfiguration[] = "disturbed";

// Each seed has a folder of its own, of this name and its number, below the caller's TEST_TMPDIR. The second is that of
// a disturbed seed: as long, since no address may change by it.
inline constexpr char kSeedFolder[] = "seed-";
inline constexpr char kDisturbedFolder[] = "twin-";
static_assert(sizeof(kSeedFolder) == sizeof(kDisturbedFolder));
// What the name of the folder of its rehearsal has in addition.
inline constexpr char kRehearsalFolder[] = "-rehearsal";

enum class CommandKind : uint32_t { kRun, kSignal };

enum class TraceKind : uint32_t {
  kNone,
  kEvents,     // For people.
  kRecords,    // For comparing two runs.
  kRecording,  // For a report (sim/report/recorder.h).
  kCount,      // How many records there are so far, in place: for who outlives the seed.
};

// How much of a seed is looked at and shown.
struct Detail {
  uint32_t all_faults = 0;       // Of a failure: 0 shows a screen of its faults.
  uint32_t isolation = 0;        // As SeedOptions::isolation.
  int32_t stderr_threshold = 0;  // Of LOG(), as the flags by these names.
  int32_t min_log_level = 0;
  int32_t verbosity = 0;
};

struct Command {
  CommandKind kind;
  uint32_t slot;
  int32_t signal;  // kSignal: sent to the child of the slot, if it still runs.
  uint32_t test;   // kRun, as the following.
  uint64_t seed;
  uint64_t max_events;
  TraceKind trace;
  uint32_t details;       // As SeedOptions::details.
  uint64_t stack_at;      // As SeedOptions::stack_at; kNoStack: nowhere.
  uint64_t tells_at;      // As SeedOptions::tells_at; kNotTold: nowhere.
  RecordedWindow window;  // As SeedOptions::window.
  Detail detail;
  uint32_t counts_decisions;  // As SeedOptions::counts_decisions.
  uint32_t ends_at_failure;   // As SeedOptions::ends_at_failure.
};

inline constexpr uint64_t kNoStack = ~uint64_t{0};
inline constexpr uint64_t kNotTold = ~uint64_t{0};

enum class EventKind : uint32_t {
  kReady,       // `value` is the sim::AddressLayout.
  kEnded,       // `value` is the wait status of the child.
  kForkFailed,  // `value` is the errno.
};

struct Event {
  EventKind kind;
  uint32_t slot;
  int32_t value;
};

enum class RecordKind : uint32_t {
  kFailure,    // Text. Any number of them.
  kPlace,      // Text: where it has failed, which expectation, and by which error. The first counts.
  kScenario,   // Text, once, of a seed that failed or was asked: SeedResult::scenario.
  kSteps,      // Text, likewise: SeedResult::steps.
  kDecisions,  // Text, likewise: SeedResult::decisions.
  kSkip,       // Text.
  kHandOffs,   // SeedResult::hand_offs, once.
  kResult,     // A ResultRecord, once, at the end.
  kProgress,   // A SeedProgress, in place of a result: the seed crashes or exits.
};

struct RecordHeader {
  RecordKind kind;
  uint32_t bytes;  // Of what follows.
};

struct ResultRecord {
  SeedProgress progress;
  uint64_t faults;
  uint64_t operations;
  FaultCounts fault_counts;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_PROTOCOL_H_
