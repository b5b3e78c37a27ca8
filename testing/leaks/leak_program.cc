// SPDX-License-Identifier: Apache-2.0
//
// Leaks that were planted: each test asks the machine for something that no seed decides, and lets it decide when a
// host goes on. leaks.py runs them, each seed twice, and says what became of each.

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

Task<absl::Status> GoOnAfter(uint64_t (*leak)()) {
  const absl::Status slept = co_await Sleep(absl::Milliseconds(1));
  if (!slept.ok()) co_return slept;
  constexpr uint64_t kSteps = 1 << 20;
  const uint64_t value = leak();
  co_return co_await Sleep(absl::Nanoseconds(1000 + value % kSteps));
}

void Plant(sim::World& world, uint64_t (*leak)()) {
  sim::Host& host = world.AddHost("leaky", [leak] { return GoOnAfter(leak); });
  const absl::Status status = world.RunUntilDone(host, absl::Minutes(1));
  EXPECT_TRUE(status.ok()) << status;
}

#define LEAK(name, ...)                             \
  SIM_TEST(Leaks, name) {                           \
    Plant(world, []() -> uint64_t { __VA_ARGS__ }); \
  }                                                 \
  static_assert(true, "to be followed by a semicolon")

template <typename T>
uint64_t Number(T value) {
  return static_cast<uint64_t>(value);
}

// In real time and on real locks.
timespec SoonOnMachine(clockid_t clock) {
  timespec soon;
  clock_gettime(clock, &soon);
  soon.tv_nsec += 1;
  return soon;
}

long InlineSystemCall(long number, long a, long b, long c) {
  long answer;
  asm volatile("syscall" : "=a"(answer) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return answer;
}

// --- Identity, processors, memory ---

LEAK(Hostname, {
  std::array<char, 64> name = {};
  EXPECT_EQ(gethostname(name.data(), name.size()), 0);
  EXPECT_STREQ(name.data(), "leaky");
  return std::hash<std::string>()(name.data());
});
LEAK(Uname, {
  utsname name;
  EXPECT_EQ(uname(&name), 0);
  EXPECT_STREQ(name.nodename, "leaky");
  return Number(name.release[0]);
});
LEAK(ProcessId, {
  EXPECT_EQ(getpid(), 1000);
  return Number(getpid());
});
LEAK(ThreadIdByNumber, {
  EXPECT_EQ(syscall(SYS_gettid), 1000);
  return Number(syscall(SYS_gettid));
});
LEAK(Login, { return Number(getlogin() != nullptr); });
LEAK(KillsAProcess, { return Number(kill(getpid(), 0)); });
LEAK(Processors, {
  EXPECT_EQ(std::thread::hardware_concurrency(), 1u);
  return std::thread::hardware_concurrency();
});
LEAK(ProcessorThatRuns, {
  EXPECT_EQ(sched_getcpu(), 0);
  return Number(sched_getcpu());
});
LEAK(Memory, {
  EXPECT_EQ(sysconf(_SC_PHYS_PAGES), 1 << 20);
  return Number(sysconf(_SC_AVPHYS_PAGES));
});

LEAK(ProcessGroup, { return Number(getpgrp()); });
LEAK(RealUser, {
  std::array<uid_t, 3> users = {};
  return Number(getresuid(&users[0], &users[1], &users[2]) + static_cast<int>(users[0]));
});

// --- Clocks ---

LEAK(SystemClock, { return Number(std::chrono::system_clock::now().time_since_epoch().count()); });
LEAK(ProcessorTime, { return Number(clock()); });
LEAK(ClockByNumber, {
  timespec now;
  return Number(syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) + now.tv_nsec);
});
LEAK(ClockByInstruction, {
  timespec now;
  InlineSystemCall(SYS_clock_gettime, CLOCK_REALTIME, reinterpret_cast<long>(&now), 0);
  return Number(now.tv_nsec);
});
LEAK(TimeStampCounter, { return __rdtsc(); });
LEAK(TimeZone, {
  const time_t noon = 12 * 3600;
  tm local;
  localtime_r(&noon, &local);
  return Number(local.tm_hour * 60 + local.tm_min);
});

// --- Timers and waits ---

