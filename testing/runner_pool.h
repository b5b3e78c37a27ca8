// SPDX-License-Identifier: Apache-2.0
//
// The parent's side of one zygote: starts seeds in its slots and collects what became of them.

#ifndef TANDEM_TESTING_RUNNER_POOL_H_
#define TANDEM_TESTING_RUNNER_POOL_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tandem/testing/runner_assertions.h"
#include "tandem/testing/runner_protocol.h"

namespace tandem::testing {

// What became of one seed.
struct SeedOutcome {
  uint64_t seed = 0;
  bool failed = false;
  bool skipped = false;
  bool ended = false;    // By itself: there is a result.
  bool stopped = false;  // It did not end, and was stopped wherever it was.
  bool cut_off = false;  // By the end of the whole run (StopSignal()): nothing is known of it.
  bool differs = false;  // From another run of the seed.
  int64_t wall_ns = 0;   // How long it ran, in real time.
  std::string death;     // How it ended if not by itself: by a signal, or an exit.
  std::string message;   // Why it failed or was skipped.
  std::string output;    // What it printed: the beginning and the end, if it was much.
  ResultRecord result{};
  std::string place;      // Where it has failed first, and by which error; empty where nobody has said so.
  std::string scenario;   // SeedResult::scenario, of seeds that failed and ended, or were asked.
  std::string steps;      // SeedResult::steps, likewise.
  std::string decisions;  // SeedResult::decisions, likewise.
  std::vector<uint16_t> hand_offs;
  std::vector<AssertionCount> assertions;
};

// What to run.
struct SeedRun {
  uint32_t test = 0;
  uint64_t seed = 1;
  uint64_t max_events = 0;
  TraceKind trace = TraceKind::kNone;
  bool details = false;  // As SeedOptions::details.
  uint64_t stack_at = kNoStack;
  uint64_t tells_at = kNotTold;
  RecordedWindow window;          // As SeedOptions::window.
  bool counts_decisions = false;  // As SeedOptions::counts_decisions.
  bool ends_at_failure = false;   // As SeedOptions::ends_at_failure.
  std::string scenario;           // What happens instead of what the seed draws; empty: nothing instead.
};

// Keeps the beginning and the end of a text of any length.
class HeadAndTail {
 public:
  void Append(const char* data, size_t size);
  std::string Take();

 private:
  std::string head_;
  std::string tail_;
  uint64_t dropped_ = 0;
};

// Thread-compatible. Dropping it ends the zygote and all its children.
//
// A seed may kill its zygote, and all others die with it. Then there is a new zygote, and each seed that ran runs
// again, alone: a zygote that dies of one seed costs that seed only.
class SeedPool {
 public:
  struct Options {
    uint32_t slots = 1;
    bool randomize_addresses = false;
    bool disturb = false;       // What a program must not depend on is other than it would be.
    int trace_fd = -1;          // Where traced seeds write.
    int64_t wall_limit_ns = 0;  // Of each seed, in real time.
    Detail detail;
    bool echo_output = false;  // Whether what seeds print also goes to standard error at once.
  };

  // Starts the zygote. Errors are those of the machine: no memory, no processes, no descriptors left.
  static absl::StatusOr<std::unique_ptr<SeedPool>> Start(const Options& options);
  ~SeedPool();
  SeedPool(const SeedPool&) = delete;
  SeedPool& operator=(const SeedPool&) = delete;

  bool has_fixed_addresses() const { return fixed_addresses_; }
  int64_t wall_limit_ns() const { return options_.wall_limit_ns; }
  bool HasFreeSlot() const { return suspects_.empty() && taken_ < slots_.size(); }

  // Starts a seed in a free slot (CHECK).
  void Begin(const SeedRun& run);

  // Waits until a running seed ends, and returns what became of it; nothing when `timeout_ns` passed before. Once there
  // is a StopSignal(), running seeds are killed.
  std::optional<SeedOutcome> Next(int64_t timeout_ns);

  // Runs a seed to its end. REQUIRES that no other runs.
  SeedOutcome RunAlone(const SeedRun& run);

 private:
  struct Slot {
    int report_fd = -1;
    int output_fd = -1;
    int scenario_fd = -1;
    int assertion_fd = -1;
    bool taken = false;    // By a seed that has not ended,
    bool started = false;  // that the zygote was told to run,
    Command command{};     // in these words,
    std::string scenario;  // with this scenario.
    int64_t start_ns = 0;
    int stops = 0;         // How often it was asked to stop.
    bool cut_off = false;  // By the end of the whole run.
    std::string report;
    HeadAndTail output;
  };

  explicit SeedPool(const Options& options) : options_(options), slots_(options.slots) {}

  // Starts a zygote, with pipes of its own: what an earlier one's children wrote is lost.
  absl::Status StartZygote();
  absl::Status AwaitReady();
  void CloseDescriptors();
  bool Send(const Command& command);
  void StartSlot(uint32_t index);
  void Wait(int64_t timeout_ns);
  void Drain(Slot& slot);
  void DrainAll();
  void ReadEvents();
  void StopLateSeeds();
  void SignalSeed(uint32_t slot, int signal_number);
  void EndSlot(uint32_t index, const std::string& death);
  void ZygoteDied();

  const Options options_;
  std::vector<Slot> slots_;
  uint32_t taken_ = 0;
  std::vector<uint32_t> suspects_;  // Slots whose zygote died, not by their own doing only; they run one by one.
  std::vector<SeedOutcome> ended_;
  pid_t zygote_ = 0;
  int command_fd_ = -1;
  int event_fd_ = -1;
  bool fixed_addresses_ = false;
  bool alive_ = false;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_POOL_H_
