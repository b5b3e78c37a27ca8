// SPDX-License-Identifier: Apache-2.0
//
// What a world answers for the host that runs: who it is, waits with a deadline, and the files it may open.

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "tandem/sim/process/interpose/interpose.h"

namespace tandem::sim {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

// A world with one host, in which blocking work runs if it says so.
class HostWorld {
 public:
  explicit HostWorld(bool working = false) : working_(working) { EnterWorld(hooks_); }
  ~HostWorld() { LeaveWorld(); }

  int64_t slept_ns() const { return slept_ns_; }

 private:
  static int64_t Realtime(void* self) { return kEpochRealtimeNs + Monotonic(self); }
  static int64_t Monotonic(void* self) { return 5 * kNsPerSecond + static_cast<HostWorld*>(self)->slept_ns_; }
  static bool Sleep(void* self, int64_t ns) {
    HostWorld& world = *static_cast<HostWorld*>(self);
    if (world.working_) world.slept_ns_ += ns;
    return world.working_;
  }

  const bool working_;
  int64_t slept_ns_ = 0;
  WorldHooks hooks_{this,
                    &Realtime,
                    &Monotonic,
                    [](void*) -> uint64_t { return 4; },
                    &Sleep,
                    [](void*) { return "node7"; },
                    [](void*) { return 1234; }};
};

timespec In(clockid_t clock, int64_t seconds) {
  timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += seconds;
  return time;
}

// --- Identity ---

TEST(HostIdentityTest, IsThatOfTheHostThatRuns) {
  const HostWorld world;
  char name[64];
  utsname system;

  EXPECT_EQ(gethostname(name, sizeof(name)), 0);
  EXPECT_STREQ(name, "node7");
  EXPECT_EQ(uname(&system), 0);
  EXPECT_STREQ(system.nodename, "node7");
  EXPECT_EQ(getpid(), 1234);
  EXPECT_EQ(gettid(), 1234);
  EXPECT_EQ(getppid(), 1);
  EXPECT_EQ(getuid(), 1000u);
  EXPECT_EQ(syscall(SYS_getpid), 1234);
  EXPECT_EQ(syscall(SYS_uname, &system), 0);
  EXPECT_STREQ(system.nodename, "node7");
}

TEST(HostIdentityTest, ANameThatDoesNotFitIsCut) {
  const HostWorld world;
  char name[3] = "";

  EXPECT_EQ(gethostname(name, sizeof(name)), -1);

  EXPECT_EQ(errno, ENAMETOOLONG);
  EXPECT_EQ(std::string(name, 3), "nod");
}

TEST(HostIdentityTest, HasOneProcessorAndSomeMemory) {
  const HostWorld world;
  cpu_set_t set;
  struct sysinfo info;

  EXPECT_EQ(std::thread::hardware_concurrency(), 1u);
  EXPECT_EQ(sysconf(_SC_NPROCESSORS_ONLN), 1);
  EXPECT_EQ(sysconf(_SC_PAGESIZE), 4096);
  EXPECT_EQ(sched_getcpu(), 0);
  EXPECT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  EXPECT_EQ(CPU_COUNT(&set), 1);
  EXPECT_EQ(sysinfo(&info), 0);
  EXPECT_EQ(info.uptime, 5);
  EXPECT_EQ(info.totalram, uint64_t{4} << 30);
}

TEST(HostLimitsTest, AreThoseOfEveryHost) {
  const HostWorld world;
  rlimit limit{};

  EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 1u << 20);
  EXPECT_EQ(static_cast<long>(limit.rlim_cur), sysconf(_SC_OPEN_MAX));
  EXPECT_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 8u << 20);
  EXPECT_EQ(getrlimit(RLIMIT_AS, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, RLIM_INFINITY);

  const rlimit fewer{10, 10};
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &fewer), 0);
  EXPECT_EQ(prlimit(0, RLIMIT_NOFILE, &fewer, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 1u << 20);
  limit = {};
  EXPECT_EQ(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &fewer, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 1u << 20);
  EXPECT_EQ(syscall(SYS_setrlimit, RLIMIT_NOFILE, &fewer), 0);
  limit = {};
  EXPECT_EQ(syscall(SYS_getrlimit, RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 1u << 20);
  EXPECT_EQ(syscall(SYS_getrlimit, -1, &limit), -1);
  EXPECT_EQ(errno, EINVAL);
  const rlimit upside_down{20, 10};
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &upside_down), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST(HostLimitsTest, AreTheMachinesOutsideOfAWorld) {
  UseRealMachine();
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit fewer{before.rlim_cur - 1, before.rlim_max};

  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &fewer), 0);
  rlimit after{};
  EXPECT_EQ(prlimit(0, RLIMIT_NOFILE, &before, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_cur - 1);
}

