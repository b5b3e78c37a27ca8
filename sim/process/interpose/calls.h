// SPDX-License-Identifier: Apache-2.0
//
// What the definitions of the intercepted calls share. Not for anybody else.

#ifndef TANDEM_SIM_PROCESS_INTERPOSE_CALLS_H_
#define TANDEM_SIM_PROCESS_INTERPOSE_CALLS_H_

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <atomic>
#include <type_traits>

#include "absl/log/check.h"
#include "tandem/sim/process/interpose/interpose.h"

// The definitions are found before libc's because the executable comes first in the dynamic linker's search; that is
// why each has default visibility whatever the flags are, and why the library is `alwayslink`.
#define TANDEM_INTERPOSED extern "C" __attribute__((visibility("default")))

namespace tandem::sim::interpose {

inline constexpr int64_t kNsPerSecond = 1'000'000'000;

enum class Mode { kEpoch, kReal, kWorld };

// The calls that the world serves, each with a definition in this folder.
enum class Served {
#define TANDEM_SERVED(symbol, family, how) k_##symbol,
#include "tandem/sim/process/interpose/symbols.inc"
  kCount
};

// Notes the call and returns the mode that it has to be served in. The second is for calls that a report of
// a crash needs: while one is written the machine answers them.
Mode Intercept(Served call);
Mode InterceptForMachine(Served call);

// While one exists nobody is told of intercepted calls: what they are told makes calls of its own, and so do the
// runtimes of the sanitizers. In a world there is one thread.
class Unobserved {
 public:
  Unobserved();
  Unobserved(const Unobserved&) = delete;
  Unobserved& operator=(const Unobserved&) = delete;
  ~Unobserved();

 private:
  const bool before_;
};

// True within a world that has not failed yet.
bool IsInWorld();

// What the world serves; only within one.
const WorldHooks& Hooks();

// Ends the process with a stack trace. From here on the machine answers what is not served.
[[noreturn]] void FailByName(const char* call, const char* instead);
// The same, with the text of the table.
[[noreturn]] void FailServed(Served call);

// A system call past the filter of trap.h: the kernel's answer, a negative errno if it failed.
extern "C" __attribute__((visibility("hidden"))) long tandem_system_call(long number, long a, long b, long c, long d,
                                                                         long e, long f);

// As libc answers: -1, and the error in errno.
long SetErrno(long answer);

template <typename T>
long Word(T value) {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<long>(value);
  } else {
    return static_cast<long>(value);
  }
}
inline long Word(decltype(nullptr)) { return 0; }

template <typename... Arguments>
long AskMachine(long number, Arguments... arguments) {
  const long words[6] = {Word(arguments)...};
  return SetErrno(tandem_system_call(number, words[0], words[1], words[2], words[3], words[4], words[5]));
}

// The definition behind ours: the sanitizer's interceptor if there is one (it must learn about new threads and
// descriptors), else the library's.
template <typename Function>
Function FindNext(const char* name, Function interceptor) {
  if (interceptor != nullptr) return interceptor;
  // Where a function has several versions dlsym() may choose the oldest one.
  void* function = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
  if (function == nullptr) function = dlsym(RTLD_NEXT, name);
  CHECK(function != nullptr) << "no " << name << " behind the simulator's";
  return reinterpret_cast<Function>(function);
}

// The same, looked up once. It has no guard, as a static variable would: ThreadSanitizer's runtime calls sysconf()
// before it can bear one.
template <typename Function>
class NextDefinition {
 public:
  constexpr NextDefinition(const char* name, Function interceptor) : name_(name), interceptor_(interceptor) {}

  const char* name() const { return name_; }
  Function Get() {
    Function next = next_.load(std::memory_order_relaxed);
    if (next == nullptr) {
      next = FindNext(name_, interceptor_);
      next_.store(next, std::memory_order_relaxed);
    }
    return next;
  }

 private:
  const char* const name_;
  const Function interceptor_;
  std::atomic<Function> next_{nullptr};
};

// Calls the definition behind ours, given what a sanitizer has for it, or null.
#define TANDEM_NEXT_OR(symbol, interceptor, ...)                                                             \
  ([&] {                                                                                                     \
    static constinit ::tandem::sim::interpose::NextDefinition<decltype(&symbol)> next(#symbol, interceptor); \
    return next.Get()(__VA_ARGS__);                                                                          \
  }())
#define TANDEM_NEXT(symbol, ...) TANDEM_NEXT_OR(symbol, nullptr, __VA_ARGS__)

// --- Clocks and draws, in every mode ---

timespec ToTimespec(int64_t ns);
inline int64_t FromTimespec(const timespec& time) { return int64_t{time.tv_sec} * kNsPerSecond + time.tv_nsec; }

// The clocks of a host; not in the real mode.
int64_t SimulatedClockNs(Mode mode, clockid_t clock);

// The current time of `clock`, which libc knows; not for clocks that a caller chose.
timespec ReadClock(Mode mode, clockid_t clock);

uint64_t Draw(Mode mode);

// --- Waiting in a world ---

// Lets blocking work sleep; ends the seed elsewhere, by the name of `call`.
void SleepInWorld(Served call, int64_t ns);

// Waits for what cannot come, until `deadline` on `clock`.
void WaitInVain(Served call, clockid_t clock, const timespec* deadline);

// --- The host that runs ---

int HostProcessId();
const char* HostName();

}  // namespace tandem::sim::interpose

#endif  // TANDEM_SIM_PROCESS_INTERPOSE_CALLS_H_
