// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"

extern char** environ;

namespace tandem::testing {
namespace {

// A child gives up by itself before.
constexpr int kHangsMs = 120'000;

}  // namespace

bool ChildProcess::Start() {
  int to_child[2];
  int from_child[2];
  PCHECK(pipe2(to_child, O_CLOEXEC) == 0);
  PCHECK(pipe2(from_child, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to_child[0], 0);
  posix_spawn_file_actions_adddup2(&actions, from_child[1], 1);
  std::vector<char*> argv;
  argv.reserve(arguments_.size() + 1);
  for (const std::string& argument : arguments_) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(to_child[0]);
  close(from_child[1]);
  to_child_ = to_child[1];
  from_child_ = from_child[0];
  programs_ = 0;
  if (error == 0) return true;
  pid_ = -1;
  Stop();
  return false;
}

std::string ChildProcess::Reap() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0) PCHECK(errno == EINTR);
  pid_ = -1;
  if (WIFSIGNALED(status)) return absl::StrCat("killed by signal ", WTERMSIG(status));
  return absl::StrCat("exited with code ", WEXITSTATUS(status));
}

void ChildProcess::Stop() {
  if (to_child_ >= 0) close(to_child_);
  if (from_child_ >= 0) close(from_child_);
  to_child_ = from_child_ = -1;
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  (void)Reap();
}

bool ChildProcess::Send(const std::string& text) {
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t count = write(to_child_, text.data() + sent, text.size() - sent);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

bool ChildProcess::ReadResults(ChildResult* result) {
  std::string text;
  char chunk[4096];
  for (;;) {
    pollfd readable = {from_child_, POLLIN, 0};
    const int ready = poll(&readable, 1, kHangsMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      result->failure = "hangs";
      return false;
    }
    const ssize_t count = read(from_child_, chunk, sizeof(chunk));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.append(chunk, static_cast<size_t>(count));
    for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
      const std::string line = text.substr(0, end);
      text.erase(0, end + 1);
      if (line == ".") return true;
      result->lines.push_back(line);
    }
  }
}

ChildResult ChildProcess::Run(const Program& program, uint64_t number, bool quick, const std::string& network) {
  ChildResult result;
  if (programs_++ >= kProgramsPerProcess) Stop();
  if (pid_ < 0 && !Start()) {
    result.failure = absl::StrCat("cannot start ", arguments_[0]);
    return result;
  }
  const std::string addresses =
      network.empty() ? absl::StrCat("127.", 1 + number / 250 % 250, ".", 1 + number % 250) : network;
  std::string text = absl::StrCat("program ", number, " ", addresses, quick ? " quick\n" : " patient\n");
  for (const Step& step : program.steps) absl::StrAppend(&text, StepToString(step), "\n");
  text += "end\n";
  if (Send(text) && ReadResults(&result)) {
    CHECK_EQ(result.lines.size(), program.steps.size()) << ProgramToString(program);
    return result;
  }
  if (result.failure.empty()) {
    // Its end of the pipe is closed: it is dead or about to be.
    kill(pid_, SIGTERM);
    result.failure = Reap();
  }
  Stop();
  return result;
}

}  // namespace tandem::testing
