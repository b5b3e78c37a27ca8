// SPDX-License-Identifier: Apache-2.0
//
// The limits of the process that runs: those of every host. To set one has no effect, since it would be one for all
// hosts.

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include "tandem/sim/process/interpose/calls.h"
#include "tandem/sim/process/interpose/identity.h"

using ::tandem::sim::interpose::AskMachine;
using ::tandem::sim::interpose::InterceptForMachine;
using ::tandem::sim::interpose::LimitOfHost;
using ::tandem::sim::interpose::Mode;
using ::tandem::sim::interpose::Served;
using ::tandem::sim::interpose::SetErrno;

namespace {

// rlimit and rlimit64 are the same 16 bytes here, and so is what the kernel takes.
static_assert(sizeof(rlimit) == sizeof(rlimit64) && sizeof(rlim_t) == 8);

int Limit(Served call, pid_t process, int resource, const void* wanted, void* found) {
  if (InterceptForMachine(call) != Mode::kWorld) {
    return static_cast<int>(AskMachine(SYS_prlimit64, process, resource, wanted, found));
  }
  return static_cast<int>(SetErrno(LimitOfHost(resource, wanted, found)));
}

}  // namespace

namespace tandem::sim::interpose {

long LimitOfHost(int resource, const void* wanted, void* found) {
  const auto* const limit = static_cast<const rlimit*>(wanted);
  if (resource < 0 || resource >= RLIM_NLIMITS || (limit != nullptr && limit->rlim_cur > limit->rlim_max)) {
    return -EINVAL;
  }
  if (found == nullptr) return 0;
  constexpr rlim_t kStackBytes = 8 << 20;
  constexpr rlim_t kFiles = kHostOpenFiles;
  rlimit& answer = *static_cast<rlimit*>(found);
  answer = {RLIM_INFINITY, RLIM_INFINITY};
  if (resource == RLIMIT_STACK) answer.rlim_cur = kStackBytes;
  if (resource == RLIMIT_NOFILE) answer = {kFiles, kFiles};
  return 0;
}

}  // namespace tandem::sim::interpose

TANDEM_INTERPOSED int getrlimit(__rlimit_resource_t resource, rlimit* limit) noexcept {
  return Limit(Served::k_getrlimit, 0, static_cast<int>(resource), nullptr, limit);
}

TANDEM_INTERPOSED int getrlimit64(__rlimit_resource_t resource, rlimit64* limit) noexcept {
  return Limit(Served::k_getrlimit64, 0, static_cast<int>(resource), nullptr, limit);
}

TANDEM_INTERPOSED int setrlimit(__rlimit_resource_t resource, const rlimit* limit) noexcept {
  return Limit(Served::k_setrlimit, 0, static_cast<int>(resource), limit, nullptr);
}

TANDEM_INTERPOSED int setrlimit64(__rlimit_resource_t resource, const rlimit64* limit) noexcept {
  return Limit(Served::k_setrlimit64, 0, static_cast<int>(resource), limit, nullptr);
}

TANDEM_INTERPOSED int prlimit(pid_t process, __rlimit_resource resource, const rlimit* wanted, rlimit* found) noexcept {
  return Limit(Served::k_prlimit, process, static_cast<int>(resource), wanted, found);
}

TANDEM_INTERPOSED int prlimit64(pid_t process, __rlimit_resource resource, const rlimit64* wanted,
                                rlimit64* found) noexcept {
  return Limit(Served::k_prlimit64, process, static_cast<int>(resource), wanted, found);
}
