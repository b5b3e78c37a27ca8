// SPDX-License-Identifier: Apache-2.0
//
// The definitions are found before libc's because the executable comes first in the dynamic linker's search; that is
// why each has default visibility whatever the flags are, and why the library is `alwayslink`.
//
// The way to the real function is a raw system call where there is one. The others go to the sanitizer's interceptor if
// there is one (it must learn about new threads and descriptors), else to the next definition.

// The checking inline versions of open() would clash with the definitions below, and so would its renaming to open64().
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS

#include "tandem/sim/process/interpose/interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <random>

#include "absl/log/check.h"
#include "absl/log/log.h"

#define TANDEM_INTERPOSED extern "C" __attribute__((visibility("default")))

// Defined by the runtime libraries of the sanitizers.
extern "C" {
int __interceptor_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) __attribute__((weak));
int __interceptor_getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**) __attribute__((weak));
FILE* __interceptor_fopen(const char*, const char*) __attribute__((weak));
FILE* __interceptor_freopen(const char*, const char*, FILE*) __attribute__((weak));
pid_t __interceptor_fork() __attribute__((weak));
FILE* __interceptor_popen(const char*, const char*) __attribute__((weak));
}

namespace tandem::sim {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

// What the kernel expects as the size of a set of signals.
constexpr size_t kKernelSignalSetBytes = 8;

enum class Mode { kEpoch, kReal, kWorld };

constinit std::atomic<Mode> g_mode{Mode::kEpoch};
constinit Mode g_mode_outside_world = Mode::kEpoch;
constinit const WorldHooks* g_hooks = nullptr;
constinit std::atomic<uint64_t> g_epoch_draws{0};
constinit std::atomic<uint64_t> g_call_counts[static_cast<size_t>(InterposedCall::kCount)] = {};

// Notes the call and returns the mode that it has to be served in.
Mode Intercept(InterposedCall call) {
  g_call_counts[static_cast<size_t>(call)].fetch_add(1, std::memory_order_relaxed);
  return g_mode.load(std::memory_order_relaxed);
}

// Ends the process with a stack trace. Only for calls inside a world, which cannot serve them.
[[noreturn]] void FailByName(const char* call, const char* advice) {
  LOG(FATAL) << call << " was called in a simulated world: " << advice;
}

// Notes a call that only the machine can serve.
void RefuseInWorld(InterposedCall call, const char* name, const char* advice) {
  if (Intercept(call) == Mode::kWorld) FailByName(name, advice);
}

bool IsRealtime(clockid_t clock) {
  return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

// The clocks of a host. CPU time clocks are the monotonic one: simulated code takes no time of its own.
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

// The current time of `clock`, which libc knows; not for clocks that a caller chose.
timespec ReadClock(Mode mode, clockid_t clock) {
  if (mode != Mode::kReal) return ToTimespec(SimulatedClockNs(mode, clock));
  timespec now{};
  syscall(SYS_clock_gettime, clock, &now);
  return now;
}

uint64_t SplitMix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Draws from the machine until `size` bytes are there. Only for sizes that getrandom() never cuts short.
void FillFromMachine(void* data, size_t size) {
  while (syscall(SYS_getrandom, data, size, 0) != static_cast<long>(size)) {
    CHECK_EQ(errno, EINTR);
  }
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
  FillFromMachine(&value, sizeof(value));
  return value;
}

// Fills `data` with draws, least significant byte first: the bytes are the same on every machine.
void FillWithDraws(Mode mode, void* data, size_t size) {
  unsigned char* out = static_cast<unsigned char*>(data);
  while (size > 0) {
    uint64_t value = Draw(mode);
    const size_t count = std::min(size, sizeof(value));
    for (size_t i = 0; i < count; ++i, value >>= 8) *out++ = static_cast<unsigned char>(value);
    size -= count;
  }
}

void Fill(Mode mode, void* data, size_t size) {
  constexpr size_t kNeverCutShort = 256;  // getrandom(2): up to here a read is whole and not interrupted.
  if (mode != Mode::kReal) {
    FillWithDraws(mode, data, size);
    return;
  }
  unsigned char* out = static_cast<unsigned char*>(data);
  while (size > 0) {
    const size_t count = std::min(size, kNeverCutShort);
    FillFromMachine(out, count);
    out += count;
    size -= count;
  }
}

constexpr char kAwaitSleep[] =
    "it would stop every host; co_await tandem::Sleep() instead, or do it in tandem::RunBlocking()";
constexpr char kUseTandem[] = "it would reach the real network; use Tandem's sockets and tandem::Resolve() instead";
constexpr char kAwaitEvents[] =
    "it would stop every host and wait for what is not simulated; co_await Tandem's sockets and timers instead";
constexpr char kOneThread[] =
    "a world has one thread; spawn a task instead, or keep what needs threads out of simulated programs";
constexpr char kOneProcess[] = "hosts are no processes of the machine; add one to the world instead";

// In a world only blocking work may sleep.
void SleepInWorld(const char* call, int64_t ns) {
  if (g_hooks->sleep == nullptr || !g_hooks->sleep(g_hooks->context, std::max<int64_t>(ns, 0))) {
    FailByName(call, kAwaitSleep);
  }
}

int64_t FromTimespec(const timespec& time) { return int64_t{time.tv_sec} * kNsPerSecond + time.tv_nsec; }

// Both outside a world and in the real mode sleeps are real: they take time and tell nothing.
int SleepOnMachine(clockid_t clock, int flags, const timespec* request, timespec* remaining) {
  return syscall(SYS_clock_nanosleep, clock, flags, request, remaining) == 0 ? 0 : errno;
}

// Fails for the files that hold the machine's randomness.
void InterceptOpen(const char* name, const char* path) {
  const Mode mode = Intercept(InterposedCall::kOpen);
  if (mode != Mode::kReal && path != nullptr &&
      (strcmp(path, "/dev/urandom") == 0 || strcmp(path, "/dev/random") == 0)) {
    LOG(FATAL) << name << "(\"" << path << "\") was called where randomness has to come from the seed: "
               << "draw from tandem::Random or call getrandom()";
  }
}

int Open(const char* name, int directory, const char* path, int flags, mode_t mode) {
  InterceptOpen(name, path);
  return static_cast<int>(syscall(SYS_openat, directory, path, flags, mode));
}

template <typename Function>
Function NextDefinition(const char* name) {
  Function function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
  CHECK(function != nullptr) << "no " << name << " behind the simulator's";
  return function;
}

FILE* OpenStream(const char* path, const char* mode) {
  if (&__interceptor_fopen != nullptr) return __interceptor_fopen(path, mode);
  static const auto next = NextDefinition<FILE* (*)(const char*, const char*)>("fopen");
  return next(path, mode);
}

FILE* ReopenStream(const char* path, const char* mode, FILE* stream) {
  if (&__interceptor_freopen != nullptr) return __interceptor_freopen(path, mode, stream);
  static const auto next = NextDefinition<FILE* (*)(const char*, const char*, FILE*)>("freopen");
  return next(path, mode, stream);
}

}  // namespace

void UseRealMachine() {
  CHECK(g_mode.load(std::memory_order_relaxed) != Mode::kWorld);
  g_mode.store(Mode::kReal, std::memory_order_relaxed);
}

void EnterWorld(const WorldHooks& hooks) {
  // Worlds do not nest: which of two clocks would a call see?
  CHECK(g_hooks == nullptr) << "there is a simulated world in this process already";
  g_hooks = &hooks;
  g_mode_outside_world = g_mode.load(std::memory_order_relaxed);
  g_mode.store(Mode::kWorld, std::memory_order_relaxed);
}

void LeaveWorld() {
  CHECK(g_hooks != nullptr);
  g_mode.store(g_mode_outside_world, std::memory_order_relaxed);
  g_hooks = nullptr;
}

int64_t RealNow() {
  timespec now{};
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

uint64_t InterposedCallCountForTest(InterposedCall call) {
  return g_call_counts[static_cast<size_t>(call)].load(std::memory_order_relaxed);
}

}  // namespace tandem::sim

// --- Clocks ----------------------------------------------------------------------------------------------------------

using ::tandem::sim::InterposedCall;
using ::tandem::sim::Mode;

TANDEM_INTERPOSED int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const Mode mode = tandem::sim::Intercept(InterposedCall::kClockGettime);
  if (mode == Mode::kReal) return static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  *now = tandem::sim::ReadClock(mode, clock);
  return 0;
}

