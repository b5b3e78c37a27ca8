// SPDX-License-Identifier: Apache-2.0
//
// The promises of core/net/serve.h, on every reactor.

#include "tandem/core/net/serve.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/net/pipe.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/core/sync/event.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

// The test waits outside of the loop: the turn must not go to sleep before it has looked.
void LetTheTestLook() {
  Shard::Current().Post([] {});
}

// What the handlers of a test share. It lives in the test, which is what Serve() allows.
struct Shared {
  Event go;                        // Lets handlers end that wait for it.
  size_t begun = 0;                // Handlers that have begun.
  size_t running = 0;              // Those of them that have not ended.
  size_t most = 0;                 // The largest value of `running`.
  size_t ended = 0;                // Handlers that have ended.
  std::vector<absl::Status> ends;  // How their last call ended.

  void Begin() {
    ++begun;
    ++running;
    most = std::max(most, running);
    LetTheTestLook();
  }
  void End(absl::Status status) {
    --running;
    ++ended;
    ends.push_back(std::move(status));
    LetTheTestLook();
  }
};

// Answers each byte with the same one.
Task<void> Echo(TcpStream stream, Shared* shared) {
  shared->Begin();
  char byte = 0;
  absl::Status status;
  while (status.ok()) {
    const absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(&byte, 1));
    status = count.status();
    if (!count.ok() || *count == 0) break;
    const IoResult written = co_await stream.WriteAll(absl::string_view(&byte, 1));
    status = written.status;
  }
  shared->End(std::move(status));
}

// A request is a byte; its answer takes until `go`, and is a byte too.
Task<void> Answer(TcpStream stream, CancelScope* idle, Shared* shared) {
  shared->Begin();
  absl::Status status;
  while (status.ok()) {
    const absl::StatusOr<std::string> request = co_await idle->Run(ReadSome(&stream, 1));
    status = request.status();
    if (!status.ok() || request->empty()) break;
    status = co_await shared->go.Wait();
    if (!status.ok()) break;
    const IoResult written = co_await stream.WriteAll(*request);
    status = written.status;
  }
  shared->End(std::move(status));
}

// Waits for `go` and says so.
Task<void> WaitToGo(TcpStream stream, Shared* shared) {
  shared->Begin();
  absl::Status status = co_await shared->go.Wait();
  if (status.ok()) status = (co_await stream.WriteAll("gone")).status;
  shared->End(std::move(status));
}

class ServeTest : public SocketConformanceTest {
 protected:
  // Serves with `handler` beside the test.
  template <typename Handler>
  std::unique_ptr<Background<absl::Status>> StartServing(Handler handler,
                                                         const ServeOptions& options = ServeOptions()) {
    TcpListener listener = Listen();
    address_ = listener.LocalAddress();
    return Start(Serve(std::move(listener), handler, options));
  }
  // A client whose handler has begun.
  TcpStream ConnectAndBegin() {
    const size_t before = shared_.begun;
    TcpStream stream = Connect(address_);
    loop_.TurnUntil([&] { return shared_.begun > before; });
    return stream;
  }

  SocketAddress address_;
  Shared shared_;
};

TEST_F(ServeTest, ServesManyAtATime) {
  auto serving = StartServing([this](TcpStream stream) { return Echo(std::move(stream), &shared_); });
  std::vector<TcpStream> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(ConnectAndBegin());
  for (TcpStream& client : clients) {
    Send(client, "x");
    EXPECT_THAT(Read(client), IsOkAndHolds("x"));
  }
  EXPECT_EQ(shared_.most, 100u);
  for (TcpStream& client : clients) EXPECT_OK(Run(client.Close()));
  loop_.TurnUntil([&] { return shared_.ended == 100; });
  serving->Cancel();
  EXPECT_EQ(Wait(serving).code(), kCancelled);
}

TEST_F(ServeTest, StoppingFinishesWhatWasBegunAndEndsWhatIsIdle) {
  auto serving =
      StartServing([this](TcpStream stream, CancelScope* idle) { return Answer(std::move(stream), idle, &shared_); },
                   ServeOptions().set_drain_limit(absl::InfiniteDuration()));
  TcpStream idle = ConnectAndBegin();
  TcpStream busy = ConnectAndBegin();
  Send(busy, "x");
  Settle();

  serving->Cancel();
  EXPECT_THAT(Read(idle), IsOkAndHolds(""));
  EXPECT_EQ(shared_.ended, 1u);
  // The listener is closed already.
  EXPECT_EQ(Run(TcpStream::Connect(address_)).status().code(), kUnavailable);
  EXPECT_FALSE(serving->done());

  shared_.go.Set();
  EXPECT_THAT(ReadAll(busy), IsOkAndHolds("x"));
  EXPECT_EQ(Wait(serving).code(), kCancelled);
  EXPECT_EQ(shared_.running, 0u);
}

