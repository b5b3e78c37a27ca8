// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/process/reexec.h"
#include "tandem/testing/runner_output.h"
#include "tandem/testing/runner_protocol.h"
#include "tandem/testing/runner_stop.h"

namespace tandem::testing {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kNsPerSecond = 1'000'000'000;

// A late seed gets SIGABRT, which prints where it loops, and this long to do so; then SIGKILL.
constexpr int64_t kAbortGraceNs = 5 * kNsPerSecond;

// Of a seed's records, whose texts are short (runner_seed.cc): what a test writes there itself is dropped.
constexpr size_t kMaxReportBytes = 16 << 20;

constexpr size_t kHeadBytes = 16 << 10;
constexpr size_t kTailBytes = 16 << 10;

struct Pipe {
  int read_fd = -1;
  int write_fd = -1;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  return Pipe{fds[0], fds[1]};
}

// Only the parent's end: the children share theirs and write without haste.
void SetNonBlocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

std::string DescribeDeath(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("ended by SIG", sigabbrev_np(WTERMSIG(status)), " (", sigdescr_np(WTERMSIG(status)), ")");
  }
  if (WEXITSTATUS(status) != 0) return absl::StrCat("exited with status ", WEXITSTATUS(status));
  return "";
}

// The failures and the result among the records of a seed.
void ParseReport(absl::string_view report, SeedOutcome& outcome) {
  RecordHeader header;
  while (report.size() >= sizeof(header)) {
    memcpy(&header, report.data(), sizeof(header));
    report.remove_prefix(sizeof(header));
    const absl::string_view payload = report.substr(0, header.bytes);  // A crash or the limit may cut the last one.
    report.remove_prefix(payload.size());
    switch (header.kind) {
      case RecordKind::kFailure:
        outcome.failed = true;
        absl::StrAppend(&outcome.message, payload, "\n");
        break;
      case RecordKind::kSkip:
        outcome.skipped = true;
        absl::StrAppend(&outcome.message, payload, "\n");
        break;
      case RecordKind::kPlace:
        if (outcome.place.empty()) outcome.place = std::string(payload);
        break;
      case RecordKind::kScenario:
        outcome.scenario = std::string(payload);
        break;
      case RecordKind::kSteps:
        outcome.steps = std::string(payload);
        break;
      case RecordKind::kDecisions:
        outcome.decisions = std::string(payload);
        break;
      case RecordKind::kHandOffs:
        outcome.hand_offs.resize(payload.size() / sizeof(uint16_t));
        if (!payload.empty())
          memcpy(outcome.hand_offs.data(), payload.data(), outcome.hand_offs.size() * sizeof(uint16_t));
        break;
      case RecordKind::kResult:
        if (payload.size() != sizeof(outcome.result)) break;
        memcpy(&outcome.result, payload.data(), sizeof(outcome.result));
        outcome.ended = true;
        break;
      case RecordKind::kProgress:
        if (payload.size() == sizeof(SeedProgress)) memcpy(&outcome.result.progress, payload.data(), payload.size());
        break;
    }
  }
}

// From the stack that a seed prints when it is stopped.
absl::string_view WhyItDoesNotEnd(absl::string_view output) {
  for (const absl::string_view call : {"lll_lock_wait", "pthread_mutex_", "pthread_rwlock_", "sem_wait"}) {
    if (absl::StrContains(output, call)) {
      return "it is blocked on a lock of the machine (std::mutex?), and there is no other thread to give it back";
    }
  }
  for (const absl::string_view call : {"pthread_cond_", "futex_"}) {
    if (absl::StrContains(output, call)) return "it is blocked on what another thread would do, and there is none";
  }
  return "a loop that never awaits?";
}

// What the seed left in its folder (runner_seed.cc makes it).
void RemoveSeedFolder(uint64_t seed, bool disturbed) {
  const char* const folder = getenv("TEST_TMPDIR");
  if (folder == nullptr) return;
  const std::string path = absl::StrCat(folder, "/", disturbed ? kDisturbedFolder : kSeedFolder, seed);
  std::error_code ignored;  // What cannot be removed has done no harm yet.
  std::filesystem::remove_all(path, ignored);
  std::filesystem::remove_all(path + kRehearsalFolder, ignored);
}

}  // namespace

