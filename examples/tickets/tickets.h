// SPDX-License-Identifier: Apache-2.0
//
// Tickets: texts that nobody else was given, from several offices, over TCP. A client sends its name in a line
// and gets a ticket in a line.
//
// The example of docs/testing.md, docs/logging.md, docs/metrics.md and docs/deployment.md: all of the server but
// main().

#ifndef TANDEM_EXAMPLES_TICKETS_TICKETS_H_
#define TANDEM_EXAMPLES_TICKETS_TICKETS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/tandem.h"

namespace tickets {

// [Office]
// Makes the tickets of one office: its name, when it was opened, and a number. So an office that was started again
// repeats none, unless somebody has set its clock back.
class Office {
 public:
  // REQUIRES a running shard, whose wall clock it reads (CHECKed).
  explicit Office(std::string name);

  std::string Next();
  uint64_t given() const { return given_; }

 private:
  const std::string prefix_;
  uint64_t given_ = 0;
};

// Gives a ticket for each line of a connection, which names who asks, until the program stops. `office` outlives it.
tandem::Task<absl::Status> Sell(tandem::TcpListener listener, Office* office);

// Takes a ticket for `who` from the first of `offices` ("host:port") that gives one. Errors: those of the last one.
tandem::Task<absl::StatusOr<std::string>> Take(std::string who, std::vector<std::string> offices);
// [end]

}  // namespace tickets

#endif  // TANDEM_EXAMPLES_TICKETS_TICKETS_H_
