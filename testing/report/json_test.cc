// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/json.h"

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace tandem::testing {
namespace {

std::string Written(absl::string_view bytes) {
  std::string out;
  JsonWriter(&out).String(bytes);
  return out;
}

TEST(JsonWriter, SeparatesWhatIsInObjectsAndArrays) {
  std::string out;
  JsonWriter json(&out);

  json.BeginObject().Key("a").BeginArray().Number(1).BeginObject().EndObject().Bool(true).EndArray();
  json.Key("b").String("x").Key("c").Raw("null").EndObject();

  EXPECT_EQ(out, R"({"a":[1,{},true],"b":"x","c":null})");
}

TEST(JsonWriter, WritesAllBitsOfNumbers) {
  std::string out;
  JsonWriter json(&out);

  json.BeginArray().Number(~uint64_t{0}).Number(std::numeric_limits<int64_t>::min()).Number(-1).Number(7u).EndArray();

  EXPECT_EQ(out, "[18446744073709551615,-9223372036854775808,-1,7]");
}

TEST(JsonWriter, EscapesWhatStringsMayNotHave) {
  EXPECT_EQ(Written("say \"hi\" \\ \n\t\x1f\x7f"), R"("say \"hi\" \\ \n\u0009\u001f\u007f")");
  EXPECT_EQ(Written(absl::string_view("\0", 1)), R"("\u0000")");
}

TEST(JsonWriter, KeepsCharactersAndReplacesOtherBytes) {
  EXPECT_EQ(Written("gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\xb2"), "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\xb2\"");
  EXPECT_EQ(Written("a\xff"
                    "b\xc3"),
            "\"a\xef\xbf\xbd"
            "b\xef\xbf\xbd\"");
}

TEST(Printable, KeepsLinesTabsAndCharacters) {
  EXPECT_EQ(Printable("a \"b\" \\\n\tgr\xc3\xbc\xc3\x9f\n"), "a \"b\" \\\n\tgr\xc3\xbc\xc3\x9f\n");
}

TEST(Printable, HasNothingThatATerminalObeys) {
  EXPECT_EQ(Printable("\x1b[31m\r\a\x7f"), R"(\x1b[31m\x0d\x07\x7f)");
  EXPECT_EQ(Printable(absl::string_view("a\0b", 3)), R"(a\x00b)");
  EXPECT_EQ(Printable("\xff\xc3"), R"(\xff\xc3)");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m\xc2\xa0"),
            "\\xc2\\x9b31m\xc2\xa0")
      << "CSI, and a space";
}

TEST(RowText, IsOneLineOfACertainWidth) {
  EXPECT_EQ(RowText("a\nb\tc\x1b", 20), R"(a b c\x1b)");
  EXPECT_EQ(RowText("12345678", 8), "12345678");
  EXPECT_EQ(RowText("123456789", 8), "12345...");
  EXPECT_EQ(RowText("1234\xc3\xbc"
                    "6789",
                    8),
            "1234...")
      << "no half of a character";
}

TEST(CharacterSize, IsZeroForWhatIsNoCharacter) {
  EXPECT_EQ(CharacterSize(""), 0u);
  EXPECT_EQ(CharacterSize("\x80"), 0u);
  EXPECT_EQ(CharacterSize("\xc0\x80"), 0u) << "too long";
  EXPECT_EQ(CharacterSize("\xe0\x80\x80"), 0u) << "too long";
  EXPECT_EQ(CharacterSize("\xed\xa0\x80"), 0u) << "half of a pair";
  EXPECT_EQ(CharacterSize("\xf4\x90\x80\x80"), 0u) << "too large";
  EXPECT_EQ(CharacterSize("\xf5\x80\x80\x80"), 0u) << "too large";
  EXPECT_EQ(CharacterSize("\xe2\x82"), 0u) << "cut off";
  EXPECT_EQ(CharacterSize("\xe2\x82"
                          "a"),
            0u)
      << "cut off";
}

TEST(CharacterSize, CountsTheBytesOfTheFirstCharacter) {
  EXPECT_EQ(CharacterSize("ab"), 1u);
  EXPECT_EQ(CharacterSize("\xc3\xbc"
                          "b"),
            2u);
  EXPECT_EQ(CharacterSize("\xe2\x82\xac"), 3u);
  EXPECT_EQ(CharacterSize("\xf4\x8f\xbf\xbf"), 4u);
}

TEST(IsText, IsFalseForControlCharactersAndOtherBytes) {
  EXPECT_TRUE(IsText(""));
  EXPECT_TRUE(IsText("GET / HTTP/1.1\r\n\tgr\xc3\xbc\xc3\x9f"));
  EXPECT_FALSE(IsText("a\x1b[1m"));
  EXPECT_FALSE(IsText(absl::string_view("a\0", 2)));
  EXPECT_FALSE(IsText("a\xff"));
}

TEST(OneLine, HasNoControlCharactersAndNoBytesThatAreNone) {
  EXPECT_EQ(OneLine("a\nb\\n\x01\xff gr\xc3\xbc"), "a\\nb\\n\\x01\\xff gr\xc3\xbc");
}

}  // namespace
}  // namespace tandem::testing
