// SPDX-License-Identifier: Apache-2.0
//
// The modes of the process, and what a world's hooks answer.

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/log/check.h"
#include "absl/log/log.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/sim/process/interpose/calls.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/process/interpose/table.h"
#include "tandem/sim/process/interpose/trap.h"

// The one place from which a system call passes the filter: it is told by the address behind the instruction.
asm(R"(
  .pushsection .text
  .globl tandem_system_call
  .hidden tandem_system_call
  .type tandem_system_call, @function
tandem_system_call:
  .cfi_startproc
  movq %rdi, %rax
  movq %rsi, %rdi
  movq %rdx, %rsi
  movq %rcx, %rdx
  movq %r8, %r10
  movq %r9, %r8
  movq 8(%rsp), %r9
  syscall
  .globl tandem_system_call_passed
  .hidden tandem_system_call_passed
tandem_system_call_passed:
  ret
  .cfi_endproc
  .size tandem_system_call, . - tandem_system_call
  .popsection
)");

namespace tandem::sim {
namespace interpose {
namespace {

constinit std::atomic<Mode> g_mode{Mode::kEpoch};
constinit Mode g_mode_outside_world = Mode::kEpoch;
constinit const WorldHooks* g_hooks = nullptr;
constinit std::atomic<bool> g_failed{false};
constinit bool g_unobserved = false;
constinit std::atomic<uint64_t> g_epoch_draws{0};
constinit std::atomic<uint64_t> g_call_counts[static_cast<size_t>(Served::kCount)] = {};

constexpr const char* kServedNames[] = {
#define TANDEM_SERVED(symbol, family, how) #symbol,
#include "tandem/sim/process/interpose/symbols.inc"
};

bool IsRealtime(clockid_t clock) {
  return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

uint64_t SplitMix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

Unobserved::Unobserved() : before_(std::exchange(g_unobserved, true)) {}

Unobserved::~Unobserved() { g_unobserved = before_; }

Mode Intercept(Served call) {
  g_call_counts[static_cast<size_t>(call)].fetch_add(1, std::memory_order_relaxed);
  const Mode mode = g_mode.load(std::memory_order_relaxed);
  if (mode == Mode::kWorld && g_hooks->called != nullptr && !g_unobserved && IsInWorld()) {
    const Unobserved unobserved;
    g_hooks->called(g_hooks->context, static_cast<int>(call));
  }
  return mode;
}

Mode InterceptForMachine(Served call) {
  const Mode mode = Intercept(call);
  return mode == Mode::kWorld && !IsInWorld() ? Mode::kReal : mode;
}

bool IsInWorld() {
  return g_mode.load(std::memory_order_relaxed) == Mode::kWorld && !g_failed.load(std::memory_order_relaxed) &&
         !CrashReportHasBegun();
}

const WorldHooks& Hooks() { return *g_hooks; }

void FailByName(const char* call, const char* instead) {
  g_failed.store(true, std::memory_order_relaxed);
  AllowTimeStampCounter(true);
  LOG(FATAL) << call << " was called in a simulated world: " << instead;
}

void FailServed(Served call) {
  const char* const name = kServedNames[static_cast<size_t>(call)];
  for (const CallEntry& entry : CallTable()) {
    if (entry.number >= 0 || strcmp(entry.name, name) != 0) continue;
    char text[64];
    strncpy(text, name, sizeof(text) - 3);
    text[sizeof(text) - 3] = '\0';
    FailByName(strcat(text, "()"), entry.text);
  }
  FailByName(name, "it is not in the table");
}

long SetErrno(long answer) {
  constexpr long kLastErrno = 4095;
  if (answer >= 0 || answer < -kLastErrno) return answer;
  errno = static_cast<int>(-answer);
  return -1;
}

// CPU time clocks are the monotonic one: simulated code takes no time of its own.
int64_t SimulatedClockNs(Mode mode, clockid_t clock) {
  if (mode == Mode::kEpoch) return IsRealtime(clock) ? kEpochRealtimeNs : kEpochMonotonicNs;
  return IsRealtime(clock) ? g_hooks->realtime_ns(g_hooks->context) : g_hooks->monotonic_ns(g_hooks->context);
}

timespec ToTimespec(int64_t ns) {
  // Rounds down, so that the nanoseconds are never negative.
  int64_t seconds = ns / kNsPerSecond;
  if (ns % kNsPerSecond < 0) --seconds;
  return timespec{.tv_sec = seconds, .tv_nsec = ns - seconds * kNsPerSecond};
}

timespec ReadClock(Mode mode, clockid_t clock) {
  if (mode != Mode::kReal) return ToTimespec(SimulatedClockNs(mode, clock));
  timespec now{};
  AskMachine(SYS_clock_gettime, clock, &now);
  return now;
}

uint64_t Draw(Mode mode) {
  switch (mode) {
    case Mode::kEpoch:
      return SplitMix64(g_epoch_draws.fetch_add(1, std::memory_order_relaxed));
    case Mode::kWorld:
      return g_hooks->random(g_hooks->context);
    case Mode::kReal:
      break;
  }
  uint64_t value;
  while (AskMachine(SYS_getrandom, &value, sizeof(value), 0) != static_cast<long>(sizeof(value))) {
    CHECK_EQ(errno, EINTR);
  }
  return value;
}

void SleepInWorld(Served call, int64_t ns) {
  const WorldHooks& hooks = Hooks();
  if (hooks.sleep == nullptr || !hooks.sleep(hooks.context, std::max<int64_t>(ns, 0))) FailServed(call);
}

void WaitInVain(Served call, clockid_t clock, const timespec* deadline) {
  const int64_t left_ns = FromTimespec(*deadline) - SimulatedClockNs(Mode::kWorld, clock);
  if (left_ns > 0) SleepInWorld(call, left_ns);
}

int HostProcessId() {
  constexpr int kDefault = 1000;
  const WorldHooks& hooks = Hooks();
  return hooks.process_id != nullptr ? hooks.process_id(hooks.context) : kDefault;
}

const char* HostName() {
  const WorldHooks& hooks = Hooks();
  return hooks.host_name != nullptr ? hooks.host_name(hooks.context) : "sim";
}

}  // namespace interpose

using interpose::Mode;

void UseRealMachine() {
  CHECK(interpose::g_mode.load(std::memory_order_relaxed) != Mode::kWorld);
  interpose::g_mode.store(Mode::kReal, std::memory_order_relaxed);
}

void EnterWorld(const WorldHooks& hooks) {
  // Worlds do not nest: which of two clocks would a call see?
  CHECK(interpose::g_hooks == nullptr) << "there is a simulated world in this process already";
  interpose::g_hooks = &hooks;
  interpose::g_mode_outside_world = interpose::g_mode.load(std::memory_order_relaxed);
  interpose::g_mode.store(Mode::kWorld, std::memory_order_relaxed);
  interpose::AllowTimeStampCounter(false);
}

void LeaveWorld() {
  CHECK(interpose::g_hooks != nullptr);
  interpose::AllowTimeStampCounter(true);
  interpose::g_mode.store(interpose::g_mode_outside_world, std::memory_order_relaxed);
  interpose::g_hooks = nullptr;
}

int64_t RealNow() {
  timespec now{};
  interpose::AskMachine(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return interpose::FromTimespec(now);
}

int64_t RealProcessorTime() {
  timespec time{};
  interpose::AskMachine(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &time);
  return interpose::FromTimespec(time);
}

const char* InterposedCallName(int call) { return interpose::kServedNames[call]; }

uint64_t InterposedCallCountForTest(const char* name) {
  size_t index = 0;
  while (index < static_cast<size_t>(interpose::Served::kCount) && strcmp(interpose::kServedNames[index], name) != 0) {
    ++index;
  }
  CHECK_LT(index, static_cast<size_t>(interpose::Served::kCount)) << name;
  return interpose::g_call_counts[index].load(std::memory_order_relaxed);
}

}  // namespace tandem::sim
