// SPDX-License-Identifier: Apache-2.0
//
// Who and what the host that runs is: its name, its process, its processor and its memory.

#include "tandem/sim/process/interpose/identity.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "tandem/sim/process/interpose/calls.h"

using ::tandem::sim::interpose::AskMachine;
using ::tandem::sim::interpose::InterceptForMachine;
using ::tandem::sim::interpose::Mode;
using ::tandem::sim::interpose::Served;

// Defined by the runtime libraries of the sanitizers.
extern "C" decltype(uname) __interceptor_uname __attribute__((weak));

namespace tandem::sim::interpose {
namespace {

constexpr long kMemoryBytes = long{4} << 30;
constexpr long kPageBytes = 4096;
template <size_t kSize>
void Copy(const char* text, char (&out)[kSize]) {
  strncpy(out, text, kSize - 1);
  out[kSize - 1] = '\0';
}

}  // namespace

void DescribeHost(utsname* name) {
  memset(name, 0, sizeof(*name));
  Copy("Linux", name->sysname);
  Copy(HostName(), name->nodename);
  Copy("6.1.0", name->release);
  Copy("#1 SMP", name->version);
  Copy("x86_64", name->machine);
}

void DescribeMemory(struct sysinfo* info) {
  memset(info, 0, sizeof(*info));
  info->uptime = SimulatedClockNs(Mode::kWorld, CLOCK_MONOTONIC) / kNsPerSecond;
  info->totalram = kMemoryBytes;
  info->freeram = kMemoryBytes / 2;
  info->procs = 1;
  info->mem_unit = 1;
}

long SetFirstProcessor(size_t bytes, void* set) {
  if (bytes < sizeof(unsigned long)) return -EINVAL;
  memset(set, 0, bytes);
  *static_cast<unsigned char*>(set) = 1;
  return sizeof(unsigned long);
}

}  // namespace tandem::sim::interpose

using ::tandem::sim::interpose::HostName;
using ::tandem::sim::interpose::HostProcessId;
using ::tandem::sim::interpose::kHostUser;

// --- Identity --------------------------------------------------------------------------------------------------------

TANDEM_INTERPOSED pid_t getpid() noexcept {
  if (InterceptForMachine(Served::k_getpid) == Mode::kWorld) return HostProcessId();
  return static_cast<pid_t>(AskMachine(SYS_getpid));
}

TANDEM_INTERPOSED pid_t getppid() noexcept {
  if (InterceptForMachine(Served::k_getppid) == Mode::kWorld) return 1;
  return static_cast<pid_t>(AskMachine(SYS_getppid));
}

TANDEM_INTERPOSED pid_t gettid() noexcept {
  if (InterceptForMachine(Served::k_gettid) == Mode::kWorld) return HostProcessId();
  return static_cast<pid_t>(AskMachine(SYS_gettid));
}

TANDEM_INTERPOSED uid_t getuid() noexcept {
  if (InterceptForMachine(Served::k_getuid) == Mode::kWorld) return kHostUser;
  return static_cast<uid_t>(AskMachine(SYS_getuid));
}

TANDEM_INTERPOSED uid_t geteuid() noexcept {
  if (InterceptForMachine(Served::k_geteuid) == Mode::kWorld) return kHostUser;
  return static_cast<uid_t>(AskMachine(SYS_geteuid));
}

TANDEM_INTERPOSED gid_t getgid() noexcept {
  if (InterceptForMachine(Served::k_getgid) == Mode::kWorld) return kHostUser;
  return static_cast<gid_t>(AskMachine(SYS_getgid));
}

TANDEM_INTERPOSED gid_t getegid() noexcept {
  if (InterceptForMachine(Served::k_getegid) == Mode::kWorld) return kHostUser;
  return static_cast<gid_t>(AskMachine(SYS_getegid));
}

TANDEM_INTERPOSED int gethostname(char* name, size_t size) noexcept {
  if (InterceptForMachine(Served::k_gethostname) != Mode::kWorld) return TANDEM_NEXT(gethostname, name, size);
  const char* const host = HostName();
  const size_t length = strlen(host) + 1;
  memcpy(name, host, std::min(size, length));
  if (length <= size) return 0;
  errno = ENAMETOOLONG;
  return -1;
}