TEST_F(ServeTest, ARequestThatArrivedWhenTheServerStopsIsAnswered) {
  shared_.go.Set();
  auto serving =
      StartServing([this](TcpStream stream, CancelScope* idle) { return Answer(std::move(stream), idle, &shared_); });
  for (int i = 0; i < 20; ++i) {
    TcpStream client = ConnectAndBegin();
    Send(client, "x");
    if (i == 19) serving->Cancel();
    // Cancelled or not, the byte was either answered, or left unread when the connection was closed.
    const absl::StatusOr<std::string> answer = Read(client);
    if (i < 19) EXPECT_THAT(answer, IsOkAndHolds("x"));
    if (answer.ok() && *answer != "x") EXPECT_EQ(*answer, "");
  }
  EXPECT_EQ(Wait(serving).code(), kCancelled);
}

TEST_F(ServeTest, HandlersThatDoNotEndAreCancelledAfterTheDrainLimit) {
  auto serving = StartServing([this](TcpStream stream) { return WaitToGo(std::move(stream), &shared_); },
                              ServeOptions().set_drain_limit(absl::Milliseconds(30)));
  TcpStream client = ConnectAndBegin();
  serving->Cancel();
  const Instant before = Now();
  EXPECT_EQ(Wait(serving).code(), kCancelled);
  EXPECT_GE(Now() - before, absl::Milliseconds(29));
  ASSERT_EQ(shared_.ends.size(), 1u);
  EXPECT_EQ(shared_.ends[0].code(), kCancelled);
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(ServeTest, WithoutADrainLimitHandlersAreCancelledAtOnce) {
  auto serving = StartServing([this](TcpStream stream) { return WaitToGo(std::move(stream), &shared_); },
                              ServeOptions().set_drain_limit(absl::ZeroDuration()));
  TcpStream client = ConnectAndBegin();
  serving->Cancel();
  EXPECT_EQ(Wait(serving).code(), kCancelled);
  ASSERT_EQ(shared_.ends.size(), 1u);
  EXPECT_EQ(shared_.ends[0].code(), kCancelled);
}

TEST_F(ServeTest, AHandlerThatIsNotToldEndsByItself) {
  auto serving = StartServing([this](TcpStream stream) { return WaitToGo(std::move(stream), &shared_); });
  TcpStream client = ConnectAndBegin();
  serving->Cancel();
  Settle();
  EXPECT_EQ(shared_.running, 1u);
  shared_.go.Set();
  EXPECT_THAT(ReadAll(client), IsOkAndHolds("gone"));
  EXPECT_EQ(Wait(serving).code(), kCancelled);
}

TEST_F(ServeTest, ADeadlineStopsItAsACancellationDoes) {
  TcpListener listener = Listen();
  address_ = listener.LocalAddress();
  auto handler = [this](TcpStream stream) { return WaitToGo(std::move(stream), &shared_); };
  auto serving = Start(WithTimeout(absl::Milliseconds(50), Serve(std::move(listener), handler)));
  TcpStream client = ConnectAndBegin();
  EXPECT_OK(Run(Sleep(absl::Milliseconds(60))));
  EXPECT_EQ(shared_.running, 1u);
  shared_.go.Set();
  EXPECT_EQ(Wait(serving).code(), kDeadlineExceeded);
  EXPECT_THAT(ReadAll(client), IsOkAndHolds("gone"));
}

// --- max_connections ---

TEST_F(ServeTest, ConnectionsBeyondTheLimitWait) {
  auto serving = StartServing([this](TcpStream stream) { return Echo(std::move(stream), &shared_); },
                              ServeOptions().set_max_connections(2));
  TcpStream first = ConnectAndBegin();
  TcpStream second = ConnectAndBegin();
  std::vector<TcpStream> others;
  for (int i = 0; i < 5; ++i) others.push_back(Connect(address_));
  for (TcpStream& other : others) Send(other, "x");
  Settle();
  EXPECT_EQ(shared_.running, 2u);

  EXPECT_OK(Run(first.Close()));
  EXPECT_OK(Run(second.Close()));
  // First come, first served, and each gets its turn.
  for (TcpStream& other : others) {
    EXPECT_THAT(Read(other), IsOkAndHolds("x"));
    EXPECT_OK(Run(other.Close()));
  }
  EXPECT_EQ(shared_.most, 2u);
  serving->Cancel();
  EXPECT_EQ(Wait(serving).code(), kCancelled);
}

TEST_F(ServeTest, ConnectionsBeyondTheLimitAreClosed) {
  ServeOptions options;
  options.set_max_connections(2).set_overload(ServeOptions::Overload::kClose);
  auto serving = StartServing([this](TcpStream stream) { return Echo(std::move(stream), &shared_); }, options);
  TcpStream first = ConnectAndBegin();
  TcpStream second = ConnectAndBegin();
  for (int i = 0; i < 5; ++i) {
    TcpStream other = Connect(address_);
    EXPECT_THAT(Read(other), IsOkAndHolds(""));
  }
  Send(first, "x");
  EXPECT_THAT(Read(first), IsOkAndHolds("x"));
  EXPECT_OK(Run(second.Close()));
  loop_.TurnUntil([&] { return shared_.ended == 1; });
  TcpStream third = ConnectAndBegin();
  Send(third, "y");
  EXPECT_THAT(Read(third), IsOkAndHolds("y"));
  EXPECT_EQ(shared_.most, 2u);
  serving->Cancel();
  EXPECT_OK(Run(first.Close()));
  EXPECT_OK(Run(third.Close()));
  EXPECT_EQ(Wait(serving).code(), kCancelled);
}

TEST_F(ServeTest, AServerThatIsFullCanBeStopped) {
  auto serving = StartServing([this](TcpStream stream) { return WaitToGo(std::move(stream), &shared_); },
                              ServeOptions().set_max_connections(1).set_drain_limit(absl::ZeroDuration()));
  TcpStream client = ConnectAndBegin();
  Settle();
  serving->Cancel();
  EXPECT_EQ(Wait(serving).code(), kCancelled);
}

// --- Exceptions ---

Task<void> ThrowAtX(TcpStream stream, Shared* shared) {
  shared->Begin();
  char byte = 0;
  const absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(&byte, 1));
  shared->End(count.status());
  if (count.ok() && byte == 'x') throw std::runtime_error("thrown at x");
}