TANDEM_INTERPOSED int gettimeofday(timeval* now, void* zone) noexcept {
  const Mode mode = tandem::sim::Intercept(InterposedCall::kGettimeofday);
  if (zone != nullptr) *static_cast<struct timezone*>(zone) = {};  // As glibc answers.
  const timespec time = tandem::sim::ReadClock(mode, CLOCK_REALTIME);
  *now = timeval{.tv_sec = time.tv_sec, .tv_usec = time.tv_nsec / 1000};
  return 0;
}

TANDEM_INTERPOSED time_t time(time_t* result) noexcept {
  const time_t now = tandem::sim::ReadClock(tandem::sim::Intercept(InterposedCall::kTime), CLOCK_REALTIME).tv_sec;
  if (result != nullptr) *result = now;
  return now;
}

TANDEM_INTERPOSED int timespec_get(timespec* now, int base) noexcept {
  const Mode mode = tandem::sim::Intercept(InterposedCall::kTimespecGet);
  if (base != TIME_UTC) return 0;
  *now = tandem::sim::ReadClock(mode, CLOCK_REALTIME);
  return base;
}

TANDEM_INTERPOSED clock_t clock() noexcept {
  // Microseconds of CPU time, as POSIX has it.
  static_assert(CLOCKS_PER_SEC == 1'000'000);
  const timespec now = tandem::sim::ReadClock(tandem::sim::Intercept(InterposedCall::kClock), CLOCK_PROCESS_CPUTIME_ID);
  return now.tv_sec * CLOCKS_PER_SEC + now.tv_nsec / 1000;
}

