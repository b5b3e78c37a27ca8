// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/mutants/cluster.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/tandem.h"

namespace tandem::mutants {

std::string Disk::Read(absl::string_view name) const {
  const auto found = files_.find(name);
  return found == files_.end() ? std::string() : found->second;
}

Task<absl::Status> Disk::Write(std::string name, std::string content) {
  const int64_t before_us = Random("disk").Between(100, 3000);
  absl::Status slept = co_await Sleep(absl::Microseconds(before_us));
  if (!slept.ok()) co_return slept;
  files_[std::move(name)] = std::move(content);
  const int64_t after_us = Random("disk").Between(100, 3000);
  slept = co_await Sleep(absl::Microseconds(after_us));
  co_return slept;
}

namespace {

Task<absl::StatusOr<std::string>> ConnectAndAsk(std::string host, std::string line) {
  absl::StatusOr<TcpStream> stream = co_await Connect(absl::StrCat(host, ":", kPort));
  if (!stream.ok()) co_return stream.status();
  LineClient client(*std::move(stream));
  co_return co_await client.Call(std::move(line));
}

}  // namespace

Task<absl::StatusOr<std::string>> Ask(std::string host, std::string line, absl::Duration timeout) {
  co_return co_await WithTimeout(timeout, ConnectAndAsk(std::move(host), std::move(line)));
}

std::vector<std::string> Words(absl::string_view line) { return absl::StrSplit(line, ' ', absl::SkipEmpty()); }

int64_t Number(absl::string_view word) {
  int64_t number = 0;
  CHECK(absl::SimpleAtoi(word, &number)) << "no number: " << word;
  return number;
}

}  // namespace tandem::mutants