Task<absl::Status> CatchRuntimeError(Task<absl::Status> task) {
  try {
    co_return co_await std::move(task);
  } catch (const std::runtime_error& error) {
    co_return absl::AbortedError(error.what());
  }
}

TEST_F(ServeTest, AnExceptionOfAHandlerStopsTheServer) {
  TcpListener listener = Listen();
  address_ = listener.LocalAddress();
  auto handler = [this](TcpStream stream) { return ThrowAtX(std::move(stream), &shared_); };
  auto serving = Start(
      CatchRuntimeError(Serve(std::move(listener), handler, ServeOptions().set_drain_limit(absl::InfiniteDuration()))));
  TcpStream waits = ConnectAndBegin();
  TcpStream throws = ConnectAndBegin();
  Send(throws, "x");
  const absl::Status status = Wait(serving);
  EXPECT_EQ(status, absl::AbortedError("thrown at x"));
  EXPECT_EQ(shared_.running, 0u);
  EXPECT_EQ(shared_.ends.back().code(), kCancelled);
  EXPECT_EQ(Run(TcpStream::Connect(address_)).status().code(), kUnavailable);
}

// --- Errors of Accept() ---

// Accepts what a test has written down, then waits for ever.
class ScriptedListener {
 public:
  struct Script {
    std::deque<absl::StatusOr<PipeStream>> results;
    std::vector<Instant> accepts;  // When Accept() was called.
    Event never;
    bool closed = false;
  };
  explicit ScriptedListener(Script* script) : script_(script) {}

  Task<absl::StatusOr<PipeStream>> Accept() { return AcceptNext(script_); }
  Task<absl::Status> Close() { return CloseScript(script_); }

 private:
  static Task<absl::StatusOr<PipeStream>> AcceptNext(Script* script) {
    script->accepts.push_back(Now());
    LetTheTestLook();
    if (script->results.empty()) {
      absl::Status status = co_await script->never.Wait();
      co_return status;
    }
    absl::StatusOr<PipeStream> result = std::move(script->results.front());
    script->results.pop_front();
    co_return result;
  }
  static Task<absl::Status> CloseScript(Script* script) {
    script->closed = true;
    co_return absl::OkStatus();
  }

  Script* script_;
};
static_assert(AsyncListener<ScriptedListener>);
static_assert(AsyncListener<TcpListener>);

Task<void> ReadToTheEnd(PipeStream stream, Shared* shared) {
  shared->Begin();
  char bytes[16];
  const absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(bytes));
  shared->End(count.status());
}