// In a world all CPU time is the program's own.
TANDEM_INTERPOSED clock_t times(tms* used) noexcept {
  constexpr int64_t kNsPerTick = 10'000'000;  // sysconf(_SC_CLK_TCK) is 100 on Linux.
  const Mode mode = tandem::sim::Intercept(InterposedCall::kTimes);
  if (mode == Mode::kReal) return syscall(SYS_times, used);
  const clock_t ticks = tandem::sim::SimulatedClockNs(mode, CLOCK_MONOTONIC) / kNsPerTick;
  if (used != nullptr) *used = tms{.tms_utime = ticks, .tms_stime = 0, .tms_cutime = 0, .tms_cstime = 0};
  return ticks;
}

TANDEM_INTERPOSED int getrusage(__rusage_who_t who, rusage* used) noexcept {
  const Mode mode = tandem::sim::Intercept(InterposedCall::kGetrusage);
  if (mode == Mode::kReal) return static_cast<int>(syscall(SYS_getrusage, who, used));
  const timespec now = tandem::sim::ReadClock(mode, CLOCK_PROCESS_CPUTIME_ID);
  memset(used, 0, sizeof(*used));
  used->ru_utime = timeval{.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return 0;
}

// --- Randomness ------------------------------------------------------------------------------------------------------

TANDEM_INTERPOSED ssize_t getrandom(void* data, size_t size, unsigned flags) {
  const Mode mode = tandem::sim::Intercept(InterposedCall::kGetrandom);
  if (mode == Mode::kReal) return syscall(SYS_getrandom, data, size, flags);
  tandem::sim::FillWithDraws(mode, data, size);
  return static_cast<ssize_t>(size);
}

TANDEM_INTERPOSED int getentropy(void* data, size_t size) {
  constexpr size_t kLimit = 256;  // As the man page has it.
  const Mode mode = tandem::sim::Intercept(InterposedCall::kGetentropy);
  if (size > kLimit) {
    errno = EIO;
    return -1;
  }
  tandem::sim::Fill(mode, data, size);
  return 0;
}

TANDEM_INTERPOSED uint32_t arc4random() noexcept {
  return static_cast<uint32_t>(tandem::sim::Draw(tandem::sim::Intercept(InterposedCall::kArc4random)));
}

TANDEM_INTERPOSED void arc4random_buf(void* data, size_t size) noexcept {
  tandem::sim::Fill(tandem::sim::Intercept(InterposedCall::kArc4random), data, size);
}

TANDEM_INTERPOSED uint32_t arc4random_uniform(uint32_t bound) noexcept {
  const Mode mode = tandem::sim::Intercept(InterposedCall::kArc4random);
  if (bound < 2) return 0;
  // Draws below 2^32 mod bound would make the small results likelier, and are drawn again.
  const uint32_t rejected = -bound % bound;
  uint32_t value;
  do {
    value = static_cast<uint32_t>(tandem::sim::Draw(mode));
  } while (value < rejected);
  return value % bound;
}

// The C library's generators start from a constant, so they leak nothing; but each seed would see the same numbers,
// and hosts would share one stream. In a world they are draws of the host, and seeding them has no effect.
TANDEM_INTERPOSED int rand() noexcept {
  const Mode mode = tandem::sim::Intercept(InterposedCall::kRand);
  if (mode == Mode::kWorld) return static_cast<int>(tandem::sim::Draw(mode) >> 33);
  static const auto next = tandem::sim::NextDefinition<int (*)()>("rand");
  return next();
}

TANDEM_INTERPOSED long random() noexcept {
  const Mode mode = tandem::sim::Intercept(InterposedCall::kRand);
  if (mode == Mode::kWorld) return static_cast<long>(tandem::sim::Draw(mode) >> 33);
  static const auto next = tandem::sim::NextDefinition<long (*)()>("random");
  return next();
}

// libstdc++ may read the processor's random instruction here, which no system call shows.
namespace std {

__attribute__((visibility("default"))) random_device::result_type random_device::_M_getval() {
  return static_cast<result_type>(tandem::sim::Draw(tandem::sim::Intercept(InterposedCall::kRandomDevice)));
}

}  // namespace std

// --- Sleeping and threads --------------------------------------------------------------------------------------------

TANDEM_INTERPOSED int nanosleep(const timespec* request, timespec* remaining) {
  if (tandem::sim::Intercept(InterposedCall::kNanosleep) == Mode::kWorld) {
    tandem::sim::SleepInWorld("nanosleep()", tandem::sim::FromTimespec(*request));
    return 0;
  }
  return static_cast<int>(syscall(SYS_nanosleep, request, remaining));
}

TANDEM_INTERPOSED int clock_nanosleep(clockid_t clock, int flags, const timespec* request, timespec* remaining) {
  if (tandem::sim::Intercept(InterposedCall::kClockNanosleep) == Mode::kWorld) {
    int64_t ns = tandem::sim::FromTimespec(*request);
    if ((flags & TIMER_ABSTIME) != 0) ns -= tandem::sim::SimulatedClockNs(Mode::kWorld, clock);
    tandem::sim::SleepInWorld("clock_nanosleep()", ns);
    return 0;
  }
  return tandem::sim::SleepOnMachine(clock, flags, request, remaining);
}

TANDEM_INTERPOSED int usleep(useconds_t us) {
  if (tandem::sim::Intercept(InterposedCall::kUsleep) == Mode::kWorld) {
    tandem::sim::SleepInWorld("usleep()", int64_t{us} * 1000);
    return 0;
  }
  const timespec request = tandem::sim::ToTimespec(int64_t{us} * 1000);
  return static_cast<int>(syscall(SYS_nanosleep, &request, nullptr));
}

TANDEM_INTERPOSED unsigned sleep(unsigned seconds) {
  if (tandem::sim::Intercept(InterposedCall::kSleep) == Mode::kWorld) {
    tandem::sim::SleepInWorld("sleep()", int64_t{seconds} * tandem::sim::kNsPerSecond);
    return 0;
  }
  const timespec request{.tv_sec = seconds, .tv_nsec = 0};
  timespec remaining{};
  if (syscall(SYS_nanosleep, &request, &remaining) == 0) return 0;
  return static_cast<unsigned>(remaining.tv_sec) + (remaining.tv_nsec >= 500'000'000 ? 1 : 0);
}

TANDEM_INTERPOSED int thrd_sleep(const timespec* request, timespec* remaining) {
  if (tandem::sim::Intercept(InterposedCall::kSleep) == Mode::kWorld) {
    tandem::sim::SleepInWorld("thrd_sleep()", tandem::sim::FromTimespec(*request));
    return 0;
  }
  const int error = tandem::sim::SleepOnMachine(CLOCK_REALTIME, 0, request, remaining);
  return error == 0 ? 0 : error == EINTR ? -1 : -2;
}

TANDEM_INTERPOSED int poll(pollfd* descriptors, nfds_t count, int timeout_ms) {
  tandem::sim::RefuseInWorld(InterposedCall::kPoll, "poll()", tandem::sim::kAwaitEvents);
  return static_cast<int>(syscall(SYS_poll, descriptors, count, timeout_ms));
}

// What <poll.h> makes of poll() under _FORTIFY_SOURCE, and below of ppoll().
TANDEM_INTERPOSED int __poll_chk(pollfd* descriptors, nfds_t count, int timeout_ms, size_t /*bytes*/) {
  return poll(descriptors, count, timeout_ms);
}

TANDEM_INTERPOSED int ppoll(pollfd* descriptors, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  tandem::sim::RefuseInWorld(InterposedCall::kPoll, "ppoll()", tandem::sim::kAwaitEvents);
  timespec left = timeout != nullptr ? *timeout : timespec{};  // The kernel changes it.
  return static_cast<int>(syscall(SYS_ppoll, descriptors, count, timeout != nullptr ? &left : nullptr, mask,
                                  tandem::sim::kKernelSignalSetBytes));
}

TANDEM_INTERPOSED int __ppoll_chk(pollfd* descriptors, nfds_t count, const timespec* timeout, const sigset_t* mask,
                                  size_t /*bytes*/) {
  return ppoll(descriptors, count, timeout, mask);
}

TANDEM_INTERPOSED int select(int count, fd_set* read, fd_set* write, fd_set* error, timeval* timeout) {
  tandem::sim::RefuseInWorld(InterposedCall::kPoll, "select()", tandem::sim::kAwaitEvents);
  return static_cast<int>(syscall(SYS_select, count, read, write, error, timeout));
}

TANDEM_INTERPOSED int pselect(int count, fd_set* read, fd_set* write, fd_set* error, const timespec* timeout,
                              const sigset_t* mask) {
  tandem::sim::RefuseInWorld(InterposedCall::kPoll, "pselect()", tandem::sim::kAwaitEvents);
  timespec left = timeout != nullptr ? *timeout : timespec{};
  const struct {
    const sigset_t* mask;
    size_t bytes;
  } signals = {mask, tandem::sim::kKernelSignalSetBytes};
  return static_cast<int>(
      syscall(SYS_pselect6, count, read, write, error, timeout != nullptr ? &left : nullptr, &signals));
}

TANDEM_INTERPOSED int epoll_wait(int epoll, epoll_event* events, int count, int timeout_ms) {
  tandem::sim::RefuseInWorld(InterposedCall::kPoll, "epoll_wait()", tandem::sim::kAwaitEvents);
  return static_cast<int>(syscall(SYS_epoll_wait, epoll, events, count, timeout_ms));
}

TANDEM_INTERPOSED int epoll_pwait(int epoll, epoll_event* events, int count, int timeout_ms, const sigset_t* mask) {
  tandem::sim::RefuseInWorld(InterposedCall::kPoll, "epoll_pwait()", tandem::sim::kAwaitEvents);
  return static_cast<int>(
      syscall(SYS_epoll_pwait, epoll, events, count, timeout_ms, mask, tandem::sim::kKernelSignalSetBytes));
}

TANDEM_INTERPOSED int thrd_create(thrd_t* thread, thrd_start_t start, void* argument) {
  tandem::sim::RefuseInWorld(InterposedCall::kPthreadCreate, "thrd_create()", tandem::sim::kOneThread);
  static const auto next = tandem::sim::NextDefinition<decltype(&thrd_create)>("thrd_create");
  return next(thread, start, argument);
}

TANDEM_INTERPOSED int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                                     void* argument) noexcept {
  tandem::sim::RefuseInWorld(InterposedCall::kPthreadCreate, "pthread_create()", tandem::sim::kOneThread);
  if (&__interceptor_pthread_create != nullptr) {
    return __interceptor_pthread_create(thread, attributes, start, argument);
  }
  static const auto next = tandem::sim::NextDefinition<decltype(&pthread_create)>("pthread_create");
  return next(thread, attributes, start, argument);
}

