// SPDX-License-Identifier: Apache-2.0

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/commands_for_test.h"

namespace tandem::kv {
namespace {

constexpr char kBadOffset[] = "-ERR bit offset is not an integer or out of range\r\n";
constexpr char kBadBit[] = "-ERR bit is not an integer or out of range\r\n";
constexpr char kBadType[] =
    "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n";

TEST_P(CommandDialogueTest, RepliesAsRedisDoes) { Check(); }

INSTANTIATE_TEST_SUITE_P(Bits, CommandDialogueTest,
                         testing::ValuesIn<Dialogue>({
                             {"SetBitAndGetBit",
                              {{"SETBIT k 7 1", ":0\r\n"},
                               {"GET k", Bulk("\x01")},
                               {"GETBIT k 7", ":1\r\n"},
                               {"GETBIT k 6", ":0\r\n"},
                               {"GETBIT k 4294967295", ":0\r\n"},
                               {"SETBIT k 7 0", ":1\r\n"},
                               {"SETBIT k 17 1", ":0\r\n"},
                               {"STRLEN k", ":3\r\n"}}},
                             {"GetBitOfAnAbsentKey", {{"GETBIT k 7", ":0\r\n"}, {"EXISTS k", ":0\r\n"}}},
                             {"BitsOfBadArguments",
                              {{"SETBIT k x 1", kBadOffset},
                               {"SETBIT k -1 1", kBadOffset},
                               {"SETBIT k 4294967296 1", kBadOffset},
                               {"GETBIT k 4294967296", kBadOffset},
                               {"SETBIT k 0 2", kBadBit},
                               {"SETBIT k 0 x", kBadBit},
                               {"EXISTS k", ":0\r\n"}}},
                             {"BitCount",
                              {{"BITCOUNT k", ":0\r\n"},
                               {"SET k foobar", kOk},
                               {"BITCOUNT k", ":26\r\n"},
                               {"BITCOUNT k 0 0", ":4\r\n"},
                               {"BITCOUNT k 1 1", ":6\r\n"},
                               {"BITCOUNT k 1 -1 BYTE", ":22\r\n"},
                               {"BITCOUNT k 5 30 BIT", ":17\r\n"},
                               {"BITCOUNT k 3 1", ":0\r\n"},
                               {"BITCOUNT k 0", kSyntax},
                               {"BITCOUNT k 0 1 WORD", kSyntax},
                               {"BITCOUNT k 0 x", kNotAnInteger}}},
                             {"BitPos",
                              {{"BITPOS k 0", ":0\r\n"},
                               {"BITPOS k 1", ":-1\r\n"},
                               {"SET k \"\\xff\\xf0\\x00\"", kOk},
                               {"BITPOS k 0", ":12\r\n"},
                               {"BITPOS k 1", ":0\r\n"},
                               {"BITPOS k 1 2", ":-1\r\n"},
                               {"BITPOS k 0 0 0", ":-1\r\n"},
                               {"BITPOS k 0 2", ":16\r\n"},
                               {"BITPOS k 1 7 15 BIT", ":7\r\n"},
                               {"BITPOS k 0 7 -3 bit", ":12\r\n"},
                               {"SET k \"\\xff\\xff\"", kOk},
                               {"BITPOS k 0", ":16\r\n"},
                               {"BITPOS k 0 0 -1", ":-1\r\n"},
                               {"BITPOS k 2", "-ERR The bit argument must be 1 or 0.\r\n"},
                               {"BITPOS k x", kNotAnInteger},
                               {"BITPOS k 0 0 -1 WORD", kSyntax}}},
                             {"BitOp",
                              {{"MSET a abc b '!!'", kOk},
                               {"BITOP AND d a b", ":3\r\n"},
                               {"GET d", Bulk(std::string("! \0", 3))},
                               {"BITOP OR d a b", ":3\r\n"},
                               {"GET d", Bulk("acc")},
                               {"BITOP XOR d a b x", ":3\r\n"},
                               {"GET d", Bulk("@Cc")},
                               {"BITOP NOT d a", ":3\r\n"},
                               {"GET d", Bulk("\x9e\x9d\x9c")},
                               {"BITOP AND d x y", ":0\r\n"},
                               {"EXISTS d", ":0\r\n"},
                               {"BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key.\r\n"},
                               {"BITOP NAND d a b", kSyntax}}},
                             {"BitOpMayStoreIntoASource",
                              {{"MSET a abc b '   '", kOk}, {"BITOP XOR a a b", ":3\r\n"}, {"GET a", Bulk("ABC")}}},
                         }),
                         DialogueName);

INSTANTIATE_TEST_SUITE_P(
    Fields, CommandDialogueTest,
    testing::ValuesIn<Dialogue>({
        {"SetReturnsTheOldValue",
         {{"BITFIELD k SET i8 0 -1 GET u8 0", "*2\r\n:0\r\n:255\r\n"}, {"BITFIELD k SET i8 #0 5", "*1\r\n:-1\r\n"}}},
        {"IncrByReturnsTheNewValue",
         {{"BITFIELD k INCRBY u4 3 9", "*1\r\n:9\r\n"},
          {"GET k", Bulk("\x12")},
          {"BITFIELD k INCRBY u4 3 9", "*1\r\n:2\r\n"}}},
        {"OverflowSaturatesOrFails",
         {{"BITFIELD k SET u2 0 3 OVERFLOW SAT INCRBY u2 0 1 OVERFLOW FAIL INCRBY u2 0 1 OVERFLOW WRAP INCRBY u2 0 1",
           "*4\r\n:0\r\n:3\r\n$-1\r\n:0\r\n"},
          {"BITFIELD k OVERFLOW SAT INCRBY i5 8 -100 INCRBY i5 8 100", "*2\r\n:-16\r\n:15\r\n"},
          {"BITFIELD k OVERFLOW SAT SET u8 16 -1 GET u8 16", "*2\r\n:0\r\n:255\r\n"}}},
        {"TheWidestFields",
         {{"BITFIELD k SET i64 3 -9223372036854775808 GET i64 3", "*2\r\n:0\r\n:-9223372036854775808\r\n"},
          {"BITFIELD k INCRBY i64 3 -1", "*1\r\n:9223372036854775807\r\n"},
          {"BITFIELD k OVERFLOW FAIL INCRBY i64 3 1", "*1\r\n$-1\r\n"},
          {"BITFIELD k SET u63 5 9223372036854775807 GET u63 5",
           "*2\r\n:9223372036854775806\r\n:9223372036854775807\r\n"}}},
        {"GetBeyondTheEndIsZero",
         {{"SET k \"\\xff\"", kOk},
          {"BITFIELD k GET u8 4 GET i8 100", "*2\r\n:240\r\n:0\r\n"},
          {"STRLEN k", ":1\r\n"}}},
        {"GetOfAnAbsentKeyMakesNone",
         {{"BITFIELD k GET u8 0", "*1\r\n:0\r\n"}, {"BITFIELD k", "*0\r\n"}, {"EXISTS k", ":0\r\n"}}},
        {"ReadOnlyFields",
         {{"SET k a", kOk},
          {"BITFIELD_RO k GET u8 0", "*1\r\n:97\r\n"},
          {"BITFIELD_RO k SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n"},
          {"GET k", Bulk("a")}}},
        {"FieldsOfBadArguments",
         {{"BITFIELD k GET u64 0", kBadType},
          {"BITFIELD k GET i65 0", kBadType},
          {"BITFIELD k GET i0 0", kBadType},
          {"BITFIELD k GET x8 0", kBadType},
          {"BITFIELD k GET '' 0", kBadType},
          {"BITFIELD k GET u8 -1", kBadOffset},
          {"BITFIELD k GET u8 #x", kBadOffset},
          {"BITFIELD k GET u8 4294967296", kBadOffset},
          {"BITFIELD k GET u63 #9223372036854775807", kBadOffset},
          {"BITFIELD k SET u8 0 x", kNotAnInteger},
          {"BITFIELD k SET u8 0", kSyntax},
          {"BITFIELD k OVERFLOW NONE", "-ERR Invalid OVERFLOW type specified\r\n"},
          {"BITFIELD k PUT u8 0 1", kSyntax},
          {"EXISTS k", ":0\r\n"}}},
    }),
    DialogueName);

// The words of 64 bits that are counted and searched at once have edges everywhere.
TEST(BitRangeTest, CountAndPositionAreRightForEveryRange) {
  LocalClient client;
  std::string bytes;
  for (int i = 0; i < 19; ++i) bytes.push_back(static_cast<char>(i * 37 + i / 3));
  client.RunArguments({"SET", "k", bytes});
  const int bits = static_cast<int>(bytes.size()) * 8;
  const auto bit_at = [&bytes](int at) {
    return ((static_cast<unsigned char>(bytes[at / 8]) >> (7 - at % 8)) & 1) != 0;
  };

  for (int begin = 0; begin < bits; begin += 3) {
    int count = 0;
    int first_set = -1;
    int first_clear = -1;
    for (int end = begin; end < bits; ++end) {
      count += bit_at(end) ? 1 : 0;
      if (bit_at(end) && first_set < 0) first_set = end;
      if (!bit_at(end) && first_clear < 0) first_clear = end;
      const std::string range = absl::StrCat(begin, " ", end, " BIT");
      ASSERT_EQ(client.Run(absl::StrCat("BITCOUNT k ", range)), Int(count)) << range;
      ASSERT_EQ(client.Run(absl::StrCat("BITPOS k 1 ", range)), Int(first_set)) << range;
      ASSERT_EQ(client.Run(absl::StrCat("BITPOS k 0 ", range)), Int(first_clear)) << range;
    }
  }
}

}  // namespace
}  // namespace tandem::kv
