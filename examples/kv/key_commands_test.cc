// SPDX-License-Identifier: Apache-2.0
//
// The commands on keys and their expiry beyond those in commands_test.cc.

#include <cstdint>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/commands_for_test.h"

namespace tandem::kv {
namespace {

constexpr char kSameObject[] = "-ERR source and destination objects are the same\r\n";
constexpr char kNoSuchKey[] = "-ERR no such key\r\n";
constexpr char kNoSuchDatabase[] = "-ERR DB index is out of range\r\n";

std::string BadExpiry(std::string_view command) {
  return absl::StrCat("-ERR invalid expire time in '", command, "' command\r\n");
}

TEST_P(CommandDialogueTest, RepliesAsRedisDoes) { Check(); }

INSTANTIATE_TEST_SUITE_P(
    Keys, CommandDialogueTest,
    testing::ValuesIn<Dialogue>({
        {"Unlink", {{"MSET a 1 b 2", kOk}, {"UNLINK a x b a", ":2\r\n"}, {"DBSIZE", ":0\r\n"}}},
        {"TouchCountsRepeats", {{"SET a 1", kOk}, {"TOUCH a a x", ":2\r\n"}}},
        {"Rename",
         {{"RENAME a b", kNoSuchKey},
          {"SET a 1 EX 9", kOk},
          {"SET b 2", kOk},
          {"RENAME a b", kOk},
          {"GET b", Bulk("1")},
          {"TTL b", ":9\r\n"},
          {"EXISTS a", ":0\r\n"},
          {"DBSIZE", ":1\r\n"}}},
        {"RenameToItself",
         {{"SET a 1 EX 9", kOk}, {"RENAME a a", kOk}, {"TTL a", ":9\r\n"}, {"RENAME x x", kNoSuchKey}}},
        {"RenameLosesTheExpiryOfTheTarget",
         {{"SET a 1", kOk}, {"SET b 2 EX 9", kOk}, {"RENAME a b", kOk}, {"TTL b", ":-1\r\n"}}},
        {"RenameNx",
         {{"RENAMENX a b", kNoSuchKey},
          {"MSET a 1 b 2", kOk},
          {"RENAMENX a b", ":0\r\n"},
          {"RENAMENX a a", ":0\r\n"},
          {"RENAMENX a c", ":1\r\n"},
          {"MGET a b c", absl::StrCat("*3\r\n", kNull, Bulk("2"), Bulk("1"))}}},
        {"Copy",
         {{"COPY a b", ":0\r\n"},
          {"SET a 1 EX 9", kOk},
          {"COPY a b", ":1\r\n"},
          {"TTL b", ":9\r\n"},
          {"APPEND a x", ":2\r\n"},
          {"GET b", Bulk("1")},
          {"COPY a b", ":0\r\n"},
          {"COPY a b REPLACE", ":1\r\n"},
          {"GET b", Bulk("1x")}}},
        {"CopyKnowsOneDatabase",
         {{"SET a 1", kOk},
          {"COPY a b DB 0", ":1\r\n"},
          {"COPY a b DB 1", kNoSuchDatabase},
          {"COPY a b DB x", kNotAnInteger},
          {"COPY a b DB", kSyntax},
          {"COPY a b NOW", kSyntax}}},
        {"CopyToItself", {{"COPY a a", kSameObject}}},
        {"MoveKnowsOneDatabase",
         {{"SET a 1", kOk},
          {"MOVE a 0", kSameObject},
          {"MOVE a 1", kNoSuchDatabase},
          {"MOVE a x", kNotAnInteger},
          {"MOVE a 2147483648", "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"}}},
        {"SwapDbKnowsOneDatabase",
         {{"SWAPDB 0 0", kOk},
          {"SWAPDB 0 1", kNoSuchDatabase},
          {"SWAPDB x 0", "-ERR invalid first DB index\r\n"},
          {"SWAPDB 0 x", "-ERR invalid second DB index\r\n"},
          {"SWAPDB 5 2147483648", "-ERR invalid second DB index\r\n"}}},
        {"RandomKeyOfNothing", {{"RANDOMKEY", kNull}}},
        {"RandomKeyOfOne", {{"SET a 1", kOk}, {"RANDOMKEY", Bulk("a")}}},
        {"ACommandOfAnotherTypeSaysWhatIsMissing",
         {{"LPUSH l x", "-ERR unknown command 'LPUSH': lists are not supported\r\n"},
          {"hset h f v", "-ERR unknown command 'hset': hashes are not supported\r\n"},
          {"EVAL x 0", "-ERR unknown command 'EVAL': scripts and functions are not supported\r\n"}}},
    }),
    DialogueName);

INSTANTIATE_TEST_SUITE_P(Objects, CommandDialogueTest,
                         testing::ValuesIn<Dialogue>({
                             {"EncodingOfWholeValues",
                              {{"SET k 12345", kOk},
                               {"OBJECT ENCODING k", Bulk("int")},
                               {"SET k -9223372036854775808", kOk},
                               {"OBJECT ENCODING k", Bulk("int")},
                               {"SET k 9223372036854775808", kOk},
                               {"OBJECT ENCODING k", Bulk("embstr")},
                               {"SET k 012", kOk},
                               {"OBJECT ENCODING k", Bulk("embstr")},
                               {absl::StrCat("SET k ", std::string(44, 'x')), kOk},
                               {"object encoding k", Bulk("embstr")},
                               {absl::StrCat("SET k ", std::string(45, 'x')), kOk},
                               {"OBJECT ENCODING k", Bulk("raw")}}},
                             {"EncodingOfEditedValuesIsRaw",
                              {{"APPEND k 12", ":2\r\n"},
                               {"OBJECT ENCODING k", Bulk("int")},
                               {"APPEND k 3", ":3\r\n"},
                               {"OBJECT ENCODING k", Bulk("raw")},
                               {"COPY k copy", ":1\r\n"},
                               {"OBJECT ENCODING copy", Bulk("raw")},
                               {"RENAME k moved", kOk},
                               {"OBJECT ENCODING moved", Bulk("raw")},
                               {"INCR moved", ":124\r\n"},
                               {"OBJECT ENCODING moved", Bulk("int")},
                               {"SETRANGE r 0 1", ":1\r\n"},
                               {"OBJECT ENCODING r", Bulk("raw")},
                               {"SET r 1", kOk},
                               {"OBJECT ENCODING r", Bulk("int")},
                               {"SETBIT b 1 1", ":0\r\n"},
                               {"OBJECT ENCODING b", Bulk("raw")}}},
                             {"EncodingOfAFloatIsText",
                              {{"INCRBYFLOAT n 3", Bulk("3")}, {"OBJECT ENCODING n", Bulk("embstr")}}},
                             {"RefCountOfSmallIntegersIsShared",
                              {{"SET k 9999", kOk},
                               {"OBJECT REFCOUNT k", ":2147483647\r\n"},
                               {"SET k 10000", kOk},
                               {"OBJECT REFCOUNT k", ":1\r\n"},
                               {"SET k text", kOk},
                               {"OBJECT REFCOUNT k", ":1\r\n"}}},
                             {"ObjectOfAnAbsentKeyIsNull",
                              {{"OBJECT ENCODING k", kNull},
                               {"OBJECT REFCOUNT k", kNull},
                               {"OBJECT IDLETIME k", kNull},
                               {"OBJECT FREQ k", kNull}}},
                             {"FreqIsNotTracked",
                              {{"SET k v", kOk},
                               {"OBJECT FREQ k",
                                "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please "
                                "note that when switching "
                                "between policies at runtime LRU and LFU data will take some time to adjust.\r\n"}}},
                             {"ObjectOfBadSubcommands",
                              {{"OBJECT", "-ERR wrong number of arguments for 'object' command\r\n"},
                               {"OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command\r\n"},
                               {"OBJECT HELP k", "-ERR wrong number of arguments for 'object|help' command\r\n"},
                               {"OBJECT FOO k", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP.\r\n"}}},
                         }),
                         DialogueName);

// The Unix time is 1,700,000,000 s.
INSTANTIATE_TEST_SUITE_P(Expiry, CommandDialogueTest,
                         testing::ValuesIn<Dialogue>({
                             {"ExpireAt",
                              {{"EXPIREAT k 1700000009", ":0\r\n"},
                               {"SET k v", kOk},
                               {"EXPIREAT k 1700000009", ":1\r\n"},
                               {"TTL k", ":9\r\n"},
                               {"EXPIRETIME k", ":1700000009\r\n"},
                               {"PEXPIRETIME k", ":1700000009000\r\n"}}},
                             {"PExpireAt",
                              {{"SET k v", kOk},
                               {"PEXPIREAT k 1700000009499", ":1\r\n"},
                               {"PTTL k", ":9499\r\n"},
                               {"TTL k", ":9\r\n"},
                               {"EXPIRETIME k", ":1700000009\r\n"},
                               {"PEXPIRETIME k", ":1700000009499\r\n"}}},
                             {"ExpireTimeRoundsToTheNearest",
                              {{"SET k v PXAT 1700000009500", kOk}, {"EXPIRETIME k", ":1700000010\r\n"}}},
                             {"ExpireTimeTellsAbsentFromLasting",
                              {{"EXPIRETIME k", ":-2\r\n"},
                               {"PEXPIRETIME k", ":-2\r\n"},
                               {"SET k v", kOk},
                               {"EXPIRETIME k", ":-1\r\n"},
                               {"PEXPIRETIME k", ":-1\r\n"}}},
                             {"ExpireAtInThePastRemoves",
                              {{"SET a v", kOk},
                               {"EXPIREAT a 1700000000", ":1\r\n"},
                               {"SET b v", kOk},
                               {"PEXPIREAT b -9223372036854775808", ":1\r\n"},
                               {"SET c v", kOk},
                               {"EXPIREAT c -9223372036854775", ":1\r\n"},
                               {"DBSIZE", ":0\r\n"}}},
                             {"TheFarthestExpiry",
                              {{"SET k v", kOk},
                               {"PEXPIREAT k 9223372036854775807", ":1\r\n"},
                               {"PEXPIRETIME k", ":9223372036854775807\r\n"},
                               {"EXPIREAT k 9223372036854775", ":1\r\n"},
                               {"EXPIRETIME k", ":9223372036854775\r\n"},
                               {"PEXPIRE k 9223370336854775807", ":1\r\n"},
                               {"PEXPIRETIME k", ":9223372036854775807\r\n"},
                               {"PERSIST k", ":1\r\n"}}},
                             {"BeyondTheFarthestExpiry",
                              {{"SET k v", kOk},
                               {"EXPIREAT k 9223372036854776", BadExpiry("expireat")},
                               {"EXPIREAT k -9223372036854776", BadExpiry("expireat")},
                               {"EXPIRE k 9223372036854775", BadExpiry("expire")},
                               {"PEXPIRE k 9223370336854775808", BadExpiry("pexpire")},
                               {"PEXPIREAT k 9223372036854775808", kNotAnInteger},
                               {"TTL k", ":-1\r\n"}}},
                             {"ExpireAtConditions",
                              {{"SET k v", kOk},
                               {"EXPIREAT k 1700000009 XX", ":0\r\n"},
                               {"EXPIREAT k 1700000009 GT", ":0\r\n"},
                               {"EXPIREAT k 1700000009 NX", ":1\r\n"},
                               {"PEXPIREAT k 1700000010000 NX", ":0\r\n"},
                               {"PEXPIREAT k 1700000010000 XX GT", ":1\r\n"},
                               {"PEXPIREAT k 1700000008000 LT", ":1\r\n"},
                               {"EXPIREAT k 1 GT", ":0\r\n"},
                               {"TTL k", ":8\r\n"}}},
                             {"Time", {{"TIME", absl::StrCat("*2\r\n", Bulk("1700000000"), Bulk("0"))}}},
                         }),
                         DialogueName);

TEST(ExpireTest, ExpireTimeStaysTheSameWhileTimePasses) {
  LocalClient client;
  static int64_t unix_now_ns;
  unix_now_ns = LocalClient::kUnixStartS * kSecond;
  client.settings.unix_now_ns = [] { return unix_now_ns; };
  CommandExecutor executor(&client.store, &client.settings, &client.statistics);
  const auto run = [&](const std::string& line) {
    RequestParser parser;
    parser.Feed(line);
    EXPECT_EQ(parser.Next(), RequestParser::Result::kRequest);
    ReplyBuffer reply;
    executor.Execute(parser.arguments(), client.session, client.now_ns, reply);
    return reply.Flatten();
  };
  EXPECT_EQ(run("SET k v PXAT 1700000100000\n"), kOk);

  // The present is that of the turn's start: the clocks are read at different times.
  for (int i = 0; i < 50; ++i) {
    client.now_ns += 999 * kMillisecond;
    unix_now_ns += 999 * kMillisecond + (i % 7) * 100 * kMillisecond;
    EXPECT_EQ(run("PEXPIRETIME k\n"), ":1700000100000\r\n");
    unix_now_ns -= (i % 7) * 100 * kMillisecond;
  }
  EXPECT_EQ(run("PTTL k\n"), Int(100'000 - 50 * 999));

  // Somebody sets the clock: what is left to live stays.
  unix_now_ns += 3600 * kSecond;
  EXPECT_EQ(run("PEXPIRETIME k\n"), ":1700003700000\r\n");
  EXPECT_EQ(run("PTTL k\n"), Int(100'000 - 50 * 999));
}

TEST(ObjectTest, IdleTimeCountsFromTheLastUse) {
  LocalClient client;
  client.Run("MSET a 1 b 2");
  client.now_ns += 10 * kSecond;

  EXPECT_EQ(client.Run("OBJECT IDLETIME a"), ":10\r\n");
  // These look without using.
  for (const char* request : {"TTL a", "TYPE a", "EXISTS a", "OBJECT ENCODING a", "EXPIRETIME a", "KEYS *"}) {
    client.Run(request);
    EXPECT_EQ(client.Run("OBJECT IDLETIME a"), ":10\r\n") << request;
  }
  client.Run("TOUCH a");
  EXPECT_EQ(client.Run("OBJECT IDLETIME a"), ":0\r\n");
  EXPECT_EQ(client.Run("OBJECT IDLETIME b"), ":10\r\n");
  client.Run("GET b");
  EXPECT_EQ(client.Run("OBJECT IDLETIME b"), ":0\r\n");
}

TEST(ObjectTest, HelpNamesEverySubcommand) {
  LocalClient client;

  const std::string help = client.Run("OBJECT HELP");

  for (const char* name : {"+ENCODING <key>\r\n", "+FREQ <key>\r\n", "+IDLETIME <key>\r\n", "+REFCOUNT <key>\r\n"}) {
    EXPECT_TRUE(absl::StrContains(help, name)) << name;
  }
}

TEST(RandomKeyTest, EveryKeyComesUp) {
  LocalClient client;
  for (int i = 0; i < 10; ++i) client.Run(absl::StrCat("SET ", i, " v"));

  std::set<std::string> seen;
  for (int i = 0; i < 300; ++i) seen.insert(client.Run("RANDOMKEY"));

  EXPECT_EQ(seen.size(), 10u);
}

TEST(RandomKeyTest, WhatHasExpiredDoesNotComeUp) {
  LocalClient client;
  for (int i = 0; i < 10; ++i) client.Run(absl::StrCat("SET gone", i, " v PX 1"));
  client.Run("SET here v");
  client.now_ns += kMillisecond;

  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.Run("RANDOMKEY"), Bulk("here"));
  client.Run("DEL here");
  EXPECT_EQ(client.Run("RANDOMKEY"), kNull);
}

}  // namespace
}  // namespace tandem::kv
