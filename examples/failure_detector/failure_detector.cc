// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/failure_detector/failure_detector.h"

#include <algorithm>
#include <cstdint>
#include <map>
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
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/tandem.h"

namespace failure_detector {

using namespace tandem;

Detector::Detector(std::string id, UdpSocket socket, const std::map<std::string, SocketAddress>& peers)
    : id_(std::move(id)), life_(absl::StrCat(Random("life").Next(), ".")), socket_(std::move(socket)) {
  for (const auto& [name, address] : peers) {
    Peer& peer = peers_[name];
    peer.address = address;
    peer.alive_at = Now();
  }
}

Task<absl::Status> Detector::Run() {
  auto [sent, received] = co_await WhenAny(SendBeats(), ReceiveBeats());
  co_return received.value_or(absl::CancelledError("told to stop"));
}

bool Detector::Suspects(const std::string& name) const {
  const auto found = peers_.find(name);
  CHECK(found != peers_.end()) << "no peer: " << name;
  const Peer& peer = found->second;
  // The next sign comes an interval after the last one; the second interval is for what is late.
  const absl::Duration timeout = peer.age + 4 * peer.deviation + 2 * kInterval;
  return Now() - peer.alive_at > std::clamp(timeout, kTimeoutMin, kTimeoutMax);
}

// A beat is "id stamp echo", three words.
Task<absl::Status> Detector::SendBeats() {
  for (;;) {
    for (const auto& [name, peer] : peers_) {
      const std::string stamp = absl::StrCat(life_, Now().nanoseconds());
      const std::string beat = absl::StrCat(id_, " ", stamp, " ", peer.stamp);
      (co_await socket_.SendTo(beat, peer.address)).IgnoreError();  // It is lost, as others are on their way.
    }
    const absl::Status slept = co_await Sleep(kInterval);
    if (!slept.ok()) co_return slept;
  }
}

Task<absl::Status> Detector::ReceiveBeats() {
  for (;;) {
    char bytes[512];
    const absl::StatusOr<ReceivedDatagram> received = co_await socket_.ReceiveFrom(absl::MakeSpan(bytes));
    if (!received.ok()) co_return received.status();
    TakeBeat(absl::string_view(bytes, received->size));
  }
}

void Detector::TakeBeat(absl::string_view beat) {
  const std::vector<absl::string_view> words = absl::StrSplit(beat, ' ');
  const auto found = peers_.find(std::string(words[0]));
  if (words.size() != 3 || found == peers_.end()) return;
  Peer& peer = found->second;
  peer.stamp = std::string(words[1]);
  absl::string_view echo = words[2];
  int64_t sent_ns = 0;
  if (!absl::ConsumePrefix(&echo, life_) || !absl::SimpleAtoi(echo, &sent_ns)) {
    TANDEM_SOMETIMES(echo != "-", "a stamp of an earlier process comes back");
    return;
  }
  const Instant sent = Instant::FromNanoseconds(sent_ns);
  if (sent <= peer.alive_at || sent > Now()) return;
  peer.alive_at = sent;
  const absl::Duration error = Now() - sent - peer.age;
  peer.age += error / 8;
  peer.deviation += (absl::AbsDuration(error) - peer.deviation) / 4;
}

}  // namespace failure_detector
