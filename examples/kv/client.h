// SPDX-License-Identifier: Apache-2.0
//
// A client for servers that speak RESP2: commands and pipelines, over one connection.
//
//   absl::StatusOr<kv::Client> client = co_await kv::Client::Connect(address, absl::Seconds(1));
//   absl::StatusOr<kv::Reply> reply = co_await client->Command(kv::Request("SET", "key", "value"), absl::Seconds(1));

#ifndef TANDEM_EXAMPLES_KV_CLIENT_H_
#define TANDEM_EXAMPLES_KV_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/tandem.h"

namespace tandem::kv {

// One request, as it goes over the wire.
class Request {
 public:
  // The words of a request, at least one: strings, or what converts to a string_view.
  template <typename... Words>
  explicit Request(const Words&... words) {
    Begin(sizeof...(words));
    (Add(words), ...);
  }
  // The same with the words in a vector.
  static Request Of(const std::vector<std::string>& words);

  const std::string& wire() const { return wire_; }

 private:
  Request() = default;
  void Begin(size_t count);
  void Add(absl::string_view word);

  std::string wire_;
};

// One value of RESP2.
struct Reply {
  enum class Kind : uint8_t { kString, kError, kInteger, kBulk, kNull, kArray };

  Kind kind = Kind::kNull;
  std::string text;  // Of kString, kError, kBulk.
  int64_t integer = 0;
  std::vector<Reply> elements;  // Of kArray.

  bool is_error() const { return kind == Kind::kError; }
  bool is_null() const { return kind == Kind::kNull; }

  static Reply String(absl::string_view text) { return {Kind::kString, std::string(text), 0, {}}; }
  static Reply Bulk(absl::string_view text) { return {Kind::kBulk, std::string(text), 0, {}}; }
  static Reply Integer(int64_t value) { return {Kind::kInteger, "", value, {}}; }
  static Reply Null() { return {}; }

  // For people: as redis-cli shows it, on one line, long text cut.
  std::string ToString() const;
  friend bool operator==(const Reply&, const Reply&) = default;
};

// Takes replies out of a stream of bytes.
class ReplyParser {
 public:
  void Feed(absl::string_view bytes) { input_.append(bytes.data(), bytes.size()); }

  // The next reply.
  //
  // Errors:
  //   kUnavailable      More bytes are needed.
  //   kInvalidArgument  What came is no reply of RESP2. Final.
  absl::StatusOr<Reply> Next();
  // A reply has begun and not ended.
  bool in_reply() const { return position_ < input_.size() || !open_.empty(); }

 private:
  struct OpenArray {
    Reply array;
    size_t missing;
  };

  absl::StatusOr<Reply> NextItem(size_t* elements);
  std::optional<Reply> Complete(Reply value);

  std::string input_;
  size_t position_ = 0;
  std::vector<OpenArray> open_;
};

// Belongs to one coroutine. After an error the connection is out of step with its replies: later calls fail.
class Client {
 public:
  explicit Client(TcpStream stream) : stream_(std::move(stream)) {}
  Client(Client&&) = default;
  Client& operator=(Client&&) = default;

  // Errors: those of TcpStream::Connect(); kDeadlineExceeded after `timeout`.
  static Task<absl::StatusOr<Client>> Connect(SocketAddress address, absl::Duration timeout);

  // Sends one request and returns its reply, which may be an error of the server (Reply::is_error()).
  //
  // Errors: those of TcpStream::Read() and WriteAll(), and
  //   kDeadlineExceeded    No reply within `timeout`.
  //   kUnavailable         The server closed the connection before the reply.
  //   kInvalidArgument     What came is no reply.
  //   kFailedPrecondition  An earlier call failed.
  Task<absl::StatusOr<Reply>> Command(Request request, absl::Duration timeout);

  // Sends all requests at once, receiving meanwhile, and returns their replies in order. Errors: those of Command().
  Task<absl::StatusOr<std::vector<Reply>>> Pipeline(std::vector<Request> requests, absl::Duration timeout);
  // The same; `replies` gets what came before an error, too. It stays valid until the task completes.
  Task<absl::Status> PipelineInto(std::vector<Request> requests, absl::Duration timeout, std::vector<Reply>* replies);

  TcpStream& stream() { return stream_; }

 private:
  static Task<absl::Status> SendAll(TcpStream* stream, std::string wire, Instant deadline);
  Task<absl::Status> ReceiveReplies(size_t count, Instant deadline, std::vector<Reply>* replies);

  TcpStream stream_;
  ReplyParser parser_;
  bool broken_ = false;
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_CLIENT_H_
