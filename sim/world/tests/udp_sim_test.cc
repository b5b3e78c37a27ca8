// SPDX-License-Identifier: Apache-2.0
//
// A service over datagrams that is found by its name, does its work on another thread and tells everybody who listens,
// under every fault that there is.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/net/resolver.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/core/runtime/run_blocking.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::sim {
namespace {

constexpr uint16_t kPort = 7;
constexpr uint16_t kNewsPort = 8;
constexpr size_t kDatagramMax = 100;

SocketAddress NewsGroup() { return SocketAddress::Ipv4({239, 0, 0, 7}, kNewsPort); }

std::string Answer(std::string request) { return absl::StrCat("answer to ", request); }

// Answers each request, and tells the group about it.
Task<absl::Status> Serve() {
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  std::array<char, kDatagramMax> buffer;
  for (;;) {
    absl::StatusOr<ReceivedDatagram> request = co_await socket->ReceiveFrom(absl::MakeSpan(buffer));
    if (!request.ok()) co_return request.status();
    std::string text(buffer.data(), request->size);
    absl::StatusOr<std::string> answer = co_await RunBlocking(&Answer, std::move(text));
    if (!answer.ok()) co_return answer.status();
    std::vector<OutgoingDatagram> datagrams;
    datagrams.reserve(2);
    datagrams.emplace_back(*answer, request->source);
    datagrams.emplace_back(*answer, NewsGroup());
    SendManyResult sent = co_await socket->SendMany(datagrams);
    if (!sent.ok()) co_return sent.status;
  }
}

// Counts what is told to the group, which must make sense.
Task<void> Listen(int* news) {
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(kNewsPort));
  EXPECT_OK(socket.status());
  EXPECT_OK(socket->JoinGroup(MulticastGroup{NewsGroup(), 0}));
  for (;;) {
    std::array<char, kDatagramMax> buffer;
    absl::StatusOr<ReceivedDatagram> told = co_await socket->ReceiveFrom(absl::MakeSpan(buffer));
    if (!told.ok()) co_return;
    const absl::string_view text(buffer.data(), told->size);
    EXPECT_TRUE(absl::StartsWith(text, "answer to ")) << text;
    ++*news;
  }
}

// Asks once, over a socket of its own; old answers may come before the one to `request`.
Task<absl::Status> AskOnce(std::string request) {
  absl::StatusOr<std::vector<SocketAddress>> addresses =
      co_await WithTimeout(absl::Seconds(5), Resolve("server", kPort));
  if (!addresses.ok()) co_return addresses.status();
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Open(AddressFamily::kIpv4);
  if (!socket.ok()) co_return socket.status();
  absl::Status connected = socket->Connect(addresses->front());
  if (!connected.ok()) co_return connected;
  absl::Status sent = co_await socket->Send(request);
  if (!sent.ok()) co_return sent;
  std::array<char, kDatagramMax> buffer;
  absl::StatusOr<ReceivedDatagram> reply =
      co_await WithTimeout(absl::Milliseconds(300), socket->ReceiveFrom(absl::MakeSpan(buffer)));
  if (!reply.ok()) co_return reply.status();
  const absl::string_view text(buffer.data(), reply->size);
  if (text != absl::StrCat("answer to ", request)) co_return absl::DataLossError(absl::StrCat(request, ": ", text));
  co_return absl::OkStatus();
}

Task<absl::Status> Ask(std::string name, int wanted, int* news) {
  Spawn(&Listen, news);
  for (int number = 0; number < wanted;) {
    absl::Status status = co_await AskOnce(absl::StrCat(name, " ", number));
    if (absl::IsDataLoss(status) || absl::IsCancelled(status)) co_return status;
    if (status.ok()) ++number;
    absl::Status slept = co_await Sleep(absl::Milliseconds(20));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

SIM_TEST(Udp, EveryRequestIsAnsweredInTheEndUnderEveryFault) {
  int news = 0;
  world.AddHost("server", [] { return Serve(); });
  Host& first = world.AddHost("first", [&news] { return Ask("first", 30, &news); });
  Host& second = world.AddHost("second", [&news] { return Ask("second", 30, &news); });
  // One datagram seldom waits behind another here, so that a receive could take a part.
  world.Inject(Faults::All()
                   .Without(FaultKind::kShortReads)
                   .Spare("first")
                   .Spare("second")
                   .During(absl::ZeroDuration(), absl::Seconds(5)));

  EXPECT_OK(world.RunUntilDone(first, absl::Hours(1)));
  EXPECT_OK(world.RunUntilDone(second, absl::Hours(1)));
  EXPECT_GT(news, 0);
}

}  // namespace
}  // namespace tandem::sim
