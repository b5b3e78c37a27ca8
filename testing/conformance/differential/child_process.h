// SPDX-License-Identifier: Apache-2.0
//
// A child process that runs programs (child.h), seen from its parent. It is started when needed, and again after it
// has died.

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_CHILD_PROCESS_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_CHILD_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tandem/testing/conformance/differential/program.h"

namespace tandem::testing {

struct ChildResult {
  std::vector<std::string> lines;  // One a step; fewer when the child failed.
  std::string failure;             // How it died or that it hung, else empty.
};

class ChildProcess {
 public:
  explicit ChildProcess(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {}
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() { Stop(); }

  // Runs `program`, which is number `number` of its kind: programs with numbers close to each other get different
  // addresses. `network` is empty, or the first three bytes of the addresses instead.
  ChildResult Run(const Program& program, uint64_t number, bool quick, const std::string& network = "");
  void Stop();

 private:
  // After so many programs a new process begins, with a network that remembers no old connections.
  static constexpr int kProgramsPerProcess = 500;

  bool Start();
  bool Send(const std::string& text);
  // Until the line "."
  bool ReadResults(ChildResult* result);
  std::string Reap();

  const std::vector<std::string> arguments_;
  pid_t pid_ = -1;
  int to_child_ = -1;
  int from_child_ = -1;
  int programs_ = 0;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_CHILD_PROCESS_H_
