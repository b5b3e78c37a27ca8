// SPDX-License-Identifier: Apache-2.0
//
// The commands on strings beyond those in commands_test.cc: whole values, parts of values, numbers, LCS.

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/commands_for_test.h"

namespace tandem::kv {
namespace {

constexpr char kNotAFloat[] = "-ERR value is not a valid float\r\n";
constexpr char kTooLong[] = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";

TEST_P(CommandDialogueTest, RepliesAsRedisDoes) { Check(); }

INSTANTIATE_TEST_SUITE_P(
    Values, CommandDialogueTest,
    testing::ValuesIn<Dialogue>({
        {"SetEx", {{"SETEX k 9 v", kOk}, {"GET k", Bulk("v")}, {"TTL k", ":9\r\n"}}},
        {"PSetEx", {{"PSETEX k 1400 v", kOk}, {"GET k", Bulk("v")}, {"PTTL k", ":1400\r\n"}}},
        {"SetExOfNoTime",
         {{"SETEX k 0 v", "-ERR invalid expire time in 'setex' command\r\n"},
          {"PSETEX k -1 v", "-ERR invalid expire time in 'psetex' command\r\n"},
          {"SETEX k x v", kNotAnInteger},
          {"SETEX k 9223372036854776 v", "-ERR invalid expire time in 'setex' command\r\n"},
          {"PSETEX k 9223372036854775807 v", "-ERR invalid expire time in 'psetex' command\r\n"},
          {"EXISTS k", ":0\r\n"}}},
        {"SetExAt", {{"SET k v EXAT 1700000009", kOk}, {"TTL k", ":9\r\n"}, {"EXPIRETIME k", ":1700000009\r\n"}}},
        {"SetPxAt",
         {{"SET k v PXAT 1700000000001", kOk}, {"PTTL k", ":1\r\n"}, {"PEXPIRETIME k", ":1700000000001\r\n"}}},
        {"SetExAtInThePastLeavesNothing", {{"SET k v EXAT 1", kOk}, {"EXISTS k", ":0\r\n"}}},
        {"SetTakesOneKindOfExpiry",
         {{"SET k v EX 1 EXAT 1700000009", kSyntax},
          {"SET k v PXAT 1 EXAT 1", kSyntax},
          {"SET k v EXAT 1 KEEPTTL", kSyntax},
          {"SET k v PERSIST", kSyntax},
          {"SET k v EXAT 5 EXAT 1700000009", kOk},
          {"TTL k", ":9\r\n"}}},
        {"SetGetKeepTtl",
         {{"SET k 1 EX 9", kOk}, {"SET k 2 GET KEEPTTL", Bulk("1")}, {"TTL k", ":9\r\n"}, {"GET k", Bulk("2")}}},
        {"SetXxGetEx",
         {{"SET k 1 XX GET EX 9", kNull}, {"SET k 1", kOk}, {"SET k 2 XX GET EX 9", Bulk("1")}, {"TTL k", ":9\r\n"}}},
        {"GetDel", {{"GETDEL k", kNull}, {"SET k v", kOk}, {"GETDEL k", Bulk("v")}, {"EXISTS k", ":0\r\n"}}},
        {"GetExWithoutOptionsIsGet",
         {{"GETEX k", kNull}, {"SET k v EX 9", kOk}, {"GETEX k", Bulk("v")}, {"TTL k", ":9\r\n"}}},
        {"GetExSetsTheExpiry",
         {{"SET k v", kOk},
          {"GETEX k EX 9", Bulk("v")},
          {"TTL k", ":9\r\n"},
          {"GETEX k PX 1400", Bulk("v")},
          {"PTTL k", ":1400\r\n"},
          {"GETEX k EXAT 1700000007", Bulk("v")},
          {"TTL k", ":7\r\n"},
          {"GETEX k PXAT 1700000006000", Bulk("v")},
          {"TTL k", ":6\r\n"},
          {"GETEX k PERSIST", Bulk("v")},
          {"TTL k", ":-1\r\n"}}},
        {"GetExInThePastReturnsAndRemoves", {{"SET k v", kOk}, {"GETEX k EXAT 1", Bulk("v")}, {"EXISTS k", ":0\r\n"}}},
        {"GetExOfBadOptions",
         {{"SET k v", kOk},
          {"GETEX k EX", kSyntax},
          {"GETEX k PERSIST EX 9", kSyntax},
          {"GETEX k KEEPTTL", kSyntax},
          {"GETEX k NX", kSyntax},
          {"GETEX k EX x", kNotAnInteger},
          {"GETEX k EX 0", "-ERR invalid expire time in 'getex' command\r\n"},
          {"TTL k", ":-1\r\n"}}},
        {"GetExOfAnAbsentKeyDoesNotLookAtTheTime", {{"GETEX k EX x", kNull}}},
        {"MSetNxSetsAllOrNone",
         {{"MSETNX a 1 b 2", ":1\r\n"},
          {"MSETNX b 3 c 4", ":0\r\n"},
          {"MGET a b c", absl::StrCat("*3\r\n", Bulk("1"), Bulk("2"), kNull)},
          {"MSETNX a", "-ERR wrong number of arguments for 'msetnx' command\r\n"},
          {"MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command\r\n"}}},
    }),
    DialogueName);

INSTANTIATE_TEST_SUITE_P(
    Ranges, CommandDialogueTest,
    testing::ValuesIn<Dialogue>({
        {"GetRange",
         {{"SET k 'Hello World'", kOk},
          {"GETRANGE k 0 3", Bulk("Hell")},
          {"GETRANGE k 0 -1", Bulk("Hello World")},
          {"GETRANGE k -4 -1", Bulk("orld")},
          {"GETRANGE k 5 3", Bulk("")},
          {"GETRANGE k 5 5000", Bulk(" World")},
          {"GETRANGE k -5000 10000", Bulk("Hello World")},
          {"GETRANGE k -1 -5", Bulk("")},
          {"GETRANGE k 11 11", Bulk("")},
          {"GETRANGE k -9223372036854775808 9223372036854775807", Bulk("Hello World")},
          {"SUBSTR k 6 8", Bulk("Wor")}}},
        {"GetRangeOfAnAbsentKey", {{"GETRANGE k 0 -1", Bulk("")}}},
        {"GetRangeOfBadIndexes", {{"GETRANGE k x 1", kNotAnInteger}, {"GETRANGE k 0 x", kNotAnInteger}}},
        {"SetRange",
         {{"SET k 'Hello World'", kOk},
          {"SETRANGE k 6 Redis", ":11\r\n"},
          {"GET k", Bulk("Hello Redis")},
          {"SETRANGE k 10 '!!'", ":12\r\n"},
          {"GET k", Bulk("Hello Redi!!")}}},
        {"SetRangeFillsWithZeros", {{"SETRANGE k 2 x", ":3\r\n"}, {"GET k", Bulk(std::string("\0\0x", 3))}}},
        {"SetRangeKeepsTheExpiry", {{"SET k v EX 9", kOk}, {"SETRANGE k 1 w", ":2\r\n"}, {"TTL k", ":9\r\n"}}},
        {"SetRangeOfNothingChangesNothing",
         {{"SETRANGE k 5 ''", ":0\r\n"}, {"EXISTS k", ":0\r\n"}, {"SET k abc", kOk}, {"SETRANGE k 9 ''", ":3\r\n"}}},
        {"SetRangeOfBadOffsets",
         {{"SETRANGE k x v", kNotAnInteger},
          {"SETRANGE k -1 v", "-ERR offset is out of range\r\n"},
          {"SETRANGE k 536870912 v", kTooLong},
          {"SETRANGE k 9223372036854775807 v", kTooLong},
          {"EXISTS k", ":0\r\n"}}},
    }),
    DialogueName);

INSTANTIATE_TEST_SUITE_P(
    Numbers, CommandDialogueTest,
    testing::ValuesIn<Dialogue>({
        {"IncrByFloat",
         {{"INCRBYFLOAT n 10.5", Bulk("10.5")},
          {"INCRBYFLOAT n 0.1", Bulk("10.6")},
          {"INCRBYFLOAT n -5", Bulk("5.6")},
          {"SET n 5.0e3", kOk},
          {"INCRBYFLOAT n 2.0e2", Bulk("5200")}}},
        {"IncrByFloatHasTheDigitsOfALongDouble",
         {{"INCRBYFLOAT n 3.14159265358979312", Bulk("3.14159265358979312")},
          {"SET n 17179869184", kOk},
          {"INCRBYFLOAT n 1.5", Bulk("17179869185.5")},
          {"SET n 1e17", kOk},
          {"INCRBYFLOAT n 1", Bulk("100000000000000001")}}},
        {"IncrByFloatWritesNoNegativeZero", {{"INCRBYFLOAT n -1e-30", Bulk("0")}, {"GET n", Bulk("0")}}},
        {"IncrByFloatKeepsTheExpiry", {{"SET n 1 EX 9", kOk}, {"INCRBYFLOAT n 1", Bulk("2")}, {"TTL n", ":9\r\n"}}},
        {"IncrByFloatOfNoNumber",
         {{"INCRBYFLOAT n x", kNotAFloat},
          {"INCRBYFLOAT n ''", kNotAFloat},
          {"INCRBYFLOAT n ' 1'", kNotAFloat},
          {"INCRBYFLOAT n '1 '", kNotAFloat},
          {"INCRBYFLOAT n nan", kNotAFloat},
          {"INCRBYFLOAT n 1e5000", kNotAFloat},
          {"INCRBYFLOAT n 1e-5000", kNotAFloat},
          {"SET n text", kOk},
          {"INCRBYFLOAT n 1", kNotAFloat},
          {"GET n", Bulk("text")}}},
        {"IncrByFloatReadsHexadecimal", {{"INCRBYFLOAT n 0x1p4", Bulk("16")}}},
        {"IncrByFloatMustStayFinite",
         {{"INCRBYFLOAT n inf", "-ERR increment would produce NaN or Infinity\r\n"}, {"EXISTS n", ":0\r\n"}}},
    }),
    DialogueName);

INSTANTIATE_TEST_SUITE_P(
    Lcs, CommandDialogueTest,
    testing::ValuesIn<Dialogue>({
        {"LcsOfTwoValues",
         {{"MSET a ohmytext b mynewtext", kOk}, {"LCS a b", Bulk("mytext")}, {"LCS a b LEN", ":6\r\n"}}},
        {"LcsWithIndexes",
         {{"MSET a ohmytext b mynewtext", kOk},
          {"LCS a b IDX", absl::StrCat("*4\r\n", Bulk("matches"), "*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n",
                                       "*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n", Bulk("len"), ":6\r\n")},
          {"LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
           absl::StrCat("*4\r\n", Bulk("matches"), "*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n",
                        Bulk("len"), ":6\r\n")}}},
        {"LcsOfAbsentKeysIsEmpty",
         {{"SET a x", kOk},
          {"LCS a b", Bulk("")},
          {"LCS b b LEN", ":0\r\n"},
          {"LCS a b IDX", absl::StrCat("*4\r\n", Bulk("matches"), "*0\r\n", Bulk("len"), ":0\r\n")}}},
        {"LcsOfBadOptions",
         {{"LCS a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX.\r\n"},
          {"LCS a b SHORT", kSyntax},
          {"LCS a b MINMATCHLEN", kSyntax},
          {"LCS a b MINMATCHLEN x", kNotAnInteger}}},
    }),
    DialogueName);

TEST(LcsTest, ATableThatIsTooLargeIsRefused) {
  LocalClient client;
  client.settings.request_limits.max_bulk_bytes = 4 * 11 * 11;
  client.Run("MSET a 0123456789 b 0123456789 c 0123456789x");

  EXPECT_EQ(client.Run("LCS a b LEN"), ":10\r\n");
  EXPECT_EQ(client.Run("LCS a c LEN"),
            "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
}

TEST(GetRangeTest, AWholeLargeValueIsNotCopiedAndAPartMustNotBeTooLong) {
  LocalClient client;
  client.settings.max_reply_bytes = 1000;
  client.RunArguments({"SET", "k", std::string(100'000, 'v')});

  EXPECT_EQ(client.Run("GETRANGE k 0 -1"), Bulk(std::string(100'000, 'v')));
  EXPECT_EQ(client.Run("GETRANGE k 0 999"), Bulk(std::string(1000, 'v')));
  EXPECT_EQ(client.Run("GETRANGE k 0 1000"), "-ERR reply exceeds the limit of 1000 bytes\r\n");
}

TEST(SetRangeTest, AReplyThatIsUnderWayKeepsItsBytes) {
  LocalClient client;
  const std::string value(100'000, 'v');
  client.RunArguments({"SET", "k", value});
  CommandExecutor executor(&client.store, &client.settings, &client.statistics);
  std::vector<Argument> get = {Argument(std::string_view("GET")), Argument(std::string_view("k"))};
  ReplyBuffer reply;
  executor.Execute(get, client.session, client.now_ns, reply);

  EXPECT_EQ(client.Run("SETRANGE k 0 w"), ":100000\r\n");

  EXPECT_EQ(reply.Flatten(), Bulk(value));
  EXPECT_EQ(client.Run("GETRANGE k 0 1"), Bulk("wv"));
  EXPECT_EQ(client.store.memory().released_bytes, 100'000u);
}

TEST(SetRangeTest, ASmallValueGrowsIntoALargeOne) {
  LocalClient client;
  client.Run("SET k abc");

  EXPECT_EQ(client.Run("SETRANGE k 100000 x"), ":100001\r\n");
  EXPECT_EQ(client.Run("GETRANGE k 0 3"), Bulk(std::string("abc\0", 4)));
  EXPECT_EQ(client.Run("GETRANGE k -1 -1"), Bulk("x"));
  EXPECT_EQ(client.store.memory().value_bytes, 100'001u);
}

}  // namespace
}  // namespace tandem::kv
