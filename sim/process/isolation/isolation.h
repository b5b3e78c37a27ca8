// SPDX-License-Identifier: Apache-2.0
//
// Looks for global variables by which hosts of a simulation are connected in a way that machines are not: two hosts
// write the same one, or one keeps its value through a crash of the host that wrote it.
//
// It compares the bytes of all global variables before and after each turn. So it sees what a host changes, and neither
// what it reads, nor what it writes without a change, nor what a variable points to. A variable that is initialised at
// its first use belongs to nobody by that.

#ifndef TANDEM_SIM_PROCESS_ISOLATION_ISOLATION_H_
#define TANDEM_SIM_PROCESS_ISOLATION_ISOLATION_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/process/isolation/globals.h"

namespace tandem::sim {

class Isolation {
 public:
  // `report` is called with each finding, once for a variable.
  Isolation(std::vector<GlobalVariable> variables, absl::AnyInvocable<void(absl::string_view finding)> report);

  // A host begins to run: what has changed before is the test's.
  void BeginTurn();
  // `host` has run: what has changed is its own.
  void EndTurn(absl::string_view host);
  // The process of `host` has been destroyed by a crash or a kill, and its destructors have run, in a turn.
  void OnCrash(absl::string_view host);

 private:
  struct Watched {
    GlobalVariable variable;
    size_t offset = 0;   // Of its bytes as they were last seen,
    std::string writer;  // the host that has changed it,
    std::string before;  // and its bytes before that.
    bool reported = false;
  };

  bool HasChanged(const Watched& watched) const;
  void Remember(const Watched& watched);
  void Report(Watched& watched, absl::string_view finding);

  std::vector<Watched> variables_;
  std::string seen_;
  std::string guards_;  // Of each variable, its guard when the turn began.
  absl::AnyInvocable<void(absl::string_view finding)> report_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_PROCESS_ISOLATION_ISOLATION_H_
