// SPDX-License-Identifier: Apache-2.0

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/commands_for_test.h"

namespace tandem::kv {
namespace {

constexpr char kAborted[] = "-EXECABORT Transaction discarded because of previous errors.\r\n";
constexpr char kNullArray[] = "*-1\r\n";

TEST_P(CommandDialogueTest, RepliesAsRedisDoes) { Check(); }

INSTANTIATE_TEST_SUITE_P(
    Transactions, CommandDialogueTest,
    testing::ValuesIn<Dialogue>({
        {"ExecRepliesToAllAtOnce",
         {{"MULTI", kOk},
          {"SET k 1", kQueued},
          {"INCR k", kQueued},
          {"GET k", kQueued},
          {"EXEC", absl::StrCat("*3\r\n", kOk, ":2\r\n", Bulk("2"))},
          {"GET k", Bulk("2")}}},
        {"ExecOfNothing", {{"MULTI", kOk}, {"EXEC", "*0\r\n"}, {"EXEC", "-ERR EXEC without MULTI\r\n"}}},
        {"ExecWithoutMulti", {{"EXEC", "-ERR EXEC without MULTI\r\n"}}},
        {"DiscardForgets",
         {{"MULTI", kOk},
          {"SET k 1", kQueued},
          {"DISCARD", kOk},
          {"GET k", kNull},
          {"DISCARD", "-ERR DISCARD without MULTI\r\n"}}},
        {"ACommandThatFailsWhenExecutedStopsNothing",
         {{"MULTI", kOk},
          {"SET k x", kQueued},
          {"INCR k", kQueued},
          {"APPEND k y", kQueued},
          {"EXEC", absl::StrCat("*3\r\n", kOk, kNotAnInteger, ":2\r\n")}}},
        {"MultiDoesNotNest",
         {{"MULTI", kOk},
          {"MULTI", "-ERR MULTI calls can not be nested\r\n"},
          {"PING", kQueued},
          {"EXEC", "*1\r\n+PONG\r\n"}}},
        {"WatchIsNotPartOfATransaction",
         {{"MULTI", kOk}, {"WATCH k", "-ERR WATCH inside MULTI is not allowed\r\n"}, {"EXEC", "*0\r\n"}}},
        {"UnwatchIsQueued", {{"MULTI", kOk}, {"UNWATCH", kQueued}, {"EXEC", absl::StrCat("*1\r\n", kOk)}}},
        {"AnUnknownCommandBreaksTheTransaction",
         {{"MULTI", kOk},
          {"FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"},
          {"SET k 1", kQueued},
          {"EXEC", kAborted},
          {"GET k", kNull}}},
        {"AWrongArityBreaksTheTransaction",
         {{"MULTI", kOk},
          {"GET", "-ERR wrong number of arguments for 'get' command\r\n"},
          {"EXEC", kAborted},
          {"EXEC", "-ERR EXEC without MULTI\r\n"}}},
        {"AnUnknownSubcommandBreaksTheTransaction",
         {{"MULTI", kOk}, {"OBJECT FOO", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP.\r\n"}, {"EXEC", kAborted}}},
        {"ABrokenTransactionCanBeDiscarded",
         {{"MULTI", kOk},
          {"GET", "-ERR wrong number of arguments for 'get' command\r\n"},
          {"DISCARD", kOk},
          {"MULTI", kOk},
          {"EXEC", "*0\r\n"}}},
        {"ErrorsBeforeMultiBreakNothing",
         {{"FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"}, {"MULTI", kOk}, {"EXEC", "*0\r\n"}}},
        {"AnExecThatIsRefusedEndsTheTransaction",
         {{"MULTI", kOk},
          {"SET k 1", kQueued},
          {"EXEC now", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"},
          {"GET k", kNull}}},
        {"ShutdownIsNotPartOfATransaction",
         {{"MULTI", kOk}, {"SHUTDOWN", "-ERR Command not allowed inside a transaction\r\n"}, {"EXEC", kAborted}}},
        {"ResetEndsTheTransaction", {{"MULTI", kOk}, {"RESET", "+RESET\r\n"}, {"EXEC", "-ERR EXEC without MULTI\r\n"}}},
        {"ArgumentsOfQueuedCommandsAreKept",
         {{"MULTI", kOk},
          {"SET a 'first value'", kQueued},
          {"MSET b second c third", kQueued},
          {"EXEC", absl::StrCat("*2\r\n", kOk, kOk)},
          {"MGET a b c", absl::StrCat("*3\r\n", Bulk("first value"), Bulk("second"), Bulk("third"))}}},
    }),
    DialogueName);

// What another client does between WATCH k and EXEC, and whether EXEC fails for it.
struct Interference {
  const char* name;
  std::vector<std::string> before;  // WATCH.
  std::vector<std::string> between;
  bool fails;

  friend std::ostream& operator<<(std::ostream& out, const Interference& test) { return out << test.name; }
};

class WatchTest : public testing::TestWithParam<Interference> {};

TEST_P(WatchTest, ExecFailsIfAWatchedKeyChanged) {
  LocalClient client;
  Session other(8);
  for (const std::string& request : GetParam().before) client.Run(request);
  EXPECT_EQ(client.Run("WATCH j k"), kOk);
  for (const std::string& request : GetParam().between) client.RunIn(other, request);
  EXPECT_EQ(client.Run("MULTI"), kOk);
  EXPECT_EQ(client.Run("PING"), kQueued);

  EXPECT_EQ(client.Run("EXEC"), GetParam().fails ? kNullArray : "*1\r\n+PONG\r\n");

  // Whatever came of it, nothing is watched any more.
  client.RunIn(other, "SET k later");
  client.Run("MULTI");
  EXPECT_EQ(client.Run("EXEC"), "*0\r\n");
}

INSTANTIATE_TEST_SUITE_P(
    Keys, WatchTest,
    testing::ValuesIn<Interference>({
        {"Nothing", {"SET k v"}, {}, false},
        {"Reading", {"SET k v EX 9"}, {"GET k", "TTL k", "TOUCH k", "OBJECT ENCODING k", "KEYS *", "GETEX k"}, false},
        {"ADifferentKey", {"SET k v"}, {"SET kk w", "SET l w", "DEL x"}, false},
        {"Set", {"SET k v"}, {"SET k w"}, true},
        {"SetOfTheSameValue", {"SET k v"}, {"SET k v"}, true},
        {"SetThatIsRefused", {"SET k v"}, {"SET k w NX"}, false},
        {"SetOfAnAbsentKey", {}, {"SET k w"}, true},
        {"SetAndDel", {}, {"SET k w", "DEL k"}, true},
        {"Del", {"SET k v"}, {"DEL k"}, true},
        {"DelOfAnAbsentKey", {}, {"DEL k"}, false},
        {"Append", {"SET k v"}, {"APPEND k w"}, true},
        {"Incr", {"SET k 1"}, {"INCR k"}, true},
        {"SetRange", {"SET k v"}, {"SETRANGE k 3 w"}, true},
        {"SetRangeOfNothing", {"SET k v"}, {"SETRANGE k 3 ''"}, false},
        {"SetBit", {"SET k v"}, {"SETBIT k 3 1"}, true},
        {"Expire", {"SET k v"}, {"EXPIRE k 100"}, true},
        {"ExpireToTheSameTime", {"SET k v EX 100"}, {"EXPIRE k 100"}, true},
        {"ExpireOfAnAbsentKey", {}, {"EXPIRE k 100"}, false},
        {"Persist", {"SET k v EX 9"}, {"PERSIST k"}, true},
        {"PersistWithoutExpiry", {"SET k v"}, {"PERSIST k"}, false},
        {"GetExPersist", {"SET k v EX 9"}, {"GETEX k PERSIST"}, true},
        {"RenameAway", {"SET k v"}, {"RENAME k l"}, true},
        {"RenameOnto", {"SET l v"}, {"RENAME l k"}, true},
        {"CopyFrom", {"SET k v"}, {"COPY k l"}, false},
        {"CopyOnto", {"SET l v"}, {"COPY l k"}, true},
        {"FlushAll", {"SET k v"}, {"FLUSHALL"}, true},
        {"FlushAllWithoutTheKey", {"SET l v"}, {"FLUSHALL"}, false},
        {"SwapDb", {"SET k v"}, {"SWAPDB 0 0"}, false},
    }),
    [](const testing::TestParamInfo<Interference>& info) { return info.param.name; });

TEST(TransactionTest, OwnWritesCountAsChanges) {
  LocalClient client;
  client.Run("WATCH k");
  client.Run("SET k 1");
  client.Run("MULTI");

  EXPECT_EQ(client.Run("EXEC"), kNullArray);
}

TEST(TransactionTest, UnwatchForgetsAChange) {
  LocalClient client;
  client.Run("WATCH k");
  client.Run("SET k 1");
  EXPECT_EQ(client.Run("UNWATCH"), kOk);
  client.Run("MULTI");

  EXPECT_EQ(client.Run("EXEC"), "*0\r\n");
}

TEST(TransactionTest, DiscardForgetsWhatIsWatched) {
  LocalClient client;
  client.Run("WATCH k");
  client.Run("MULTI");
  client.Run("DISCARD");
  client.Run("SET k 1");
  client.Run("MULTI");

  EXPECT_EQ(client.Run("EXEC"), "*0\r\n");
}

TEST(TransactionTest, AWatchedKeyThatExpiresFailsExec) {
  LocalClient client;
  client.Run("SET k v PX 100");
  client.Run("WATCH k");
  client.Run("MULTI");
  client.now_ns += 100 * kMillisecond;

  EXPECT_EQ(client.Run("EXEC"), kNullArray);
}

TEST(TransactionTest, AWatchedKeyThatExpiresAndIsRemovedFailsExec) {
  LocalClient client;
  client.Run("SET k v PX 100");
  client.Run("WATCH k");
  client.Run("MULTI");
  client.now_ns += 100 * kMillisecond;
  EXPECT_EQ(client.store.ExpireDue(client.now_ns / kMillisecond, 10), 1u);

  EXPECT_EQ(client.Run("EXEC"), kNullArray);
}

TEST(TransactionTest, AKeyThatHadExpiredBeforeWatchChangesNothingWhenItIsRemoved) {
  LocalClient client;
  client.Run("SET k v PX 100");
  client.now_ns += 100 * kMillisecond;
  client.Run("WATCH k");
  client.store.ExpireDue(client.now_ns / kMillisecond, 10);
  client.Run("MULTI");

  EXPECT_EQ(client.Run("EXEC"), "*0\r\n");
}

TEST(TransactionTest, AClientThatGoesLeavesNothingWatched) {
  LocalClient client;
  {
    Session gone(8);
    client.RunIn(gone, "WATCH k l");
  }

  EXPECT_EQ(client.Run("SET k 1"), kOk);  // Under a sanitizer, this would touch what is gone.
}

TEST(TransactionTest, AWatcherMayOutliveTheStore) {
  Session session(8);
  {
    LocalClient client;
    client.RunIn(session, "WATCH k");
  }

  EXPECT_EQ(session.transaction.watcher().key_count(), 1u);
}

TEST(TransactionTest, WatchingAKeyTwiceHoldsItOnce) {
  LocalClient client;
  client.Run("WATCH k k");
  const size_t held = client.session.held_bytes();
  client.Run("WATCH k");

  EXPECT_EQ(client.session.held_bytes(), held);
  EXPECT_EQ(client.session.transaction.watcher().key_count(), 1u);
}

TEST(TransactionTest, QueuedRequestsAndWatchedKeysCountAsHeld) {
  LocalClient client;
  client.Run(absl::StrCat("WATCH ", std::string(1000, 'k')));
  EXPECT_GE(client.session.held_bytes(), 1000u);
  client.Run("MULTI");
  client.Run(absl::StrCat("SET k ", std::string(10'000, 'v')));
  EXPECT_GE(client.session.held_bytes(), 11'000u);

  client.Run("EXEC");

  EXPECT_EQ(client.session.held_bytes(), 0u);
}

TEST(TransactionTest, ABrokenTransactionHoldsNoMore) {
  LocalClient client;
  client.Run("MULTI");
  client.Run("FOO");
  client.Run(absl::StrCat("SET k ", std::string(10'000, 'v')));

  EXPECT_EQ(client.session.held_bytes(), 0u);
}

TEST(TransactionTest, AFullStoreRefusesToQueueAndToExecuteWrites) {
  constexpr char kOutOfMemory[] = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
  LocalClient client;
  client.Run("SET k v");
  client.Run("MULTI");
  client.Run("SET k w");
  client.settings.max_memory_bytes = 1;
  EXPECT_EQ(client.Run("EXEC"),
            "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.\r\n");
  EXPECT_EQ(client.Run("GET k"), Bulk("v"));

  // Queueing takes memory, whatever the command.
  client.Run("MULTI");
  EXPECT_EQ(client.Run("GET k"), kOutOfMemory);
  EXPECT_EQ(client.Run("EXEC"), kAborted);
  client.Run("MULTI");
  EXPECT_EQ(client.Run("DISCARD"), kOk);
}

TEST(TransactionTest, AStoreThatFillsUpDuringExecRefusesTheRest) {
  LocalClient client;
  client.settings.max_memory_bytes = 1000;
  client.Run("MULTI");
  client.Run(absl::StrCat("SET a ", std::string(2000, 'v')));
  client.Run("SET b w");
  client.Run("STRLEN a");

  EXPECT_EQ(client.Run("EXEC"),
            absl::StrCat("*3\r\n", kOk, "-OOM command not allowed when used memory > 'maxmemory'.\r\n", ":2000\r\n"));
}

// The commands are executed all the same, so an error stands for each reply that has no room.
TEST(TransactionTest, RepliesBeyondTheLimitAreErrors) {
  LocalClient client;
  client.settings.max_reply_bytes = 1000;
  client.Run(absl::StrCat("SET k ", std::string(400, 'v')));
  client.Run("MULTI");
  for (int i = 0; i < 3; ++i) client.Run("GET k");
  client.Run("SET done yes");

  const std::string value = Bulk(std::string(400, 'v'));
  EXPECT_EQ(client.Run("EXEC"), absl::StrCat("*4\r\n", value, value, "-ERR reply exceeds the limit of 1000 bytes\r\n",
                                             "-ERR the replies of the transaction exceed the limit\r\n"));
  EXPECT_EQ(client.Run("GET done"), Bulk("yes"));
}

TEST(TransactionTest, QuitAndBrowsersAreNotQueued) {
  for (const char* request : {"QUIT", "POST / HTTP/1.1", "Host: localhost"}) {
    LocalClient client;
    client.Run("MULTI");

    client.Run(request);

    EXPECT_TRUE(client.session.should_close) << request;
  }
}

TEST(TransactionTest, LargeValuesCanBeQueued) {
  LocalClient client;
  client.Run("MULTI");
  client.RunArguments({"SET", "k", std::string(100'000, 'v')});

  EXPECT_EQ(client.Run("EXEC"), absl::StrCat("*1\r\n", kOk));
  EXPECT_EQ(client.Run("STRLEN k"), ":100000\r\n");
}

}  // namespace
}  // namespace tandem::kv
