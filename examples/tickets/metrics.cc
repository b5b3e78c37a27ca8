// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/tickets/metrics.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/tandem.h"

namespace tickets {

using namespace tandem;

// [ReactorMetrics]
std::string ReactorMetrics(const ReactorStatistics& statistics) {
  std::string page = absl::StrCat("# ", statistics.description, "\n");
  const auto add = [&page](absl::string_view name, uint64_t value) { absl::StrAppend(&page, name, " ", value, "\n"); };
  add("tandem_polls_total", statistics.polls);
  add("tandem_enters_total", statistics.enters);
  add("tandem_submissions_total", statistics.submissions);
  add("tandem_completions_total", statistics.completions);
  add("tandem_operations_in_flight", statistics.operations_in_flight);
  add("tandem_sources_armed", statistics.sources_armed);
  add("tandem_buffer_shortages_total", statistics.buffer_shortages);
  add("tandem_descriptor_shortages_total", statistics.descriptor_shortages);
  add("tandem_wakes_total", statistics.wakes);
  return page;
}
// [end]

// [ServePage]
Task<void> AnswerWith(TcpStream stream, const std::function<std::string()>* page) {
  BufferedReader reader(stream);
  auto request = co_await WithTimeout(absl::Seconds(10), reader.ReadUntil("\r\n\r\n", 8192));
  if (!request.ok()) co_return;
  const std::string text = (*page)();
  const std::string answer = absl::StrCat("HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n",
                                          "Content-Length: ", text.size(), "\r\n\r\n", text);
  (void)co_await WithTimeout(absl::Seconds(10), stream.WriteAll(answer));  // Or the peer has gone.
}

Task<absl::Status> ServePage(TcpListener listener, std::function<std::string()> page) {
  const auto answer = [&page](TcpStream stream) { return AnswerWith(std::move(stream), &page); };
  co_return co_await Serve(std::move(listener), answer, ServeOptions().set_max_connections(10));
}
// [end]

}  // namespace tickets
