// SPDX-License-Identifier: Apache-2.0
//
// A store with clients, without a server, and dialogues: for tests of the commands.

#ifndef TANDEM_EXAMPLES_KV_COMMANDS_FOR_TEST_H_
#define TANDEM_EXAMPLES_KV_COMMANDS_FOR_TEST_H_

#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/commands.h"
#include "tandem/examples/kv/reply.h"
#include "tandem/examples/kv/resp.h"
#include "tandem/examples/kv/store.h"

namespace tandem::kv {

inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kSecond = 1'000 * kMillisecond;

inline constexpr char kOk[] = "+OK\r\n";
inline constexpr char kNull[] = "$-1\r\n";
inline constexpr char kQueued[] = "+QUEUED\r\n";
inline constexpr char kSyntax[] = "-ERR syntax error\r\n";
inline constexpr char kNotAnInteger[] = "-ERR value is not an integer or out of range\r\n";

inline std::string Bulk(std::string_view bytes) { return absl::StrCat("$", bytes.size(), "\r\n", bytes, "\r\n"); }
inline std::string Int(int64_t value) { return absl::StrCat(":", value, "\r\n"); }

// A store with one client. Requests go through the parser, as inline commands.
class LocalClient {
 public:
  // The Unix time at which the clients' clock starts: 2023-11-14 22:13:20.
  static constexpr int64_t kUnixStartS = 1'700'000'000;

  LocalClient() {
    settings.unix_now_ns = [] { return kUnixStartS * kSecond; };
  }

  std::string Run(std::string_view line) { return RunIn(session, line); }

  // The same from another client of the same store.
  std::string RunIn(Session& other, std::string_view line) {
    RequestParser parser(settings.request_limits);
    const std::string wire = absl::StrCat(line, "\n");
    parser.Feed(wire);
    EXPECT_EQ(parser.Next(), RequestParser::Result::kRequest) << line;
    return Execute(other, parser.arguments());
  }

  std::string RunArguments(std::vector<std::string> arguments) {
    std::vector<Argument> request;
    request.reserve(arguments.size());
    for (std::string& argument : arguments) request.emplace_back(&argument);
    return Execute(session, request);
  }

  Settings settings;
  Statistics statistics;
  Store store;
  Session session{7};
  int64_t now_ns = 5 * kSecond;

 private:
  std::string Execute(Session& from, std::span<Argument> request) {
    CommandExecutor executor(&store, &settings, &statistics);
    ReplyBuffer reply;
    executor.Execute(request, from, now_ns, reply);
    return reply.Flatten();
  }
};

struct Step {
  std::string request;
  std::string reply;
};

// A dialogue: each request on the state that the ones before it have left.
struct Dialogue {
  const char* name;
  std::vector<Step> steps;

  friend std::ostream& operator<<(std::ostream& out, const Dialogue& dialogue) { return out << dialogue.name; }
};

inline std::string DialogueName(const testing::TestParamInfo<Dialogue>& info) { return info.param.name; }

// To be instantiated with dialogues by one TEST_P of RepliesAsRedisDoes, which calls Check().
class CommandDialogueTest : public testing::TestWithParam<Dialogue> {
 protected:
  void Check() {
    LocalClient client;
    for (const Step& step : GetParam().steps) {
      EXPECT_EQ(client.Run(step.request), step.reply) << step.request;
    }
  }
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_COMMANDS_FOR_TEST_H_
