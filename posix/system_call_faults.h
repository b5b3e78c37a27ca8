// SPDX-License-Identifier: Apache-2.0
//
// SystemCallFaults: makes system calls of a test fail, in the kernel, so that what is tested is what ships. A filter
// (seccomp(2), SECCOMP_RET_USER_NOTIF) hands the chosen calls of one thread to another, which refuses or lets them
// pass.

#ifndef TANDEM_POSIX_SYSTEM_CALL_FAULTS_H_
#define TANDEM_POSIX_SYSTEM_CALL_FAULTS_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

namespace tandem::posix {

class SystemCallFaults {
 public:
  // Runs `body` on a thread of its own, whose calls among `calls` (SYS_...) can be made to fail, and waits for its end.
  // A filter cannot be taken off: threads that `body` starts have it too and must have ended with it.
  static void Run(const std::vector<int>& calls, const std::function<void(SystemCallFaults& faults)>& body);

  SystemCallFaults(const SystemCallFaults&) = delete;
  SystemCallFaults& operator=(const SystemCallFaults&) = delete;

  struct Which {
    uint32_t skip = 0;    // So many succeed first.
    uint32_t times = 1;   // So many fail,
    uint32_t period = 1;  // of so many one.
  };
  // From now on `which` calls fail with `error` (positive) and do nothing else. Replaces the Fail() before it.
  void Fail(int call, int error, const Which& which);
  // Nothing fails from now on. Returns how many have failed since the last Fail().
  uint32_t Stop();

 private:
  SystemCallFaults() = default;
  void Supervise(int listener, int stop);
  // The error that `call` is to fail with now, or 0.
  int Decide(int call);

  std::mutex mutex_;
  int call_ = -1;
  int error_ = 0;
  Which which_;
  uint32_t seen_ = 0;
  uint32_t failed_ = 0;
};

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_SYSTEM_CALL_FAULTS_H_
