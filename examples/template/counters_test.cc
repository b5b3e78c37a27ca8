// SPDX-License-Identifier: Apache-2.0
#include "counters.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/testing/status_matchers.h"

using namespace tandem;

namespace {

// The answers to `lines`, which go over one connection.
Task<absl::StatusOr<std::vector<std::string>>> Ask(SocketAddress server, std::vector<std::string> lines) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  if (!stream.ok()) co_return stream.status();
  LineClient client(*std::move(stream));
  std::vector<std::string> answers;
  for (const std::string& line : lines) {
    absl::StatusOr<std::string> answer = co_await client.Call(line);
    if (!answer.ok()) co_return answer.status();
    answers.push_back(*std::move(answer));
  }
  co_return answers;
}

Task<absl::StatusOr<std::vector<std::string>>> ServeAndAsk(std::vector<std::string> lines) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
  if (!listener.ok()) co_return listener.status();
  const SocketAddress server = listener->LocalAddress();
  auto [served, answers] = co_await WhenAny(ServeCounters(*std::move(listener)), Ask(server, std::move(lines)));
  co_return std::move(answers).value();
}

TEST(CountersTest, AddAndGet) {
  Runtime runtime;
  const std::vector<std::string> lines = {"GET pears", "ADD apples 5", "ADD apples -2", "GET apples", "TAKE apples"};
  const std::vector<std::string> answers = {"0", "5", "3", "3", "ERR say ADD NAME N or GET NAME"};
  EXPECT_THAT(runtime.BlockOn(ServeAndAsk(lines)), tandem::testing::IsOkAndHolds(answers));
}

}  // namespace