void HeadAndTail::Append(const char* data, size_t size) {
  const size_t to_head = std::min(size, kHeadBytes - std::min(head_.size(), kHeadBytes));
  head_.append(data, to_head);
  tail_.append(data + to_head, size - to_head);
  if (tail_.size() > 2 * kTailBytes) {
    dropped_ += tail_.size() - kTailBytes;
    tail_.erase(0, tail_.size() - kTailBytes);
  }
}

std::string HeadAndTail::Take() {
  std::string text = std::move(head_);
  if (dropped_ > 0) absl::StrAppend(&text, "\n[... ", dropped_, " bytes left out ...]\n");
  text += tail_;
  *this = HeadAndTail();
  return text;
}

absl::StatusOr<std::unique_ptr<SeedPool>> SeedPool::Start(const Options& options) {
  CHECK(options.slots > 0 && options.slots <= kMaxSlots);
  auto pool = absl::WrapUnique(new SeedPool(options));
  absl::Status status = pool->StartZygote();
  if (!status.ok()) return status;
  return pool;
}

SeedPool::~SeedPool() {
  CloseDescriptors();
  if (zygote_ > 0) waitpid(zygote_, nullptr, 0);
}

void SeedPool::CloseDescriptors() {
  const auto close_one = [](int& fd) {
    if (fd >= 0) close(std::exchange(fd, -1));
  };
  close_one(command_fd_);
  close_one(event_fd_);
  for (Slot& slot : slots_) {
    close_one(slot.report_fd);
    close_one(slot.output_fd);
    close_one(slot.scenario_fd);
    close_one(slot.assertion_fd);
  }
}

absl::Status SeedPool::StartZygote() {
  CloseDescriptors();
  sim::CleanProcessOptions clean;
  clean.randomize_addresses = options_.randomize_addresses;
  clean.disturb = options_.disturb;
  if (options_.disturb) clean.configuration = kDisturbedConfiguration;
  absl::StatusOr<Pipe> commands = MakePipe();
  if (!commands.ok()) return commands.status();
  command_fd_ = commands->write_fd;
  absl::StatusOr<Pipe> events = MakePipe();
  if (!events.ok()) return events.status();
  event_fd_ = events->read_fd;
  SetNonBlocking(event_fd_);
  const int trace = options_.trace_fd >= 0 ? dup(options_.trace_fd) : open("/dev/null", O_WRONLY | O_CLOEXEC);
  clean.descriptors = {commands->read_fd, events->write_fd, trace};
  for (Slot& slot : slots_) {
    absl::StatusOr<Pipe> report = MakePipe();
    if (!report.ok()) return report.status();
    absl::StatusOr<Pipe> output = MakePipe();
    if (!output.ok()) return output.status();
    slot.report_fd = report->read_fd;
    slot.output_fd = output->read_fd;
    slot.scenario_fd = memfd_create("scenario", MFD_CLOEXEC);
    slot.assertion_fd = memfd_create("assertions", MFD_CLOEXEC);
    if (slot.scenario_fd < 0 || slot.assertion_fd < 0) return absl::ErrnoToStatus(errno, "memfd_create");
    SetNonBlocking(slot.report_fd);
    SetNonBlocking(slot.output_fd);
    clean.descriptors.push_back(report->write_fd);
    clean.descriptors.push_back(output->write_fd);
    clean.descriptors.push_back(dup(slot.scenario_fd));
    clean.descriptors.push_back(dup(slot.assertion_fd));
  }
  absl::StatusOr<pid_t> zygote = sim::StartCleanProcess(clean);
  for (const int fd : clean.descriptors) close(fd);
  if (!zygote.ok()) return zygote.status();
  zygote_ = *zygote;
  return AwaitReady();
}

absl::Status SeedPool::AwaitReady() {
  constexpr int kStartLimitMs = 120'000;  // A loaded machine and a large binary under a sanitizer.
  pollfd wait{event_fd_, POLLIN, 0};
  int ready;
  do {
    ready = poll(&wait, 1, kStartLimitMs);
  } while (ready < 0 && errno == EINTR);
  Event event;
  if (ready != 1 || read(event_fd_, &event, sizeof(event)) != static_cast<ssize_t>(sizeof(event)) ||
      event.kind != EventKind::kReady) {
    kill(zygote_, SIGKILL);
    return absl::UnavailableError("the zygote process did not start (is /proc mounted?)");
  }
  fixed_addresses_ = static_cast<sim::AddressLayout>(event.value) == sim::AddressLayout::kFixed;
  alive_ = true;
  return absl::OkStatus();
}

