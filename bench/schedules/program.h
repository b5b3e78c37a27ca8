// SPDX-License-Identifier: Apache-2.0
//
// A small program with a bug that some schedules show.

#ifndef TANDEM_BENCH_SCHEDULES_PROGRAM_H_
#define TANDEM_BENCH_SCHEDULES_PROGRAM_H_

#include <memory>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem::bench {

class Program {
 public:
  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  virtual ~Program() = default;

  // Spawns the tasks.
  virtual void Start() = 0;
  // Looks at what they have left. Called when all have ended; that they never do is a bug of its own.
  virtual void AtEnd() {}
  bool failed() const { return failed_; }

 protected:
  void Check(bool condition) { failed_ |= !condition; }

 private:
  bool failed_ = false;
};

struct ProgramInfo {
  // What RFF's raw data (ASPLOS 2024) give as the mean number of schedules to the first bug; 0: never found.
  absl::string_view name;
  double pos;
  double pct3;
  std::unique_ptr<Program> (*make)();
};

template <typename Kind>
ProgramInfo MakeInfo(absl::string_view name, double pos, double pct3) {
  return {name, pos, pct3, [] { return std::unique_ptr<Program>(std::make_unique<Kind>()); }};
}

// The parts of the registry, by file.
std::vector<ProgramInfo> OrderPrograms();
std::vector<ProgramInfo> ClassicPrograms();
std::vector<ProgramInfo> StealPrograms();
std::vector<ProgramInfo> RealPrograms();

}  // namespace tandem::bench

#endif  // TANDEM_BENCH_SCHEDULES_PROGRAM_H_
