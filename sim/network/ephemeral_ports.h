// SPDX-License-Identifier: Apache-2.0
//
// The ports that a simulated host gives to sockets that ask for none: Linux' range, one after the other, from a start
// that the seed chooses.

#ifndef TANDEM_SIM_NETWORK_EPHEMERAL_PORTS_H_
#define TANDEM_SIM_NETWORK_EPHEMERAL_PORTS_H_

#include <cstdint>

#include "tandem/core/base/random.h"

namespace tandem::sim {

class EphemeralPorts {
 public:
  static constexpr uint16_t kFirst = 32768;
  static constexpr uint16_t kLast = 60999;

  explicit EphemeralPorts(uint64_t draw)
      : next_(static_cast<uint16_t>(kFirst + ReduceToRange(draw, kLast - kFirst + 1))) {}

  // The next port that `is_free(port)` accepts, or 0 when there is none. It asks for each port once at most.
  template <typename IsFree>
  uint16_t Find(const IsFree& is_free) {
    for (int tries = kLast - kFirst + 1; tries > 0; --tries) {
      const uint16_t port = next_;
      next_ = port == kLast ? kFirst : static_cast<uint16_t>(port + 1);
      if (is_free(port)) return port;
    }
    return 0;
  }

 private:
  uint16_t next_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_EPHEMERAL_PORTS_H_
