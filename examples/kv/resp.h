// SPDX-License-Identifier: Apache-2.0
//
// The request side of the Redis protocol: RESP2 arrays of bulk strings, and inline commands with Redis' quoting.
//
// A RequestParser is fed the bytes of one connection in whatever pieces the network delivers and yields whole requests.
// What it yields depends on the bytes only, never on where the pieces were cut. A request that lies whole in one piece
// is parsed in place: its arguments are views into that piece, nothing is copied and, once warm, nothing is allocated.
// The rest of a piece is kept in one buffer until the next piece completes it. A long bulk string that is still
// arriving is collected in a string of its own, which the command may take over without another copy.
//
// Memory follows what the peer has sent, never what it has announced: at most about twice max_request_bytes, plus 40
// bytes for each argument that has arrived.

#ifndef TANDEM_EXAMPLES_KV_RESP_H_
#define TANDEM_EXAMPLES_KV_RESP_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tandem::kv {

struct RequestLimits {
  // Wire bytes of one request, headers included. A value of 64 MiB passes the default.
  size_t max_request_bytes = size_t{128} << 20;
  // One bulk string. Effective is the smallest of this, max_request_bytes and Redis' 512 MiB.
  size_t max_bulk_bytes = size_t{512} << 20;
  // One inline command, without its line feed.
  size_t max_inline_bytes = size_t{64} << 10;
  // Arguments of one request, the command's name included.
  size_t max_arguments = size_t{1} << 20;
};

// One argument of a request.
class Argument {
 public:
  explicit Argument(std::string_view text) : text_(text) {}
  explicit Argument(std::string* owned) : text_(*owned), owned_(owned) {}

  std::string_view text() const { return text_; }

  // Returns the argument as a string: moved out if the parser holds it in a string of its own, else copied. text() must
  // not be used afterwards.
  std::string Take() { return owned_ != nullptr ? std::move(*owned_) : std::string(text_); }

 private:
  std::string_view text_;
  std::string* owned_ = nullptr;
};

class RequestParser {
 public:
  enum class Result {
    kRequest,   // arguments() is a request; it has at least one argument.
    kNeedMore,  // Every byte fed so far is used up or kept: Feed() the next ones.
    kError,     // The peer broke the protocol: send error(), then close. Final.
  };

  explicit RequestParser(const RequestLimits& limits = RequestLimits());

  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Hands over the next bytes of the connection. Allowed at the start and whenever Next() has returned kNeedMore.
  // `chunk` must stay valid until Next() has returned kNeedMore or kError.
  void Feed(std::string_view chunk);

  // Advances to the next request. Empty requests (a blank line, `*0`, `*-1`) are skipped, as Redis does.
  Result Next();

  // The request of the last Next() that returned kRequest. Valid until the next call of Next() or Feed().
  std::span<Argument> arguments() { return arguments_; }

  // The text for the peer after kError, without the leading '-' and the line end: "ERR Protocol error: ...".
  const std::string& error() const { return error_; }

  // Memory held for the unfinished request, in bytes.
  size_t held_bytes() const;

 private:
  // An argument parsed so far. An offset, not a pointer, because the bytes may still move to buffer_.
  struct Piece {
    size_t offset;    // From request_start_; an index into large_ for a large one.
    uint32_t length;  // Bulk strings are limited to 512 MiB.
    bool is_large;
  };

  Result Fail(std::string_view what);
  void DropRequest();
  void KeepRemainder();

  Result ParseRequest();
  Result ParseArrayHeader();
  Result ParseInline();
  bool SplitInline(std::string_view line);
  Result ParseBulk();
  Result ParseBulkHeader();
  Result FinishLargeBulk();
  void StartLargeBulk();
  void AppendToLargeBulk(std::string_view bytes);
  Result FinishRequest();

  // Reads the line `<type byte><integer>\r\n` at position_. On kRequest, `value` holds the integer and position_ is
  // behind the line.
  Result ParseHeaderLine(std::string_view too_long, std::string_view invalid, int64_t* value);

  std::string_view remaining() const { return input_.substr(position_); }
  size_t request_bytes() const { return position_ - request_start_ + large_bytes_; }

  const RequestLimits limits_;

  std::string buffer_;      // Bytes kept from earlier chunks, from the unfinished request's first byte on.
  std::string_view input_;  // What is being parsed: the chunk fed last, or buffer_.
  bool input_is_buffer_ = false;
  size_t request_start_ = 0;  // Offset in input_ of the current request.
  size_t position_ = 0;       // Offset in input_ of the next byte to parse.

  bool expects_feed_ = true;
  bool has_request_ = false;
  size_t missing_arguments_ = 0;  // Of the array being parsed; 0 between requests.
  int64_t bulk_length_ = -1;      // Of the bulk string whose header is parsed; -1 before it.
  size_t inline_scanned_ = 0;     // Bytes of an unfinished inline command without a line feed.

  std::vector<Piece> pieces_;
  std::vector<std::string> large_;  // Bulk strings that arrived in pieces; their bytes are not in buffer_.
  size_t large_bytes_ = 0;          // Sum of their lengths so far.
  bool filling_large_ = false;      // large_.back() is still arriving.

  std::string inline_text_;  // The unquoted arguments of an inline command, one after the other.
  std::vector<Argument> arguments_;
  std::string error_;
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_RESP_H_
