// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/tickets/metrics.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/tandem.h"
#include "tandem/testing/status_matchers.h"

namespace tickets {
namespace {

using namespace tandem;
using ::tandem::testing::IsOkAndHolds;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::StartsWith;

Task<absl::StatusOr<std::string>> Get(SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  if (IoResult sent = co_await stream->WriteAll("GET / HTTP/1.0\r\n\r\n"); !sent.ok()) co_return sent.status;
  std::string answer;
  for (;;) {
    absl::StatusOr<Buffer> part = co_await stream->Receive();
    if (!part.ok()) co_return part.status();
    if (part->empty()) co_return answer;
    answer.append(part->view());
  }
}

Task<absl::StatusOr<std::string>> ServeAndGet(Runtime* runtime) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
  if (!listener.ok()) co_return listener.status();
  const SocketAddress address = listener->LocalAddress();
  const auto page = [runtime] { return ReactorMetrics(runtime->statistics()); };
  auto [served, answer] = co_await WhenAny(ServePage(*std::move(listener), page), Get(address));
  co_return answer.value();
}

TEST(MetricsTest, APageOfCounters) {
  Runtime runtime;
  const absl::StatusOr<std::string> answer = runtime.BlockOn(ServeAndGet(&runtime));
  EXPECT_THAT(answer, IsOkAndHolds(AllOf(StartsWith("HTTP/1.0 200 OK\r\n"), ContainsRegex("\r\n\r\n# .*\n"),
                                         ContainsRegex("\ntandem_submissions_total [1-9][0-9]*\n"))));
}

}  // namespace
}  // namespace tickets
