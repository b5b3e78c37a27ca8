// SPDX-License-Identifier: Apache-2.0
//
// On machines that refuse io_uring this world starts on epoll and says why. Each case refuses it in a child process, as
// a container or a limit does, and looks at what the child does and writes.

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/create_reactor.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/reactor_fixture.h"

namespace tandem {
namespace {

// --- Refusals --------------------------------------------------------------------------------------------------------

// From now on the system call `number` fails with `error`.
bool DenyByFilter(uint32_t number, int error) {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (static_cast<uint32_t>(error) & SECCOMP_RET_DATA)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter = {.len = program.size(), .filter = program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// As Docker's default profile.
bool DenyWithPermission() { return DenyByFilter(SYS_io_uring_setup, EPERM); }
bool DenyAsUnknownCall() { return DenyByFilter(SYS_io_uring_setup, ENOSYS); }
// Profiles that know of one of the calls only.
bool DenyRegister() { return DenyByFilter(SYS_io_uring_register, EPERM); }
bool DenyEnter() { return DenyByFilter(SYS_io_uring_enter, EPERM); }

// No memory may be locked, and no privilege lifts that: without CAP_IPC_LOCK the kernel counts the rings.
bool DenyByMemlock() {
  const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
  if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) return false;
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets = {};
  if (syscall(SYS_capget, &header, sets.data()) != 0) return false;
  for (__user_cap_data_struct& set : sets) {
    set.effective &= ~(1U << CAP_IPC_LOCK);
    set.permitted &= ~(1U << CAP_IPC_LOCK);
    set.inheritable &= ~(1U << CAP_IPC_LOCK);
    break;  // CAP_IPC_LOCK is in the first.
  }
  return syscall(SYS_capset, &header, sets.data()) == 0;
}

// --- What the child does ---------------------------------------------------------------------------------------------

enum ExitCode : int { kServedByEpoll = 0, kServedByUring = 10, kNoReactor = 11, kNotRefused = 12, kNotServed = 13 };

// A round trip through a reactor; only what the fixture offers is used of the test.
class EchoTest : public posix::ReactorFixture {
 public:
  explicit EchoTest(std::unique_ptr<Reactor> reactor) { reactor_ = std::move(reactor); }

  bool Echoes() {
    const auto [client, server] = Connection();
    return Sends(client, server) && Sends(server, client);
  }

 private:
  void TestBody() override {}

  bool Sends(SocketId from, SocketId to) {
    posix::TestSource receive(Source::Kind::kReceive);
    Arm(&receive, to);
    const bool arrived = Send(from, "echo") == 4 && RunUntil([&] { return receive.received == "echo"; });
    Disarm(&receive);
    return arrived;
  }
};

[[noreturn]] void ServeUnder(bool (*deny)(), ReactorKind kind) {
  if (!deny()) _exit(kNotRefused);
  // Two: a program has one reactor for each thread.
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<std::unique_ptr<Reactor>> reactor =
        CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(ReactorOptions().set_kind(kind));
    if (!reactor.ok()) {
      const std::string line = "error: " + std::string(reactor.status().message()) + "\n";
      (void)!write(STDERR_FILENO, line.data(), line.size());
      _exit(kNoReactor);
    }
    if (!absl::StartsWith((*reactor)->statistics().description, "epoll")) _exit(kServedByUring);
    if (!EchoTest(*std::move(reactor)).Echoes()) _exit(kNotServed);
  }
  _exit(kServedByEpoll);
}

struct Outcome {
  int exit_code = -1;
  std::string errors;  // What it wrote to standard error.
};

Outcome RunChild(bool (*deny)(), ReactorKind kind) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  EXPECT_GE(child, 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    ServeUnder(deny, kind);
  }
  close(ends[1]);
  Outcome outcome;
  char part[4096];
  for (ssize_t count = 0; (count = read(ends[0], part, sizeof(part))) > 0;) {
    outcome.errors.append(part, static_cast<size_t>(count));
  }
  close(ends[0]);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return outcome;
}

// --- Tests -----------------------------------------------------------------------------------------------------------

struct Refusal {
  const char* name;
  bool (*deny)();
  const char* cause;  // Of the line.
  const char* cure;
};

class FallbackTest : public ::testing::TestWithParam<Refusal> {};

TEST_P(FallbackTest, AutoServesByEpollAndSaysWhyInOneLine) {
  const Outcome outcome = RunChild(GetParam().deny, ReactorKind::kAuto);

  EXPECT_EQ(outcome.exit_code, kServedByEpoll);
  EXPECT_TRUE(absl::StartsWith(outcome.errors, "tandem: using epoll instead of io_uring: ")) << outcome.errors;
  EXPECT_TRUE(absl::StrContains(outcome.errors, GetParam().cause)) << outcome.errors;
  EXPECT_TRUE(absl::StrContains(outcome.errors, GetParam().cure)) << outcome.errors;
  EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
}

TEST_P(FallbackTest, UringFailsAndSaysWhy) {
  const Outcome outcome = RunChild(GetParam().deny, ReactorKind::kUring);

  EXPECT_EQ(outcome.exit_code, kNoReactor);
  EXPECT_TRUE(absl::StartsWith(outcome.errors, "error: ")) << outcome.errors;
  EXPECT_TRUE(absl::StrContains(outcome.errors, GetParam().cause)) << outcome.errors;
  EXPECT_TRUE(absl::StrContains(outcome.errors, GetParam().cure)) << outcome.errors;
}

TEST_P(FallbackTest, EpollDoesNotCareAndSaysNothing) {
  const Outcome outcome = RunChild(GetParam().deny, ReactorKind::kEpoll);

  EXPECT_EQ(outcome.exit_code, kServedByEpoll);
  EXPECT_EQ(outcome.errors, "");
}

INSTANTIATE_TEST_SUITE_P(
    Refusals, FallbackTest,
    ::testing::Values(Refusal{"FilterSaysEperm", &DenyWithPermission, "seccomp", "--security-opt seccomp=unconfined"},
                      Refusal{"FilterSaysEnosys", &DenyAsUnknownCall, "seccomp", "--security-opt seccomp=unconfined"},
                      Refusal{"FilterOfRegister", &DenyRegister, "seccomp", "--security-opt seccomp=unconfined"},
                      Refusal{"FilterOfEnter", &DenyEnter, "seccomp", "--security-opt seccomp=unconfined"},
                      Refusal{"MemlockIsZero", &DenyByMemlock, "RLIMIT_MEMLOCK", "ulimit -l"}),
    [](const auto& info) { return std::string(info.param.name); });

class ChosenKindTest : public ::testing::Test {
 protected:
  void TearDown() override { unsetenv("TANDEM_REACTOR"); }

  static std::string Describe(const ReactorOptions& options) {
    const auto reactor = CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(options);
    return reactor.ok() ? (*reactor)->statistics().description : std::string(reactor.status().message());
  }
};

TEST_F(ChosenKindTest, EnvironmentChoosesForAuto) {
  setenv("TANDEM_REACTOR", "epoll", 1);
  EXPECT_TRUE(absl::StartsWith(Describe(ReactorOptions()), "epoll on"));
}

TEST_F(ChosenKindTest, ProgramOverridesTheEnvironment) {
  setenv("TANDEM_REACTOR", "nonsense", 1);
  EXPECT_TRUE(absl::StartsWith(Describe(ReactorOptions().set_kind(ReactorKind::kEpoll)), "epoll on"));
}

TEST_F(ChosenKindTest, NonsenseInTheEnvironmentIsAnError) {
  setenv("TANDEM_REACTOR", "nonsense", 1);
  EXPECT_EQ(Describe(ReactorOptions()),
            "environment variable TANDEM_REACTOR: no reactor is called \"nonsense\"; expected auto, uring or epoll");
}

}  // namespace
}  // namespace tandem
