// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_stop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem::testing {
namespace {

constinit volatile sig_atomic_t g_stop_signal = 0;

void OnStopSignal(int signal_number) {
  if (g_stop_signal != 0) {
    signal(signal_number, SIG_DFL);
    raise(signal_number);
    return;
  }
  const int saved_errno = errno;
  g_stop_signal = signal_number;
  constexpr absl::string_view kText = "[sim] stops, and reports what has failed so far; a second signal ends at once\n";
  static_cast<void>(!write(STDERR_FILENO, kText.data(), kText.size()));
  errno = saved_errno;
}

}  // namespace

void NoteStopSignals() {
  for (const int signal_number : {SIGINT, SIGTERM}) {
    struct sigaction action{};
    if (sigaction(signal_number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = &OnStopSignal;
    action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
    sigaction(signal_number, &action, nullptr);
  }
}

int StopSignal() { return g_stop_signal; }

std::string StoppedBy() { return absl::StrCat("stopped by SIG", sigabbrev_np(StopSignal())); }

}  // namespace tandem::testing
