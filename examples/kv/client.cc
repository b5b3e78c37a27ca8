// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/client.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tandem/examples/kv/integer.h"

namespace tandem::kv {
namespace {

// Beyond these a reply is taken for garbage.
constexpr size_t kMaxLineBytes = size_t{64} << 10;
constexpr int64_t kMaxBulkBytes = int64_t{512} << 20;
constexpr int64_t kMaxElements = int64_t{1} << 24;
constexpr size_t kMaxDepth = 32;

// Text that ToString() shows of each string.
constexpr size_t kShownBytes = 64;

absl::Status NeedMore() { return absl::Status(absl::StatusCode::kUnavailable, ""); }

absl::Status Garbage(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not a RESP2 reply: ", what));
}

std::string Shown(absl::string_view text) {
  std::string shown = absl::CHexEscape(text.substr(0, kShownBytes));
  if (text.size() > kShownBytes) absl::StrAppend(&shown, "... (", text.size(), " bytes)");
  return shown;
}

}  // namespace

Request Request::Of(const std::vector<std::string>& words) {
  Request request;
  request.wire_.clear();
  request.Begin(words.size());
  for (const std::string& word : words) request.Add(word);
  return request;
}

void Request::Begin(size_t count) { absl::StrAppend(&wire_, "*", count, "\r\n"); }

void Request::Add(absl::string_view word) { absl::StrAppend(&wire_, "$", word.size(), "\r\n", word, "\r\n"); }

std::string Reply::ToString() const {
  switch (kind) {
    case Kind::kString:
      return Shown(text);
    case Kind::kError:
      return absl::StrCat("(error) ", Shown(text));
    case Kind::kInteger:
      return absl::StrCat("(integer) ", integer);
    case Kind::kBulk:
      return absl::StrCat("\"", Shown(text), "\"");
    case Kind::kNull:
      return "(nil)";
    case Kind::kArray:
      break;
  }
  std::string shown = "[";
  for (const Reply& element : elements) absl::StrAppend(&shown, shown.size() > 1 ? ", " : "", element.ToString());
  return absl::StrCat(shown, "]");
}

absl::StatusOr<Reply> ReplyParser::Next() {
  for (;;) {
    size_t elements = 0;
    absl::StatusOr<Reply> item = NextItem(&elements);
    if (!item.ok()) return item.status();
    if (elements > 0) {
      if (open_.size() == kMaxDepth) return Garbage("arrays in too many arrays");
      open_.push_back({*std::move(item), elements});
      continue;
    }
    std::optional<Reply> reply = Complete(*std::move(item));
    if (reply.has_value()) return *std::move(reply);
  }
}

// Puts `value` into the array that waits for it. Returns the outermost one once it is complete.
std::optional<Reply> ReplyParser::Complete(Reply value) {
  while (!open_.empty()) {
    OpenArray& outer = open_.back();
    outer.array.elements.push_back(std::move(value));
    if (--outer.missing > 0) return std::nullopt;
    value = std::move(outer.array);
    open_.pop_back();
  }
  return value;
}

// The next value, without the elements of an array: `elements` says how many follow.
absl::StatusOr<Reply> ReplyParser::NextItem(size_t* elements) {
  const absl::string_view rest = absl::string_view(input_).substr(position_);
  const size_t line_end = rest.substr(0, kMaxLineBytes).find("\r\n");
  if (line_end == absl::string_view::npos) {
    // What is used up goes now and then, not at every reply.
    input_.erase(0, std::exchange(position_, 0));
    return input_.size() >= kMaxLineBytes ? Garbage("a line without an end") : NeedMore();
  }
  if (line_end == 0) return Garbage("an empty line");
  const absl::string_view line = rest.substr(1, line_end - 1);
  size_t used = line_end + 2;
  Reply reply;
  reply.text = std::string(line);
  switch (rest[0]) {
    case '+':
      reply.kind = Reply::Kind::kString;
      break;
    case '-':
      reply.kind = Reply::Kind::kError;
      break;
    case ':':
    case '$':
    case '*': {
      const std::optional<int64_t> number = ParseInteger(line);
      reply.text.clear();
      if (!number.has_value()) return Garbage(Shown(rest.substr(0, line_end)));
      if (rest[0] == ':') {
        reply.kind = Reply::Kind::kInteger;
        reply.integer = *number;
        break;
      }
      if (*number == -1) break;  // A null.
      const int64_t limit = rest[0] == '$' ? kMaxBulkBytes : kMaxElements;
      if (*number < 0 || *number > limit) return Garbage(Shown(rest.substr(0, line_end)));
      const auto size = static_cast<size_t>(*number);
      if (rest[0] == '*') {
        reply.kind = Reply::Kind::kArray;
        *elements = size;
        break;
      }
      if (rest.size() < used + size + 2) {
        input_.erase(0, std::exchange(position_, 0));
        return NeedMore();
      }
      if (rest.substr(used + size, 2) != "\r\n") return Garbage("a bulk string that is longer than it says");
      reply.kind = Reply::Kind::kBulk;
      reply.text = std::string(rest.substr(used, size));
      used += size + 2;
      break;
    }
    default:
      return Garbage(Shown(rest.substr(0, line_end)));
  }
  position_ += used;
  return reply;
}

Task<absl::StatusOr<Client>> Client::Connect(SocketAddress address, absl::Duration timeout) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address).By(Now() + timeout);
  if (!stream.ok()) co_return stream.status();
  co_return Client(*std::move(stream));
}

