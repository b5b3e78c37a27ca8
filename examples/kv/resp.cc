// SPDX-License-Identifier: Apache-2.0
//
// Invariant between calls of Next(): input_[request_start_, position_) plus the strings in large_ are what has been
// parsed of the current request, in the order of pieces_. A large bulk string's bytes are cut out of the input, so the
// offsets in pieces_ stay true when the input moves to buffer_ and when buffer_ grows.

#include "tandem/examples/kv/resp.h"

#include <algorithm>
#include <optional>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "tandem/examples/kv/integer.h"

namespace tandem::kv {
namespace {

// A header is a type byte and an integer of at most 20 characters; anything this long without a line end is no header.
constexpr size_t kMaxHeaderBytes = 64;

// From this length on, a bulk string that has not arrived whole gets a string of its own. Below, keeping it in the
// shared buffer costs less than the allocation.
constexpr size_t kLargeBulkBytes = size_t{32} << 10;

// Redis' own ceiling for a string, and what fits Piece::length.
constexpr size_t kMaxBulkBytes = size_t{512} << 20;

// What a parser keeps between requests. More is given back, so that one large request does not bind memory for the
// rest of the connection's life.
constexpr size_t kRetainedBytes = size_t{16} << 10;
constexpr size_t kRetainedArguments = 256;

template <typename Container>
void ClearAndTrim(Container& container, size_t retained) {
  container.clear();
  if (container.capacity() > retained) Container().swap(container);
}

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

char Unescape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'a':
      return '\a';
    default:
      return c;
  }
}

// Appends the quoted part of `line` that opens at `at` to `out`. Returns the offset behind the closing quote, or
// nothing if there is none or if something other than a space follows it.
std::optional<size_t> Unquote(std::string_view line, size_t at, std::string& out) {
  const char quote = line[at++];
  while (at < line.size() && line[at] != quote) {
    if (line[at] != '\\' || at + 1 >= line.size()) {
      out.push_back(line[at++]);
    } else if (quote == '\'') {
      // Between single quotes only \' is an escape.
      if (line[at + 1] == '\'') ++at;
      out.push_back(line[at++]);
    } else if (line[at + 1] == 'x' && at + 3 < line.size() && HexDigit(line[at + 2]) >= 0 &&
               HexDigit(line[at + 3]) >= 0) {
      out.push_back(static_cast<char>(HexDigit(line[at + 2]) * 16 + HexDigit(line[at + 3])));
      at += 4;
    } else {
      out.push_back(Unescape(line[at + 1]));
      at += 2;
    }
  }
  if (at >= line.size()) return std::nullopt;
  ++at;
  if (at < line.size() && !IsSpace(line[at])) return std::nullopt;
  return at;
}

RequestLimits Effective(RequestLimits limits) {
  limits.max_bulk_bytes = std::min({limits.max_bulk_bytes, limits.max_request_bytes, kMaxBulkBytes});
  limits.max_inline_bytes = std::min(limits.max_inline_bytes, limits.max_request_bytes);
  return limits;
}

}  // namespace

RequestParser::RequestParser(const RequestLimits& limits) : limits_(Effective(limits)) {}

void RequestParser::Feed(std::string_view chunk) {
  CHECK(expects_feed_);  // The chunk before this one may still hold requests.
  expects_feed_ = false;
  if (filling_large_) {
    const size_t wanted = static_cast<size_t>(bulk_length_) - large_.back().size();
    const size_t taken = std::min(wanted, chunk.size());
    AppendToLargeBulk(chunk.substr(0, taken));
    chunk.remove_prefix(taken);
  }
  input_is_buffer_ = !buffer_.empty();
  if (input_is_buffer_) buffer_.append(chunk);
  input_ = input_is_buffer_ ? std::string_view(buffer_) : chunk;
}

RequestParser::Result RequestParser::Next() {
  if (!error_.empty()) return Result::kError;
  if (has_request_) DropRequest();
  const Result result = ParseRequest();
  if (result == Result::kNeedMore) KeepRemainder();
  return result;
}

size_t RequestParser::held_bytes() const {
  size_t bytes = buffer_.capacity() + inline_text_.capacity();
  bytes += pieces_.capacity() * sizeof(Piece) + arguments_.capacity() * sizeof(Argument);
  for (const std::string& text : large_) bytes += text.capacity();
  return bytes;
}