LEAK(SleepsInAThread, {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return 0;
});
LEAK(TimedLock, {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  const timespec soon = SoonOnMachine(CLOCK_REALTIME);
  return Number(pthread_mutex_timedlock(&lock, &soon));
});
LEAK(TimedReadLock, {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_rwlock_wrlock(&lock);
  const timespec soon = SoonOnMachine(CLOCK_REALTIME);
  return Number(pthread_rwlock_timedrdlock(&lock, &soon));
});
LEAK(TimedSemaphore, {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  const timespec soon = SoonOnMachine(CLOCK_REALTIME);
  return Number(sem_timedwait(&semaphore, &soon));
});
LEAK(ConditionVariable, {
  std::mutex mutex;
  std::condition_variable changed;
  std::unique_lock<std::mutex> lock(mutex);
  return Number(changed.wait_for(lock, std::chrono::hours(1)));
});
LEAK(Future, {
  std::promise<int> promise;
  return Number(promise.get_future().wait_for(std::chrono::hours(1)));
});
LEAK(AbslMutex, {
  absl::Mutex mutex;
  const bool never = false;
  const absl::MutexLock lock(&mutex);
  return Number(mutex.AwaitWithTimeout(absl::Condition(&never), absl::Milliseconds(1)));
});
LEAK(TimerDescriptor, { return Number(timerfd_create(CLOCK_MONOTONIC, 0)); });
LEAK(Timer, {
  timer_t timer;
  return Number(timer_create(CLOCK_MONOTONIC, nullptr, &timer));
});
LEAK(Alarm, { return alarm(1); });

// --- Randomness ---

LEAK(RandomDevice, { return std::random_device()(); });
LEAK(SeedlessGenerator, {
  const int first = rand();
  EXPECT_NE(first, 1804289383) << "what every program in the world gets first";
  return Number(first);
});
LEAK(SeedlessGenerator48, {
  const double first = drand48();
  EXPECT_NE(first, 0.0) << "what every program in the world gets first";
  return Number(first * 1e6);
});
LEAK(RandomnessByNumber, {
  uint64_t value = 0;
  syscall(SYS_getrandom, &value, sizeof(value), 0);
  return value;
});
LEAK(RandomnessByInstruction, {
  uint64_t value = 0;
  InlineSystemCall(SYS_getrandom, reinterpret_cast<long>(&value), sizeof(value), 0);
  return value;
});
LEAK(RandomnessByOtherName, {
  std::ifstream file("/dev/./urandom");
  return Number(file.get());
});
LEAK(RandomBytesOfTheProgram, {
  uint32_t value;
  memcpy(&value, reinterpret_cast<const void*>(getauxval(AT_RANDOM)), sizeof(value));
  return value;
});

// --- Names and descriptors ---

LEAK(HostByName, { return Number(gethostbyname("localhost") != nullptr); });
LEAK(AddressInfo, {
  addrinfo* list = nullptr;
  return Number(getaddrinfo("127.0.0.1", "1", nullptr, &list));
});
LEAK(Interfaces, {
  ifaddrs* list = nullptr;
  return Number(getifaddrs(&list));
});
LEAK(Socket, { return Number(socket(AF_INET, SOCK_STREAM, 0)); });
LEAK(FileByInstruction, {
  const std::string file = std::string(getenv("TEST_TMPDIR")) + "/by_instruction";
  const auto open = [](const char* path, int flags) {
    return InlineSystemCall(SYS_open, reinterpret_cast<long>(path), flags, 0600);
  };
  const long allowed = open(file.c_str(), O_WRONLY | O_CREAT);
  EXPECT_GE(allowed, 0);
  close(static_cast<int>(allowed));
  return Number(open("/proc/meminfo", O_RDONLY));
});
LEAK(SocketByInstruction, { return Number(InlineSystemCall(SYS_socket, AF_INET, SOCK_STREAM, 0)); });
LEAK(Poll, { return Number(poll(nullptr, 0, 1)); });
LEAK(Epoll, { return Number(epoll_create1(0)); });
LEAK(EventDescriptor, { return Number(eventfd(0, 0)); });
LEAK(Pipe, {
  std::array<int, 2> ends;
  return Number(pipe(ends.data()));
});

// --- Threads and processes ---

