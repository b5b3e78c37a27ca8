// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/commands.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/commands_for_test.h"
#include "tandem/examples/kv/reply.h"
#include "tandem/examples/kv/resp.h"
#include "tandem/examples/kv/session.h"
#include "tandem/examples/kv/store.h"

namespace tandem::kv {
namespace {

constexpr char kWrongPassword[] = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
// What HELLO says around the version of the protocol.
constexpr char kHelloBegin[] = "$6\r\nserver\r\n$9\r\ntandem-kv\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n";
constexpr char kHelloEnd[] =
    "$2\r\nid\r\n:7\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
constexpr char kConfigFailed[] = "-ERR CONFIG SET failed (possibly related to argument ";

TEST_P(CommandDialogueTest, RepliesAsRedisDoes) { Check(); }

INSTANTIATE_TEST_SUITE_P(
    Strings, CommandDialogueTest,
    testing::ValuesIn<Dialogue>({
        {"GetOfAbsentKeyIsNull", {{"GET k", kNull}}},
        {"SetThenGet", {{"SET k v", kOk}, {"GET k", Bulk("v")}}},
        {"CommandNamesIgnoreCase", {{"sEt k v", kOk}, {"gET k", Bulk("v")}}},
        {"SetNx", {{"SET k 1 NX", kOk}, {"SET k 2 nx", kNull}, {"GET k", Bulk("1")}}},
        {"SetXx", {{"SET k 1 XX", kNull}, {"SET k 2", kOk}, {"SET k 3 xx", kOk}, {"GET k", Bulk("3")}}},
        {"SetGet", {{"SET k 1 GET", kNull}, {"SET k 2 GET", Bulk("1")}, {"GET k", Bulk("2")}}},
        {"SetGetNxReturnsTheValueAndKeepsIt", {{"SET k 1", kOk}, {"SET k 2 NX GET", Bulk("1")}, {"GET k", Bulk("1")}}},
        {"SetGetXxOfAbsentKeyIsNull", {{"SET k 1 XX GET", kNull}, {"EXISTS k", ":0\r\n"}}},
        {"SetNxAndXxDoNotCombine", {{"SET k 1 NX XX", kSyntax}, {"SET k 1 XX NX", kSyntax}}},
        {"SetKeepTtlAndExpiryDoNotCombine", {{"SET k 1 KEEPTTL EX 1", kSyntax}, {"SET k 1 PX 1 KEEPTTL", kSyntax}}},
        {"SetTakesOneExpiry", {{"SET k 1 EX 1 PX 1", kSyntax}}},
        {"SetTakesTheLastOfOneUnit", {{"SET k 1 EX x EX 9", kOk}, {"TTL k", ":9\r\n"}, {"SET k 1 PX 5 PX", kSyntax}}},
        {"SetExpiryNeedsATime", {{"SET k 1 EX", kSyntax}}},
        {"SetUnknownOption", {{"SET k 1 SOON", kSyntax}}},
        {"SetExpiryMustBeANumber", {{"SET k 1 EX x", kNotAnInteger}}},
        {"SetExpiryMustBePositive",
         {{"SET k 1 EX 0", "-ERR invalid expire time in 'set' command\r\n"},
          {"SET k 1 PX -1", "-ERR invalid expire time in 'set' command\r\n"}}},
        {"SetExpiryMustNotOverflow",
         {{"SET k 1 EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"},
          {"SET k 1 PX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"},
          {"EXISTS k", ":0\r\n"}}},
        {"SetWithoutOptionsDropsTheExpiry", {{"SET k 1 EX 9", kOk}, {"SET k 2", kOk}, {"TTL k", ":-1\r\n"}}},
        {"SetKeepTtlKeepsTheExpiry", {{"SET k 1 EX 9", kOk}, {"SET k 2 KEEPTTL", kOk}, {"TTL k", ":9\r\n"}}},
        {"GetSet", {{"GETSET k 1", kNull}, {"EXPIRE k 9", ":1\r\n"}, {"GETSET k 2", Bulk("1")}, {"TTL k", ":-1\r\n"}}},
        {"SetNxCommand", {{"SETNX k 1", ":1\r\n"}, {"SETNX k 2", ":0\r\n"}, {"GET k", Bulk("1")}}},
        {"MSetAndMGet", {{"MSET a 1 b 2", kOk}, {"MGET a x b", absl::StrCat("*3\r\n", Bulk("1"), kNull, Bulk("2"))}}},
        {"MSetLastOneWins", {{"MSET a 1 a 2", kOk}, {"GET a", Bulk("2")}}},
        {"MSetNeedsPairs", {{"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"}}},
        {"IncrFromNothing", {{"INCR n", ":1\r\n"}, {"INCR n", ":2\r\n"}, {"GET n", Bulk("2")}}},
        {"DecrFromNothing", {{"DECR n", ":-1\r\n"}}},
        {"IncrByAndDecrBy", {{"INCRBY n 10", ":10\r\n"}, {"DECRBY n 3", ":7\r\n"}, {"INCRBY n -8", ":-1\r\n"}}},
        {"IncrOfText", {{"SET n abc", kOk}, {"INCR n", kNotAnInteger}, {"GET n", Bulk("abc")}}},
        {"IncrOfPaddedNumber", {{"SET n ' 1'", kOk}, {"INCR n", kNotAnInteger}}},
        {"IncrByText", {{"INCRBY n 1.5", kNotAnInteger}, {"EXISTS n", ":0\r\n"}}},
        {"IncrOverflow",
         {{"SET n 9223372036854775807", kOk},
          {"INCR n", "-ERR increment or decrement would overflow\r\n"},
          {"GET n", Bulk("9223372036854775807")}}},
        {"DecrOverflow",
         {{"SET n -9223372036854775808", kOk},
          {"DECRBY n 1", "-ERR increment or decrement would overflow\r\n"},
          {"DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"}}},
        {"IncrKeepsTheExpiry", {{"SET n 1 EX 9", kOk}, {"INCR n", ":2\r\n"}, {"TTL n", ":9\r\n"}}},
        {"Append", {{"APPEND k ab", ":2\r\n"}, {"APPEND k c", ":3\r\n"}, {"GET k", Bulk("abc")}}},
        {"AppendKeepsTheExpiry", {{"SET k a EX 9", kOk}, {"APPEND k b", ":2\r\n"}, {"TTL k", ":9\r\n"}}},
        {"StrLen", {{"STRLEN k", ":0\r\n"}, {"SET k abc", kOk}, {"STRLEN k", ":3\r\n"}}},
    }),
    DialogueName);

INSTANTIATE_TEST_SUITE_P(
    Keys, CommandDialogueTest,
    testing::ValuesIn<Dialogue>({
        {"DelCountsWhatWasThere", {{"MSET a 1 b 2", kOk}, {"DEL a x b a", ":2\r\n"}, {"DBSIZE", ":0\r\n"}}},
        {"ExistsCountsRepeats", {{"SET a 1", kOk}, {"EXISTS a a x", ":2\r\n"}}},
        {"TypeIsStringOrNone", {{"SET a 1", kOk}, {"TYPE a", "+string\r\n"}, {"TYPE x", "+none\r\n"}}},
        {"TtlTellsAbsentFromLasting", {{"TTL k", ":-2\r\n"}, {"SET k v", kOk}, {"TTL k", ":-1\r\n"}}},
        {"PttlTellsAbsentFromLasting", {{"PTTL k", ":-2\r\n"}, {"SET k v", kOk}, {"PTTL k", ":-1\r\n"}}},
        {"Expire", {{"EXPIRE k 9", ":0\r\n"}, {"SET k v", kOk}, {"EXPIRE k 9", ":1\r\n"}, {"PTTL k", ":9000\r\n"}}},
        {"PExpire", {{"SET k v", kOk}, {"PEXPIRE k 1400", ":1\r\n"}, {"TTL k", ":1\r\n"}, {"PTTL k", ":1400\r\n"}}},
        {"TtlRoundsToTheNearest", {{"SET k v PX 1500", kOk}, {"TTL k", ":2\r\n"}}},
        {"ExpireInThePastRemoves", {{"SET k v", kOk}, {"EXPIRE k -1", ":1\r\n"}, {"EXISTS k", ":0\r\n"}}},
        {"ExpireMustBeANumber", {{"SET k v", kOk}, {"EXPIRE k x", kNotAnInteger}}},
        {"ExpireMustNotOverflow",
         {{"EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"},
          {"EXPIRE k -9223372036854776", "-ERR invalid expire time in 'expire' command\r\n"}}},
        {"ExpireTakesAnyPast",
         {{"SET a v", kOk},
          {"EXPIRE a -9223372036854775", ":1\r\n"},
          {"SET b v", kOk},
          {"PEXPIRE b -9223372036854775808", ":1\r\n"},
          {"DBSIZE", ":0\r\n"}}},
        {"ExpireNx", {{"SET k v", kOk}, {"EXPIRE k 9 NX", ":1\r\n"}, {"EXPIRE k 8 NX", ":0\r\n"}}},
        {"ExpireXx", {{"SET k v", kOk}, {"EXPIRE k 9 XX", ":0\r\n"}, {"TTL k", ":-1\r\n"}}},
        {"ExpireGt",
         {{"SET k v", kOk}, {"EXPIRE k 9 GT", ":0\r\n"}, {"EXPIRE k 9", ":1\r\n"}, {"EXPIRE k 10 GT", ":1\r\n"}}},
        {"ExpireLt", {{"SET k v", kOk}, {"EXPIRE k 9 LT", ":1\r\n"}, {"EXPIRE k 10 LT", ":0\r\n"}}},
        {"ExpireConditionsThatDoNotCombine",
         {{"EXPIRE k 9 NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"},
          {"EXPIRE k 9 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n"},
          {"EXPIRE k 9 AT", "-ERR Unsupported option AT\r\n"}}},
        {"Persist",
         {{"PERSIST k", ":0\r\n"},
          {"SET k v EX 9", kOk},
          {"PERSIST k", ":1\r\n"},
          {"PERSIST k", ":0\r\n"},
          {"TTL k", ":-1\r\n"}}},
        {"KeysMatchesThePattern", {{"MSET ab 1 b 2", kOk}, {"KEYS a*", absl::StrCat("*1\r\n", Bulk("ab"))}}},
        {"KeysOfNothing", {{"KEYS *", "*0\r\n"}}},
        {"ScanOfNothing", {{"SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n"}}},
        {"ScanWithMatch",
         {{"MSET ab 1 b 2", kOk}, {"SCAN 0 MATCH a? COUNT 100", "*2\r\n$1\r\n0\r\n*1\r\n$2\r\nab\r\n"}}},
        {"ScanWithType",
         {{"SET a 1", kOk},
          {"SCAN 0 TYPE string", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"},
          {"SCAN 0 TYPE hash", "*2\r\n$1\r\n0\r\n*0\r\n"}}},
        {"ScanOfABadCursor", {{"SCAN x", "-ERR invalid cursor\r\n"}, {"SCAN -1", "-ERR invalid cursor\r\n"}}},
        {"ScanOfABadCount",
         {{"SCAN 0 COUNT 0", kSyntax}, {"SCAN 0 COUNT x", kNotAnInteger}, {"SCAN 0 COUNT", kSyntax}}},
        {"FlushAll", {{"SET a 1", kOk}, {"FLUSHALL", kOk}, {"DBSIZE", ":0\r\n"}}},
        {"FlushDbAsync", {{"SET a 1", kOk}, {"FLUSHDB ASYNC", kOk}, {"DBSIZE", ":0\r\n"}, {"FLUSHDB NOW", kSyntax}}},
    }),
    DialogueName);

INSTANTIATE_TEST_SUITE_P(
    Server, CommandDialogueTest,
    testing::ValuesIn<Dialogue>({
        {"Ping", {{"PING", "+PONG\r\n"}, {"PING hello", Bulk("hello")}}},
        {"PingTakesOneArgument", {{"PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"}}},
        {"Echo", {{"ECHO hello", Bulk("hello")}}},
        {"WrongArityNamesTheCommand",
         {{"GET", "-ERR wrong number of arguments for 'get' command\r\n"},
          {"gEt a b", "-ERR wrong number of arguments for 'get' command\r\n"},
          {"SET k", "-ERR wrong number of arguments for 'set' command\r\n"},
          {"CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"},
          {"CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command\r\n"},
          {"CONFIG GET", "-ERR wrong number of arguments for 'config|get' command\r\n"}}},
        {"UnknownCommandRepeatsTheRequest",
         {{"FOO a 'b c'", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b c' \r\n"},
          {"FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"}}},
        {"UnknownCommandCannotForgeAReply",
         {{"\"FOO\\r\\n+OK\"", "-ERR unknown command 'FOO  +OK', with args beginning with: \r\n"}}},
        {"UnknownSubcommand", {{"CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"}}},
        {"ConfigGetAsBenchmarksAsk",
         {{"CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"},
          {"CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"}}},
        {"ConfigGetByPattern", {{"CONFIG GET APP* nothing", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"}}},
        {"ConfigSet",
         {{"CONFIG SET timeout 90 MAXMEMORY 1gb", kOk},
          {"CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$2\r\n90\r\n"},
          {"CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$10\r\n1073741824\r\n"},
          {"CONFIG SET client-output-buffer-limit \"normal 1k 0 0\"", kOk},
          {"CONFIG GET client-output-*", "*2\r\n$26\r\nclient-output-buffer-limit\r\n$15\r\nnormal 1000 0 0\r\n"},
          {"CONFIG SET maxmemory-clients 2MB", kOk},
          {"CONFIG GET maxmemory-clients", "*2\r\n$17\r\nmaxmemory-clients\r\n$7\r\n2097152\r\n"},
          {"CONFIG SET save ''", kOk}}},
        {"ConfigSetRefuses",
         {{"CONFIG SET timeout", "-ERR wrong number of arguments for 'config|set' command\r\n"},
          {"CONFIG SET timeout 1 maxmemory", kSyntax},
          {"CONFIG SET nothing 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nothing'\r\n"},
          {"CONFIG SET maxmemory 1 timeout x",
           absl::StrCat(kConfigFailed, "'timeout') - argument couldn't be parsed into an integer\r\n")},
          {"CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n"},  // All or nothing.
          {"CONFIG SET timeout -1",
           absl::StrCat(kConfigFailed, "'timeout') - argument must be between 0 and 2147483647 inclusive\r\n")},
          {"CONFIG SET timeout 1 TIMEOUT 2", absl::StrCat(kConfigFailed, "'timeout') - duplicate parameter\r\n")},
          {"CONFIG SET maxclients 0",
           absl::StrCat(kConfigFailed, "'maxclients') - argument must be between 1 and 4294967295 inclusive\r\n")},
          {"CONFIG SET maxclients 10001",
           absl::StrCat(kConfigFailed,
                        "'maxclients') - The operating system is not able to handle the specified number of clients, "
                        "try with 10000\r\n")},
          {"CONFIG SET maxmemory 1tb",
           absl::StrCat(kConfigFailed, "'maxmemory') - argument must be a memory value\r\n")},
          {"CONFIG SET maxmemory 9223372036854775807gb",
           absl::StrCat(kConfigFailed, "'maxmemory') - argument must be a memory value\r\n")},
          {"CONFIG SET client-output-buffer-limit normal",
           absl::StrCat(
               kConfigFailed,
               "'client-output-buffer-limit') - Wrong number of arguments in buffer limit configuration.\r\n")},
          {"CONFIG SET client-output-buffer-limit 'other 1 0 0'",
           absl::StrCat(
               kConfigFailed,
               "'client-output-buffer-limit') - Invalid client class specified in buffer limit configuration.\r\n")},
          {"CONFIG SET client-output-buffer-limit 'normal 1 1 1'",
           absl::StrCat(kConfigFailed,
                        "'client-output-buffer-limit') - there is no soft limit here: it must be 0 0\r\n")},
          {"CONFIG SET databases 2", absl::StrCat(kConfigFailed, "'databases') - can't set immutable config\r\n")},
          {"CONFIG REWRITE", "-ERR unknown subcommand 'REWRITE'. Try CONFIG HELP.\r\n"}}},
        {"CommandList",
         {{"COMMAND LIST FILTERBY PATTERN ECH*", absl::StrCat("*1\r\n", Bulk("echo"))},
          {"COMMAND LIST FILTERBY MODULE json", "*0\r\n"},
          {"COMMAND LIST FILTERBY NAME x", kSyntax},
          {"COMMAND LIST x", kSyntax}}},
        {"ClientReplyOff",
         {{"CLIENT REPLY OFF", ""},
          {"PING", ""},
          {"NONSENSE", ""},
          {"CLIENT REPLY SKIP", ""},
          {"PING", ""},
          {"CLIENT REPLY ON", kOk},
          {"PING", "+PONG\r\n"},
          {"CLIENT REPLY MAYBE", kSyntax}}},
        {"ClientReplySkip",
         {{"CLIENT REPLY SKIP", ""},
          {"PING", ""},
          {"PING", "+PONG\r\n"},
          {"CLIENT REPLY OFF", ""},
          {"RESET", "+RESET\r\n"},
          {"PING", "+PONG\r\n"}}},
        {"ClientKillRefuses",
         {{"CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command\r\n"},
          {"CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n"},
          {"CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n"},
          {"CLIENT KILL TYPE other", "-ERR Unknown client type 'other'\r\n"},
          {"CLIENT KILL USER bob", "-ERR No such user 'bob'\r\n"},
          {"CLIENT KILL ID 1 SKIPME", kSyntax},
          {"CLIENT KILL ID 1 SKIPME maybe", kSyntax},
          {"CLIENT KILL ID 1000", ":0\r\n"}}},
        {"ClientListRefuses",
         {{"CLIENT LIST x", kSyntax},
          {"CLIENT LIST ID x", "-ERR Invalid client ID\r\n"},
          {"CLIENT LIST TYPE other", "-ERR Unknown client type 'other'\r\n"},
          {"CLIENT LIST TYPE pubsub", Bulk("")},
          {"CLIENT INFO x", "-ERR wrong number of arguments for 'client|info' command\r\n"}}},
        {"CommandInfo",
         {{"COMMAND INFO get nothing",
           absl::StrCat("*2\r\n*10\r\n", Bulk("get"), ":2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n",
                        "*0\r\n*0\r\n*0\r\n*0\r\n$-1\r\n")}}},
        {"CommandDocs",
         {{"COMMAND DOCS get nothing",
           absl::StrCat("*2\r\n", Bulk("get"), "*6\r\n", Bulk("summary"), Bulk("Returns the value of a key."),
                        Bulk("since"), Bulk("1.0.0"), Bulk("group"), Bulk("string"))}}},
        {"ClientName",
         {{"CLIENT GETNAME", kNull},
          {"CLIENT SETNAME bob", kOk},
          {"CLIENT GETNAME", Bulk("bob")},
          {"CLIENT SETNAME 'a b'", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"},
          {"RESET", "+RESET\r\n"},
          {"CLIENT GETNAME", kNull}}},
        {"ClientId", {{"CLIENT ID", ":7\r\n"}}},
        {"ClientSetInfo",
         {{"CLIENT SETINFO LIB-NAME redis-py", kOk},
          {"CLIENT SETINFO lib-ver 5.0", kOk},
          {"CLIENT SETINFO other x", "-ERR Unrecognized option 'other'\r\n"}}},
        {"AuthWithoutAPassword",
         {{"AUTH secret",
           "-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
           "configuration is correct?\r\n"},
          {"AUTH default secret", kOk},
          {"AUTH bob secret", kWrongPassword},
          {"AUTH default secret more", kSyntax}}},
        {"ClientSwitches",
         {{"CLIENT NO-EVICT ON", kOk},
          {"CLIENT NO-EVICT off", kOk},
          {"CLIENT NO-TOUCH on", kOk},
          {"CLIENT NO-TOUCH 1", kSyntax},
          {"CLIENT NO-EVICT", "-ERR wrong number of arguments for 'client|no-evict' command\r\n"}}},
        {"HelloRefusesOtherVersions",
         {{"HELLO 4", "-NOPROTO unsupported protocol version\r\n"},
          {"HELLO 1", "-NOPROTO unsupported protocol version\r\n"},
          {"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"},
          {"HELLO 2 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n"}}},
        {"HelloDescribesTheServer",
         {{"HELLO 2 SETNAME bob", absl::StrCat("*14\r\n", kHelloBegin, ":2\r\n", kHelloEnd)},
          {"CLIENT GETNAME", Bulk("bob")}}},
        {"HelloWithResp3AndCredentials",
         {{"HELLO 3 AUTH bob secret", kWrongPassword},
          {"GET nothing", kNull},
          {"HELLO 3 AUTH default secret SETNAME bob", absl::StrCat("%7\r\n", kHelloBegin, ":3\r\n", kHelloEnd)},
          {"CLIENT GETNAME", Bulk("bob")},
          {"GET nothing", "_\r\n"},
          {"HELLO 4", "-NOPROTO unsupported protocol version\r\n"},
          {"GET nothing", "_\r\n"},
          {"RESET", "+RESET\r\n"},
          {"GET nothing", kNull}}},
        {"Resp3Types",
         {{"HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n"},
          {"CONFIG GET nothing", "*0\r\n"},
          {"HELLO 3 NONSENSE", "-ERR Syntax error in HELLO option 'NONSENSE'\r\n"},
          {"HELLO", absl::StrCat("*14\r\n", kHelloBegin, ":2\r\n", kHelloEnd)},
          {"HELLO 3", absl::StrCat("%7\r\n", kHelloBegin, ":3\r\n", kHelloEnd)},
          {"HELLO", absl::StrCat("%7\r\n", kHelloBegin, ":3\r\n", kHelloEnd)},
          {"SET k v", kOk},
          {"MGET k nothing", "*2\r\n$1\r\nv\r\n_\r\n"},
          {"SET k v NX", "_\r\n"},
          {"CLIENT GETNAME", "_\r\n"},
          {"CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n"},
          {"COMMAND INFO get nothing",
           absl::StrCat("*2\r\n*10\r\n", Bulk("get"), ":2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n",
                        "~0\r\n~0\r\n~0\r\n~0\r\n_\r\n")},
          {"COMMAND DOCS get",
           absl::StrCat("%1\r\n", Bulk("get"), "%3\r\n", Bulk("summary"), Bulk("Returns the value of a key."),
                        Bulk("since"), Bulk("1.0.0"), Bulk("group"), Bulk("string"))},
          {"INFO keyspace", "=48\r\ntxt:# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n\r\n"},
          {"HELLO 2", absl::StrCat("*14\r\n", kHelloBegin, ":2\r\n", kHelloEnd)},
          {"GET nothing", kNull}}},
        {"ShutdownRefusesWhatDoesNotCombine",
         {{"SHUTDOWN NOSAVE SAVE", kSyntax},
          {"SHUTDOWN SAVE NOSAVE", kSyntax},
          {"SHUTDOWN ABORT NOW", kSyntax},
          {"SHUTDOWN SOON", kSyntax},
          {"SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n"}}},
        {"SelectKnowsOneDatabase",
         {{"SELECT 0", kOk}, {"SELECT 1", "-ERR DB index is out of range\r\n"}, {"SELECT x", kNotAnInteger}}},
    }),
    DialogueName);

TEST(CommandTest, ExpiredKeyReadsAsAbsentFromItsMillisecondOn) {
  LocalClient client;
  client.Run("SET k v PX 100");
  client.now_ns += 100 * kMillisecond - 1;
  EXPECT_EQ(client.Run("GET k"), Bulk("v"));
  EXPECT_EQ(client.Run("PTTL k"), ":1\r\n");

  client.now_ns += 1;

  EXPECT_EQ(client.Run("GET k"), kNull);
  EXPECT_EQ(client.Run("TTL k"), ":-2\r\n");
  EXPECT_EQ(client.Run("SET k w NX"), kOk);
}

TEST(CommandTest, IncrAfterExpiryStartsAtZero) {
  LocalClient client;
  client.Run("SET n 41 EX 1");

  client.now_ns += kSecond;

  EXPECT_EQ(client.Run("INCR n"), ":1\r\n");
  EXPECT_EQ(client.Run("TTL n"), ":-1\r\n");
}

TEST(CommandTest, QuitRepliesAndCloses) {
  LocalClient client;

  EXPECT_EQ(client.Run("QUIT"), kOk);
  EXPECT_TRUE(client.session.should_close);
}

TEST(CommandTest, HttpRequestIsClosedWithoutAReply) {
  for (const char* line : {"POST / HTTP/1.1", "Host: localhost:6379"}) {
    LocalClient client;

    EXPECT_EQ(client.Run(line), "");
    EXPECT_TRUE(client.session.should_close);
  }
}

TEST(CommandTest, UnknownCommandRepeatsNoMoreThan128BytesOfEach) {
  LocalClient client;
  const std::string text = client.RunArguments({std::string(1000, 'x'), std::string(1000, 'y'), "z"});

  EXPECT_EQ(text, absl::StrCat("-ERR unknown command '", std::string(128, 'x'), "', with args beginning with: '",
                               std::string(128, 'y'), "' \r\n"));
}

TEST(CommandTest, AppendBeyondTheLargestValueIsRefused) {
  LocalClient client;
  client.settings.request_limits.max_bulk_bytes = 10;
  client.Run("SET k 12345");

  EXPECT_EQ(client.Run("APPEND k 67890"), ":10\r\n");
  EXPECT_EQ(client.Run("APPEND k x"), "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
  EXPECT_EQ(client.Run("GET k"), Bulk("1234567890"));
}

TEST(CommandTest, RepliesThatWouldCopyTooMuchAreRefusedWhole) {
  LocalClient client;
  client.settings.max_reply_bytes = 1000;
  client.Run(absl::StrCat("SET k ", std::string(400, 'v')));

  EXPECT_EQ(client.Run("MGET k k").substr(0, 4), "*2\r\n");
  EXPECT_EQ(client.Run("MGET k k k"), "-ERR reply exceeds the limit of 1000 bytes\r\n");
  for (int i = 0; i < 100; ++i) client.Run(absl::StrCat("SET some-key-", i, " v"));
  EXPECT_EQ(client.Run("KEYS *"), "-ERR reply exceeds the limit of 1000 bytes\r\n");
}

// What a reference to a large value costs is little, but many of them are much.
TEST(CommandTest, ReferencesToLargeValuesCountTowardsTheLimitOfAReply) {
  LocalClient client;
  client.settings.max_reply_bytes = 1000;
  client.RunArguments({"SET", "k", std::string(100'000, 'v')});

  EXPECT_EQ(client.Run("MGET k k").substr(0, 4), "*2\r\n");
  EXPECT_EQ(client.Run("MGET k k k k k k k k k k k"), "-ERR reply exceeds the limit of 1000 bytes\r\n");
}

TEST(CommandTest, LongPatternIsRefused) {
  LocalClient client;
  const std::string pattern(5000, '*');

  EXPECT_EQ(client.Run(absl::StrCat("KEYS ", pattern)), "-ERR pattern exceeds the limit of 4096 bytes\r\n");
  EXPECT_EQ(client.Run(absl::StrCat("SCAN 0 MATCH ", pattern)), "-ERR pattern exceeds the limit of 4096 bytes\r\n");
}

TEST(CommandTest, FullStoreRefusesWritesAndServesReads) {
  LocalClient client;
  client.Run("SET k v");
  client.settings.max_memory_bytes = 1;

  EXPECT_EQ(client.Run("SET k w"), "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
  EXPECT_EQ(client.Run("GET k"), Bulk("v"));
  EXPECT_EQ(client.Run("DEL k"), ":1\r\n");
  EXPECT_EQ(client.Run("SET k w"), kOk);
}

TEST(CommandTest, ScanFollowedToItsEndReturnsEveryKey) {
  LocalClient client;
  for (int i = 0; i < 100; ++i) client.Run(absl::StrCat("SET key:", i, " v"));

  std::string cursor = "0";
  int keys = 0;
  int calls = 0;
  do {
    const std::string reply = client.Run(absl::StrCat("SCAN ", cursor, " COUNT 7"));
    const size_t start = reply.find("\r\n", 4) + 2;
    cursor = reply.substr(start, reply.find("\r\n", start) - start);
    for (size_t at = reply.find("key:"); at != std::string::npos; at = reply.find("key:", at + 1)) ++keys;
    ++calls;
  } while (cursor != "0");

  EXPECT_EQ(keys, 100);
  EXPECT_EQ(calls, 15);
}

TEST(CommandTest, InfoShowsTheCountedNumbers) {
  LocalClient client;
  client.statistics.started_at_ns = 2 * kSecond;
  client.statistics.connected_clients = 3;
  client.Run("SET k v EX 10");
  client.Run("GET k");
  client.Run("GET absent");
  client.Run("NONSENSE");

  const std::string info = client.Run("INFO");

  for (const char* line :
       {"# Server\r\n", "uptime_in_seconds:3\r\n", "connected_clients:3\r\n", "total_commands_processed:5\r\n",
        "keyspace_hits:1\r\n", "keyspace_misses:1\r\n", "total_error_replies:1\r\n", "used_memory_keys:1\r\n",
        "db0:keys=1,expires=1,avg_ttl=0\r\n"}) {
    EXPECT_TRUE(absl::StrContains(info, line)) << line << " in\n" << info;
  }
}

TEST(CommandTest, InfoOfOneSectionShowsThatOne) {
  LocalClient client;

  EXPECT_EQ(client.Run("INFO keyspace"), Bulk("# Keyspace\r\n"));
  EXPECT_EQ(client.Run("INFO nothing"), Bulk(""));
  EXPECT_FALSE(absl::StrContains(client.Run("INFO memory stats"), "# Server"));
}

TEST(CommandTest, ConfigGetTimeoutIsInWholeSecondsAndZeroOnlyForNever) {
  LocalClient client;
  const std::pair<absl::Duration, std::string> shown[] = {{absl::ZeroDuration(), "0"},
                                                          {absl::InfiniteDuration(), "0"},
                                                          {absl::Milliseconds(1), "1"},
                                                          {absl::Seconds(90), "90"},
                                                          {absl::Hours(2'000'000), "7200000000"}};
  for (const auto& [timeout, seconds] : shown) {
    client.settings.idle_timeout = timeout;
    EXPECT_EQ(client.Run("CONFIG GET timeout"), absl::StrCat("*2\r\n", Bulk("timeout"), Bulk(seconds)));
  }
}

TEST(CommandTest, ConfigResetstatForgetsWhatHappenedAndNotWhatIs) {
  LocalClient client;
  client.statistics.connected_clients = 3;
  client.statistics.output_bytes = 1000;
  client.statistics.evicted_clients = 1;
  client.Run("SET k v PX 1");
  client.now_ns += kSecond;
  client.Run("GET k");
  client.Run("NONSENSE");
  EXPECT_TRUE(absl::StrContains(client.Run("INFO"), "expired_keys:1\r\n"));

  EXPECT_EQ(client.Run("CONFIG RESETSTAT"), kOk);

  const std::string info = client.Run("INFO");
  for (const char* line :
       {"connected_clients:3\r\n", "total_commands_processed:1\r\n", "total_net_output_bytes:0\r\n",
        "keyspace_misses:0\r\n", "expired_keys:0\r\n", "total_error_replies:0\r\n", "evicted_clients:0\r\n"}) {
    EXPECT_TRUE(absl::StrContains(info, line)) << line << " in\n" << info;
  }
}

TEST(CommandTest, ClientListShowsWhoIsConnectedAndClientKillEndsThem) {
  class KillableSession final : public Session {
   public:
    KillableSession(uint64_t id, std::string address) : Session(id), address_(std::move(address)) {}
    Connection DescribeConnection() const override {
      Connection connection;
      connection.address = address_;
      connection.local_address = "1.1.1.1:6379";
      return connection;
    }
    void Kill() override { ++kills; }
    int kills = 0;

   private:
    const std::string address_;
  };
  Store store;
  Settings settings;
  Statistics statistics;
  CommandExecutor executor(&store, &settings, &statistics);
  KillableSession me(7, "1.1.1.1:7");
  KillableSession other(8, "1.1.1.1:8");
  KillableSession third(9, "1.1.1.1:9");
  for (Session* session : {&me, &other, &third}) executor.sessions().Add(*session);
  const auto run = [&](std::string_view line) {
    RequestParser parser(settings.request_limits);
    const std::string wire = absl::StrCat(line, "\n");
    parser.Feed(wire);
    EXPECT_EQ(parser.Next(), RequestParser::Result::kRequest) << line;
    ReplyBuffer reply;
    executor.Execute(parser.arguments(), me, 5 * kSecond, reply);
    return reply.Flatten();
  };
  other.name = "bob";

  const std::string list = run("CLIENT LIST");
  EXPECT_EQ(std::count(list.begin(), list.end(), '\n'), 3 + 2) << list;
  EXPECT_TRUE(absl::StrContains(list, "id=7 addr=1.1.1.1:7 laddr=1.1.1.1:6379 name= age=5 idle=0 ")) << list;
  EXPECT_TRUE(absl::StrContains(list, "id=8 addr=1.1.1.1:8 laddr=1.1.1.1:6379 name=bob ")) << list;
  EXPECT_TRUE(absl::StrContains(run("CLIENT INFO"), " cmd=client|info "));
  EXPECT_FALSE(absl::StrContains(run("CLIENT LIST ID 8 9"), "id=7 "));

  EXPECT_EQ(run("CLIENT KILL ID 8"), ":1\r\n");
  EXPECT_EQ(run("CLIENT KILL 1.1.1.1:9"), kOk);
  EXPECT_EQ(run("CLIENT KILL LADDR 1.1.1.1:6379 ADDR 1.1.1.1:8"), ":1\r\n");
  EXPECT_EQ(run("CLIENT KILL TYPE normal ID 7"), ":0\r\n");  // Me.
  EXPECT_EQ(other.kills, 2);
  EXPECT_EQ(third.kills, 1);
  EXPECT_FALSE(me.should_close);
  EXPECT_EQ(run("CLIENT KILL USER default SKIPME no"), ":3\r\n");
  EXPECT_TRUE(me.should_close);
  EXPECT_EQ(me.kills, 0);
}

TEST(CommandTest, ShutdownStopsTheServerWithoutAReply) {
  LocalClient client;

  EXPECT_EQ(client.Run("SHUTDOWN LATER"), "-ERR syntax error\r\n");
  EXPECT_FALSE(client.session.should_stop_server);
  EXPECT_EQ(client.Run("SHUTDOWN NOSAVE"), "");
  EXPECT_TRUE(client.session.should_stop_server);
  EXPECT_TRUE(client.session.should_close);
}

TEST(CommandTest, ANameThatWouldTakeMuchMemoryIsRefused) {
  LocalClient client;

  const std::string reply = client.RunArguments({"CLIENT", "SETNAME", std::string(100'000, 'n')});

  EXPECT_TRUE(absl::StartsWith(reply, "-ERR Client names cannot")) << reply;
  EXPECT_EQ(client.Run("CLIENT GETNAME"), "$-1\r\n");
}

TEST(CommandTest, CommandListsEveryCommandOnce) {
  LocalClient client;

  const std::string reply = client.Run("COMMAND");

  const std::string count = client.Run("COMMAND COUNT");
  EXPECT_EQ(reply.substr(1, count.size() - 1), count.substr(1));
  EXPECT_TRUE(absl::StrContains(reply, Bulk("mset")));
}

TEST(CommandTest, LargeValueIsRepliedFromTheStoresOwnMemory) {
  LocalClient client;
  client.RunArguments({"SET", "k", std::string(100'000, 'v')});
  CommandExecutor executor(&client.store, &client.settings, &client.statistics);
  std::vector<Argument> get = {Argument(std::string_view("GET")), Argument(std::string_view("k"))};
  ReplyBuffer reply;

  executor.Execute(get, client.session, client.now_ns, reply);
  executor.Execute(get, client.session, client.now_ns, reply);

  std::vector<std::string_view> pieces;
  reply.AppendPieces(pieces);
  ASSERT_EQ(pieces.size(), 5u);  // Header, value, line end and header, value, line end.
  EXPECT_EQ(pieces[1].data(), client.store.Find("k", client.now_ns)->value.view().data());
  EXPECT_LT(reply.owned_bytes(), 300u);
  EXPECT_EQ(reply.size(), reply.Flatten().size());
}

TEST(CommandTest, UnsentReplyKeepsTheValueOfItsTime) {
  LocalClient client;
  const std::string value(100'000, 'v');
  client.RunArguments({"SET", "k", value});
  CommandExecutor executor(&client.store, &client.settings, &client.statistics);
  std::vector<Argument> get = {Argument(std::string_view("GET")), Argument(std::string_view("k"))};
  ReplyBuffer reply;
  executor.Execute(get, client.session, client.now_ns, reply);

  client.Run("APPEND k more");
  client.Run("DEL k");

  EXPECT_EQ(reply.Flatten(), Bulk(value));
}

TEST(ReplyBufferTest, RollBackTakesBackTextAndSharedValues) {
  ReplyBuffer reply;
  reply.Integer(1);
  const ReplyBuffer::Mark mark = reply.mark();
  reply.Bulk(std::string(100'000, 'v'));
  reply.Integer(2);

  reply.RollBack(mark);

  EXPECT_EQ(reply.Flatten(), ":1\r\n");
  EXPECT_EQ(reply.size(), 4u);
  EXPECT_EQ(reply.owned_bytes(), 4u);
}

TEST(ReplyBufferTest, Resp3HasTypesOfItsOwn) {
  ReplyBuffer reply;
  for (const Protocol protocol : {Protocol::kResp2, Protocol::kResp3}) {
    reply.set_protocol(protocol);
    reply.Null();
    reply.NullArray();
    reply.Boolean(true);
    reply.Boolean(false);
    reply.Double(0.1);
    reply.Double(-std::numeric_limits<double>::min());
    reply.Verbatim("text");
    reply.Array(2);
    reply.Map(2);
    reply.Set(2);
  }
  EXPECT_EQ(reply.Flatten(),
            "$-1\r\n*-1\r\n:1\r\n:0\r\n$3\r\n0.1\r\n$24\r\n-2.2250738585072014e-308\r\n$4\r\ntext\r\n*2\r\n*4\r\n*2\r\n"
            "_\r\n_\r\n#t\r\n#f\r\n,0.1\r\n,-2.2250738585072014e-308\r\n=8\r\ntxt:text\r\n*2\r\n%2\r\n~2\r\n");
}

TEST(ReplyBufferTest, TakeMovesEverythingAndKeepsTheProtocol) {
  ReplyBuffer reply;
  reply.set_protocol(Protocol::kResp3);
  const Value large(std::string(kSharedValueBytes, 'v'));
  reply.Bulk(large);
  reply.Null();
  const std::string all = reply.Flatten();
  const size_t owned = reply.owned_bytes();

  const ReplyBuffer taken = reply.Take();

  EXPECT_TRUE(taken.Flatten() == all);
  EXPECT_EQ(taken.owned_bytes(), owned);
  EXPECT_TRUE(reply.empty());
  EXPECT_EQ(reply.owned_bytes(), 0u);
  reply.Null();
  EXPECT_EQ(reply.Flatten(), "_\r\n");
}

TEST(ReplyBufferTest, ClearLeavesNothing) {
  ReplyBuffer reply;
  reply.Bulk(std::string(100'000, 'v'));

  reply.Clear();

  std::vector<std::string_view> pieces;
  reply.AppendPieces(pieces);
  EXPECT_TRUE(reply.empty());
  EXPECT_TRUE(pieces.empty());
}

}  // namespace
}  // namespace tandem::kv
