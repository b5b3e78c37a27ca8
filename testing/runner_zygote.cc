// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_zygote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>

#include "absl/log/check.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/sim/process/reexec.h"
#include "tandem/testing/runner_protocol.h"

namespace tandem::testing {
namespace {

// The child of each slot; 0 if none runs.
constinit pid_t g_children[kMaxSlots] = {};
constinit bool g_disturbed = false;
// Whether a child has died, so that others may: what their reports have in common is read once, here.
constinit bool g_preloaded = false;

void SendEvent(EventKind kind, uint32_t slot, int32_t value) {
  const Event event{kind, slot, value};
  // Without its parent the zygote has no reason to live.
  if (write(kEventDescriptor, &event, sizeof(event)) != static_cast<ssize_t>(sizeof(event))) _exit(1);
}

void Fork(const Command& command, const sigset_t& no_signals) {
  const pid_t zygote = getpid();
  const pid_t child = fork();
  if (child < 0) {
    SendEvent(EventKind::kForkFailed, command.slot, errno);
    return;
  }
  if (child == 0) {
    sigprocmask(SIG_SETMASK, &no_signals, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != zygote) _exit(1);
    setpgid(0, 0);
    RunSeedAndExit(command, g_disturbed);
  }
  setpgid(child, child);  // Here as well: whoever comes first.
  g_children[command.slot] = child;
}

void Obey(const Command& command, const sigset_t& no_signals) {
  CHECK(command.slot < kMaxSlots);
  pid_t& child = g_children[command.slot];
  switch (command.kind) {
    case CommandKind::kRun:
      CHECK(child == 0);
      Fork(command, no_signals);
      return;
    case CommandKind::kSignal:
      if (child != 0) kill(child, command.signal);  // Not reaped yet, so the number is still the child's.
      return;
  }
}

void Reap() {
  int status = 0;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    kill(-pid, SIGKILL);  // Whatever the seed started.
    for (uint32_t slot = 0; slot < kMaxSlots; ++slot) {
      if (g_children[slot] != pid) continue;
      g_children[slot] = 0;
      SendEvent(EventKind::kEnded, slot, status);
    }
    if (!WIFSIGNALED(status) || g_preloaded) continue;
    PreloadCrashReport();
    g_preloaded = true;
  }
}

}  // namespace

void RunZygote() {
  g_disturbed = sim::TakeConfiguration() == kDisturbedConfiguration;
  sigset_t child_ended;
  sigset_t no_signals;
  sigemptyset(&no_signals);
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, nullptr);
  const int signals = signalfd(-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK);
  CHECK_GE(signals, 0);
  SendEvent(EventKind::kReady, 0, static_cast<int32_t>(sim::CurrentAddressLayout()));

  for (;;) {
    pollfd waits[] = {{kCommandDescriptor, POLLIN, 0}, {signals, POLLIN, 0}};
    if (poll(waits, 2, -1) < 0 && errno != EINTR) _exit(1);
    if (waits[1].revents != 0) {
      signalfd_siginfo info;
      while (read(signals, &info, sizeof(info)) > 0) {
      }
      Reap();
    }
    if (waits[0].revents != 0) {
      Command command;
      // The children die with the zygote.
      if (read(kCommandDescriptor, &command, sizeof(command)) != static_cast<ssize_t>(sizeof(command))) _exit(0);
      Obey(command, no_signals);
    }
  }
}

}  // namespace tandem::testing
