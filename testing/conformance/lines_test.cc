// SPDX-License-Identifier: Apache-2.0
//
// The promises of core/net/lines.h, on every reactor.

#include "tandem/core/net/lines.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/serve.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/core/sync/event.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

constexpr absl::StatusCode kResourceExhausted = absl::StatusCode::kResourceExhausted;

// What the handlers of a test share.
struct Shared {
  Event go;                        // Lets "wait" end.
  std::vector<std::string> lines;  // What handlers were called with.
  size_t running = 0;              // Handlers that have not ended.
  size_t most = 0;                 // The largest value of `running`.
};

Task<absl::StatusOr<std::string>> Answer(std::string line, Shared* shared) {
  shared->lines.push_back(line);
  shared->most = std::max(shared->most, ++shared->running);
  Shard::Current().Post([] {});  // The test looks before the turn goes to sleep.
  absl::Status waited;
  if (line.starts_with("wait")) waited = co_await shared->go.Wait();
  --shared->running;
  if (!waited.ok()) co_return waited;
  if (line == "fail") co_return absl::InternalError("as the line says");
  if (line == "throw") throw std::runtime_error("as the line says");
  if (line.starts_with("many ")) co_return std::string(16 << 20, line.back());
  co_return absl::StrCat("<", line, ">");
}

class ServeLinesTest : public SocketConformanceTest {
 protected:
  void StartServing(const ServeLinesOptions& options = ServeLinesOptions()) {
    TcpListener listener = Listen();
    address_ = listener.LocalAddress();
    serving_ = Start(ServeLines(std::move(listener), handler_, options));
  }
  // Drains as long as it takes.
  static ServeLinesOptions Patient() {
    return ServeLinesOptions().set_serve(ServeOptions().set_drain_limit(absl::InfiniteDuration()));
  }
  void ExpectThatItStops() {
    serving_->Cancel();
    EXPECT_EQ(Wait(serving_).code(), kCancelled);
  }
  TcpStream Client() { return Connect(address_); }
  // What the server answers to `text`, at whose end the client ends its half.
  absl::StatusOr<std::string> AnswersTo(absl::string_view text) {
    TcpStream client = Client();
    Send(client, text);
    EXPECT_OK(Run(client.ShutdownWrite()));
    return ReadAll(client);
  }

  struct Handler {
    Shared* shared;
    Task<absl::StatusOr<std::string>> operator()(std::string line) const { return Answer(std::move(line), shared); }
  };
  Shared shared_;
  Handler handler_{&shared_};
  SocketAddress address_;
  std::unique_ptr<Background<absl::Status>> serving_;
};

Task<absl::StatusOr<std::string>> Repeat(std::string line) { co_return absl::StrCat(line, line); }

