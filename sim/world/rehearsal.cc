// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/world/rehearsal.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem::sim {
namespace {

using Mute = void (*)();
constinit Mute g_mute = nullptr;

std::string ReadAll(int descriptor) {
  std::string text;
  char bytes[4096];
  while (true) {
    const ssize_t count = read(descriptor, bytes, sizeof(bytes));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(bytes, static_cast<size_t>(count));
  }
}

void WriteAll(int descriptor, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    text.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace

void Rehearsal::Allow(void (*mute)()) { g_mute = mute; }
bool Rehearsal::allowed() { return g_mute != nullptr; }

bool Rehearsal::Begin() {
  int ends[2];
  PCHECK(pipe(ends) == 0);
  const pid_t copy = fork();
  PCHECK(copy >= 0) << "no process for the rehearsal of a seed";
  if (copy == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    g_mute();
    descriptor_ = ends[1];
    return true;
  }
  close(ends[1]);
  const std::string text = ReadAll(ends[0]);
  close(ends[0]);
  while (waitpid(copy, nullptr, 0) < 0 && errno == EINTR) {
  }
  absl::StatusOr<Workload> workload = Workload::Parse(text);
  if (workload.ok()) workload_ = *std::move(workload);
  return false;
}

void Rehearsal::End(const Workload& workload) {
  WriteAll(descriptor_, workload.ToString());
  _exit(0);
}

}  // namespace tandem::sim
