// SPDX-License-Identifier: Apache-2.0
//
// Takes a ticket.
//
//   bazel run //examples/tickets:take -- NAME 127.0.0.1:7410 OFFICE...

#include <iostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tandem/examples/tickets/tickets.h"
#include "tandem/tandem.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: " << argv[0] << " NAME OFFICE..." << std::endl;
    return 2;
  }
  tandem::Runtime runtime;
  const absl::StatusOr<std::string> ticket = runtime.BlockOn(tickets::Take(argv[1], {argv + 2, argv + argc}));
  if (ticket.ok())
    std::cout << *ticket << std::endl;
  else
    std::cerr << ticket.status() << std::endl;
  return ticket.ok() ? 0 : 1;
}