TANDEM_INTERPOSED pid_t fork() noexcept {
  tandem::sim::RefuseInWorld(InterposedCall::kFork, "fork()", tandem::sim::kOneProcess);
  if (&__interceptor_fork != nullptr) return __interceptor_fork();
  static const auto next = tandem::sim::NextDefinition<pid_t (*)()>("fork");
  return next();
}

TANDEM_INTERPOSED int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                                  const posix_spawnattr_t* attributes, char* const argv[], char* const envp[]) {
  tandem::sim::RefuseInWorld(InterposedCall::kFork, "posix_spawn()", tandem::sim::kOneProcess);
  static const auto next = tandem::sim::NextDefinition<decltype(&posix_spawn)>("posix_spawn");
  return next(pid, path, actions, attributes, argv, envp);
}

TANDEM_INTERPOSED int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                                   const posix_spawnattr_t* attributes, char* const argv[], char* const envp[]) {
  tandem::sim::RefuseInWorld(InterposedCall::kFork, "posix_spawnp()", tandem::sim::kOneProcess);
  static const auto next = tandem::sim::NextDefinition<decltype(&posix_spawnp)>("posix_spawnp");
  return next(pid, file, actions, attributes, argv, envp);
}

TANDEM_INTERPOSED int system(const char* command) {
  tandem::sim::RefuseInWorld(InterposedCall::kFork, "system()", tandem::sim::kOneProcess);
  static const auto next = tandem::sim::NextDefinition<decltype(&system)>("system");
  return next(command);
}

