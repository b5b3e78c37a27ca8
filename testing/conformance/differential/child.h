// SPDX-License-Identifier: Apache-2.0
//
// The child process that runs programs in one world. It reads programs from standard input and answers on standard
// output:
//
//   program 17 127.5.6 quick     number, the hosts' addresses but for their last byte, patience: quick or patient
//   open s0 @0 v4
//   end
//
// gives one line for each step, and ".".

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_CHILD_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_CHILD_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tandem/core/io/address.h"
#include "tandem/testing/conformance/differential/interpreter.h"
#include "tandem/testing/conformance/differential/program.h"

namespace tandem::testing {

// How the world of a child works.
class ChildWorld {
 public:
  virtual ~ChildWorld() = default;
  // Hosts for one program; gone when the next one is asked for. `network` are the first three bytes of their addresses.
  virtual HostRunner& HostsFor(std::array<uint8_t, 3> network) = 0;
  virtual Patience PatienceFor(bool quick) = 0;
  // Changes a result: for the test that a wrong world is found out.
  virtual std::string Falsify(const Step&, std::string result) { return result; }
};

// Serves standard input until its end. Returns the exit code.
int ServePrograms(ChildWorld& world);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_CHILD_H_
