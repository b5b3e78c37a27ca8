// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/json.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tandem/core/base/cut_text.h"

namespace tandem::testing {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// The next character of `bytes`, or the byte that it begins with, if that is part of none. REQUIRES that it is not
// empty.
absl::string_view Next(absl::string_view bytes) { return bytes.substr(0, std::max<size_t>(CharacterSize(bytes), 1)); }

// What stands for a control character, or a byte that is part of no character, as in C; empty for others.
std::string ByteEscape(absl::string_view character) {
  if (CharacterSize(character) != 0 && !IsControl(character[0])) return "";
  return absl::StrFormat("\\x%02x", static_cast<unsigned char>(character[0]));
}

// Likewise of the controls that UTF-8 writes in two bytes, which terminals obey as well.
std::string ControlEscape(absl::string_view character) {
  const bool is_long_control = character.size() == 2 && character[0] == '\xc2' && character[1] < '\xa0';
  if (!is_long_control) return ByteEscape(character);
  return absl::StrFormat("\\xc2\\x%02x", static_cast<unsigned char>(character[1]));
}

// Of ASCII, what is itself in all texts.
bool IsPlain(char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; }

// In a string of JSON.
std::string JsonEscape(absl::string_view character) {
  if (character == "\n") return "\\n";
  if (character == "\"" || character == "\\") return absl::StrCat("\\", character);
  if (CharacterSize(character) == 0) return "\xef\xbf\xbd";
  if (!IsControl(character[0])) return "";
  return absl::StrFormat("\\u%04x", static_cast<unsigned char>(character[0]));
}

// Appends `bytes` to `out`, and in the place of each character what `escape` has for it, if that is not empty. What is
// not escaped comes in long runs.
template <typename Escape>
void AppendEscaped(absl::string_view bytes, std::string& out, Escape escape) {
  size_t run = 0;
  for (size_t at = 0; at < bytes.size();) {
    if (IsPlain(bytes[at])) {
      ++at;
      continue;
    }
    const absl::string_view character = Next(bytes.substr(at));
    const std::string instead = escape(character);
    if (!instead.empty()) {
      out.append(bytes.data() + run, at - run);
      out += instead;
      run = at + character.size();
    }
    at += character.size();
  }
  out.append(bytes.data() + run, bytes.size() - run);
}

}  // namespace

JsonWriter& JsonWriter::Open(char bracket) {
  Raw(absl::string_view(&bracket, 1));
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::Close(char bracket) {
  out_ += bracket;
  needs_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::Key(absl::string_view key) {
  String(key);
  out_ += ':';
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::String(absl::string_view bytes) {
  Raw("\"");
  AppendEscaped(bytes, out_, &JsonEscape);
  out_ += '"';
  return *this;
}

JsonWriter& JsonWriter::Number(int64_t number) { return Raw(absl::StrCat(number)); }
JsonWriter& JsonWriter::Number(uint64_t number) { return Raw(absl::StrCat(number)); }

JsonWriter& JsonWriter::Raw(absl::string_view json) {
  if (needs_comma_) out_ += ',';
  absl::StrAppend(&out_, json);
  needs_comma_ = true;
  return *this;
}

size_t CharacterSize(absl::string_view bytes) {
  if (bytes.empty()) return 0;
  const auto first = static_cast<unsigned char>(bytes[0]);
  if (first < 0x80) return 1;
  const size_t size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size > bytes.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((static_cast<unsigned char>(bytes[i]) & 0xc0) != 0x80) return 0;
  }
  // Longer than it need be, half of a pair of UTF-16, or too large: what RFC 3629 forbids of the second byte.
  const auto second = size == 0 ? '\0' : static_cast<unsigned char>(bytes[1]);
  const bool forbidden = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                         (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return forbidden ? 0 : size;
}

bool IsText(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t size = CharacterSize(bytes);
    const char first = bytes[0];
    if (size == 0 || (IsControl(first) && first != '\t' && first != '\n' && first != '\r')) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

std::string OneLine(absl::string_view bytes) {
  std::string line;
  AppendEscaped(bytes, line, [](absl::string_view character) {
    return character == "\n" ? std::string("\\n") : ByteEscape(character);
  });
  return line;
}

std::string RowText(absl::string_view bytes, size_t width) {
  constexpr absl::string_view kMore = "...";
  std::string text = Printable(bytes);
  std::replace_if(text.begin(), text.end(), &IsControl, ' ');
  if (text.size() <= width) return text;
  return absl::StrCat(::tandem::internal::BeginningOf(text, width - std::min(width, kMore.size())), kMore);
}

std::string Printable(absl::string_view bytes) {
  std::string text;
  AppendEscaped(bytes, text, [](absl::string_view character) {
    return character == "\n" || character == "\t" ? std::string() : ControlEscape(character);
  });
  return text;
}

}  // namespace tandem::testing
