// SPDX-License-Identifier: Apache-2.0

#include "tandem/uring/setup_error.h"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <limits>

#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"

namespace tandem::uring {
namespace {

uint64_t LimitOf(__rlimit_resource_t resource) {
  rlimit limit{};
  return getrlimit(resource, &limit) == 0 ? limit.rlim_cur : 0;
}

// True when `kernel` ("6.1.0-18-amd64") is at least what Tandem needs, or cannot be read.
bool IsNewEnough(const std::string& kernel) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(kernel.c_str(), "%d.%d", &major, &minor) != 2) return true;
  return major > kKernelMajor || (major == kKernelMajor && minor >= kKernelMinor);
}

std::string NeededKernel() {
  return absl::StrCat("Tandem's io_uring reactor needs Linux ", kKernelMajor, ".", kKernelMinor, " or newer");
}

constexpr absl::string_view kSeccompCure =
    "Docker's default profile does that: run the container with --security-opt seccomp=unconfined, or with a profile "
    "that allows io_uring_setup, io_uring_enter and io_uring_register";

std::string ExplainRefusal(int error, const SetupFacts& facts) {
  if (facts.disabled_sysctl == 2) {
    return "kernel.io_uring_disabled is 2, which turns io_uring off for everybody; allow it with "
           "'sysctl -w kernel.io_uring_disabled=0'";
  }
  // A filter may refuse with any errno; the sysctl refuses with EPERM alone.
  if (facts.disabled_sysctl == 1 && error == EPERM) {
    return "kernel.io_uring_disabled is 1, which allows io_uring only with CAP_SYS_ADMIN or to members of the group "
           "kernel.io_uring_group; allow it with 'sysctl -w kernel.io_uring_disabled=0', or join that group";
  }
  if (facts.seccomp_mode > 0) return absl::StrCat("a seccomp filter refuses io_uring; ", kSeccompCure);
  return absl::StrCat("a security module (SELinux, AppArmor) or a seccomp filter refuses io_uring; ", kSeccompCure);
}

std::string ExplainNoSystemCall(const SetupFacts& facts) {
  if (!IsNewEnough(facts.kernel)) return absl::StrCat("Linux ", facts.kernel, " is too old; ", NeededKernel());
  if (facts.seccomp_mode > 0) return absl::StrCat("a seccomp filter hides io_uring; ", kSeccompCure);
  return absl::StrCat(
      "Linux ", facts.kernel,
      " was built without io_uring (CONFIG_IO_URING), or a sandbox such as gVisor stands in for it; use "
      "a kernel that has it");
}

std::string Explain(int error, const SetupFacts& facts) {
  switch (error) {
    case EPERM:
    case EACCES:
      return ExplainRefusal(error, facts);
    case ENOSYS:
      return ExplainNoSystemCall(facts);
    case EINVAL:
      if (!IsNewEnough(facts.kernel)) return absl::StrCat("Linux ", facts.kernel, " is too old; ", NeededKernel());
      return absl::StrCat("Linux ", facts.kernel, " refuses the arguments; ", NeededKernel());
    case ENOMEM: {
      if (facts.memlock_limit == std::numeric_limits<uint64_t>::max()) {
        return "the kernel has no memory left for the rings; ask for fewer ring entries and receive buffers";
      }
      return absl::StrCat("no memory for the rings, or more than RLIMIT_MEMLOCK of ", facts.memlock_limit,
                          " bytes; raise it ('ulimit -l unlimited', LimitMEMLOCK=infinity in a systemd unit), or ask "
                          "for fewer ring entries");
    }
    case EMFILE:
      return absl::StrCat("the process has as many descriptors open as RLIMIT_NOFILE allows, ", facts.descriptor_limit,
                          "; raise it ('ulimit -n', LimitNOFILE in a systemd unit)");
    case ENFILE:
      return "the machine has as many descriptors open as fs.file-max allows; raise that sysctl";
    default:
      return absl::StrCat("Linux ", facts.kernel, "; no known cause");
  }
}

}  // namespace

SetupFacts ReadSetupFacts() {
  SetupFacts facts;
  utsname names{};
  if (uname(&names) == 0) facts.kernel = names.release;
  if (std::ifstream file("/proc/sys/kernel/io_uring_disabled"); !(file >> facts.disabled_sysctl)) {
    facts.disabled_sysctl = -1;
  }
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != "Seccomp:") continue;
    if (!(status >> facts.seccomp_mode)) facts.seccomp_mode = -1;
    break;
  }
  facts.descriptor_limit = LimitOf(RLIMIT_NOFILE);
  facts.memlock_limit = LimitOf(RLIMIT_MEMLOCK);
  return facts;
}

absl::Status SetupError(int error, absl::string_view operation, const SetupFacts& facts) {
  const absl::Status plain = ErrnoStatus(error, operation);
  absl::Status status(plain.code(), absl::StrCat(plain.message(), ": ", Explain(error, facts)));
  plain.ForEachPayload(
      [&status](absl::string_view type, const absl::Cord& payload) { status.SetPayload(type, payload); });
  return status;
}

absl::Status MissingFeatureError(absl::string_view feature, absl::string_view since, const SetupFacts& facts) {
  return absl::UnimplementedError(absl::StrCat("io_uring of Linux ", facts.kernel, " has no ", feature,
                                               ", which came with Linux ", since, "; ", NeededKernel()));
}

}  // namespace tandem::uring
