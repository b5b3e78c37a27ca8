// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/cluster/ask.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/tandem.h"

namespace examples {

using namespace tandem;

namespace {

Task<absl::StatusOr<std::string>> ConnectAndAsk(std::string server, std::string line) {
  absl::StatusOr<TcpStream> stream = co_await Connect(server);
  if (!stream.ok()) co_return stream.status();
  LineClient client(*std::move(stream));
  co_return co_await client.Call(line);
}

}  // namespace

Task<absl::StatusOr<std::string>> Ask(std::string server, std::string line, absl::Duration timeout) {
  co_return co_await WithTimeout(timeout, ConnectAndAsk(std::move(server), std::move(line)));
}

int64_t Number(absl::string_view word) {
  int64_t number = 0;
  return absl::SimpleAtoi(word, &number) ? number : 0;
}

}  // namespace examples