RequestParser::Result RequestParser::Fail(std::string_view what) {
  error_ = absl::StrCat("ERR Protocol error: ", what);
  expects_feed_ = false;
  return Result::kError;
}

void RequestParser::DropRequest() {
  has_request_ = false;
  request_start_ = position_;
  inline_scanned_ = 0;
  large_bytes_ = 0;
  large_.clear();
  ClearAndTrim(inline_text_, kRetainedBytes);
  ClearAndTrim(pieces_, kRetainedArguments);
  ClearAndTrim(arguments_, kRetainedArguments);
}

void RequestParser::KeepRemainder() {
  expects_feed_ = true;
  if (input_is_buffer_) {
    buffer_.erase(0, request_start_);
  } else {
    buffer_.assign(input_.substr(request_start_));
  }
  if (buffer_.capacity() > kRetainedBytes && buffer_.size() < buffer_.capacity() / 4) buffer_.shrink_to_fit();
  position_ -= request_start_;
  request_start_ = 0;
  input_is_buffer_ = true;
  input_ = buffer_;
}

RequestParser::Result RequestParser::ParseRequest() {
  while (missing_arguments_ == 0) {
    // An array that is announced empty and a blank line leave nothing behind: the next byte starts a request again.
    if (remaining().empty() && inline_scanned_ == 0) return Result::kNeedMore;
    const bool is_array = input_[request_start_] == '*';
    const Result result = is_array ? ParseArrayHeader() : ParseInline();
    if (result != Result::kRequest) return result;
    if (!is_array && !pieces_.empty()) return FinishRequest();
    if (missing_arguments_ == 0) request_start_ = position_;
  }
  while (missing_arguments_ > 0) {
    const Result result = ParseBulk();
    if (result != Result::kRequest) return result;
    --missing_arguments_;
  }
  return FinishRequest();
}

RequestParser::Result RequestParser::ParseHeaderLine(std::string_view too_long, std::string_view invalid,
                                                     int64_t* value) {
  const std::string_view head = remaining().substr(0, kMaxHeaderBytes);
  const size_t end = head.find('\r');
  if (end == std::string_view::npos) return head.size() < kMaxHeaderBytes ? Result::kNeedMore : Fail(too_long);
  if (end + 1 >= remaining().size()) return Result::kNeedMore;

  const std::optional<int64_t> parsed = ParseInteger(head.substr(1, end - 1));
  if (!parsed.has_value() || remaining()[end + 1] != '\n') return Fail(invalid);
  *value = *parsed;
  position_ += end + 2;
  return Result::kRequest;
}

RequestParser::Result RequestParser::ParseArrayHeader() {
  constexpr std::string_view kInvalid = "invalid multibulk length";
  int64_t count = 0;
  const Result result = ParseHeaderLine("too big mbulk count string", kInvalid, &count);
  if (result != Result::kRequest) return result;
  if (count > static_cast<int64_t>(limits_.max_arguments)) return Fail(kInvalid);
  missing_arguments_ = static_cast<size_t>(std::max<int64_t>(count, 0));
  return Result::kRequest;
}

RequestParser::Result RequestParser::ParseInline() {
  const std::string_view text = input_.substr(request_start_);
  const size_t end = text.find('\n', inline_scanned_);
  if (std::min(end, text.size()) > limits_.max_inline_bytes) return Fail("too big inline request");
  if (end == std::string_view::npos) {
    inline_scanned_ = text.size();
    position_ = input_.size();
    return Result::kNeedMore;
  }
  inline_scanned_ = 0;
  position_ = request_start_ + end + 1;
  if (!SplitInline(text.substr(0, end))) return Fail("unbalanced quotes in request");
  return Result::kRequest;
}

bool RequestParser::SplitInline(std::string_view line) {
  size_t at = 0;
  while (true) {
    while (at < line.size() && IsSpace(line[at])) ++at;
    if (at >= line.size()) break;
    const size_t start = inline_text_.size();
    while (at < line.size() && line[at] != ' ' && line[at] != '\t' && line[at] != '\r') {
      if (line[at] == '"' || line[at] == '\'') {
        const std::optional<size_t> next = Unquote(line, at, inline_text_);
        if (!next.has_value()) return false;
        at = *next;
        break;
      }
      inline_text_.push_back(line[at++]);
    }
    pieces_.push_back({start, static_cast<uint32_t>(inline_text_.size() - start), false});
  }
  for (const Piece& piece : pieces_) {
    arguments_.emplace_back(std::string_view(inline_text_).substr(piece.offset, piece.length));
  }
  return true;
}

