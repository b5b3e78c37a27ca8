// SPDX-License-Identifier: Apache-2.0
//
// Sleeping, and waits with a deadline. In a world there is one thread, so what a wait does not find at once will not
// come: in blocking work it ends at its deadline, which takes virtual time, and elsewhere it ends the seed.

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>

#include "tandem/sim/process/interpose/calls.h"

using ::tandem::sim::interpose::AskMachine;
using ::tandem::sim::interpose::FromTimespec;
using ::tandem::sim::interpose::Intercept;
using ::tandem::sim::interpose::InterceptForMachine;
using ::tandem::sim::interpose::kNsPerSecond;
using ::tandem::sim::interpose::Mode;
using ::tandem::sim::interpose::Served;
using ::tandem::sim::interpose::SimulatedClockNs;
using ::tandem::sim::interpose::SleepInWorld;
using ::tandem::sim::interpose::ToTimespec;
using ::tandem::sim::interpose::WaitInVain;

// Defined by the runtime libraries of the sanitizers.
extern "C" {
decltype(pthread_cond_timedwait) __interceptor_pthread_cond_timedwait __attribute__((weak));
decltype(pthread_cond_clockwait) __interceptor_pthread_cond_clockwait __attribute__((weak));
decltype(pthread_mutex_timedlock) __interceptor_pthread_mutex_timedlock __attribute__((weak));
decltype(pthread_mutex_clocklock) __interceptor_pthread_mutex_clocklock __attribute__((weak));
decltype(pthread_rwlock_timedrdlock) __interceptor_pthread_rwlock_timedrdlock __attribute__((weak));
decltype(pthread_rwlock_timedwrlock) __interceptor_pthread_rwlock_timedwrlock __attribute__((weak));
decltype(pthread_rwlock_clockrdlock) __interceptor_pthread_rwlock_clockrdlock __attribute__((weak));
decltype(pthread_rwlock_clockwrlock) __interceptor_pthread_rwlock_clockwrlock __attribute__((weak));
decltype(sem_timedwait) __interceptor_sem_timedwait __attribute__((weak));
decltype(sem_clockwait) __interceptor_sem_clockwait __attribute__((weak));
decltype(pthread_timedjoin_np) __interceptor_pthread_timedjoin_np __attribute__((weak));
decltype(pthread_clockjoin_np) __interceptor_pthread_clockjoin_np __attribute__((weak));
decltype(cnd_timedwait) __interceptor_cnd_timedwait __attribute__((weak));
decltype(mtx_timedlock) __interceptor_mtx_timedlock __attribute__((weak));
}

namespace {

// Both outside a world and in the real mode sleeps are real: they take time and tell nothing.
int SleepOnMachine(clockid_t clock, int flags, const timespec* request, timespec* remaining) {
  return AskMachine(SYS_clock_nanosleep, clock, flags, request, remaining) == 0 ? 0 : errno;
}

// What a lock answers: at once if `attempt` says so, else when the deadline has passed.
int LockUntil(Served call, int attempt, clockid_t clock, const timespec* deadline) {
  if (attempt != EBUSY) return attempt;
  WaitInVain(call, clock, deadline);
  return ETIMEDOUT;
}

int WaitForSemaphore(Served call, sem_t* semaphore, clockid_t clock, const timespec* deadline) {
  if (sem_trywait(semaphore) == 0) return 0;
  if (errno != EAGAIN) return -1;
  WaitInVain(call, clock, deadline);
  errno = ETIMEDOUT;
  return -1;
}

// The definition behind ours, of a function that sanitizers intercept.
#define TANDEM_NEXT_OF_SANITIZER(symbol, ...) TANDEM_NEXT_OR(symbol, &__interceptor_##symbol, __VA_ARGS__)

}  // namespace

TANDEM_INTERPOSED int nanosleep(const timespec* request, timespec* remaining) {
  if (Intercept(Served::k_nanosleep) == Mode::kWorld) {
    SleepInWorld(Served::k_nanosleep, FromTimespec(*request));
    return 0;
  }
  return static_cast<int>(AskMachine(SYS_nanosleep, request, remaining));
}

