// SPDX-License-Identifier: Apache-2.0
//
// Three detectors over the loopback address of each world.

#include "tandem/examples/failure_detector/failure_detector.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/tandem.h"
#include "tandem/testing/co_assert.h"
#include "tandem/testing/status_matchers.h"

namespace failure_detector {
namespace {

using namespace tandem;
using tandem::testing::StatusIs;

using Addresses = std::map<std::string, SocketAddress>;

// A detector that runs from its construction to Stop().
class Running {
 public:
  Running(const std::string& id, UdpSocket socket, Addresses addresses)
      : detector_(id, std::move(socket), Without(id, std::move(addresses))) {
    running_ = SpawnJoinable(&Detector::Run, &detector_);
  }
  bool Suspects(const std::string& peer) const { return detector_.Suspects(peer); }
  Task<absl::Status> Stop() {
    running_.Cancel();
    co_return co_await running_.Join();
  }

 private:
  static Addresses Without(const std::string& id, Addresses addresses) {
    addresses.erase(id);
    return addresses;
  }

  Detector detector_;
  JoinHandle<absl::Status> running_;
};

// Waits until both suspect c, or neither, and trust each other.
Task<absl::Status> WaitUntil(const Running* a, const Running* b, bool c_is_suspected) {
  while (a->Suspects("c") != c_is_suspected || b->Suspects("c") != c_is_suspected || a->Suspects("b") ||
         b->Suspects("a")) {
    const absl::Status slept = co_await Sleep(absl::Milliseconds(10));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> StopOneAndStartItAgain() {
  std::map<std::string, UdpSocket> sockets;
  Addresses addresses;
  for (const char* id : {"a", "b", "c"}) {
    CO_ASSERT_OK_AND_ASSIGN(sockets[id], UdpSocket::Bind(SocketAddress::LoopbackIpv4(0)));
    CO_ASSERT_OK_AND_ASSIGN(addresses[id], sockets[id].LocalAddress());
  }
  Running a("a", std::move(sockets["a"]), addresses);
  Running b("b", std::move(sockets["b"]), addresses);
  {
    Running c("c", std::move(sockets["c"]), addresses);
    CO_ASSERT_OK(co_await WaitUntil(&a, &b, false));
    EXPECT_THAT(co_await c.Stop(), StatusIs(absl::StatusCode::kCancelled));
  }
  CO_ASSERT_OK(co_await WaitUntil(&a, &b, true));
  CO_ASSERT_OK_AND_ASSIGN(UdpSocket socket, UdpSocket::Bind(addresses["c"]));
  Running c("c", std::move(socket), addresses);
  CO_ASSERT_OK(co_await WaitUntil(&a, &b, false));
  EXPECT_THAT(co_await c.Stop(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(co_await b.Stop(), StatusIs(absl::StatusCode::kCancelled));
  co_return co_await a.Stop();
}

TEST(FailureDetectorTest, SuspectsWhoIsSilentUntilHeIsBack) {
  EXPECT_THAT(Runtime().BlockOn(StopOneAndStartItAgain()), StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace failure_detector
