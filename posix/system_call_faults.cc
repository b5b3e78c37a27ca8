// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/system_call_faults.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/log/check.h"

namespace tandem::posix {
namespace {

// Filters this thread. Returns the descriptor that tells of its calls.
int Install(const std::vector<int>& calls) {
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const int call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter = {.len = static_cast<uint16_t>(program.size()), .filter = program.data()};
  PCHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  const long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
  PCHECK(listener >= 0) << "seccomp";
  return static_cast<int>(listener);
}

}  // namespace

void SystemCallFaults::Run(const std::vector<int>& calls, const std::function<void(SystemCallFaults& faults)>& body) {
  SystemCallFaults faults;
  const int stop = eventfd(0, EFD_CLOEXEC);
  PCHECK(stop >= 0);
  std::promise<int> listener;
  std::thread thread([&] {
    listener.set_value(Install(calls));
    body(faults);
    PCHECK(eventfd_write(stop, 1) == 0);
  });
  const int descriptor = listener.get_future().get();
  faults.Supervise(descriptor, stop);
  thread.join();
  close(descriptor);
  close(stop);
}

void SystemCallFaults::Fail(int call, int error, const Which& which) {
  const std::lock_guard<std::mutex> lock(mutex_);
  call_ = call;
  error_ = error;
  which_ = which;
  seen_ = 0;
  failed_ = 0;
}

uint32_t SystemCallFaults::Stop() {
  const std::lock_guard<std::mutex> lock(mutex_);
  call_ = -1;
  return failed_;
}

void SystemCallFaults::Supervise(int listener, int stop) {
  pollfd entries[] = {{.fd = listener, .events = POLLIN, .revents = 0}, {.fd = stop, .events = POLLIN, .revents = 0}};
  while (entries[1].revents == 0) {
    if (poll(entries, 2, -1) < 0 || (entries[0].revents & POLLIN) == 0) continue;
    seccomp_notif notification = {};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notification) != 0) continue;  // A signal ended the call.
    const int error = Decide(notification.data.nr);
    seccomp_notif_resp response = {};
    response.id = notification.id;
    response.error = -error;
    response.flags = error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
  }
}

int SystemCallFaults::Decide(int call) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (call != call_ || failed_ == which_.times) return 0;
  const uint32_t number = seen_++;
  if (number < which_.skip || (number - which_.skip) % which_.period != 0) return 0;
  ++failed_;
  return error_;
}

}  // namespace tandem::posix