LEAK(Thread, {
  std::thread([] {}).join();
  return 0;
});
LEAK(Fork, {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  return Number(child);
});
LEAK(Vfork, {
  // NOLINTNEXTLINE(bugprone-unsafe-functions): it is refused.
  const pid_t child = vfork();
  if (child == 0) _exit(0);
  return Number(child);
});
LEAK(Command, { return Number(system("true")); });
LEAK(Spawn, {
  pid_t child = 0;
  std::array<char*, 1> none = {nullptr};
  return Number(posix_spawn(&child, "/bin/true", nullptr, nullptr, none.data(), none.data()) + child);
});
LEAK(Exec, { return Number(execl("/bin/true", "true", static_cast<char*>(nullptr))); });

// --- Files and the environment ---

LEAK(CurrentFolder, { return std::filesystem::current_path().native().size(); });
LEAK(OrderOfAFolder, {
  uint64_t hash = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/usr")) hash = hash * 31 + entry.path().native()[5];
  return hash;
});
LEAK(TemporaryFile, {
  std::array<char, 32> name = {"/tmp/leakXXXXXX"};
  return Number(mkstemp(name.data()));
});
LEAK(UnnamedFile, {
  FILE* const file = tmpfile();
  EXPECT_NE(file, nullptr);
  const int descriptor = fileno(file);
  fclose(file);
  return Number(descriptor);
});
LEAK(FileForAllSeeds, {
  std::ofstream file("/tmp/tandem_leak", std::ios::app);
  file << "x";
  return Number(file.tellp());
});
LEAK(FileOfASeed, {
  const char* const folder = getenv("TEST_TMPDIR");
  if (folder == nullptr) ADD_FAILURE() << "no TEST_TMPDIR";
  std::ofstream file(absl::StrCat(folder, "/left_over"), std::ios::app);
  file << "x" << std::flush;
  EXPECT_EQ(file.tellp(), 1) << "another seed was here";
  return Number(file.tellp());
});
LEAK(StateOfTheProcess, {
  std::ifstream file("/proc/self/stat");
  return Number(file.get());
});
LEAK(StateOfTheProcessByOtherName, {
  std::ifstream file("//proc/self/stat");
  return Number(file.get());
});
LEAK(LinkToTheProcess, {
  std::array<char, 32> target = {};
  return Number(readlink("/proc/self", target.data(), target.size()) + target[0]);
});
LEAK(FreeSpace, { return std::filesystem::space("/").available; });
LEAK(RelativePath, {
  std::ifstream file("leak_here");  // Of the folder that the caller is in.
  return Number(file.is_open());
});
LEAK(NameOfTheFolder, { return std::hash<std::string>()(getenv("TEST_TMPDIR")); });
LEAK(FileMask, {
  const mode_t mask = umask(0);
  EXPECT_EQ(mask, 022u);
  return Number(mask);
});
LEAK(OpenFiles, {
  rlimit limit{};
  EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 1u << 20);
  return limit.rlim_cur;
});
LEAK(CallersVariable, {
  EXPECT_EQ(getenv("LEAK_OUTSIDE"), nullptr);
  return Number(getenv("LEAK_OUTSIDE") != nullptr);
});
LEAK(Language, { return Number(getenv("LANG") != nullptr); });

// --- Memory ---

LEAK(UninitializedHeap, {
  const volatile char* const bytes = static_cast<char*>(malloc(3000));
  return Number(static_cast<unsigned char>(bytes[1500]));
});

__attribute__((noinline)) uint64_t ReadDeadStack() {
  std::array<unsigned char, 4096> bytes;
  const volatile unsigned char* const first = bytes.data();
  return first[64];
}
LEAK(UninitializedStack, { return ReadDeadStack(); });
LEAK(HeapAddress, {
  const auto value = std::make_unique<int>(0);
  return reinterpret_cast<uintptr_t>(value.get()) >> 12;
});
LEAK(HashOrder, {
  absl::flat_hash_set<std::string> names;
  for (int i = 0; i < 20; ++i) names.insert(absl::StrCat("name ", i));
  uint64_t hash = 0;
  for (const std::string& name : names) hash = hash * 31 + static_cast<unsigned char>(name.back());
  return hash;
});

}  // namespace
}  // namespace tandem