RequestParser::Result RequestParser::ParseBulk() {
  if (bulk_length_ < 0) {
    const Result result = ParseBulkHeader();
    if (result != Result::kRequest) return result;
  }
  if (filling_large_) return FinishLargeBulk();

  const size_t length = static_cast<size_t>(bulk_length_);
  if (remaining().size() < length + 2) {
    if (length < kLargeBulkBytes) return Result::kNeedMore;
    StartLargeBulk();
    return FinishLargeBulk();
  }
  if (remaining()[length] != '\r' || remaining()[length + 1] != '\n') return Fail("expected CRLF after bulk string");
  pieces_.push_back({position_ - request_start_, static_cast<uint32_t>(length), false});
  position_ += length + 2;
  bulk_length_ = -1;
  return Result::kRequest;
}

RequestParser::Result RequestParser::ParseBulkHeader() {
  constexpr std::string_view kInvalid = "invalid bulk length";
  if (remaining().empty()) return Result::kNeedMore;
  const char type = remaining().front();
  if (type != '$') {
    // What does not print would break the reply's own line.
    const bool printable = type >= ' ' && type <= '~';
    return Fail(absl::StrCat("expected '$', got '", std::string_view(printable ? &type : "?", 1), "'"));
  }
  int64_t length = 0;
  const Result result = ParseHeaderLine("too big bulk count string", kInvalid, &length);
  if (result != Result::kRequest) return result;
  if (length < 0) return Fail(kInvalid);
  if (length > static_cast<int64_t>(limits_.max_bulk_bytes)) {
    return Fail(absl::StrCat(kInvalid, ", the limit is ", limits_.max_bulk_bytes, " bytes"));
  }
  if (request_bytes() + static_cast<size_t>(length) + 2 > limits_.max_request_bytes) {
    return Fail(absl::StrCat("request exceeds ", limits_.max_request_bytes, " bytes"));
  }
  bulk_length_ = length;
  return Result::kRequest;
}

// Moves what has arrived of the bulk string at position_ to a string of its own, and the rest of the unfinished
// request to buffer_.
void RequestParser::StartLargeBulk() {
  const size_t arrived = std::min(remaining().size(), static_cast<size_t>(bulk_length_));
  large_.emplace_back();
  AppendToLargeBulk(remaining().substr(0, arrived));
  filling_large_ = true;

  if (input_is_buffer_) {
    buffer_.erase(position_, arrived);
  } else {
    buffer_.assign(input_.substr(request_start_, position_ - request_start_));
    buffer_.append(input_.substr(position_ + arrived));
    position_ -= request_start_;
    request_start_ = 0;
    input_is_buffer_ = true;
  }
  input_ = buffer_;
}

// Grows the string by halvings of the announced length: its capacity stays within twice what has arrived (but for a
// small first step), the copying is linear, and the finished string has next to no slack.
void RequestParser::AppendToLargeBulk(std::string_view bytes) {
  std::string& text = large_.back();
  const size_t needed = text.size() + bytes.size();
  if (needed > text.capacity()) {
    size_t capacity = static_cast<size_t>(bulk_length_);
    while (capacity / 2 >= std::max(needed, kLargeBulkBytes / 2)) capacity = capacity - capacity / 2;
    text.reserve(capacity);
  }
  text.append(bytes);
  large_bytes_ += bytes.size();
}

RequestParser::Result RequestParser::FinishLargeBulk() {
  const std::string& text = large_.back();
  if (text.size() < static_cast<size_t>(bulk_length_) || remaining().size() < 2) return Result::kNeedMore;
  if (!remaining().starts_with("\r\n")) return Fail("expected CRLF after bulk string");
  pieces_.push_back({large_.size() - 1, static_cast<uint32_t>(text.size()), true});
  position_ += 2;
  filling_large_ = false;
  bulk_length_ = -1;
  return Result::kRequest;
}

RequestParser::Result RequestParser::FinishRequest() {
  has_request_ = true;
  if (!arguments_.empty()) return Result::kRequest;  // Inline: the arguments are built already.
  const std::string_view request = input_.substr(request_start_);
  for (const Piece& piece : pieces_) {
    if (piece.is_large) {
      arguments_.emplace_back(&large_[piece.offset]);
    } else {
      arguments_.emplace_back(request.substr(piece.offset, piece.length));
    }
  }
  return Result::kRequest;
}

}  // namespace tandem::kv
