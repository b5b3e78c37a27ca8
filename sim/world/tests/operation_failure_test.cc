// SPDX-License-Identifier: Apache-2.0
//
// Operations that a test lets fail.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/net/resolver.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/tests/test_traffic.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

struct Client {
  std::vector<absl::Status> results;  // Of a look-up, a connect, a write, a read, a bind and a datagram.

  // The position of the first that failed; 6: none.
  size_t first_failed() const {
    size_t first = 0;
    while (first < results.size() && results[first].ok()) ++first;
    return first;
  }
};

Task<void> UseTcp(Client* client) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*HostAddress("server", kEchoPort));
  client->results.push_back(stream.status());
  if (!stream.ok()) co_return;
  const IoResult written = co_await stream->WriteAll("hello");
  client->results.push_back(written.status);
  const absl::StatusOr<Buffer> reply = co_await stream->Receive();
  client->results.push_back(reply.ok() && reply->empty() ? absl::UnavailableError("closed") : reply.status());
}

Task<absl::Status> UseAll(Client* client) {
  const absl::StatusOr<std::vector<SocketAddress>> resolved = co_await Resolve("server", kEchoPort);
  client->results.push_back(resolved.status());
  co_await UseTcp(client);
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(0));
  client->results.push_back(socket.status());
  if (!socket.ok()) co_return absl::OkStatus();
  const absl::Status sent = co_await socket->SendTo("x", *HostAddress("server", kDatagramPort));
  client->results.push_back(sent);
  co_return absl::OkStatus();
}

struct Outcome {
  Client client;
  uint64_t operations = 0;
  std::string scenario;
};

// A run in which operation `number` of the client fails; 0: none does.
Outcome RunFailing(uint64_t seed, uint64_t number, bool and_after) {
  Outcome outcome;
  World world(WorldOptions().set_seed(seed));
  if (number > 0) world.FailOperation("client", number, and_after);
  world.AddHost("server", [] { return ServerMain(nullptr); });
  Host& client = world.AddHost("client", [&] { return UseAll(&outcome.client); });
  const absl::Status status = world.RunUntilDone(client, absl::Seconds(100));
  EXPECT_TRUE(status.ok()) << status;
  outcome.operations = world.operations("client");
  outcome.scenario = world.scenario().ToString();
  return outcome;
}

constexpr size_t kResults = 6;

TEST(OperationFailureTest, WithoutOneNothingFails) {
  const Outcome outcome = RunFailing(1, 0, false);
  EXPECT_EQ(outcome.client.first_failed(), kResults);
  // The look-up; a socket, its connect, its send and its receive; a socket, its bind and its send.
  EXPECT_EQ(outcome.operations, 8u);
}

TEST(OperationFailureTest, EachFailsOnceAloneAndTheOthersGoOn) {
  const uint64_t operations = RunFailing(1, 0, false).operations;
  std::set<size_t> failed;
  for (uint64_t number = 1; number <= operations; ++number) {
    const Outcome outcome = RunFailing(1, number, false);
    const size_t first = outcome.client.first_failed();
    EXPECT_LT(first, outcome.client.results.size()) << "nobody has noticed operation " << number;
    failed.insert(first);
    // What comes after it on other sockets is as it was.
    if (first < 4) EXPECT_TRUE(outcome.client.results.back().ok()) << number << ": " << outcome.client.results.back();
  }
  EXPECT_EQ(failed, (std::set<size_t>{0, 1, 2, 3, 4, 5}));
}

TEST(OperationFailureTest, FromOneOnAllFail) {
  const Outcome outcome = RunFailing(1, 1, true);
  for (const absl::Status& status : outcome.client.results) EXPECT_FALSE(status.ok());
  EXPECT_EQ(RunFailing(1, 9, true).client.first_failed(), kResults);
}

TEST(OperationFailureTest, TheErrorsAreTheKernelsForThatOperation) {
  const std::vector<std::set<int>> expected = {
      {EAGAIN, ENOENT},
      {EMFILE, ENFILE, ENOBUFS, ENOMEM},                                    // The socket...
      {ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL},  // ...and its connect.
      {ECONNRESET, EPIPE, ETIMEDOUT},
      {ECONNRESET, ETIMEDOUT, 0},  // 0: the end of the stream, of which a write has been told.
      {EMFILE, ENFILE, ENOBUFS, ENOMEM},
      {EADDRINUSE, EADDRNOTAVAIL},
      {ENETUNREACH, EHOSTUNREACH},
  };
  for (uint64_t number = 1; number <= expected.size(); ++number) {
    std::set<int> seen;
    for (uint64_t seed = 0; seed < 60; ++seed) {
      const Outcome outcome = RunFailing(seed, number, false);
      const size_t first = outcome.client.first_failed();
      if (first < outcome.client.results.size()) seen.insert(ErrnoOf(outcome.client.results[first]));
    }
    if (number != 1) EXPECT_EQ(seen, expected[number - 1]) << number;
    EXPECT_FALSE(seen.empty()) << number;
  }
}

TEST(OperationFailureTest, ALineOfTheScenarioDoesTheSame) {
  for (const bool and_after : {false, true}) {
    const Outcome first = RunFailing(7, 4, and_after);
    const absl::StatusOr<Scenario> scenario = Scenario::Parse(first.scenario);
    ASSERT_TRUE(scenario.ok()) << scenario.status();
    EXPECT_EQ(scenario->failures.size(), 1u);
    Client client;
    World world(WorldOptions().set_seed(7).set_scenario(&*scenario));
    world.AddHost("server", [] { return ServerMain(nullptr); });
    Host& host = world.AddHost("client", [&] { return UseAll(&client); });
    EXPECT_TRUE(world.RunUntilDone(host, absl::Seconds(100)).ok());
    EXPECT_EQ(client.results, first.client.results);
  }
}

TEST(OperationFailureTest, AFailureOfOneHostIsNoneOfAnother) {
  World world;
  world.FailOperation("another", 1, /*and_after=*/true);
  Client client;
  world.AddHost("server", [] { return ServerMain(nullptr); });
  Host& host = world.AddHost("client", [&] { return UseAll(&client); });
  EXPECT_TRUE(world.RunUntilDone(host, absl::Seconds(100)).ok());
  EXPECT_EQ(client.first_failed(), kResults);
}

}  // namespace
}  // namespace tandem::sim
