// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/process/interpose/interpose.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace tandem::sim {
namespace {

constexpr int64_t kWallNs = 1'900'000'000'123'456'789;
constexpr int64_t kMonotonicNs = 77'000'000'042;

// A world that answers with constants and counts up its draws.
class FakeWorld {
 public:
  FakeWorld() { EnterWorld(hooks_); }
  ~FakeWorld() { LeaveWorld(); }

 private:
  static int64_t Realtime(void*) { return kWallNs; }
  static int64_t Monotonic(void*) { return kMonotonicNs; }
  static uint64_t Random(void* context) { return ++static_cast<FakeWorld*>(context)->draws_ * 0x0101010101010101u; }

  uint64_t draws_ = 0;
  WorldHooks hooks_{this, &Realtime, &Monotonic, &Random};
};

struct Caller {
  std::string name;
  const char* call;
  std::function<void()> make;
};

void PrintTo(const Caller& caller, std::ostream* out) { *out << caller.name; }

std::string NameOf(const ::testing::TestParamInfo<Caller>& info) { return info.param.name; }

// --- What a world serves ---

class ServedCallTest : public ::testing::TestWithParam<Caller> {};

TEST_P(ServedCallTest, ReachesTheInterposer) {
  const uint64_t before = InterposedCallCountForTest(GetParam().call);
  FakeWorld world;

  GetParam().make();

  EXPECT_GT(InterposedCallCountForTest(GetParam().call), before);
}

std::vector<Caller> ServedCalls() {
  return {
      {"SystemClock", "clock_gettime",
       [] { EXPECT_EQ(std::chrono::system_clock::now().time_since_epoch().count(), kWallNs); }},
      {"SteadyClock", "clock_gettime",
       [] { EXPECT_EQ(std::chrono::steady_clock::now().time_since_epoch().count(), kMonotonicNs); }},
      {"AbslNow", "clock_gettime", [] { EXPECT_EQ(absl::ToUnixNanos(absl::Now()), kWallNs); }},
      {"ClockGettimeBoottime", "clock_gettime",
       [] {
         timespec now;
         EXPECT_EQ(clock_gettime(CLOCK_BOOTTIME, &now), 0);
         EXPECT_EQ(now.tv_sec, 77);
         EXPECT_EQ(now.tv_nsec, 42);
       }},
      {"Gettimeofday", "gettimeofday",
       [] {
         timeval now;
         EXPECT_EQ(gettimeofday(&now, nullptr), 0);
         EXPECT_EQ(now.tv_sec, 1'900'000'000);
         EXPECT_EQ(now.tv_usec, 123'456);
       }},
      {"Time", "time", [] { EXPECT_EQ(time(nullptr), 1'900'000'000); }},
      {"TimespecGet", "timespec_get",
       [] {
         timespec now;
         EXPECT_EQ(timespec_get(&now, TIME_UTC), TIME_UTC);
         EXPECT_EQ(now.tv_nsec, 123'456'789);
       }},
      {"Clock", "clock", [] { EXPECT_EQ(clock(), kMonotonicNs / 1000); }},
      {"Times", "times",
       [] {
         tms used;
         EXPECT_EQ(times(&used), 7700);
         EXPECT_EQ(used.tms_utime, 7700);
         EXPECT_EQ(used.tms_stime, 0);
       }},
      {"Getrusage", "getrusage",
       [] {
         rusage used;
         EXPECT_EQ(getrusage(RUSAGE_SELF, &used), 0);
         EXPECT_EQ(used.ru_utime.tv_sec, 77);
         EXPECT_EQ(used.ru_maxrss, 0);
       }},
      {"Getrandom", "getrandom",
       [] {
         unsigned char bytes[9];
         EXPECT_EQ(getrandom(bytes, sizeof(bytes), 0), 9);
         EXPECT_EQ(bytes[0], 1);
         EXPECT_EQ(bytes[8], 2);
       }},
      {"Getentropy", "getentropy",
       [] {
         unsigned char bytes[3];
         EXPECT_EQ(getentropy(bytes, sizeof(bytes)), 0);
         EXPECT_EQ(bytes[2], 1);
       }},
      {"Arc4random", "arc4random", [] { EXPECT_EQ(arc4random(), 0x01010101u); }},
      {"Arc4randomBuf", "arc4random_buf",
       [] {
         unsigned char byte;
         arc4random_buf(&byte, 1);
         EXPECT_EQ(byte, 1);
       }},
      {"Arc4randomUniform", "arc4random_uniform", [] { EXPECT_EQ(arc4random_uniform(1000), 0x01010101u % 1000); }},
      {"RandomDevice", "_ZNSt13random_device9_M_getvalEv",
       [] {
         std::random_device device;
         EXPECT_EQ(device(), 0x01010101u);
       }},
      {"RandomDeviceOnFile", "_ZNSt13random_device9_M_getvalEv",
       [] {
         std::random_device device("rdrand");
         EXPECT_EQ(device(), 0x01010101u);
       }},
      {"Rand", "rand", [] { EXPECT_EQ(rand(), 0x00808080); }},
      {"Random", "random", [] { EXPECT_EQ(random(), 0x00808080); }},
  };
}

INSTANTIATE_TEST_SUITE_P(Interpose, ServedCallTest, ::testing::ValuesIn(ServedCalls()), NameOf);

// --- What a world refuses ---

class RefusedCallDeathTest : public ::testing::TestWithParam<Caller> {};

TEST_P(RefusedCallDeathTest, FailsByNameInAWorld) {
  EXPECT_DEATH(
      {
        FakeWorld world;
        GetParam().make();
      },
      GetParam().name + R"(\(.*was called .*)");
}

std::vector<Caller> RefusedCalls() {
  return {
      {"nanosleep", nullptr, [] { std::this_thread::sleep_for(std::chrono::nanoseconds(1)); }},
      {"clock_nanosleep", nullptr,
       [] {
         const timespec request{.tv_sec = 0, .tv_nsec = 1};
         clock_nanosleep(CLOCK_MONOTONIC, 0, &request, nullptr);
       }},
      {"usleep", nullptr, [] { usleep(1); }},
      {"sleep", nullptr, [] { sleep(0); }},
      {"thrd_sleep", nullptr,
       [] {
         const timespec request{.tv_sec = 0, .tv_nsec = 1};
         thrd_sleep(&request, nullptr);
       }},
      {"poll", nullptr, [] { poll(nullptr, 0, 1); }},
      {"ppoll", nullptr,
       [] {
         const timespec timeout{.tv_sec = 0, .tv_nsec = 1};
         ppoll(nullptr, 0, &timeout, nullptr);
       }},
      {"select", nullptr,
       [] {
         timeval timeout{.tv_sec = 0, .tv_usec = 1};
         select(0, nullptr, nullptr, nullptr, &timeout);
       }},
      {"pselect", nullptr,
       [] {
         const timespec timeout{.tv_sec = 0, .tv_nsec = 1};
         pselect(0, nullptr, nullptr, nullptr, &timeout, nullptr);
       }},
      {"epoll_wait", nullptr,
       [] {
         epoll_event event;
         epoll_wait(-1, &event, 1, 1);
       }},
      {"epoll_pwait", nullptr,
       [] {
         epoll_event event;
         epoll_pwait(-1, &event, 1, 1, nullptr);
       }},
      {"pthread_create", nullptr, [] { std::thread([] {}).join(); }},
      {"thrd_create", nullptr,
       [] {
         thrd_t thread;
         thrd_create(&thread, [](void*) { return 0; }, nullptr);
       }},
      {"fork", nullptr, [] { fork(); }},
      {"posix_spawn", nullptr,
       [] {
         char* const none[] = {nullptr};
         posix_spawn(nullptr, "/bin/true", nullptr, nullptr, none, none);
       }},
      {"posix_spawnp", nullptr,
       [] {
         char* const none[] = {nullptr};
         posix_spawnp(nullptr, "true", nullptr, nullptr, none, none);
       }},
      {"system", nullptr, [] { EXPECT_EQ(system("true"), 0); }},
      {"popen", nullptr, [] { pclose(popen("true", "r")); }},
      {"fopen", nullptr, [] { std::ifstream random("/dev/urandom"); }},
      {"freopen", nullptr, [] { EXPECT_NE(freopen("/dev/random", "r", stdin), nullptr); }},
      {"open", nullptr, [] { close(open("/dev/urandom", O_RDONLY)); }},
      {"openat", nullptr, [] { close(openat(AT_FDCWD, "/dev/random", O_RDONLY)); }},
      {"socket", nullptr, [] { close(socket(AF_INET, SOCK_STREAM, 0)); }},
      {"connect", nullptr,
       [] {
         const sockaddr address{};
         EXPECT_EQ(connect(-1, &address, sizeof(address)), -1);
       }},
      {"getaddrinfo", nullptr,
       [] {
         addrinfo* result = nullptr;
         if (getaddrinfo("127.0.0.1", "1", nullptr, &result) == 0) freeaddrinfo(result);
       }},
  };
}

INSTANTIATE_TEST_SUITE_P(Interpose, RefusedCallDeathTest, ::testing::ValuesIn(RefusedCalls()), NameOf);

// --- The other modes ---

// Runs first in its process (a death test of the style "threadsafe" starts a new one), where nobody chose a mode.
TEST(InterposeModeDeathTest, ClocksShowTheEpochUntilSomethingIsSaid) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        const bool wall = now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec == kEpochRealtimeNs;
        clock_gettime(CLOCK_MONOTONIC, &now);
        _exit(wall && now.tv_sec == 0 && now.tv_nsec == 0 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(InterposeModeTest, RealModeReachesTheMachine) {
  UseRealMachine();

  EXPECT_GT(time(nullptr), 1'500'000'000);
  EXPECT_NE(std::chrono::system_clock::now().time_since_epoch().count(), kEpochRealtimeNs);
  EXPECT_NE(std::random_device()(), std::random_device()());
  int ran = 0;
  std::thread([&ran] { ran = 1; }).join();
  EXPECT_EQ(ran, 1);
  std::this_thread::sleep_for(std::chrono::nanoseconds(1));
  const int file = open("/dev/urandom", O_RDONLY);
  EXPECT_GE(file, 0);
  close(file);
  const int endpoint = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_GE(endpoint, 0);
  close(endpoint);
  addrinfo* result = nullptr;
  EXPECT_EQ(getaddrinfo("127.0.0.1", "1", nullptr, &result), 0);
  freeaddrinfo(result);
  EXPECT_TRUE(std::ifstream("/dev/urandom").good());
  thrd_t thread;
  EXPECT_EQ(thrd_create(&thread, [](void*) { return 7; }, nullptr), thrd_success);
  int returned = 0;
  EXPECT_EQ(thrd_join(thread, &returned), thrd_success);
  EXPECT_EQ(returned, 7);
  rusage used;
  EXPECT_EQ(getrusage(RUSAGE_SELF, &used), 0);
  EXPECT_GT(used.ru_maxrss, 0);
}

TEST(InterposeModeTest, RealModeStartsProcesses) {
  UseRealMachine();

  const pid_t child = fork();
  if (child == 0) _exit(3);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 3);
  EXPECT_EQ(WEXITSTATUS(system("exit 4")), 4);
  pid_t spawned = 0;
  char name[] = "true";
  char* const argv[] = {name, nullptr};
  EXPECT_EQ(posix_spawnp(&spawned, name, nullptr, nullptr, argv, environ), 0);
  EXPECT_EQ(waitpid(spawned, &status, 0), spawned);
  EXPECT_EQ(status, 0);
  FILE* pipe = popen("exit 5", "r");
  ASSERT_NE(pipe, nullptr);
  EXPECT_EQ(WEXITSTATUS(pclose(pipe)), 5);
}

TEST(InterposeModeTest, RealModeWaitsForDescriptors) {
  UseRealMachine();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  pollfd wait{ends[0], POLLIN, 0};
  const timespec timeout{.tv_sec = 60, .tv_nsec = 0};

  EXPECT_EQ(poll(&wait, 1, 60'000), 1);
  EXPECT_EQ(ppoll(&wait, 1, &timeout, nullptr), 1);
  fd_set readable;
  FD_ZERO(&readable);
  FD_SET(ends[0], &readable);
  EXPECT_EQ(pselect(ends[0] + 1, &readable, nullptr, nullptr, &timeout, nullptr), 1);
  EXPECT_EQ(select(ends[0] + 1, &readable, nullptr, nullptr, nullptr), 1);
  const int epoll = epoll_create1(0);
  epoll_event event{.events = EPOLLIN, .data = {}};
  ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event), 0);
  EXPECT_EQ(epoll_wait(epoll, &event, 1, 60'000), 1);
  EXPECT_EQ(epoll_pwait(epoll, &event, 1, 60'000, nullptr), 1);
  for (const int fd : {epoll, ends[0], ends[1]}) close(fd);
}

TEST(InterposeModeTest, RealNowIsRealInAWorld) {
  FakeWorld world;

  const int64_t first = RealNow();

  EXPECT_NE(first, kMonotonicNs);
  EXPECT_GE(RealNow(), first);
}

TEST(InterposeModeTest, ProcessorTimeIsRealInAWorld) {
  FakeWorld world;

  const int64_t first = RealProcessorTime();

  EXPECT_GT(first, 0);
  while (RealProcessorTime() == first) {
  }
}

TEST(InterposeModeTest, TimeBeforeTheEpochHasNonNegativeNanoseconds) {
  WorldHooks hooks{nullptr, [](void*) -> int64_t { return -1; }, [](void*) -> int64_t { return 0; },
                   [](void*) -> uint64_t { return 0; }};
  EnterWorld(hooks);
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  LeaveWorld();

  EXPECT_EQ(now.tv_sec, -1);
  EXPECT_EQ(now.tv_nsec, 999'999'999);
}

}  // namespace
}  // namespace tandem::sim