TANDEM_INTERPOSED int clock_nanosleep(clockid_t clock, int flags, const timespec* request, timespec* remaining) {
  if (Intercept(Served::k_clock_nanosleep) == Mode::kWorld) {
    int64_t ns = FromTimespec(*request);
    if ((flags & TIMER_ABSTIME) != 0) ns -= SimulatedClockNs(Mode::kWorld, clock);
    SleepInWorld(Served::k_clock_nanosleep, ns);
    return 0;
  }
  return SleepOnMachine(clock, flags, request, remaining);
}

TANDEM_INTERPOSED int usleep(useconds_t us) {
  if (Intercept(Served::k_usleep) == Mode::kWorld) {
    SleepInWorld(Served::k_usleep, int64_t{us} * 1000);
    return 0;
  }
  const timespec request = ToTimespec(int64_t{us} * 1000);
  return static_cast<int>(AskMachine(SYS_nanosleep, &request, nullptr));
}

TANDEM_INTERPOSED unsigned sleep(unsigned seconds) {
  if (Intercept(Served::k_sleep) == Mode::kWorld) {
    SleepInWorld(Served::k_sleep, int64_t{seconds} * kNsPerSecond);
    return 0;
  }
  const timespec request{.tv_sec = seconds, .tv_nsec = 0};
  timespec remaining{};
  if (AskMachine(SYS_nanosleep, &request, &remaining) == 0) return 0;
  return static_cast<unsigned>(remaining.tv_sec) + (remaining.tv_nsec >= 500'000'000 ? 1 : 0);
}

TANDEM_INTERPOSED int thrd_sleep(const timespec* request, timespec* remaining) {
  if (Intercept(Served::k_thrd_sleep) == Mode::kWorld) {
    SleepInWorld(Served::k_thrd_sleep, FromTimespec(*request));
    return 0;
  }
  const int error = SleepOnMachine(CLOCK_REALTIME, 0, request, remaining);
  return error == 0 ? 0 : error == EINTR ? -1 : -2;
}

// --- Waits with a deadline -------------------------------------------------------------------------------------------

TANDEM_INTERPOSED int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                             const timespec* deadline) {
  if (InterceptForMachine(Served::k_pthread_cond_timedwait) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(pthread_cond_timedwait, condition, mutex, deadline);
  }
  WaitInVain(Served::k_pthread_cond_timedwait, CLOCK_REALTIME, deadline);
  return ETIMEDOUT;
}

TANDEM_INTERPOSED int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                             const timespec* deadline) {
  if (InterceptForMachine(Served::k_pthread_cond_clockwait) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(pthread_cond_clockwait, condition, mutex, clock, deadline);
  }
  WaitInVain(Served::k_pthread_cond_clockwait, clock, deadline);
  return ETIMEDOUT;
}

TANDEM_INTERPOSED int pthread_mutex_timedlock(pthread_mutex_t* lock, const timespec* deadline) noexcept {
  if (InterceptForMachine(Served::k_pthread_mutex_timedlock) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(pthread_mutex_timedlock, lock, deadline);
  }
  return LockUntil(Served::k_pthread_mutex_timedlock, pthread_mutex_trylock(lock), CLOCK_REALTIME, deadline);
}

TANDEM_INTERPOSED int pthread_mutex_clocklock(pthread_mutex_t* lock, clockid_t clock,
                                              const timespec* deadline) noexcept {
  if (InterceptForMachine(Served::k_pthread_mutex_clocklock) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(pthread_mutex_clocklock, lock, clock, deadline);
  }
  return LockUntil(Served::k_pthread_mutex_clocklock, pthread_mutex_trylock(lock), clock, deadline);
}

TANDEM_INTERPOSED int pthread_rwlock_timedrdlock(pthread_rwlock_t* lock, const timespec* deadline) noexcept {
  if (InterceptForMachine(Served::k_pthread_rwlock_timedrdlock) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(pthread_rwlock_timedrdlock, lock, deadline);
  }
  return LockUntil(Served::k_pthread_rwlock_timedrdlock, pthread_rwlock_tryrdlock(lock), CLOCK_REALTIME, deadline);
}