TEST_F(ServeLinesTest, TheHandlerMayBeAFunction) {
  TcpListener listener = Listen();
  address_ = listener.LocalAddress();
  serving_ = Start(ServeLines(std::move(listener), Repeat));
  EXPECT_THAT(AnswersTo("ab\n"), IsOkAndHolds("abab\n"));
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, LinesAreAnsweredInTheirOrderWithoutTheirEnds) {
  StartServing();
  EXPECT_THAT(AnswersTo("one\ntwo\r\n\n\r\nfi\rve\n"), IsOkAndHolds("<one>\n<two>\n<>\n<>\n<fi\rve>\n"));
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, ALineMayComeInPieces) {
  StartServing();
  TcpStream client = Client();
  for (const absl::string_view piece : {"on", "e", "\r", "\ntw", "o\n"}) {
    Send(client, piece);
    Settle();
  }
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_THAT(ReadAll(client), IsOkAndHolds("<one>\n<two>\n"));
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, AnAnswerMayHaveSeveralLines) {
  TcpListener listener = Listen();
  address_ = listener.LocalAddress();
  serving_ = Start(ServeLines(std::move(listener),
                              [](std::string) -> Task<absl::StatusOr<std::string>> { co_return "first\nsecond"; }));
  EXPECT_THAT(AnswersTo("x\n"), IsOkAndHolds("first\nsecond\n"));
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, ARestWithoutALineEndIsDropped) {
  StartServing();
  EXPECT_THAT(AnswersTo("one\ntw"), IsOkAndHolds("<one>\n"));
  EXPECT_THAT(AnswersTo("three\r"), IsOkAndHolds(""));
  EXPECT_EQ(shared_.lines, std::vector<std::string>{"one"});
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, OneConnectionWaitsAndOthersDoNot) {
  StartServing();
  TcpStream first = Client();
  TcpStream second = Client();
  Send(first, "wait\nthen\n");
  Send(second, "wait too\n");
  loop_.TurnUntil([&] { return shared_.running == 2; });
  EXPECT_THAT(AnswersTo("beside\n"), IsOkAndHolds("<beside>\n"));
  EXPECT_EQ(shared_.most, 3u);
  EXPECT_EQ(shared_.lines.size(), 3u);  // "then" waits for the answer before it.

  shared_.go.Set();
  EXPECT_OK(Run(first.ShutdownWrite()));
  EXPECT_THAT(ReadAll(first), IsOkAndHolds("<wait>\n<then>\n"));
  EXPECT_OK(Run(second.ShutdownWrite()));
  EXPECT_THAT(ReadAll(second), IsOkAndHolds("<wait too>\n"));
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, TheLimitDoesNotCountTheEnd) {
  StartServing(ServeLinesOptions().set_line_limit(4));
  EXPECT_THAT(AnswersTo("1234\n1234\r\n12345\n1\n"), IsOkAndHolds("<1234>\n<1234>\nERR line too long\n"));
  EXPECT_THAT(AnswersTo("12345\r\n1\n"), IsOkAndHolds("ERR line too long\n"));
  EXPECT_THAT(AnswersTo("123456"), IsOkAndHolds("ERR line too long\n"));
  EXPECT_EQ(shared_.lines.size(), 2u);
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, NoLimitIsALimitToo) {
  StartServing(ServeLinesOptions().set_line_limit(static_cast<size_t>(-1)));
  EXPECT_THAT(AnswersTo("1234\n"), IsOkAndHolds("<1234>\n"));
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, AClientThatGoesOnSendingHearsThatItsLineIsTooLong) {
  StartServing(ServeLinesOptions().set_too_long_answer("-ERR too long\r"));
  TcpStream client = Client();
  // More than the buffers of a connection take: all of it goes, because the server takes it.
  auto sending = Start(WriteAllOf(&client, std::string(24 << 20, 'x')));
  EXPECT_THAT(Read(client), IsOkAndHolds("-ERR too long\r\n"));
  EXPECT_OK(Wait(sending).status);
  EXPECT_OK(Run(client.Close()));
  EXPECT_TRUE(shared_.lines.empty());
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, AnErrorOfTheHandlerEndsTheConnectionAndIsNotSent) {
  StartServing();
  TcpStream client = Client();
  Send(client, "one\nfail\nthree\n");
  EXPECT_THAT(ReadAll(client), IsOkAndHolds("<one>\n"));
  EXPECT_EQ(shared_.lines.size(), 2u);
  EXPECT_THAT(AnswersTo("others go on\n"), IsOkAndHolds("<others go on>\n"));
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, ALineThatTakesTooLongEndsTheConnection) {
  StartServing(ServeLinesOptions().set_idle_timeout(absl::Milliseconds(40)));
  TcpStream client = Client();
  const Instant before = Now();
  Send(client, "one\n");
  EXPECT_THAT(Read(client), IsOkAndHolds("<one>\n"));
  Send(client, "tw");
  EXPECT_THAT(ReadAll(client), IsOkAndHolds(""));
  EXPECT_GE(Now() - before, absl::Milliseconds(39));
  EXPECT_EQ(shared_.lines, std::vector<std::string>{"one"});
  ExpectThatItStops();
}

Task<absl::Status> SendSlowly(TcpStream* stream, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) {
    const IoResult sent = co_await stream->WriteAll("x");
    if (!sent.ok()) co_return sent.status;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(5));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