// False if the zygote is dead, which ReadEvents() will see.
bool SeedPool::Send(const Command& command) {
  return write(command_fd_, &command, sizeof(command)) == static_cast<ssize_t>(sizeof(command));
}

void SeedPool::Begin(const SeedRun& run) {
  CHECK(HasFreeSlot());
  uint32_t index = 0;
  while (slots_[index].taken) ++index;
  Slot& slot = slots_[index];
  slot.taken = true;
  ++taken_;
  slot.command = Command{};
  slot.command.kind = CommandKind::kRun;
  slot.command.slot = index;
  slot.command.test = run.test;
  slot.command.seed = run.seed;
  slot.command.max_events = run.max_events;
  slot.command.trace = run.trace;
  slot.command.details = run.details ? 1 : 0;
  slot.command.counts_decisions = run.counts_decisions ? 1 : 0;
  slot.command.ends_at_failure = run.ends_at_failure ? 1 : 0;
  slot.command.stack_at = run.stack_at;
  slot.command.tells_at = run.tells_at;
  slot.command.window = run.window;
  slot.command.detail = options_.detail;
  slot.scenario = run.scenario;
  if (alive_) {
    StartSlot(index);
  } else {
    EndSlot(index, "there is no zygote process to run in");
  }
}

void SeedPool::StartSlot(uint32_t index) {
  Slot& slot = slots_[index];
  slot.stops = 0;
  slot.cut_off = false;
  slot.start_ns = sim::RealNow();
  // The child maps it.
  CHECK_EQ(ftruncate(slot.scenario_fd, 0), 0);
  CHECK_EQ(lseek(slot.scenario_fd, 0, SEEK_SET), 0);
  WriteFully(slot.scenario_fd, slot.scenario.data(), slot.scenario.size());
  // So do its assertions, which count from zero.
  CHECK_EQ(ftruncate(slot.assertion_fd, 0), 0);
  CHECK_EQ(ftruncate(slot.assertion_fd, static_cast<off_t>(AssertionBytes())), 0);
  slot.started = Send(slot.command);
}

std::optional<SeedOutcome> SeedPool::Next(int64_t timeout_ns) {
  const int64_t deadline_ns = sim::RealNow() + timeout_ns;
  while (ended_.empty()) {
    const int64_t left_ns = deadline_ns - sim::RealNow();
    if (left_ns <= 0) return std::nullopt;
    if (!suspects_.empty() && !slots_[suspects_.back()].started) StartSlot(suspects_.back());
    Wait(left_ns);
    DrainAll();
    ReadEvents();
    StopLateSeeds();
  }
  SeedOutcome outcome = std::move(ended_.back());
  ended_.pop_back();
  return outcome;
}

SeedOutcome SeedPool::RunAlone(const SeedRun& run) {
  Begin(run);
  std::optional<SeedOutcome> outcome;
  while (!outcome.has_value()) outcome = Next(kNsPerSecond);
  return *std::move(outcome);
}

// Waits for any descriptor, until the time is up or the next seed is late.
void SeedPool::Wait(int64_t timeout_ns) {
  constexpr int64_t kLateCheckNs = 250 * kNsPerMs;
  std::vector<pollfd> waits = {{event_fd_, POLLIN, 0}};
  for (const Slot& slot : slots_) {
    if (!slot.started) continue;
    waits.push_back({slot.report_fd, POLLIN, 0});
    waits.push_back({slot.output_fd, POLLIN, 0});
  }
  const int64_t wait_ms = std::min(timeout_ns, kLateCheckNs) / kNsPerMs + 1;
  poll(waits.data(), waits.size(), static_cast<int>(wait_ms));
}

void SeedPool::Drain(Slot& slot) {
  char chunk[16 << 10];
  ssize_t count;
  while ((count = read(slot.report_fd, chunk, sizeof(chunk))) > 0) {
    slot.report.append(chunk, std::min(static_cast<size_t>(count), kMaxReportBytes - slot.report.size()));
  }
  // One seed that prints without end must not keep the others waiting.
  constexpr int kChunksPerTurn = 64;
  for (int i = 0; i < kChunksPerTurn; ++i) {
    count = read(slot.output_fd, chunk, sizeof(chunk));
    if (count <= 0) break;
    slot.output.Append(chunk, static_cast<size_t>(count));
    if (options_.echo_output) WriteFully(STDERR_FILENO, chunk, static_cast<size_t>(count));
  }
}

