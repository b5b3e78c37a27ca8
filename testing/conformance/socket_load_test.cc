// SPDX-License-Identifier: Apache-2.0
//
// Much at once: large transfers, many connections, and an end under load.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tandem/core/io/buffer.h"
#include "tandem/testing/conformance/socket_conformance.h"

namespace tandem::testing {
namespace {

class LoadTest : public SocketConformanceTest {};

Task<void> Echo(TcpStream stream) {
  for (;;) {
    absl::StatusOr<Buffer> buffer = co_await stream.Receive();
    if (!buffer.ok() || buffer->empty()) co_return;
    const IoResult written = co_await stream.WriteAll(*std::move(buffer));
    if (!written.ok()) co_return;
  }
}

Task<void> Serve(TcpListener listener) {
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener.Accept();
    if (!stream.ok()) co_return;
    Spawn(Echo, *std::move(stream));
  }
}

// Sends `rounds` messages and checks each reply.
Task<absl::Status> Talk(SocketAddress address, int number, int rounds) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  const std::string message(1 + number % 200, static_cast<char>('a' + number % 26));
  std::string reply(message.size(), '\0');
  for (int round = 0; round < rounds; ++round) {
    const IoResult written = co_await stream->WriteAll(message);
    if (!written.ok()) co_return written.status;
    const IoResult read = co_await stream->ReadExactly(absl::MakeSpan(reply));
    if (!read.ok()) co_return read.status;
    if (reply != message) co_return absl::DataLossError("another reply than expected");
  }
  co_return co_await stream->Close();
}

TEST_F(LoadTest, SixtyFourMebibytesBothWaysAtOnce) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(64 << 20);
  auto write_all = [](TcpStream* stream, const std::string* data) -> Task<absl::Status> {
    const IoResult result = co_await stream->WriteAll(*data);
    if (!result.ok()) co_return result.status;
    co_return co_await stream->ShutdownWrite();
  };
  std::string at_client;
  std::string at_server;
  auto client_read = Start(ReadToEnd(&client, &at_client));
  auto server_read = Start(ReadToEnd(&server, &at_server));
  auto client_write = Start(write_all(&client, &data));
  auto server_write = Start(write_all(&server, &data));

  EXPECT_OK(Wait(client_write));
  EXPECT_OK(Wait(server_write));
  EXPECT_OK(Wait(client_read));
  EXPECT_OK(Wait(server_read));
  EXPECT_TRUE(at_client == data);
  EXPECT_TRUE(at_server == data);
}

TEST_F(LoadTest, FourHundredConnectionsAtOnceEachGetTheirReplies) {
  TcpListener listener = Listen();
  const SocketAddress address = listener.LocalAddress();
  Spawn(Serve, std::move(listener));
  std::vector<std::unique_ptr<Background<absl::Status>>> clients;
  for (int i = 0; i < 400; ++i) clients.push_back(Start(Talk(address, i, 20)));
  for (const auto& client : clients) EXPECT_OK(Wait(client));
}

TEST_F(LoadTest, ThousandConnectionsOneAfterTheOther) {
  TcpListener listener = Listen();
  const SocketAddress address = listener.LocalAddress();
  Spawn(Serve, std::move(listener));
  for (int i = 0; i < 1000; ++i) ASSERT_OK(Run(Talk(address, i, 1))) << i;
}

// Cancels the world in the middle of connecting, reading and writing. TearDown() drains it and looks at what is left.
class StopTest : public SocketConformanceTest, public ::testing::WithParamInterface<int> {};

TEST_P(StopTest, StoppedUnderLoadEndsWithNothingInFlight) {
  TcpListener listener = Listen();
  const SocketAddress address = listener.LocalAddress();
  Spawn(Serve, std::move(listener));
  auto client = [](SocketAddress address, int number) -> Task<void> {
    static_cast<void>(co_await Talk(address, number, 1'000'000));
  };
  for (int i = 0; i < 50; ++i) Spawn(client, address, i);
  auto hog = [](SocketAddress address) -> Task<void> {
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
    if (!stream.ok()) co_return;
    // So that the close takes a thread, where there are any: it ends later than the last task.
    EXPECT_OK(stream->set_linger(absl::Seconds(5)));
    const std::string data = Pattern(64 << 20);
    const IoResult result = co_await stream->WriteAll(data);
    EXPECT_FALSE(result.ok());
  };
  Spawn(hog, address);
  for (int turns = 0; turns < GetParam(); ++turns) static_cast<void>(loop_.shard().Turn(Now() + absl::Milliseconds(1)));
}

INSTANTIATE_TEST_SUITE_P(Turns, StopTest, ::testing::Values(0, 1, 2, 3, 4, 5, 8, 20, 100, 500));

}  // namespace
}  // namespace tandem::testing
