// SPDX-License-Identifier: Apache-2.0
//
// Runs programs in the simulator.

#include "tandem/testing/conformance/differential/child.h"
#include "tandem/testing/conformance/differential/sim_hosts.h"

int main(int argc, char** argv) {
  tandem::testing::SimWorld world(tandem::testing::SimHostsOptionsFromArguments(argc, argv));
  return tandem::testing::ServePrograms(world);
}