TEST(HostIdentityTest, IsTheMachinesOutsideOfAWorld) {
  UseRealMachine();
  utsname system;
  char name[256];

  EXPECT_EQ(getpid(), syscall(SYS_getpid));
  EXPECT_NE(getppid(), 1234);
  EXPECT_EQ(uname(&system), 0);
  EXPECT_EQ(gethostname(name, sizeof(name)), 0);
  EXPECT_STREQ(name, system.nodename);
  EXPECT_GT(sysconf(_SC_NPROCESSORS_ONLN), 0);
  struct sysinfo info;
  EXPECT_EQ(sysinfo(&info), 0);
  EXPECT_NE(info.uptime, 0);
}

// --- Waits with a deadline ---

TEST(TimedWaitTest, WhatIsThereIsTakenAtOnce) {
  const HostWorld world;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  const timespec deadline = In(CLOCK_REALTIME, 1);

  EXPECT_EQ(pthread_mutex_timedlock(&mutex, &deadline), 0);
  EXPECT_EQ(pthread_rwlock_timedrdlock(&lock, &deadline), 0);
  EXPECT_EQ(pthread_rwlock_timedrdlock(&lock, &deadline), 0);
  EXPECT_EQ(sem_timedwait(&semaphore, &deadline), 0);
  EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
  EXPECT_EQ(pthread_rwlock_unlock(&lock), 0);
  EXPECT_EQ(pthread_rwlock_unlock(&lock), 0);
}

TEST(TimedWaitTest, ADeadlineThatHasPassedTakesNoTime) {
  const HostWorld world;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  const timespec now = In(CLOCK_MONOTONIC, 0);

  EXPECT_EQ(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &now), ETIMEDOUT);
  EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
}

TEST(TimedWaitTest, BlockingWorkWaitsInVirtualTime) {
  const HostWorld world(/*working=*/true);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_mutex_lock(&mutex);
  pthread_rwlock_wrlock(&lock);

  timespec deadline = In(CLOCK_REALTIME, 1);
  EXPECT_EQ(pthread_mutex_timedlock(&mutex, &deadline), ETIMEDOUT);
  EXPECT_EQ(world.slept_ns(), kNsPerSecond);
  deadline = In(CLOCK_REALTIME, 1);
  EXPECT_EQ(pthread_rwlock_timedwrlock(&lock, &deadline), ETIMEDOUT);
  EXPECT_EQ(world.slept_ns(), 2 * kNsPerSecond);
  deadline = In(CLOCK_MONOTONIC, 1);
  EXPECT_EQ(pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &deadline), ETIMEDOUT);
  EXPECT_EQ(world.slept_ns(), 3 * kNsPerSecond);
  deadline = In(CLOCK_REALTIME, 1);
  EXPECT_EQ(sem_timedwait(&semaphore, &deadline), -1);
  EXPECT_EQ(errno, ETIMEDOUT);
  EXPECT_EQ(world.slept_ns(), 4 * kNsPerSecond);
  pthread_mutex_unlock(&mutex);
  pthread_rwlock_unlock(&lock);
}

