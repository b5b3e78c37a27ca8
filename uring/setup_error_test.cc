// SPDX-License-Identifier: Apache-2.0

#include "tandem/uring/setup_error.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/io/reactor_options.h"
#include "tandem/uring/uring_reactor.h"

namespace tandem::uring {
namespace {

using ::testing::HasSubstr;

// --- The diagnosis, a pure function --------------------------------------------------------------------------------

struct Case {
  std::string name;
  int error = 0;
  SetupFacts facts;
  absl::StatusCode code = absl::StatusCode::kUnknown;
  std::string cause;
  std::string cure;
};

SetupFacts Facts(int sysctl, int seccomp, std::string kernel = "6.18.1") {
  SetupFacts facts;
  facts.kernel = std::move(kernel);
  facts.disabled_sysctl = sysctl;
  facts.seccomp_mode = seccomp;
  facts.descriptor_limit = 1024;
  facts.memlock_limit = 65536;
  return facts;
}

SetupFacts UnlimitedMemlock() {
  SetupFacts facts = Facts(0, 0);
  facts.memlock_limit = std::numeric_limits<uint64_t>::max();
  return facts;
}

class SetupErrorTest : public ::testing::TestWithParam<Case> {};

TEST_P(SetupErrorTest, NamesCauseAndCure) {
  const absl::Status status = SetupError(GetParam().error, "io_uring_setup", GetParam().facts);

  EXPECT_EQ(status.code(), GetParam().code);
  EXPECT_EQ(ErrnoOf(status), GetParam().error);
  EXPECT_THAT(status.message(), HasSubstr("io_uring_setup: "));
  EXPECT_THAT(status.message(), HasSubstr(GetParam().cause));
  EXPECT_THAT(status.message(), HasSubstr(GetParam().cure));
}

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;

INSTANTIATE_TEST_SUITE_P(
    Cause, SetupErrorTest,
    ::testing::Values(
        Case{"SysctlOff", EPERM, Facts(2, 0), kDenied, "io_uring_disabled is 2",
             "sysctl -w kernel.io_uring_disabled=0"},
        Case{"SysctlRestricted", EPERM, Facts(1, 0), kDenied, "io_uring_disabled is 1", "kernel.io_uring_group"},
        Case{"SysctlOffBeatsSeccomp", EPERM, Facts(2, 2), kDenied, "io_uring_disabled is 2", "sysctl -w"},
        Case{"SeccompEperm", EPERM, Facts(0, 2), kDenied, "a seccomp filter refuses", "seccomp=unconfined"},
        Case{"SeccompEacces", EACCES, Facts(1, 2), kDenied, "a seccomp filter refuses", "seccomp=unconfined"},
        Case{"SecurityModule", EPERM, Facts(0, 0), kDenied, "a security module", "seccomp=unconfined"},
        Case{"NothingKnown", EPERM, Facts(-1, -1), kDenied, "a security module", "seccomp=unconfined"},
        Case{"SeccompEnosys", ENOSYS, Facts(0, 2), kUnimplemented, "a seccomp filter hides", "seccomp=unconfined"},
        Case{"OldKernelEnosys", ENOSYS, Facts(-1, 0, "5.0.1-generic"), kUnimplemented, "5.0.1-generic is too old",
             "needs Linux 6.1 or newer"},
        Case{"NotBuiltIn", ENOSYS, Facts(-1, 0), kUnimplemented, "CONFIG_IO_URING", "use a kernel that has it"},
        Case{"OldKernelEinval", EINVAL, Facts(-1, 0, "5.4.0"), absl::StatusCode::kInvalidArgument, "5.4.0 is too old",
             "needs Linux 6.1 or newer"},
        Case{"Memlock", ENOMEM, Facts(0, 0), kExhausted, "RLIMIT_MEMLOCK of 65536", "ulimit -l unlimited"},
        Case{"NoMemory", ENOMEM, UnlimitedMemlock(), kExhausted, "no memory left", "fewer ring entries"},
        Case{"Descriptors", EMFILE, Facts(0, 0), kExhausted, "RLIMIT_NOFILE allows, 1024", "ulimit -n"},
        Case{"DescriptorsOfMachine", ENFILE, Facts(0, 0), kExhausted, "fs.file-max", "raise that sysctl"}),
    [](const ::testing::TestParamInfo<Case>& info) { return info.param.name; });

TEST(MissingFeatureTest, NamesFeatureAndKernel) {
  const absl::Status status = MissingFeatureError("multishot receive", "6.0", Facts(0, 0, "5.19.2"));

  EXPECT_EQ(status.code(), kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("5.19.2 has no multishot receive, which came with Linux 6.0"));
}

// --- The real thing, in a child that was made to fail ---------------------------------------------------------------

// Runs `prepare` and then UringReactor::Create() in a child process; the message of its status, or "OK".
std::string CreateInChild(const std::function<void()>& prepare) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    prepare();
    const auto reactor = UringReactor::Create(ReactorOptions());
    const std::string text = reactor.ok() ? "OK" : reactor.status().ToString();
    (void)!write(ends[1], text.data(), text.size());
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char part[512];
  for (ssize_t count = 0; (count = read(ends[0], part, sizeof(part))) > 0;) text.append(part, count);
  close(ends[0]);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  return text;
}

// From here on io_uring_setup fails with `error`.
void DenySetup(uint32_t error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {.len = 4, .filter = program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    _exit(2);
  }
}

TEST(CreateInChildTest, SucceedsUntouched) {
  EXPECT_EQ(CreateInChild([] {}), "OK");
}

TEST(CreateInChildTest, SeccompWithEpermIsNamed) {
  const std::string text = CreateInChild([] { DenySetup(EPERM); });

  if (ReadSetupFacts().disabled_sysctl > 0) GTEST_SKIP() << "kernel.io_uring_disabled hides the filter";
  EXPECT_THAT(text, HasSubstr("PERMISSION_DENIED: io_uring_setup: operation not permitted: a seccomp filter refuses"));
}

TEST(CreateInChildTest, SeccompWithEnosysIsNamed) {
  EXPECT_THAT(CreateInChild([] { DenySetup(ENOSYS); }), HasSubstr("a seccomp filter hides io_uring"));
}

TEST(CreateInChildTest, NoDescriptorIsNamed) {
  const std::string text = CreateInChild([] {
    // UBSan opens descriptors the first time that it checks the type of an object.
    (void)SetupError(EMFILE, "io_uring_setup", ReadSetupFacts());
    const rlimit limit = {.rlim_cur = 0, .rlim_max = 0};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(2);
  });

  EXPECT_THAT(text, HasSubstr("too many open files: the process has as many descriptors open as RLIMIT_NOFILE allows"));
}

// The kernel charges the rings to RLIMIT_MEMLOCK of the user, but for processes with CAP_IPC_LOCK.
TEST(CreateInChildTest, MemlockLimitIsNamed) {
  const std::string text = CreateInChild([] {
    const rlimit limit = {.rlim_cur = 0, .rlim_max = 0};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) _exit(2);
    __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct none[2] = {};
    if (syscall(SYS_capset, &header, none) != 0) _exit(3);
  });

  if (ReadSetupFacts().disabled_sysctl > 0) GTEST_SKIP() << "kernel.io_uring_disabled comes first";
  if (text == "OK") GTEST_SKIP() << "this kernel charges the rings to the memory cgroup alone";
  EXPECT_THAT(text, HasSubstr("RESOURCE_EXHAUSTED: io_uring_setup: cannot allocate memory: no memory for the rings, or "
                              "more than RLIMIT_MEMLOCK of 0 bytes; raise it"));
}

}  // namespace
}  // namespace tandem::uring