TANDEM_INTERPOSED FILE* popen(const char* command, const char* mode) {
  tandem::sim::RefuseInWorld(InterposedCall::kFork, "popen()", tandem::sim::kOneProcess);
  if (&__interceptor_popen != nullptr) return __interceptor_popen(command, mode);
  static const auto next = tandem::sim::NextDefinition<FILE* (*)(const char*, const char*)>("popen");
  return next(command, mode);
}

// --- Files and sockets -----------------------------------------------------------------------------------------------

// The mode argument is there only when the call may create a file.
#define TANDEM_OPEN_MODE(flags)                         \
  mode_t mode = 0;                                      \
  if (((flags) & (O_CREAT | __O_TMPFILE)) != 0) {       \
    va_list arguments;                                  \
    va_start(arguments, flags);                         \
    mode = static_cast<mode_t>(va_arg(arguments, int)); \
    va_end(arguments);                                  \
  }

TANDEM_INTERPOSED int open(const char* path, int flags, ...) {
  TANDEM_OPEN_MODE(flags);
  return tandem::sim::Open("open", AT_FDCWD, path, flags, mode);
}

TANDEM_INTERPOSED int open64(const char* path, int flags, ...) {
  TANDEM_OPEN_MODE(flags);
  return tandem::sim::Open("open", AT_FDCWD, path, flags, mode);
}

