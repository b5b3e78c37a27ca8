// SPDX-License-Identifier: Apache-2.0
//
// Replies in RESP2 or RESP3, gathered for one vectored write.
//
// A ReplyBuffer is a sequence of bytes kept as one string plus references to large values that belong between its
// bytes. So the replies to a pipeline of small commands are one string, and a value of 64 MiB is sent from where the
// store keeps it.

#ifndef TANDEM_EXAMPLES_KV_REPLY_H_
#define TANDEM_EXAMPLES_KV_REPLY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/examples/kv/value.h"

namespace tandem::kv {

// What the client understands: RESP2 until it says HELLO 3.
enum class Protocol : uint8_t { kResp2 = 2, kResp3 = 3 };

class ReplyBuffer {
 public:
  // A position to which RollBack() can return.
  struct Mark {
    size_t text_size;
    size_t shared_count;
    size_t shared_bytes;
    size_t given_bytes;
  };

  ReplyBuffer() = default;
  ReplyBuffer(const ReplyBuffer&) = delete;
  ReplyBuffer& operator=(const ReplyBuffer&) = delete;
  ReplyBuffer(ReplyBuffer&&) = default;
  ReplyBuffer& operator=(ReplyBuffer&&) = default;

  // How what is added from now on is written. The types that only RESP3 has become in RESP2 what Redis 7 makes of them.
  Protocol protocol() const { return protocol_; }
  void set_protocol(Protocol protocol) { protocol_ = protocol; }

  // `+text`. `text` must not contain a line end.
  void SimpleString(std::string_view text);
  // `-text`, where `text` begins with the error's code, such as "ERR". Line ends in it become spaces.
  void Error(std::string_view text);
  void Integer(int64_t value);
  void Bulk(std::string_view bytes);
  // The same for bytes that the caller gives away: large ones are not copied.
  void Bulk(std::string&& bytes);
  void Bulk(const char* text) { Bulk(std::string_view(text)); }
  void Bulk(const Value& value);
  // What is not there: in RESP2 a bulk string of length -1.
  void Null();
  // The same where an array is expected: in RESP2 an array of length -1.
  void NullArray();
  // In RESP2 the bulk string that has the same digits: the shortest that read back as `value`.
  void Double(double value);
  // In RESP2 the integer 1 or 0.
  void Boolean(bool value);
  // Text for people, as it is. In RESP2 a bulk string.
  void Verbatim(std::string_view text);
  // The header of an array; `count` replies follow.
  void Array(size_t count);
  // The header of a map; `count` pairs of replies follow, key and value. In RESP2 an array of twice the length.
  void Map(size_t count);
  // The header of a set; `count` replies follow. In RESP2 an array.
  void Set(size_t count);

  bool empty() const { return size() == 0; }
  // All bytes, the shared ones included.
  size_t size() const { return text_.size() + shared_bytes_; }
  // The memory that the replies cost: all bytes but those of stored values, and an estimate for each reference to one.
  size_t owned_bytes() const { return text_.size() + shared_.size() * kReferenceBytes + given_bytes_; }

  // How many errors were ever added.
  uint64_t error_count() const { return error_count_; }

  Mark mark() const { return {text_.size(), shared_.size(), shared_bytes_, given_bytes_}; }
  // The part of owned_bytes() that was added since `mark` was taken.
  size_t OwnedSince(const Mark& mark) const {
    return owned_bytes() - mark.text_size - mark.shared_count * kReferenceBytes - mark.given_bytes;
  }
  // Takes back everything that was added since `mark` was taken.
  void RollBack(const Mark& mark);

  // Appends the pieces to send, in order, none empty, to `pieces`. They stay valid until the buffer changes.
  void AppendPieces(std::vector<std::string_view>& pieces) const;
  // Moves all replies out, into a buffer that holds little more than they take. This one goes on empty.
  ReplyBuffer Take();
  // Empties the buffer, for the next replies. Keeps a little capacity.
  void Clear();
  // All bytes in one string.
  std::string Flatten() const;

 private:
  // What a reference costs: its place in shared_, and the two pieces to which it leads when it is sent.
  static constexpr size_t kReferenceBytes = 96;

  struct Shared {
    size_t text_before;  // The bytes of text_ that precede it.
    std::shared_ptr<const std::string> bytes;
  };

  void Header(char type, int64_t value);

  std::string text_;
  std::vector<Shared> shared_;
  size_t shared_bytes_ = 0;
  size_t given_bytes_ = 0;  // The part of shared_bytes_ that was never stored.
  uint64_t error_count_ = 0;
  Protocol protocol_ = Protocol::kResp2;
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_REPLY_H_
