// SPDX-License-Identifier: Apache-2.0
//
// The clocks of the host that runs.

#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include <cstdint>

#include "tandem/sim/process/interpose/calls.h"

using ::tandem::sim::interpose::AskMachine;
using ::tandem::sim::interpose::Intercept;
using ::tandem::sim::interpose::Mode;
using ::tandem::sim::interpose::ReadClock;
using ::tandem::sim::interpose::Served;
using ::tandem::sim::interpose::SimulatedClockNs;

TANDEM_INTERPOSED int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const Mode mode = Intercept(Served::k_clock_gettime);
  if (mode == Mode::kReal) return static_cast<int>(AskMachine(SYS_clock_gettime, clock, now));
  *now = ReadClock(mode, clock);
  return 0;
}

TANDEM_INTERPOSED int gettimeofday(timeval* now, void* zone) noexcept {
  const Mode mode = Intercept(Served::k_gettimeofday);
  if (zone != nullptr) *static_cast<struct timezone*>(zone) = {};  // As glibc answers.
  const timespec time = ReadClock(mode, CLOCK_REALTIME);
  *now = timeval{.tv_sec = time.tv_sec, .tv_usec = time.tv_nsec / 1000};
  return 0;
}

TANDEM_INTERPOSED time_t time(time_t* result) noexcept {
  const time_t now = ReadClock(Intercept(Served::k_time), CLOCK_REALTIME).tv_sec;
  if (result != nullptr) *result = now;
  return now;
}

TANDEM_INTERPOSED int timespec_get(timespec* now, int base) noexcept {
  const Mode mode = Intercept(Served::k_timespec_get);
  if (base != TIME_UTC) return 0;
  *now = ReadClock(mode, CLOCK_REALTIME);
  return base;
}

TANDEM_INTERPOSED int clock_getres(clockid_t clock, timespec* resolution) noexcept {
  if (Intercept(Served::k_clock_getres) != Mode::kWorld) {
    return static_cast<int>(AskMachine(SYS_clock_getres, clock, resolution));
  }
  if (resolution != nullptr) *resolution = timespec{.tv_sec = 0, .tv_nsec = 1};
  return 0;
}

TANDEM_INTERPOSED clock_t clock() noexcept {
  // Microseconds of CPU time, as POSIX has it.
  static_assert(CLOCKS_PER_SEC == 1'000'000);
  const timespec now = ReadClock(Intercept(Served::k_clock), CLOCK_PROCESS_CPUTIME_ID);
  return now.tv_sec * CLOCKS_PER_SEC + now.tv_nsec / 1000;
}

// In a world all CPU time is the program's own.
TANDEM_INTERPOSED clock_t times(tms* used) noexcept {
  constexpr int64_t kNsPerTick = 10'000'000;  // sysconf(_SC_CLK_TCK) is 100 on Linux.
  const Mode mode = Intercept(Served::k_times);
  if (mode == Mode::kReal) return AskMachine(SYS_times, used);
  const clock_t ticks = SimulatedClockNs(mode, CLOCK_MONOTONIC) / kNsPerTick;
  if (used != nullptr) *used = tms{.tms_utime = ticks, .tms_stime = 0, .tms_cutime = 0, .tms_cstime = 0};
  return ticks;
}

TANDEM_INTERPOSED int getrusage(__rusage_who_t who, rusage* used) noexcept {
  const Mode mode = Intercept(Served::k_getrusage);
  if (mode == Mode::kReal) return static_cast<int>(AskMachine(SYS_getrusage, who, used));
  const timespec now = ReadClock(mode, CLOCK_PROCESS_CPUTIME_ID);
  memset(used, 0, sizeof(*used));
  used->ru_utime = timeval{.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return 0;
}
