// SPDX-License-Identifier: Apache-2.0
#include "counters.h"

#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

using namespace tandem;

Task<absl::StatusOr<std::string>> Counters::Answer(std::string line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  int32_t n = 0;
  if (words.size() == 3 && words[0] == "ADD" && absl::SimpleAtoi(words[2], &n)) co_return co_await Add(words[1], n);
  if (words.size() == 2 && words[0] == "GET") {
    const auto found = values_.find(words[1]);
    co_return absl::StrCat(found == values_.end() ? 0 : found->second);
  }
  co_return "ERR say ADD NAME N or GET NAME";
}

Task<absl::StatusOr<std::string>> Counters::Add(std::string name, int32_t n) {
  const int64_t value = values_[name] + n;
  values_[name] = value;
  LOG(INFO) << name << " is " << value;
  co_return absl::StrCat(value);
}

Task<absl::Status> ServeCounters(TcpListener listener) {
  Counters counters;
  const auto answer = [&counters](std::string line) { return counters.Answer(std::move(line)); };
  co_return co_await ServeLines(std::move(listener), answer);
}
