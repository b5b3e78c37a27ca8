// SPDX-License-Identifier: Apache-2.0
//
// A line asks, a line answers: the server and the client of the simplest protocol there is.
//
//   Task<absl::StatusOr<std::string>> Answer(std::string line) { co_return absl::StrCat("you said ", line); }
//
//   absl::Status status = co_await ServeLines(*std::move(listener), Answer);
//
//   absl::StatusOr<TcpStream> stream = co_await Connect("server:7000");
//   if (!stream.ok()) co_return stream.status();
//   LineClient client(*std::move(stream));
//   absl::StatusOr<std::string> answer = co_await WithTimeout(absl::Seconds(1), client.Call("hello"));
//
// Lines end with LF; the CR of CRLF is taken off. What ends a stream without a line end is no line: it may be the
// beginning of a longer one. A server that keeps something for each connection, or answers in parts, is written with
// Serve() and a LineReader (framing.h).

#ifndef TANDEM_CORE_NET_LINES_H_
#define TANDEM_CORE_NET_LINES_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/net/buffered.h"
#include "tandem/core/net/framing.h"
#include "tandem/core/net/handle.h"
#include "tandem/core/net/lingering_close.h"
#include "tandem/core/net/serve.h"
#include "tandem/core/net/stream.h"

namespace tandem {

inline constexpr size_t kDefaultLineLimit = 64 * 1024;

class ServeLinesOptions {
 public:
  ServeLinesOptions() {}

  // How many bytes a line may have, its end not counted. Default 64 KiB.
  size_t line_limit() const { return line_limit_; }
  ServeLinesOptions& set_line_limit(size_t bytes) {
    line_limit_ = bytes;
    return *this;
  }
  // The answer to a line that is longer. Default "ERR line too long".
  const std::string& too_long_answer() const { return too_long_answer_; }
  ServeLinesOptions& set_too_long_answer(std::string answer) {
    too_long_answer_ = std::move(answer);
    return *this;
  }
  // How long the whole of the next line may take to come, and how long a client may take to receive an answer. Default
  // 5 minutes.
  absl::Duration idle_timeout() const { return idle_timeout_; }
  ServeLinesOptions& set_idle_timeout(absl::Duration timeout) {
    idle_timeout_ = timeout;
    return *this;
  }
  // How many connections there may be, and how long a stop may take.
  const ServeOptions& serve() const { return serve_; }
  ServeLinesOptions& set_serve(const ServeOptions& options) {
    serve_ = options;
    return *this;
  }

