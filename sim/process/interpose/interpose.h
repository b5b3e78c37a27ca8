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
// Each call and what becomes of it is a row of symbols.inc, from which the refusing definitions, the self-test and the
// table in docs/simulation.md are made.
//
// Calls that do not come by these names, because libc makes them inside itself or because the program asks the kernel
// by their number, and the processor's time stamp counter, are caught by the trap (TrapSystemCalls()). What is left:
// the addresses in AT_RANDOM, rdrand and cpuid, untimed waits on locks (where nobody else runs they never end: the wall
// limit of a seed), the times and numbers of files, and a libstdc++ that was linked statically (the definitions clash).
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
  // The host that runs, as gethostname() and uname() tell it, which stays valid until the world is left. Null: "sim".
  const char* (*host_name)(void* context) = nullptr;
  // The number of the process that runs, as getpid() tells it; above 1. Null: 1000.
  int (*process_id)(void* context) = nullptr;
  // Told of each call that is intercepted, by its number. Null: nobody is.
  void (*called)(void* context, int call) = nullptr;
};

// Lets every call through to the machine until the process ends or enters a world.
void UseRealMachine();

// Serves every call from `hooks`, which stays valid until LeaveWorld(). Worlds do not nest (CHECK).
void EnterWorld(const WorldHooks& hooks);

// Returns to the mode that was there before EnterWorld().
void LeaveWorld();

// The machine's monotonic clock, in every mode: for benchmarks and wall limits, never for anything that a run shows.
int64_t RealNow();
// What the process has used of the processor so far, likewise; in nanoseconds.
int64_t RealProcessorTime();

// The function that WorldHooks::called is told of as `call`.
const char* InterposedCallName(int call);

// How many calls of a function that the world serves were intercepted so far. CHECKs that there is such a function.
uint64_t InterposedCallCountForTest(const char* name);

// The process whose system calls are trapped.
enum class TrapScope {
  kSeed,     // It ends with its world: it starts neither threads nor processes.
  kProgram,  // It may have threads before and after its world. It starts no processes after this.
};

// From now on, while a world exists, system calls of symbols.inc that come past the definitions of this library end the
// process by name, with a stack; so does the time stamp counter. For the rest of the process: the kernel takes no
// filter back. Returns false where the kernel refuses, and in a build with a sanitizer, whose runtime makes such calls
// itself. Idempotent.
bool TrapSystemCalls(TrapScope scope);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_PROCESS_INTERPOSE_INTERPOSE_H_
