// SPDX-License-Identifier: Apache-2.0
//
// JSON and text of bytes that nobody has checked: names, messages and payloads are whatever a program made them.

#ifndef TANDEM_TESTING_REPORT_JSON_H_
#define TANDEM_TESTING_REPORT_JSON_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace tandem::testing {

// Appends JSON to a string, without spaces or line breaks. The caller says what is inside of what; commas come by
// themselves.
class JsonWriter {
 public:
  // `out` is not owned.
  explicit JsonWriter(std::string* out) : out_(*out) {}

  JsonWriter& BeginObject() { return Open('{'); }
  JsonWriter& EndObject() { return Close('}'); }
  JsonWriter& BeginArray() { return Open('['); }
  JsonWriter& EndArray() { return Close(']'); }
  // Of what comes next, in an object.
  JsonWriter& Key(absl::string_view key);

  // `bytes` as UTF-8: each byte that is not part of a character becomes U+FFFD.
  JsonWriter& String(absl::string_view bytes);
  JsonWriter& Number(int64_t number);
  JsonWriter& Number(uint64_t number);
  JsonWriter& Number(int number) { return Number(int64_t{number}); }
  JsonWriter& Number(uint32_t number) { return Number(uint64_t{number}); }
  JsonWriter& Bool(bool value) { return Raw(value ? "true" : "false"); }
  // A value that is JSON already.
  JsonWriter& Raw(absl::string_view json);

 private:
  JsonWriter& Open(char bracket);
  JsonWriter& Close(char bracket);

  std::string& out_;
  bool needs_comma_ = false;
};

// The size of the UTF-8 character that `bytes` begins with; 0 if it begins with none.
size_t CharacterSize(absl::string_view bytes);

// Whether `bytes` is UTF-8 without control characters but tabs and the ends of lines.
bool IsText(absl::string_view bytes);

// Valid UTF-8 on one line: as in C, "\n" and "\x00" for control characters and bytes that are no character. A backslash
// stays one, or what is written like this already would be hard to read.
std::string OneLine(absl::string_view bytes);

// Valid UTF-8 of the lines and tabs of `bytes`, for a terminal, which other bytes would command: they are as in
// OneLine().
std::string Printable(absl::string_view bytes);

// Likewise on one line, with blanks for tabs and ends of lines, of at most `width` bytes: cut off with "..." at the
// end.
std::string RowText(absl::string_view bytes, size_t width);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_JSON_H_
