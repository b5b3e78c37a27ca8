// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/network/names.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "tandem/core/base/random.h"

namespace tandem::sim {
namespace {

// Longer than any test runs, and short enough to be added to a time.
constexpr absl::Duration kForEver = absl::Hours(24 * 365 * 100);

}  // namespace

NameTable::NameTable() {
  // In the order of RFC 6724.
  SetDefault("localhost", {SocketAddress::LoopbackIpv6(0), SocketAddress::LoopbackIpv4(0)});
}

std::string NameTable::Canonical(absl::string_view name) {
  absl::ConsumeSuffix(&name, ".");
  return absl::AsciiStrToLower(name);
}

NameTable::Latency NameTable::MakeLatency(absl::Duration least, absl::Duration most) {
  CHECK_LE(absl::ZeroDuration(), least);
  CHECK_LE(least, most);
  return Latency{absl::ToInt64Nanoseconds(std::min(least, kForEver)),
                 absl::ToInt64Nanoseconds(std::min(most, kForEver))};
}

void NameTable::Set(absl::string_view name, std::vector<SocketAddress> addresses) {
  const std::string key = Canonical(name);
  KeepPrevious(key);
  answers_[key] = Answer{0, std::move(addresses)};
}

void NameTable::SetMissing(absl::string_view name) { Fail(name, ENOENT); }

void NameTable::Fail(absl::string_view name, int error) {
  CHECK(error == EAGAIN || error == EIO || error == ENOENT) << error;
  const std::string key = Canonical(name);
  KeepPrevious(key);
  answers_[key] = Answer{error, {}};
}

void NameTable::Reset(absl::string_view name) {
  const std::string key = Canonical(name);
  if (!answers_.contains(key)) return;
  KeepPrevious(key);
  answers_.erase(key);
}

void NameTable::SetLatency(absl::string_view name, absl::Duration least, absl::Duration most) {
  latencies_[Canonical(name)] = MakeLatency(least, most);
}

void NameTable::SetLatency(absl::Duration least, absl::Duration most) { latency_ = MakeLatency(least, most); }

void NameTable::SetDefault(absl::string_view name, std::vector<SocketAddress> addresses) {
  defaults_[Canonical(name)] = Answer{0, std::move(addresses)};
}

const NameTable::Answer& NameTable::AnswerFor(const std::string& key) const {
  static const Answer* const kMissing = new Answer{ENOENT, {}};
  if (const auto found = answers_.find(key); found != answers_.end()) return found->second;
  const auto found = defaults_.find(key);
  return found != defaults_.end() ? found->second : *kMissing;
}

int NameTable::Give(const Answer& answer, uint16_t port, std::vector<SocketAddress>* addresses) {
  if (answer.error != 0) return -answer.error;
  if (answer.addresses.empty()) return -ENOENT;
  addresses->clear();
  addresses->reserve(answer.addresses.size());
  for (const SocketAddress& address : answer.addresses) addresses->push_back(address.WithPort(port));
  return 0;
}

int NameTable::LookUp(absl::string_view name, uint16_t port, std::vector<SocketAddress>* addresses) const {
  return Give(AnswerFor(Canonical(name)), port, addresses);
}

bool NameTable::LookUpPrevious(absl::string_view name, uint16_t port, std::vector<SocketAddress>* addresses,
                               int* result) const {
  const auto found = previous_.find(Canonical(name));
  if (found == previous_.end()) return false;
  *result = Give(found->second, port, addresses);
  return true;
}

int64_t NameTable::LatencyNs(absl::string_view name, uint64_t draw) const {
  const auto found = latencies_.find(Canonical(name));
  const Latency& latency = found == latencies_.end() ? latency_ : found->second;
  const auto choices = static_cast<uint64_t>(latency.most_ns - latency.least_ns) + 1;
  return latency.least_ns + static_cast<int64_t>(ReduceToRange(draw, choices));
}

}  // namespace tandem::sim