TEST(TimedWaitTest, WaitsByNumberTakeVirtualTimeToo) {
  const HostWorld world(/*working=*/true);
  uint32_t word = 1;
  const timespec second{.tv_sec = 1, .tv_nsec = 0};
  const timespec deadline = In(CLOCK_REALTIME, 2);

  EXPECT_EQ(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &second, nullptr, 0), -1);
  EXPECT_EQ(errno, ETIMEDOUT);
  EXPECT_EQ(world.slept_ns(), kNsPerSecond);
  EXPECT_EQ(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 1, &deadline, nullptr, ~0u),
            -1);
  EXPECT_EQ(world.slept_ns(), 2 * kNsPerSecond);
  EXPECT_EQ(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, &second, nullptr, 0), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1), 0);
  EXPECT_EQ(world.slept_ns(), 2 * kNsPerSecond);
}

TEST(WaitDeathTest, WithoutATimeoutItEndsTheSeed) {
  uint32_t word = 1;
  {
    const HostWorld world;
    EXPECT_EQ(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, nullptr, nullptr, 0), -1);
    EXPECT_EQ(errno, EAGAIN);
  }
  EXPECT_DEATH(
      {
        const HostWorld world;
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, nullptr, nullptr, 0);
      },
      "a wait for another thread .system call futex. was called in a simulated world: there is none");
}

TEST(TimedWaitDeathTest, OutsideOfBlockingWorkItEndsTheSeed) {
  EXPECT_DEATH(
      {
        const HostWorld world;
        mtx_t mutex;
        mtx_init(&mutex, mtx_timed);
        mtx_lock(&mutex);
        const timespec deadline = In(CLOCK_REALTIME, 1);
        mtx_timedlock(&mutex, &deadline);
      },
      R"(mtx_timedlock\(\) was called in a simulated world)");
}

TEST(TimedWaitTest, ReachesTheMachineOutsideOfAWorld) {
  UseRealMachine();
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pthread_mutex_lock(&mutex);
  const timespec now = In(CLOCK_MONOTONIC, 0);
  const timespec soon = In(CLOCK_REALTIME, 0);

  EXPECT_EQ(pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &now), ETIMEDOUT);
  EXPECT_EQ(pthread_cond_timedwait(&condition, &mutex, &soon), ETIMEDOUT);
  pthread_mutex_unlock(&mutex);
}

// --- What is refused passes with everything as it was ---

TEST(RefusedCallTest, PassesOutsideOfAWorldWithItsArguments) {
  UseRealMachine();
  int status = 0;

  // NOLINTNEXTLINE(bugprone-unsafe-functions): outside of a world it is the machine's.
  const pid_t child = vfork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", "exit $(($1 + $2 + $3 + $4 + $5))", "0", "1", "2", "3", "4", "5",
          static_cast<char*>(nullptr));
    _exit(100);
  }
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 15);
}

// --- Files ---

std::string TestFolder() {
  const char* const folder = getenv("TEST_TMPDIR");
  return folder == nullptr ? "/tmp" : folder;
}

TEST(FileTest, ReadsAndWritesWhatIsOfTheSeed) {
  const std::string path = TestFolder() + "/file";
  const HostWorld world;

  std::ofstream(path) << "content";
  std::string content;
  std::ifstream(path) >> content;
  EXPECT_EQ(content, "content");
  EXPECT_TRUE(std::ofstream("/dev/null").is_open());
  if (const char* const outputs = getenv("TEST_UNDECLARED_OUTPUTS_DIR")) {
    EXPECT_TRUE(std::ofstream(std::string(outputs) + "/written_in_a_world").is_open());
  }
  EXPECT_TRUE(std::ifstream("/proc/self/maps").is_open());
  EXPECT_TRUE(std::ifstream("/etc/passwd").is_open());
}