TANDEM_INTERPOSED int openat(int directory, const char* path, int flags, ...) {
  TANDEM_OPEN_MODE(flags);
  return tandem::sim::Open("openat", directory, path, flags, mode);
}

TANDEM_INTERPOSED int openat64(int directory, const char* path, int flags, ...) {
  TANDEM_OPEN_MODE(flags);
  return tandem::sim::Open("openat", directory, path, flags, mode);
}

// The names that <fcntl.h> gives to calls without a mode under _FORTIFY_SOURCE.
TANDEM_INTERPOSED int __open_2(const char* path, int flags) {
  return tandem::sim::Open("open", AT_FDCWD, path, flags, 0);
}

TANDEM_INTERPOSED int __open64_2(const char* path, int flags) {
  return tandem::sim::Open("open", AT_FDCWD, path, flags, 0);
}

// libstdc++ opens its streams by fopen64(), which on this platform is fopen().
TANDEM_INTERPOSED FILE* fopen(const char* path, const char* mode) {
  tandem::sim::InterceptOpen("fopen", path);
  return tandem::sim::OpenStream(path, mode);
}

TANDEM_INTERPOSED FILE* fopen64(const char* path, const char* mode) {
  tandem::sim::InterceptOpen("fopen", path);
  return tandem::sim::OpenStream(path, mode);
}

TANDEM_INTERPOSED FILE* freopen(const char* path, const char* mode, FILE* stream) {
  tandem::sim::InterceptOpen("freopen", path);
  return tandem::sim::ReopenStream(path, mode, stream);
}

TANDEM_INTERPOSED FILE* freopen64(const char* path, const char* mode, FILE* stream) {
  tandem::sim::InterceptOpen("freopen", path);
  return tandem::sim::ReopenStream(path, mode, stream);
}

TANDEM_INTERPOSED int socket(int domain, int type, int protocol) noexcept {
  tandem::sim::RefuseInWorld(InterposedCall::kSocket, "socket()", tandem::sim::kUseTandem);
  return static_cast<int>(syscall(SYS_socket, domain, type, protocol));
}

TANDEM_INTERPOSED int connect(int socket, const sockaddr* address, socklen_t size) {
  tandem::sim::RefuseInWorld(InterposedCall::kConnect, "connect()", tandem::sim::kUseTandem);
  return static_cast<int>(syscall(SYS_connect, socket, address, size));
}

TANDEM_INTERPOSED int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  tandem::sim::RefuseInWorld(InterposedCall::kGetaddrinfo, "getaddrinfo()", tandem::sim::kUseTandem);
  if (&__interceptor_getaddrinfo != nullptr) return __interceptor_getaddrinfo(node, service, hints, result);
  static const auto next = tandem::sim::NextDefinition<decltype(&getaddrinfo)>("getaddrinfo");
  return next(node, service, hints, result);
}