// The name that <unistd.h> gives to it under _FORTIFY_SOURCE.
TANDEM_INTERPOSED int __gethostname_chk(char* name, size_t size, size_t /*bytes*/) noexcept {
  InterceptForMachine(Served::k___gethostname_chk);
  return gethostname(name, size);
}

TANDEM_INTERPOSED int uname(utsname* name) noexcept {
  if (InterceptForMachine(Served::k_uname) != Mode::kWorld) {
    return &__interceptor_uname != nullptr ? __interceptor_uname(name) : static_cast<int>(AskMachine(SYS_uname, name));
  }
  tandem::sim::interpose::DescribeHost(name);
  return 0;
}

// --- Processors and memory -------------------------------------------------------------------------------------------

TANDEM_INTERPOSED long sysconf(int name) noexcept {
  if (InterceptForMachine(Served::k_sysconf) == Mode::kWorld) {
    switch (name) {
      case _SC_NPROCESSORS_CONF:
      case _SC_NPROCESSORS_ONLN:
        return 1;
      case _SC_PHYS_PAGES:
        return tandem::sim::interpose::kMemoryBytes / tandem::sim::interpose::kPageBytes;
      case _SC_AVPHYS_PAGES:
        return tandem::sim::interpose::kMemoryBytes / tandem::sim::interpose::kPageBytes / 2;
      case _SC_OPEN_MAX:
        return tandem::sim::interpose::kHostOpenFiles;
      default:
        break;
    }
  }
  return TANDEM_NEXT(sysconf, name);
}

TANDEM_INTERPOSED int get_nprocs() noexcept {
  return InterceptForMachine(Served::k_get_nprocs) == Mode::kWorld ? 1 : TANDEM_NEXT(get_nprocs);
}

TANDEM_INTERPOSED int get_nprocs_conf() noexcept {
  return InterceptForMachine(Served::k_get_nprocs_conf) == Mode::kWorld ? 1 : TANDEM_NEXT(get_nprocs_conf);
}

TANDEM_INTERPOSED long get_phys_pages() noexcept {
  InterceptForMachine(Served::k_get_phys_pages);
  return sysconf(_SC_PHYS_PAGES);
}

TANDEM_INTERPOSED long get_avphys_pages() noexcept {
  InterceptForMachine(Served::k_get_avphys_pages);
  return sysconf(_SC_AVPHYS_PAGES);
}

TANDEM_INTERPOSED int sched_getcpu() noexcept {
  if (InterceptForMachine(Served::k_sched_getcpu) == Mode::kWorld) return 0;
  unsigned processor = 0;
  return AskMachine(SYS_getcpu, &processor, nullptr, nullptr) == 0 ? static_cast<int>(processor) : -1;
}

TANDEM_INTERPOSED int getcpu(unsigned* processor, unsigned* node) noexcept {
  if (InterceptForMachine(Served::k_getcpu) != Mode::kWorld) {
    return static_cast<int>(AskMachine(SYS_getcpu, processor, node, nullptr));
  }
  if (processor != nullptr) *processor = 0;
  if (node != nullptr) *node = 0;
  return 0;
}

TANDEM_INTERPOSED int sched_getaffinity(pid_t process, size_t bytes, cpu_set_t* set) noexcept {
  if (InterceptForMachine(Served::k_sched_getaffinity) != Mode::kWorld) {
    return TANDEM_NEXT(sched_getaffinity, process, bytes, set);
  }
  return tandem::sim::interpose::SetErrno(tandem::sim::interpose::SetFirstProcessor(bytes, set)) < 0 ? -1 : 0;
}

TANDEM_INTERPOSED int pthread_getaffinity_np(pthread_t thread, size_t bytes, cpu_set_t* set) noexcept {
  if (InterceptForMachine(Served::k_pthread_getaffinity_np) != Mode::kWorld) {
    return TANDEM_NEXT(pthread_getaffinity_np, thread, bytes, set);
  }
  return tandem::sim::interpose::SetFirstProcessor(bytes, set) < 0 ? EINVAL : 0;
}

TANDEM_INTERPOSED int sysinfo(struct sysinfo* info) noexcept {
  if (InterceptForMachine(Served::k_sysinfo) != Mode::kWorld) {
    return static_cast<int>(AskMachine(SYS_sysinfo, info));
  }
  tandem::sim::interpose::DescribeMemory(info);
  return 0;
}