TEST(FileTest, TemporaryFilesHaveDrawnNames) {
  const HostWorld world;  // Draws a 4 each time.
  std::string path = TestFolder() + "/aXXXXXX.txt";
  std::string folder = TestFolder() + "/bXXXXXX";

  const int file = mkstemps(path.data(), 4);
  EXPECT_GE(file, 0);
  EXPECT_EQ(path, TestFolder() + "/aeaaaaa.txt");
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  EXPECT_EQ(folder, TestFolder() + "/beaaaaa");
  std::string same = TestFolder() + "/bXXXXXX";
  EXPECT_EQ(mkdtemp(same.data()), nullptr);
  EXPECT_EQ(errno, EEXIST);
  std::string bad = TestFolder() + "/XXXX";
  EXPECT_EQ(mkstemp(bad.data()), -1);
  EXPECT_EQ(errno, EINVAL);
  FILE* const unnamed = tmpfile();
  ASSERT_NE(unnamed, nullptr);
  EXPECT_EQ(fputs("x", unnamed), 1);
  fclose(unnamed);
  close(file);
  unlink(path.c_str());
  rmdir(folder.c_str());
}

TEST(FileTest, TemporaryFilesAreTheMachinesOutsideOfAWorld) {
  UseRealMachine();
  std::string path = TestFolder() + "/cXXXXXX";
  const int file = mkstemp(path.data());
  EXPECT_GE(file, 0);
  EXPECT_EQ(path.find("XXXXXX"), std::string::npos);  // A drawn name may have one of them.
  close(file);
  unlink(path.c_str());
  FILE* const unnamed = tmpfile();
  ASSERT_NE(unnamed, nullptr);
  fclose(unnamed);
}

TEST(FileDeathTest, WhatDescribesTheMachineOrStaysBehindEndsTheSeed) {
  setenv("TEST_TMPDIR", TestFolder().c_str(), 1);
  const auto opens = [](const std::string& path, int flags) {
    const HostWorld world;
    close(open(path.c_str(), flags, 0600));
  };
  EXPECT_DEATH(opens("/proc/meminfo", O_RDONLY), R"(open\("/proc/meminfo"\) was called)");
  EXPECT_DEATH(opens("/sys/devices/system/cpu/online", O_RDONLY), "it describes the machine");
  EXPECT_DEATH(opens("/elsewhere/file", O_WRONLY | O_CREAT), "write below TEST_TMPDIR");
  EXPECT_DEATH(opens("relative", O_WRONLY | O_CREAT), "write below TEST_TMPDIR");
  EXPECT_DEATH(opens(TestFolder() + "/../file", O_RDWR | O_CREAT), "write below TEST_TMPDIR");
  EXPECT_DEATH(opens(TestFolder() + "_and_more/file", O_RDWR | O_CREAT), "write below TEST_TMPDIR");
  EXPECT_DEATH(opens("/dev/../dev/urandom", O_RDONLY), "randomness has to come from the seed");
}

TEST(FileDeathTest, ByTheNumberOfTheCallAsByItsName) {
  setenv("TEST_TMPDIR", TestFolder().c_str(), 1);
  const std::string file = TestFolder() + "/by_number";
  open_how how{};
  how.flags = O_RDONLY;
  {
    const HostWorld world;
    const long created = syscall(SYS_openat, AT_FDCWD, file.c_str(), O_WRONLY | O_CREAT, 0600);
    ASSERT_GE(created, 0);
    close(static_cast<int>(created));
    const long opened = syscall(SYS_openat2, AT_FDCWD, file.c_str(), &how, sizeof(how));
    ASSERT_GE(opened, 0);
    close(static_cast<int>(opened));
  }
  EXPECT_DEATH(
      {
        const HostWorld world;
        syscall(SYS_open, "/proc/meminfo", O_RDONLY);
      },
      R"(open\("/proc/meminfo"\) was called)");
  EXPECT_DEATH(
      {
        const HostWorld world;
        syscall(SYS_openat, AT_FDCWD, "/dev/urandom", O_RDONLY);
      },
      "randomness has to come from the seed");
  EXPECT_DEATH(
      {
        const HostWorld world;
        syscall(SYS_openat2, AT_FDCWD, "/sys/devices/system/cpu/online", &how, sizeof(how));
      },
      "it describes the machine");
  EXPECT_DEATH(
      {
        const HostWorld world;
        syscall(SYS_creat, "/elsewhere/file", 0600);
      },
      "write below TEST_TMPDIR");
}

}  // namespace
}  // namespace tandem::sim