Task<absl::StatusOr<Reply>> Client::Command(Request request, absl::Duration timeout) {
  std::vector<Request> requests;
  requests.push_back(std::move(request));
  absl::StatusOr<std::vector<Reply>> replies = co_await Pipeline(std::move(requests), timeout);
  if (!replies.ok()) co_return replies.status();
  co_return std::move(replies->front());
}

Task<absl::StatusOr<std::vector<Reply>>> Client::Pipeline(std::vector<Request> requests, absl::Duration timeout) {
  std::vector<Reply> replies;
  const absl::Status status = co_await PipelineInto(std::move(requests), timeout, &replies);
  if (!status.ok()) co_return status;
  co_return replies;
}

Task<absl::Status> Client::PipelineInto(std::vector<Request> requests, absl::Duration timeout,
                                        std::vector<Reply>* replies) {
  if (broken_) co_return absl::FailedPreconditionError("an earlier call on this connection failed");
  const Instant deadline = Now() + timeout;
  std::string wire;
  for (const Request& request : requests) wire.append(request.wire());
  // At the same time: a server that is held up by its replies does not read further requests.
  std::tuple<absl::Status, absl::Status> done = co_await WhenAll(SendAll(&stream_, std::move(wire), deadline),
                                                                 ReceiveReplies(requests.size(), deadline, replies));
  auto& [sent, received] = done;
  broken_ = !sent.ok() || !received.ok();
  // When the server closes, its last words say more than the failure to send.
  if (!received.ok()) co_return received;
  co_return sent;
}

Task<absl::Status> Client::SendAll(TcpStream* stream, std::string wire, Instant deadline) {
  const IoResult result = co_await stream->WriteAll(wire).By(deadline);
  co_return result.status;
}

Task<absl::Status> Client::ReceiveReplies(size_t count, Instant deadline, std::vector<Reply>* replies) {
  while (replies->size() < count) {
    absl::StatusOr<Reply> reply = parser_.Next();
    if (reply.ok()) {
      replies->push_back(*std::move(reply));
      continue;
    }
    if (!absl::IsUnavailable(reply.status())) co_return reply.status();
    const absl::StatusOr<Buffer> chunk = co_await stream_.Receive().By(deadline);
    if (!chunk.ok()) co_return chunk.status();
    if (chunk->empty()) co_return absl::UnavailableError("the server closed the connection before it replied");
    parser_.Feed(chunk->view());
  }
  co_return absl::OkStatus();
}

}  // namespace tandem::kv
