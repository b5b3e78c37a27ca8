// SPDX-License-Identifier: Apache-2.0
//
// Counters as a page of text, one `name value` a line, which is what Prometheus reads and what `curl` shows.

#ifndef TANDEM_EXAMPLES_TICKETS_METRICS_H_
#define TANDEM_EXAMPLES_TICKETS_METRICS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "tandem/tandem.h"

namespace tickets {

// What the reactor has counted.
std::string ReactorMetrics(const tandem::ReactorStatistics& statistics);

// Answers every HTTP request with what `page` returns, until the program stops.
tandem::Task<absl::Status> ServePage(tandem::TcpListener listener, std::function<std::string()> page);

}  // namespace tickets

#endif  // TANDEM_EXAMPLES_TICKETS_METRICS_H_
