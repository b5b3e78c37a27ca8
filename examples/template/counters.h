// SPDX-License-Identifier: Apache-2.0
#ifndef TANDEM_EXAMPLES_TEMPLATE_COUNTERS_H_
#define TANDEM_EXAMPLES_TEMPLATE_COUNTERS_H_

#include <cstdint>
#include <map>
#include <string>

#include "tandem/tandem.h"

// Numbers with names: "ADD NAME N" adds to one and "GET NAME" asks for it. Both are answered with its value.
class Counters {
 public:
  tandem::Task<absl::StatusOr<std::string>> Answer(std::string line);

 private:
  tandem::Task<absl::StatusOr<std::string>> Add(std::string name, int32_t n);

  std::map<std::string, int64_t> values_;
};

// Answers the lines of clients until the program is told to stop.
tandem::Task<absl::Status> ServeCounters(tandem::TcpListener listener);

#endif  // TANDEM_EXAMPLES_TEMPLATE_COUNTERS_H_
