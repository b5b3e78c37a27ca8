// SPDX-License-Identifier: Apache-2.0
//
// The hosts of a socket program in the simulator: a new network for each program, so that a result depends on the
// program alone.

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_SIM_HOSTS_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_SIM_HOSTS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/time/loop.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/conformance/differential/child.h"
#include "tandem/testing/conformance/differential/interpreter.h"

namespace tandem::testing {

struct SimHostsOptions {
  // Hosts are machines with an address each, on a network; otherwise they are loopback addresses of one machine.
  bool distant = false;
  // As the reactor that this is compared with (SimReactorOptions).
  bool read_ahead = true;
};

class SimHosts final : public HostRunner {
 public:
  SimHosts(std::array<uint8_t, 3> network, const SimHostsOptions& options);
  SimHosts(const SimHosts&) = delete;
  SimHosts& operator=(const SimHosts&) = delete;
  ~SimHosts() override;

  std::string Run(int host, absl::FunctionRef<Task<std::string>()> start) override;
  SocketAddress AddressOf(int host) override;

 private:
  class Machine;

  const std::array<uint8_t, 3> addresses_;
  sim::EventQueue queue_;
  sim::Loop loop_{queue_};
  sim::Trace trace_;
  const sim::Choices choices_{/*seed=*/1};
  sim::Network network_;
  std::vector<std::unique_ptr<Machine>> machines_;
};

class SimWorld : public ChildWorld {
 public:
  explicit SimWorld(const SimHostsOptions& options) : options_(options) {}

  HostRunner& HostsFor(std::array<uint8_t, 3> network) override;
  Patience PatienceFor(bool quick) override;

 private:
  const SimHostsOptions options_;
  std::unique_ptr<SimHosts> hosts_;
};

// Parses --distant and --no_read_ahead. Exits with a message for others.
SimHostsOptions SimHostsOptionsFromArguments(int argc, char** argv);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_SIM_HOSTS_H_