TEST_F(ServeLinesTest, TheTimeoutIsThatOfTheWholeLine) {
  StartServing(ServeLinesOptions().set_idle_timeout(absl::Milliseconds(40)));
  TcpStream client = Client();
  auto sending = Start(SendSlowly(&client, 100'000));
  EXPECT_THAT(ReadAll(client), IsOkAndHolds(""));  // Though no byte is late.
  sending->Cancel();
  EXPECT_EQ(Wait(sending).code(), kCancelled);
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, TheHandlerMayTakeLongerThanTheTimeout) {
  StartServing(ServeLinesOptions().set_idle_timeout(absl::Milliseconds(10)));
  TcpStream client = Client();
  Send(client, "wait\n");
  EXPECT_OK(Run(Sleep(absl::Milliseconds(30))));
  shared_.go.Set();
  EXPECT_THAT(Read(client), IsOkAndHolds("<wait>\n"));
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, AnAnswerThatIsNotReceivedEndsTheConnection) {
  StartServing(ServeLinesOptions().set_idle_timeout(absl::Milliseconds(200)));
  TcpStream client = Client();
  Send(client, "many x\n");
  EXPECT_OK(Run(Sleep(absl::Seconds(1))));
  const absl::StatusOr<std::string> answer = ReadAll(client);
  EXPECT_TRUE(!answer.ok() || answer->size() < size_t{16} << 20) << answer->size();
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, AStopAnswersTheLineThatTheHandlerHas) {
  StartServing(Patient());
  TcpStream idle = Client();
  TcpStream busy = Client();
  Send(idle, "one\n");
  EXPECT_THAT(Read(idle), IsOkAndHolds("<one>\n"));
  Send(busy, "wait\nbehind it\n");
  loop_.TurnUntil([&] { return shared_.running == 1; });

  serving_->Cancel();
  EXPECT_THAT(Read(idle), IsOkAndHolds(""));
  EXPECT_FALSE(serving_->done());
  shared_.go.Set();
  // The client goes on sending, and the answer arrives nevertheless.
  Send(busy, "and more\n");
  EXPECT_THAT(ReadAll(busy), IsOkAndHolds("<wait>\n"));
  EXPECT_OK(Run(idle.Close()));
  EXPECT_OK(Run(busy.Close()));
  EXPECT_EQ(Wait(serving_).code(), kCancelled);
  EXPECT_EQ(shared_.lines, (std::vector<std::string>{"one", "wait"}));
}

TEST_F(ServeLinesTest, AConnectionThatWasEndedWaitsASecondForASilentClient) {
  StartServing();
  TcpStream client = Client();
  Send(client, "fail\n");
  const Instant before = Now();
  EXPECT_THAT(ReadAll(client), IsOkAndHolds(""));
  serving_->Cancel();
  EXPECT_EQ(Wait(serving_).code(), kCancelled);
  EXPECT_GE(Now() - before, absl::Milliseconds(999));
  if (IsSimulated()) EXPECT_LT(Now() - before, absl::Milliseconds(1100));
}

TEST_F(ServeLinesTest, AConnectionThatWasEndedDropsWhatComesForFiveSeconds) {
  StartServing();
  TcpStream client = Client();
  Send(client, "fail\n");
  EXPECT_THAT(ReadAll(client), IsOkAndHolds(""));
  const Instant before = Now();
  const absl::Status status = Run(SendSlowly(&client, 2000));
  EXPECT_TRUE(IsReset(status)) << status;
  EXPECT_GE(Now() - before, absl::Milliseconds(4900));
  if (IsSimulated()) EXPECT_LT(Now() - before, absl::Milliseconds(5100));
  ExpectThatItStops();
}

TEST_F(ServeLinesTest, TheLimitsOfServeHold) {
  ServeOptions serve;
  serve.set_max_connections(1).set_overload(ServeOptions::Overload::kClose).set_drain_limit(absl::ZeroDuration());
  StartServing(ServeLinesOptions().set_serve(serve));
  TcpStream first = Client();
  Send(first, "one\n");
  EXPECT_THAT(Read(first), IsOkAndHolds("<one>\n"));
  TcpStream second = Client();
  EXPECT_THAT(ReadAll(second), IsOkAndHolds(""));
  Send(first, "wait\n");
  loop_.TurnUntil([&] { return shared_.running == 1; });
  ExpectThatItStops();  // The handler was cancelled.
  EXPECT_EQ(shared_.running, 0u);
  EXPECT_THAT(ReadAll(first), IsOkAndHolds(""));
}

Task<absl::Status> CatchRuntimeError(Task<absl::Status> task) {
  try {
    co_return co_await std::move(task);
  } catch (const std::runtime_error& error) {
    co_return absl::AbortedError(error.what());
  }
}

TEST_F(ServeLinesTest, AnExceptionOfTheHandlerStopsTheServer) {
  TcpListener listener = Listen();
  address_ = listener.LocalAddress();
  serving_ = Start(CatchRuntimeError(ServeLines(std::move(listener), handler_)));
  TcpStream client = Client();
  Send(client, "throw\n");
  EXPECT_EQ(Wait(serving_), absl::AbortedError("as the line says"));
}

// --- LineClient ---

class LineClientTest : public ServeLinesTest {
 protected:
  void SetUp() override { StartServing(); }
  LineClient<TcpStream> MakeClient(size_t answer_limit = kDefaultLineLimit) {
    return LineClient(Client(), answer_limit);
  }
};

TEST_F(LineClientTest, ACallReturnsTheAnswer) {
  LineClient client = MakeClient();
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(Run(client.Call(absl::StrCat("line ", i))), IsOkAndHolds(absl::StrCat("<line ", i, ">")));
  }
  EXPECT_THAT(Run(client.Call("")), IsOkAndHolds("<>"));
  ExpectThatItStops();
}

TEST_F(LineClientTest, CanBeMovedBetweenCalls) {
  LineClient first = MakeClient();
  EXPECT_THAT(Run(first.Call("one")), IsOkAndHolds("<one>"));
  LineClient second = std::move(first);
  EXPECT_THAT(Run(second.Call("two")), IsOkAndHolds("<two>"));
  LineClient third = MakeClient();
  third = std::move(second);
  EXPECT_THAT(Run(third.Call("three")), IsOkAndHolds("<three>"));
  ExpectThatItStops();
}

TEST_F(LineClientTest, ALineEndInTheLineIsRefusedAndNothingIsSent) {
  LineClient client = MakeClient();
  for (const char* line : {"two\nlines", "end\n", "\n", "end\r", "\r"}) {
    EXPECT_EQ(Run(client.Call(line)).status().code(), kInvalidArgument);
  }
  EXPECT_THAT(Run(client.Call("a\rb")), IsOkAndHolds("<a\rb>"));
  EXPECT_EQ(shared_.lines.size(), 1u);
  ExpectThatItStops();
}

TEST_F(LineClientTest, TheAnswerOfAStoppedCallIsNotTakenForThatOfTheNext) {
  LineClient client = MakeClient();
  EXPECT_EQ(Run(WithTimeout(absl::Milliseconds(5), client.Call("wait"))).status(), DeadlineExceededStatus());
  shared_.go.Set();
  Settle();
  EXPECT_EQ(Run(client.Call("next")).status().code(), kFailedPrecondition);
  EXPECT_EQ(shared_.lines, std::vector<std::string>{"wait"});
  ExpectThatItStops();
}

TEST_F(LineClientTest, AServerThatEndsInsteadOfAnsweringIsOutOfRange) {
  LineClient client = MakeClient();
  EXPECT_EQ(Run(client.Call("fail")).status().code(), kOutOfRange);
  EXPECT_EQ(Run(client.Call("next")).status().code(), kFailedPrecondition);
  ExpectThatItStops();
}

TEST_F(LineClientTest, AnAnswerThatIsCutShortIsOutOfRange) {
  TcpListener listener = Listen();
  LineClient client(Connect(listener.LocalAddress()));
  TcpStream server = Accept(listener);
  auto call = Start(client.Call("how many?"));
  EXPECT_THAT(Read(server), IsOkAndHolds("how many?\n"));
  Send(server, "12");  // Of "123".
  EXPECT_OK(Run(server.ShutdownWrite()));
  EXPECT_EQ(Wait(call).status().code(), kOutOfRange);
  ExpectThatItStops();
}

TEST_F(LineClientTest, AnAnswerBeyondTheLimitIsRefused) {
  LineClient client = MakeClient(6);
  EXPECT_THAT(Run(client.Call("1234")), IsOkAndHolds("<1234>"));
  EXPECT_EQ(Run(client.Call("12345")).status().code(), kResourceExhausted);
  EXPECT_EQ(Run(client.Call("1")).status().code(), kFailedPrecondition);
  ExpectThatItStops();
}

TEST_F(LineClientTest, AConnectionThatIsDeadSaysSo) {
  TcpListener listener = Listen();
  LineClient client(Connect(listener.LocalAddress()));
  TcpStream server = Accept(listener);
  auto call = Start(client.Call("hello"));
  EXPECT_THAT(Read(server), IsOkAndHolds("hello\n"));
  server.Abort();
  EXPECT_TRUE(IsReset(Wait(call).status()));
  ExpectThatItStops();
}

TEST(LineClientDeathTest, TwoCallsAtOnceAreABug) {
  EXPECT_DEATH(
      {
        WorldLoop loop;
        auto listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
        LineClient client(*loop.Run(TcpStream::Connect(listener->LocalAddress())));
        auto both = loop.Run([](LineClient<TcpStream>* client) -> Task<absl::Status> {
          auto results = co_await WhenAll(client->Call("one"), client->Call("two"));
          co_return std::get<0>(results).status();
        }(&client));
      },
      "two calls of one LineClient");
}

TEST(LineClientDeathTest, ACallOfOneThatWasMovedIsABug) {
  EXPECT_DEATH(
      {
        WorldLoop loop;
        auto listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
        LineClient client(*loop.Run(TcpStream::Connect(listener->LocalAddress())));
        LineClient other = std::move(client);
        auto answer = loop.Run(client.Call("one"));
      },
      "LineClient");
}

}  // namespace
}  // namespace tandem::testing
