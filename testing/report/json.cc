// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/json.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tandem::testing {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

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
  while (!bytes.empty()) {
    const size_t size = CharacterSize(bytes);
    if (size == 0) {
      absl::StrAppend(&out_, "\xef\xbf\xbd");
    } else if (bytes[0] == '"' || bytes[0] == '\\') {
      absl::StrAppend(&out_, "\\", bytes.substr(0, 1));
    } else if (bytes[0] == '\n') {
      absl::StrAppend(&out_, "\\n");
    } else if (IsControl(bytes[0])) {
      absl::StrAppendFormat(&out_, "\\u%04x", static_cast<unsigned char>(bytes[0]));
    } else {
      absl::StrAppend(&out_, bytes.substr(0, size));
    }
    bytes.remove_prefix(size == 0 ? 1 : size);
  }
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
  while (!bytes.empty()) {
    const size_t size = CharacterSize(bytes);
    if (bytes[0] == '\n') {
      absl::StrAppend(&line, "\\n");
    } else if (size == 0 || IsControl(bytes[0])) {
      absl::StrAppendFormat(&line, "\\x%02x", static_cast<unsigned char>(bytes[0]));
    } else {
      absl::StrAppend(&line, bytes.substr(0, size));
    }
    bytes.remove_prefix(size == 0 ? 1 : size);
  }
  return line;
}

}  // namespace tandem::testing
