// SPDX-License-Identifier: Apache-2.0
//
// Fails where one datagram of several is lost, some time later. Run by explain_test.py.

#include <array>
#include <string>

#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

constexpr uint16_t kPort = 7;
constexpr int kNotes = 4;

// Ends when nothing has come for a second.
Task<absl::Status> CountNotes(int* count) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  std::array<char, 64> note;
  for (;;) {
    const absl::StatusOr<ReceivedDatagram> received =
        co_await WithTimeout(absl::Seconds(1), socket->ReceiveFrom(absl::MakeSpan(note)));
    if (!received.ok()) break;
    ++*count;
  }
  LOG(INFO) << "got " << *count;
  co_return absl::OkStatus();
}

Task<absl::Status> SendNotes() {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(0));
  if (!socket.ok()) co_return socket.status();
  const absl::StatusOr<SocketAddress> server = sim::HostAddress("server", kPort);
  if (!server.ok()) co_return server.status();
  for (int i = 0; i < kNotes; ++i) {
    const std::string note = absl::StrCat("note ", i);
    if (absl::Status sent = co_await socket->SendTo(note, *server); !sent.ok()) co_return sent;
    co_await Pause(absl::Milliseconds(100));
  }
  co_return absl::OkStatus();
}

SIM_TEST(Notes, AllArrive) {
  int count = 0;
  world.AddClient("server", [&count] { return CountNotes(&count); });
  world.AddClient("client", &SendNotes);
  world.Inject(*sim::FaultPlan::Parse("loss client server from 0s to 60s strength 60000"));

  static_cast<void>(world.RunClients(absl::Minutes(1)));
  EXPECT_GE(count, kNotes);
}

}  // namespace
}  // namespace tandem
