// SPDX-License-Identifier: Apache-2.0
//
// What keeps the clocks, the randomness and the threads of the machine out of a simulated world.
//
// A binary that links this library (it is `alwayslink`) defines clock_gettime, getrandom, pthread_create and the
// others of interpose.cc itself, so calls of the program and of libstdc++ land here. What they do depends on the
// mode of the process:
//
//   before anything is said    time stands still at the fixed epoch, randomness is a fixed stream;
//   after UseRealMachine()     everything is real: the parent of a seed run, and benchmarks;
//   inside EnterWorld()        time and randomness come from the world; what it cannot serve fails by name.
//
// Not caught: calls that libc makes inside itself (mkstemp, tmpfile), raw system calls, vfork() and clone(), the
// processor's own time stamp counter, waits on condition variables (where nobody else runs they never end: the wall
// limit of a seed), and a libstdc++ that was linked statically (the definitions clash there).
//
// The modes belong to the process. Switch them only while it has one thread; the real mode itself may be used from
// any thread.

#ifndef TANDEM_SIM_PROCESS_INTERPOSE_INTERPOSE_H_
#define TANDEM_SIM_PROCESS_INTERPOSE_INTERPOSE_H_

#include <cstdint>

namespace tandem::sim {

// The time that the clocks show outside a world: 2030-01-01T00:00:00Z, and a monotonic clock at zero. A world that
// starts at these two never shows a clock going back.
inline constexpr int64_t kEpochRealtimeNs = 1'893'456'000 * int64_t{1'000'000'000};
inline constexpr int64_t kEpochMonotonicNs = 0;

// What a world serves. The functions answer for the host that runs at this moment. They must not allocate, log, or
// call anything that ends up in an intercepted function.
struct WorldHooks {
  void* context;
  int64_t (*realtime_ns)(void* context);   // With the host's offset and steps.
  int64_t (*monotonic_ns)(void* context);  // Without them; never goes back.
  uint64_t (*random)(void* context);       // The next draw of the host's own stream.
  // Blocking work sleeps: its clocks show later times from now on. False when no blocking work runs. Null: none does.
  bool (*sleep)(void* context, int64_t ns) = nullptr;
};

// Lets every call through to the machine until the process ends or enters a world.
void UseRealMachine();

// Serves every call from `hooks`, which stays valid until LeaveWorld(). Worlds do not nest (CHECK).
void EnterWorld(const WorldHooks& hooks);

// Returns to the mode that was there before EnterWorld().
void LeaveWorld();

// The machine's monotonic clock, in every mode: for benchmarks and wall limits, never for anything that a run shows.
int64_t RealNow();

// The calls that are intercepted. Each family counts together: kOpen is open, openat, fopen, freopen and their other
// names; kPoll is poll, select and epoll_wait and their variants; kFork is fork, posix_spawn, system and popen.
enum class InterposedCall {
  kClockGettime,
  kGettimeofday,
  kTime,
  kTimespecGet,
  kClock,
  kTimes,
  kGetrusage,
  kGetrandom,
  kGetentropy,
  kArc4random,
  kRandomDevice,
  kRand,
  kNanosleep,
  kClockNanosleep,
  kUsleep,
  kSleep,
  kPoll,
  kPthreadCreate,
  kFork,
  kOpen,
  kSocket,
  kConnect,
  kGetaddrinfo,
  kCount,
};

// How many calls were intercepted so far.
uint64_t InterposedCallCountForTest(InterposedCall call);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_PROCESS_INTERPOSE_INTERPOSE_H_