TEST_F(ServeTest, ErrorsOfOneConnectionAreWaitedOut) {
  ScriptedListener::Script script;
  auto [client, server] = MakePipe(64);
  for (int i = 0; i < 4; ++i) script.results.emplace_back(ErrnoStatus(ECONNABORTED, "accept"));
  script.results.emplace_back(std::move(server));
  for (int i = 0; i < 2; ++i) script.results.emplace_back(ErrnoStatus(EMFILE, "accept"));
  auto handler = [this](PipeStream stream) { return ReadToTheEnd(std::move(stream), &shared_); };
  auto serving = Start(Serve(ScriptedListener(&script), handler));

  loop_.TurnUntil([&] { return script.accepts.size() == 8; });
  std::vector<absl::Duration> pauses;
  for (size_t i = 1; i < script.accepts.size(); ++i) pauses.push_back(script.accepts[i] - script.accepts[i - 1]);
  EXPECT_GE(pauses[0], absl::Milliseconds(5));
  EXPECT_GE(pauses[1], absl::Milliseconds(10));
  EXPECT_GE(pauses[2], absl::Milliseconds(20));
  EXPECT_GE(pauses[3], absl::Milliseconds(40));
  EXPECT_GE(pauses[5], absl::Milliseconds(5));
  if (IsSimulated()) EXPECT_LT(pauses[5], absl::Milliseconds(6));  // A success begins anew.

  EXPECT_OK(Run(client.Close()));
  serving->Cancel();
  EXPECT_EQ(Wait(serving).code(), kCancelled);
  EXPECT_EQ(shared_.ended, 1u);
  EXPECT_TRUE(script.closed);
}

TEST_F(ServeTest, PausesEndAtASecond) {
  ScriptedListener::Script script;
  constexpr size_t kErrors = 11;
  for (size_t i = 0; i < kErrors; ++i) script.results.emplace_back(ErrnoStatus(ENOBUFS, "accept"));
  auto handler = [this](PipeStream stream) { return ReadToTheEnd(std::move(stream), &shared_); };
  auto serving = Start(Serve(ScriptedListener(&script), handler));
  if (IsSimulated()) {
    loop_.TurnUntil([&] { return script.accepts.size() == kErrors + 1; });
    const absl::Duration last = script.accepts[kErrors] - script.accepts[kErrors - 1];
    EXPECT_GE(last, absl::Seconds(1));
    EXPECT_LT(last, absl::Milliseconds(1001));
  } else {
    // A pause ends when the server is stopped.
    loop_.TurnUntil([&] { return script.accepts.size() == 5; });
  }
  serving->Cancel();
  EXPECT_EQ(Wait(serving).code(), kCancelled);
}

TEST_F(ServeTest, TheEndOfTheListenerEndsTheServerAfterTheDrain) {
  ScriptedListener::Script script;
  auto [client, server] = MakePipe(64);
  script.results.emplace_back(std::move(server));
  script.results.emplace_back(ErrnoStatus(EBADF, "accept"));
  auto handler = [this](PipeStream stream) { return ReadToTheEnd(std::move(stream), &shared_); };
  auto serving = Start(Serve(ScriptedListener(&script), handler));
  loop_.TurnUntil([&] { return shared_.begun == 1; });
  Settle();
  EXPECT_FALSE(serving->done());
  EXPECT_OK(Run(client.Close()));
  EXPECT_EQ(ErrnoOf(Wait(serving)), EBADF);
  EXPECT_OK(shared_.ends.back());
}

// Stops the server when it accepts.
class StoppingListener {
 public:
  StoppingListener(TcpListener listener, std::unique_ptr<Background<absl::Status>>* server)
      : listener_(std::move(listener)), server_(server) {}
  Task<absl::StatusOr<TcpStream>> Accept() { return AcceptAndStop(this); }
  CloseOperation<ListenerSocket> Close() { return listener_.Close(); }

 private:
  static Task<absl::StatusOr<TcpStream>> AcceptAndStop(StoppingListener* self) {
    absl::StatusOr<TcpStream> stream = co_await self->listener_.Accept();
    (*self->server_)->Cancel();
    co_return stream;
  }

  TcpListener listener_;
  std::unique_ptr<Background<absl::Status>>* server_;
};

// A connection that is accepted in the turn in which the server stops begins when the drain has begun.
TEST_F(ServeTest, AConnectionThatBeginsDuringTheDrainIsToldSo) {
  std::unique_ptr<Background<absl::Status>> serving;
  TcpListener listener = Listen();
  address_ = listener.LocalAddress();
  auto handler = [this](TcpStream stream, CancelScope* idle) { return Answer(std::move(stream), idle, &shared_); };
  serving = Start(Serve(StoppingListener(std::move(listener), &serving), handler,
                        ServeOptions().set_drain_limit(absl::InfiniteDuration())));
  TcpStream client = Connect(address_);
  EXPECT_EQ(Wait(serving).code(), kCancelled);
  ASSERT_EQ(shared_.ends.size(), 1u);
  EXPECT_EQ(shared_.ends[0].code(), kCancelled);
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

}  // namespace
}  // namespace tandem::testing