 private:
  size_t line_limit_ = kDefaultLineLimit;
  std::string too_long_answer_ = "ERR line too long";
  absl::Duration idle_timeout_ = absl::Minutes(5);
  ServeOptions serve_;
};

// Answers a line.
template <typename F>
concept LineHandler = requires(F& handler, std::string line) {
  { handler(std::move(line)) } -> std::same_as<Task<absl::StatusOr<std::string>>>;
};

namespace internal {

// The next line without its end. Errors: those of BufferedReader::ReadUntil(); kResourceExhausted when the line has
// more than `limit` bytes.
template <AsyncReader Source>
Task<absl::StatusOr<std::string>> ReadWholeLine(BufferedReader<Source>* reader, size_t limit) {
  constexpr size_t kLineEnd = 2;  // CR and LF.
  const size_t most = std::min(limit, std::numeric_limits<size_t>::max() - kLineEnd) + kLineEnd;
  absl::StatusOr<absl::string_view> line = co_await reader->ReadUntil("\n", most);
  if (absl::IsResourceExhausted(line.status())) co_return LineTooLongError(limit);
  if (!line.ok()) co_return line.status();
  line->remove_suffix(1);
  if (line->ends_with('\r')) line->remove_suffix(1);
  if (line->size() > limit) co_return LineTooLongError(limit);
  co_return std::string(*line);
}

template <AsyncStream S, typename Handler>
Task<void> AnswerLines(S stream, CancelScope* idle, Handler* handler, const ServeLinesOptions* options) {
  BufferedReader reader(stream);
  for (bool more = true; more;) {
    absl::StatusOr<std::string> line =
        co_await WithTimeout(options->idle_timeout(), idle->Run(ReadWholeLine(&reader, options->line_limit())));
    absl::StatusOr<std::string> answer = options->too_long_answer();
    const bool whole = line.ok();
    if (whole) {
      answer = co_await (*handler)(*std::move(line));
    } else if (!absl::IsResourceExhausted(line.status())) {
      break;
    }
    if (!answer.ok()) break;
    answer->push_back('\n');
    const IoResult sent = co_await WithTimeout(options->idle_timeout(), stream.WriteAll(*answer));
    more = whole && sent.ok();
  }
  // The client may be sending, and is to get what it was answered nevertheless.
  const LingerOptions linger = LingerOptions().set_time_limit(absl::Seconds(5)).set_idle_limit(absl::Seconds(1));
  absl::Status closed = co_await LingeringClose(stream, linger);
  closed.IgnoreError();  // Whatever it says, the stream is closed.
}

}  // namespace internal

// Serves connections as Serve() does, and calls `handler(line)`, a coroutine that returns
// Task<absl::StatusOr<std::string>>, for each line: it gets the line without its end and returns the answer without
// its. The lines of a connection are answered one after the other, in their order; those of several connections at the
// same time. An answer may have several lines, with LF between them.
//
// A connection ends
//   when the client has ended its half; a rest without a line end is dropped;
//   when the handler returns an error, which is not sent;
//   after a line that is longer than the limit, which is answered by ServeLinesOptions::too_long_answer() alone;
//   when a line or the receipt of an answer takes longer than the idle timeout;
//   when the server stops: the line that the handler has is answered, those behind it are not.
// It ends as LingeringClose() does it, within 5 s, and 1 s without anything from the client: what was answered arrives
// though the client goes on sending.
//
// `handler` is a function, or a callable that captures references or nothing, and all that Serve() says holds. Errors:
// those of Serve().
template <AsyncListener Listener, LineHandler Handler>
Task<absl::Status> ServeLines(Listener listener, Handler handler, ServeLinesOptions options = ServeLinesOptions()) {
  static_assert(std::is_trivially_copyable_v<Handler>,
                "a handler of lines captures references or nothing; what it refers to outlives ServeLines()");
  using Stream = internal::AcceptedBy<Listener>;
  const auto talk = [&handler, &options](Stream stream, CancelScope* idle) {
    return internal::AnswerLines(std::move(stream), idle, &handler, &options);
  };
  absl::Status status = co_await Serve(std::move(listener), talk, options.serve());
  co_return status;
}

// The client's side of a connection: sends a line and waits for the line that answers it.
//
// A handle: move it, but not while a call is under way. Belongs to one shard.
template <AsyncStream S>
class LineClient {
 public:
  // Answers may have `answer_limit` bytes, their end not counted.
  explicit LineClient(S stream, size_t answer_limit = kDefaultLineLimit)
      : connection_(std::make_unique<Connection>(std::move(stream), answer_limit)) {}
  LineClient(LineClient&&) = default;
  LineClient& operator=(LineClient&&) = default;
  // Does what the destructor of the stream does.
  ~LineClient() = default;

  // Sends `line` and returns the answer, both without a line end. One call at a time (CHECKed).
  //
  // A call that fails, or is stopped, leaves the client out of step: its answer may still come, and would be taken for
  // that of the next call. Later calls therefore fail; make another connection.
  //
  // Errors:
  //   kInvalidArgument     `line` has an LF in it, or a CR at its end. Nothing was sent, and the client can be used.
  //   kFailedPrecondition  An earlier call failed.
  //   kOutOfRange          The server ended the connection and did not answer.
  //   kResourceExhausted   The answer is longer than the limit.
  //   Others               Those of the stream's WriteAll() and Read(). Whether the server has acted on the line is not
  //                        known then.
  Task<absl::StatusOr<std::string>> Call(std::string line) {
    if (connection_ == nullptr) internal::DieOfEmptyHandle("LineClient");
    return CallOn(connection_.get(), std::move(line));
  }

 private:
  enum class State : uint8_t { kInStep, kCalling, kOutOfStep };

  // Stays in place when the client moves: the reader refers to the stream.
  struct Connection {
    Connection(S s, size_t limit) : stream(std::move(s)), reader(stream), answer_limit(limit) {}
    S stream;
    BufferedReader<S> reader;
    const size_t answer_limit;
    State state = State::kInStep;
  };

  static Task<absl::StatusOr<std::string>> CallOn(Connection* connection, std::string line) {
    CHECK(connection->state != State::kCalling) << "two calls of one LineClient at the same time";
    if (connection->state == State::kOutOfStep) {
      co_return absl::FailedPreconditionError("line call: an earlier call failed, and its answer may still come");
    }
    if (line.find('\n') != std::string::npos || line.ends_with('\r')) {
      co_return absl::InvalidArgumentError("line call: the line has a line end in it");
    }
    connection->state = State::kCalling;
    absl::StatusOr<std::string> answer = co_await Exchange(connection, std::move(line));
    connection->state = answer.ok() ? State::kInStep : State::kOutOfStep;
    co_return answer;
  }

  static Task<absl::StatusOr<std::string>> Exchange(Connection* connection, std::string line) {
    line.push_back('\n');
    IoResult sent = co_await connection->stream.WriteAll(line);
    if (!sent.ok()) co_return std::move(sent.status);
    absl::StatusOr<std::string> answer =
        co_await internal::ReadWholeLine(&connection->reader, connection->answer_limit);
    co_return answer;
  }

  std::unique_ptr<Connection> connection_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_LINES_H_
