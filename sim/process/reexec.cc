// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/process/reexec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem::sim {
namespace {

constexpr char kSelf[] = "/proc/self/exe";
constexpr char kReexecMark[] = "TANDEM_REEXECUTED=1";

// Where mmap() begins depends on this limit; without a limit the whole layout is another one.
constexpr rlim_t kStackLimit = 8 << 20;
constexpr rlim_t kOpenFiles = 1024;
constexpr mode_t kFileMask = 022;

// The configuration and the environment, as they travel: a header, then the configuration, then "NAME=value\0"...
constexpr int kPayloadDescriptor = kFirstCleanDescriptor - 1;
constexpr size_t kMaxConfiguration = 4096;
constexpr size_t kMaxPayload = 64 << 10;
struct PayloadHeader {
  uint32_t configuration_bytes;
  uint32_t environment_bytes;
};

// Read by the sanitizers and the dynamic linker before main(): these have to be in the real environment.
constexpr const char* kVariablesBeforeMain[] = {"ASAN_OPTIONS",         "LSAN_OPTIONS",          "TSAN_OPTIONS",
                                                "UBSAN_OPTIONS",        "MSAN_OPTIONS",          "ASAN_SYMBOLIZER_PATH",
                                                "TSAN_SYMBOLIZER_PATH", "UBSAN_SYMBOLIZER_PATH", "LD_LIBRARY_PATH"};

// Of use to tests; the rest of the caller's environment does not reach a seed.
constexpr const char* kVariablesForTests[] = {"TEST_TMPDIR",    "TEST_SRCDIR",
                                              "TEST_WORKSPACE", "TEST_BINARY",
                                              "TEST_TARGET",    "TEST_UNDECLARED_OUTPUTS_DIR",
                                              "RUNFILES_DIR",   "RUNFILES_MANIFEST_FILE",
                                              "TANDEM_TRAP"};

// For a process that is disturbed.
constexpr const char* kDisturbingVariables[] = {"LANG=tr_TR.UTF-8", "HOME=/nonexistent", "TANDEM_DISTURBED=1"};
// Reading a time zone takes memory: another one is for processes whose addresses may be others.
constexpr char kTimeZone[] = "TZ=UTC";
constexpr char kDisturbedTimeZone[] = "TZ=Asia/Kathmandu";
// The dynamic linker copies it: it has to be there, and as long, for every process. The heap grows in large steps and
// is not given back, which would cost a short life more than it takes.
constexpr char kPlainMalloc[] =
    "GLIBC_TUNABLES=glibc.malloc.perturb=000:glibc.malloc.mmap_threshold=33554432"
    ":glibc.malloc.trim_threshold=1073741824:glibc.malloc.top_pad=1048576";
constexpr char kDisturbedMalloc[] =
    "GLIBC_TUNABLES=glibc.malloc.perturb=165:glibc.malloc.mmap_threshold=33554432"
    ":glibc.malloc.trim_threshold=1073741824:glibc.malloc.top_pad=1048576";
static_assert(sizeof(kPlainMalloc) == sizeof(kDisturbedMalloc));

// For the next exec. Returns false where the machine refuses.
bool SetRandomization(bool on) {
  const int current = personality(0xffffffff);
  if (current == -1) return false;
  const unsigned others = static_cast<unsigned>(current) & ~static_cast<unsigned>(ADDR_NO_RANDOMIZE);
  return personality(on ? others : others | ADDR_NO_RANDOMIZE) != -1;
}

// To `value`, or as near as the machine allows.
void FixLimit(int resource, rlim_t value) {
  rlimit limit;
  if (getrlimit(resource, &limit) != 0) return;
  limit.rlim_cur = std::min(value, limit.rlim_max);
  setrlimit(resource, &limit);
}

// Builds an environment whose number of variables and of bytes do not depend on their values.
std::vector<std::string> PaddedEnvironment(bool disturb) {
  constexpr size_t kStep = 4096;  // More than the values need as a rule; if not, the next multiple.
  std::vector<std::string> variables;
  size_t bytes = 0;
  for (const char* name : kVariablesBeforeMain) {
    const char* value = getenv(name);
    variables.push_back(value == nullptr ? "_=" : absl::StrCat(name, "=", value));
    bytes += variables.back().size();
  }
  variables.push_back(disturb ? kDisturbedMalloc : kPlainMalloc);
  bytes += variables.back().size();
  variables.push_back("TANDEM_PADDING=");
  bytes += variables.back().size();
  variables.back().append(kStep - bytes % kStep, '.');
  return variables;
}

std::string Payload(const CleanProcessOptions& options) {
  const std::string& configuration = options.configuration;
  std::string environment;
  for (const char* name : kVariablesForTests) {
    const char* value = getenv(name);
    if (value != nullptr) environment.append(absl::StrCat(name, "=", value)).push_back('\0');
  }
  if (options.disturb) {
    for (const char* variable : kDisturbingVariables) environment.append(variable).push_back('\0');
  }
  environment.append(options.disturb && options.randomize_addresses ? kDisturbedTimeZone : kTimeZone).push_back('\0');
  const PayloadHeader header{static_cast<uint32_t>(configuration.size()), static_cast<uint32_t>(environment.size())};
  return absl::StrCat(absl::string_view(reinterpret_cast<const char*>(&header), sizeof(header)), configuration,
                      environment);
}

absl::StatusOr<int> PayloadFile(absl::string_view payload) {
  const int file = memfd_create("tandem-configuration", MFD_CLOEXEC);
  if (file < 0) return absl::ErrnoToStatus(errno, "memfd_create");
  if (write(file, payload.data(), payload.size()) != static_cast<ssize_t>(payload.size())) {
    absl::Status status = absl::ErrnoToStatus(errno, "write the configuration");
    close(file);
    return status;
  }
  lseek(file, 0, SEEK_SET);
  return file;
}

void CloseFrom(int first) {
  if (syscall(SYS_close_range, first, ~0u, 0) == 0) return;
  for (int fd = first; fd < static_cast<int>(sysconf(_SC_OPEN_MAX)); ++fd) close(fd);  // Before Linux 5.9.
}

// Moves sources[i] to kPayloadDescriptor + i and closes everything behind. Returns false if it cannot.
bool ArrangeDescriptors(std::vector<int>& sources) {
  const int end = kPayloadDescriptor + static_cast<int>(sources.size());
  for (int& source : sources) {
    source = fcntl(source, F_DUPFD, end);  // Out of the way of the targets first.
    if (source < 0) return false;
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    if (dup2(sources[i], kPayloadDescriptor + static_cast<int>(i)) < 0) return false;
  }
  CloseFrom(end);
  const int null = open("/dev/null", O_RDONLY);
  return null >= 0 && dup2(null, 0) == 0 && close(null) == 0;
}

// Those that wait are forgotten: they came for the group that this process has left.
void ResetSignals() {
  for (int number = 1; number < NSIG; ++number) {
    signal(number, SIG_IGN);
    signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Runs in the forked child, which has a copy of one thread only: nothing here may allocate.
[[noreturn]] void ExecCleanProcess(const CleanProcessOptions& options, pid_t parent, std::vector<int>& sources,
                                   char** envp) {
  setpgid(0, 0);
  ResetSignals();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  if (!ArrangeDescriptors(sources)) _exit(127);
  FixLimit(RLIMIT_STACK, kStackLimit);
  FixLimit(RLIMIT_NOFILE, kOpenFiles);
  umask(kFileMask);
  if (options.disturb && chdir("/") != 0) _exit(127);
  SetRandomization(options.randomize_addresses);  // If refused, the zygote sees it.
  char name[] = "tandem-seed-zygote";
  static_assert(sizeof(name) == sizeof(kCleanProcessName));
  char* argv[] = {name, nullptr};
  execve(kSelf, argv, envp);
  _exit(127);
}

// Somebody looks at this very process: a debugger, or a tracer of its calls.
bool IsTraced() {
  char text[4096];
  const int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t size = read(file, text, sizeof(text) - 1);
  close(file);
  text[std::max<ssize_t>(size, 0)] = '\0';
  const char* const tracer = strstr(text, "TracerPid:");
  return tracer != nullptr && atoi(tracer + strlen("TracerPid:")) != 0;
}

}  // namespace

AddressLayout CurrentAddressLayout() {
  const int persona = personality(0xffffffff);
  return persona != -1 && (persona & ADDR_NO_RANDOMIZE) != 0 ? AddressLayout::kFixed : AddressLayout::kRandomized;
}

AddressLayout ReexecOnce(char** argv, char** envp) {
  const AddressLayout layout = CurrentAddressLayout();
  const bool is_clean = strcmp(argv[0], kCleanProcessName) == 0;  // Its parent has chosen the layout.
  if (layout == AddressLayout::kFixed || is_clean) return layout;
  const char* const keep = getenv("TANDEM_ASLR");
  if ((keep != nullptr && strcmp(keep, "1") == 0) || IsTraced()) return AddressLayout::kRandomized;
  // The mark ends the matter where the kernel says yes and randomises all the same.
  if (getenv("TANDEM_REEXECUTED") == nullptr && SetRandomization(false)) {
    std::vector<char*> variables;
    for (char** variable = envp; *variable != nullptr; ++variable) variables.push_back(*variable);
    std::string mark = kReexecMark;
    variables.push_back(mark.data());
    variables.push_back(nullptr);
    FixLimit(RLIMIT_STACK, kStackLimit);
    execve(kSelf, argv, variables.data());
  }
  fputs("ASLR on: only portable programs replay exactly\n", stderr);
  return AddressLayout::kRandomized;
}

absl::StatusOr<pid_t> StartCleanProcess(const CleanProcessOptions& options) {
  CHECK(options.configuration.size() <= kMaxConfiguration);
  const std::string payload = Payload(options);
  if (payload.size() > kMaxPayload) return absl::InvalidArgumentError("the environment's test variables are too long");
  absl::StatusOr<int> file = PayloadFile(payload);
  if (!file.ok()) return file.status();

  std::vector<int> sources = {*file};
  sources.insert(sources.end(), options.descriptors.begin(), options.descriptors.end());
  std::vector<std::string> environment = PaddedEnvironment(options.disturb);
  std::vector<char*> envp;
  envp.reserve(environment.size() + 1);
  for (std::string& variable : environment) envp.push_back(variable.data());
  envp.push_back(nullptr);
  const pid_t parent = getpid();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);  // The handlers of this process are not for the child.
  const pid_t child = fork();
  if (child == 0) ExecCleanProcess(options, parent, sources, envp.data());
  const int fork_errno = errno;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  close(*file);
  if (child < 0) return absl::ErrnoToStatus(fork_errno, "fork");
  return child;
}

bool IsCleanProcess(int argc, char** argv) { return argc == 1 && strcmp(argv[0], kCleanProcessName) == 0; }

absl::string_view TakeConfiguration() {
  static char payload[kMaxPayload + 1];  // Zeroed, so that the last string ends.
  static char* environment[std::size(kVariablesForTests) + std::size(kDisturbingVariables) + 2];

  size_t size = 0;
  while (size < kMaxPayload) {
    const ssize_t count = read(kPayloadDescriptor, payload + size, kMaxPayload - size);
    if (count < 0 && errno == EINTR) continue;
    CHECK_GE(count, 0);
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  close(kPayloadDescriptor);
  PayloadHeader header;
  CHECK_GE(size, sizeof(header));
  memcpy(&header, payload, sizeof(header));
  CHECK_EQ(size, sizeof(header) + header.configuration_bytes + header.environment_bytes);

  char* variable = payload + sizeof(header) + header.configuration_bytes;
  char** slot = environment;
  while (*variable != '\0') {
    *slot++ = variable;
    variable += strlen(variable) + 1;
  }
  *slot = nullptr;
  environ = environment;
  return absl::string_view(payload + sizeof(header), header.configuration_bytes);
}

}  // namespace tandem::sim
