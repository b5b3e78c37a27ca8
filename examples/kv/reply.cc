// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/reply.h"

#include <charconv>
#include <utility>

namespace tandem::kv {
namespace {

// Text capacity that Clear() keeps, so that a busy connection does not allocate for each batch of replies.
constexpr size_t kRetainedBytes = size_t{16} << 10;

// A type byte, the longest int64_t with its sign, and the line end.
constexpr size_t kMaxHeaderBytes = 1 + 20 + 2;

// The longest double in its shortest digits: -2.2250738585072014e-308.
constexpr size_t kMaxDoubleBytes = 24;

}  // namespace

void ReplyBuffer::Header(char type, int64_t value) {
  char line[kMaxHeaderBytes];
  line[0] = type;
  char* end = std::to_chars(line + 1, line + sizeof(line), value).ptr;
  *end++ = '\r';
  *end++ = '\n';
  text_.append(line, static_cast<size_t>(end - line));
}

void ReplyBuffer::SimpleString(std::string_view text) {
  text_.push_back('+');
  text_.append(text);
  text_.append("\r\n");
}

void ReplyBuffer::Error(std::string_view text) {
  ++error_count_;
  text_.push_back('-');
  for (const char c : text) text_.push_back(c == '\r' || c == '\n' ? ' ' : c);
  text_.append("\r\n");
}

void ReplyBuffer::Integer(int64_t value) { Header(':', value); }

void ReplyBuffer::Bulk(std::string_view bytes) {
  Header('$', static_cast<int64_t>(bytes.size()));
  text_.append(bytes);
  text_.append("\r\n");
}

void ReplyBuffer::Bulk(std::string&& bytes) {
  const size_t shared_before = shared_bytes_;
  Bulk(Value(std::move(bytes)));
  given_bytes_ += shared_bytes_ - shared_before;
}

void ReplyBuffer::Bulk(const Value& value) {
  std::shared_ptr<const std::string> shared = value.shared();
  if (shared == nullptr) {
    Bulk(value.view());
    return;
  }
  Header('$', static_cast<int64_t>(shared->size()));
  shared_bytes_ += shared->size();
  shared_.push_back({text_.size(), std::move(shared)});
  text_.append("\r\n");
}

void ReplyBuffer::Null() { text_.append(protocol_ == Protocol::kResp3 ? "_\r\n" : "$-1\r\n"); }

void ReplyBuffer::NullArray() { text_.append(protocol_ == Protocol::kResp3 ? "_\r\n" : "*-1\r\n"); }

void ReplyBuffer::Double(double value) {
  char digits[kMaxDoubleBytes];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  const std::string_view text(digits, static_cast<size_t>(end - digits));
  if (protocol_ == Protocol::kResp2) return Bulk(text);
  text_.push_back(',');
  text_.append(text);
  text_.append("\r\n");
}

void ReplyBuffer::Boolean(bool value) {
  if (protocol_ == Protocol::kResp2) return Integer(value ? 1 : 0);
  text_.append(value ? "#t\r\n" : "#f\r\n");
}

void ReplyBuffer::Verbatim(std::string_view text) {
  if (protocol_ == Protocol::kResp2) return Bulk(text);
  constexpr std::string_view kFormat = "txt:";
  Header('=', static_cast<int64_t>(kFormat.size() + text.size()));
  text_.append(kFormat);
  text_.append(text);
  text_.append("\r\n");
}

void ReplyBuffer::Array(size_t count) { Header('*', static_cast<int64_t>(count)); }

void ReplyBuffer::Map(size_t count) {
  if (protocol_ == Protocol::kResp2) return Array(count * 2);
  Header('%', static_cast<int64_t>(count));
}

void ReplyBuffer::Set(size_t count) { Header(protocol_ == Protocol::kResp3 ? '~' : '*', static_cast<int64_t>(count)); }

void ReplyBuffer::RollBack(const Mark& mark) {
  text_.resize(mark.text_size);
  shared_.erase(shared_.begin() + static_cast<std::ptrdiff_t>(mark.shared_count), shared_.end());
  shared_bytes_ = mark.shared_bytes;
  given_bytes_ = mark.given_bytes;
  // What was taken back may be most of the memory, and the rest may wait long for its peer.
  text_.shrink_to_fit();
  shared_.shrink_to_fit();
}

void ReplyBuffer::AppendPieces(std::vector<std::string_view>& pieces) const {
  const std::string_view text = text_;
  size_t sent = 0;
  for (const Shared& shared : shared_) {
    if (shared.text_before > sent) pieces.push_back(text.substr(sent, shared.text_before - sent));
    pieces.push_back(*shared.bytes);
    sent = shared.text_before;
  }
  if (sent < text.size()) pieces.push_back(text.substr(sent));
}

ReplyBuffer ReplyBuffer::Take() {
  ReplyBuffer taken;
  taken.protocol_ = protocol_;
  taken.text_.swap(text_);
  taken.shared_.swap(shared_);
  std::swap(taken.shared_bytes_, shared_bytes_);
  std::swap(taken.given_bytes_, given_bytes_);
  if (taken.text_.capacity() > taken.text_.size() + taken.text_.size() / 4) taken.text_.shrink_to_fit();
  return taken;
}

void ReplyBuffer::Clear() {
  text_.clear();
  if (text_.capacity() > kRetainedBytes) std::string().swap(text_);
  std::vector<Shared>().swap(shared_);
  shared_bytes_ = 0;
  given_bytes_ = 0;
}

std::string ReplyBuffer::Flatten() const {
  std::vector<std::string_view> pieces;
  AppendPieces(pieces);
  std::string all;
  all.reserve(size());
  for (const std::string_view piece : pieces) all.append(piece);
  return all;
}

}  // namespace tandem::kv