void SeedPool::DrainAll() {
  for (Slot& slot : slots_) {
    if (slot.started) Drain(slot);
  }
}

void SeedPool::ReadEvents() {
  Event event;
  ssize_t count;
  while ((count = read(event_fd_, &event, sizeof(event))) == static_cast<ssize_t>(sizeof(event))) {
    Drain(slots_[event.slot]);  // What the child wrote before it ended: at most what a pipe holds.
    if (event.kind == EventKind::kForkFailed) {
      EndSlot(event.slot, absl::StrCat("the zygote could not fork: ", strerror(event.value)));
    } else if (event.kind == EventKind::kEnded) {
      EndSlot(event.slot, DescribeDeath(event.value));
    }
  }
  if (count == 0 && alive_) ZygoteDied();
}

void SeedPool::StopLateSeeds() {
  const int64_t now_ns = sim::RealNow();
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.started) continue;
    if (StopSignal() != 0) {
      if (!std::exchange(slot.cut_off, true)) SignalSeed(i, SIGKILL);
      continue;
    }
    const int64_t limit_ns = options_.wall_limit_ns + slot.stops * kAbortGraceNs;
    if (now_ns - slot.start_ns < limit_ns) continue;
    SignalSeed(i, slot.stops == 0 ? SIGABRT : SIGKILL);
    ++slot.stops;
  }
}

void SeedPool::SignalSeed(uint32_t slot, int signal_number) {
  Command command{};
  command.kind = CommandKind::kSignal;
  command.slot = slot;
  command.signal = signal_number;
  Send(command);
}

// `death` is empty if the child ended by itself, without an error.
void SeedPool::EndSlot(uint32_t index, const std::string& death) {
  Slot& slot = slots_[index];
  CHECK(slot.taken);
  SeedOutcome outcome;
  outcome.seed = slot.command.seed;
  outcome.wall_ns = sim::RealNow() - slot.start_ns;
  ParseReport(slot.report, outcome);
  outcome.output = slot.output.Take();
  if (slot.assertion_fd >= 0) outcome.assertions = ReadAssertions(slot.assertion_fd);
  std::string end = death;
  outcome.cut_off = slot.cut_off && !death.empty();
  if (outcome.cut_off) {
    end = StoppedBy();
  } else if (slot.stops > 0) {
    outcome.stopped = true;
    end = absl::StrCat("no end after ", options_.wall_limit_ns / kNsPerMs,
                       " ms of real time, stopped: ", WhyItDoesNotEnd(outcome.output));
  } else if (end.empty() && !outcome.ended) {
    end = "exited before the test's end";
  }
  if (!end.empty()) {
    outcome.failed = true;
    absl::StrAppend(&outcome.message, end, "\n");
  }
  outcome.death = std::move(end);
  RemoveSeedFolder(outcome.seed, options_.disturb);
  slot.report.clear();
  slot.taken = false;
  slot.started = false;
  --taken_;
  std::erase(suspects_, index);
  ended_.push_back(std::move(outcome));
}

void SeedPool::ZygoteDied() {
  alive_ = false;
  int status = 0;
  const bool known = waitpid(zygote_, &status, 0) == zygote_;
  zygote_ = 0;
  const std::string death = absl::StrCat("the zygote process ", known ? DescribeDeath(status) : "is gone");
  const auto started = std::count_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.started; });
  suspects_.clear();
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.started && started == 1) EndSlot(i, death);
    if (!slot.taken) continue;
    RemoveSeedFolder(slot.command.seed, options_.disturb);
    slot.started = false;
    slot.report.clear();
    slot.output.Take();
    suspects_.push_back(i);
  }
  const absl::Status restarted = StartZygote();
  if (restarted.ok()) return;
  for (const uint32_t suspect : std::vector<uint32_t>(suspects_)) {
    EndSlot(suspect, absl::StrCat(death, ", and there is no other: ", restarted.message()));
  }
}

}  // namespace tandem::testing