TANDEM_INTERPOSED int pthread_rwlock_timedwrlock(pthread_rwlock_t* lock, const timespec* deadline) noexcept {
  if (InterceptForMachine(Served::k_pthread_rwlock_timedwrlock) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(pthread_rwlock_timedwrlock, lock, deadline);
  }
  return LockUntil(Served::k_pthread_rwlock_timedwrlock, pthread_rwlock_trywrlock(lock), CLOCK_REALTIME, deadline);
}

TANDEM_INTERPOSED int pthread_rwlock_clockrdlock(pthread_rwlock_t* lock, clockid_t clock,
                                                 const timespec* deadline) noexcept {
  if (InterceptForMachine(Served::k_pthread_rwlock_clockrdlock) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(pthread_rwlock_clockrdlock, lock, clock, deadline);
  }
  return LockUntil(Served::k_pthread_rwlock_clockrdlock, pthread_rwlock_tryrdlock(lock), clock, deadline);
}

TANDEM_INTERPOSED int pthread_rwlock_clockwrlock(pthread_rwlock_t* lock, clockid_t clock,
                                                 const timespec* deadline) noexcept {
  if (InterceptForMachine(Served::k_pthread_rwlock_clockwrlock) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(pthread_rwlock_clockwrlock, lock, clock, deadline);
  }
  return LockUntil(Served::k_pthread_rwlock_clockwrlock, pthread_rwlock_trywrlock(lock), clock, deadline);
}

TANDEM_INTERPOSED int sem_timedwait(sem_t* semaphore, const timespec* deadline) {
  if (InterceptForMachine(Served::k_sem_timedwait) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(sem_timedwait, semaphore, deadline);
  }
  return WaitForSemaphore(Served::k_sem_timedwait, semaphore, CLOCK_REALTIME, deadline);
}

TANDEM_INTERPOSED int sem_clockwait(sem_t* semaphore, clockid_t clock, const timespec* deadline) {
  if (InterceptForMachine(Served::k_sem_clockwait) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(sem_clockwait, semaphore, clock, deadline);
  }
  return WaitForSemaphore(Served::k_sem_clockwait, semaphore, clock, deadline);
}

// A thread that was there before the world.
TANDEM_INTERPOSED int pthread_timedjoin_np(pthread_t thread, void** result, const timespec* deadline) {
  if (InterceptForMachine(Served::k_pthread_timedjoin_np) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(pthread_timedjoin_np, thread, result, deadline);
  }
  return LockUntil(Served::k_pthread_timedjoin_np, pthread_tryjoin_np(thread, result), CLOCK_REALTIME, deadline);
}

TANDEM_INTERPOSED int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock, const timespec* deadline) {
  if (InterceptForMachine(Served::k_pthread_clockjoin_np) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(pthread_clockjoin_np, thread, result, clock, deadline);
  }
  return LockUntil(Served::k_pthread_clockjoin_np, pthread_tryjoin_np(thread, result), clock, deadline);
}

TANDEM_INTERPOSED int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const timespec* deadline) {
  if (InterceptForMachine(Served::k_cnd_timedwait) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(cnd_timedwait, condition, mutex, deadline);
  }
  WaitInVain(Served::k_cnd_timedwait, CLOCK_REALTIME, deadline);
  return thrd_timedout;
}

TANDEM_INTERPOSED int mtx_timedlock(mtx_t* mutex, const timespec* deadline) {
  if (InterceptForMachine(Served::k_mtx_timedlock) != Mode::kWorld) {
    return TANDEM_NEXT_OF_SANITIZER(mtx_timedlock, mutex, deadline);
  }
  const int attempt = mtx_trylock(mutex);
  if (attempt != thrd_busy) return attempt;
  WaitInVain(Served::k_mtx_timedlock, CLOCK_REALTIME, deadline);
  return thrd_timedout;
}
