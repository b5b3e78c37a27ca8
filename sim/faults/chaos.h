// SPDX-License-Identifier: Apache-2.0
//
// Chaos: a host whose reactor does whatever its contract (core/io/reactor.h) allows and a quiet machine seldom does.
// Sends go out in parts, items come in pieces, beyond a budget or late, completions change places, a cancel or a disarm
// wins or loses at random, sources pause as when no buffer is free. What is above the seam must not mind.
//
//   host.stack().faults() = sim::DrawChaos(random);

#ifndef TANDEM_SIM_FAULTS_CHAOS_H_
#define TANDEM_SIM_FAULTS_CHAOS_H_

#include "tandem/core/base/random.h"
#include "tandem/sim/network/network.h"

namespace tandem::sim {

// Each part on or off, and how strong, at random. Nothing of it ends a connection.
StackFaults DrawChaos(RandomStream random);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_FAULTS_CHAOS_H_
