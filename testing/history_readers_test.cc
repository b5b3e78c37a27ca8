// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/history_readers.h"

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/testing/history.h"
#include "tandem/testing/linearizability.h"
#include "tandem/testing/linearizability_models.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Operation = History::Operation;
using Outcome = Operation::Outcome;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> Texts(const std::vector<Operation>& operations) {
  std::vector<std::string> texts;
  for (const Operation& operation : operations) {
    const std::string end = operation.returned == Operation::kNever ? "" : absl::StrCat(operation.returned);
    texts.push_back(absl::StrCat(operation.invoked, "-", end, " ", ToString(operation)));
  }
  return texts;
}

// --- Files, whose names begin with the verdict ---

class HistoryFileTest : public ::testing::TestWithParam<const char*> {};

TEST_P(HistoryFileTest, HasTheVerdictOfItsName) {
  const std::string name = GetParam();
  const std::string text = ReadFile(absl::StrCat("testing/testdata/histories/", name));
  const bool is_log = absl::EndsWith(name, ".log");
  ASSERT_OK_AND_ASSIGN(const std::vector<Operation> operations, is_log ? ReadJepsenLog(text) : ReadPorcupineKv(text));

  const absl::Status checked =
      is_log ? CheckLinearizable(operations, Register()) : CheckLinearizable(operations, KeyValue());

  EXPECT_THAT(checked, StatusIs(absl::StartsWith(name, "ok") ? absl::StatusCode::kOk : absl::StatusCode::kDataLoss));
}

INSTANTIATE_TEST_SUITE_P(Histories, HistoryFileTest,
                         ::testing::Values("bad_append_that_took_effect_twice.txt", "bad_failed_cas.log",
                                           "bad_lost_append.txt", "bad_new_value_then_old.log",
                                           "bad_open_cas_that_took_effect_twice.log", "bad_order_of_one_key.txt",
                                           "bad_read_before_an_open_write.log", "bad_stale_read.log",
                                           "bad_two_cas_of_one_value.log", "ok_appends.txt", "ok_failed_cas.log",
                                           "ok_open_append.txt", "ok_open_cas_that_took_effect.log",
                                           "ok_read_of_an_open_write.log", "ok_what_failed_is_left_out.log"),
                         [](const auto& info) { return std::string(info.param, std::string(info.param).find('.')); });

// --- What is read ---

TEST(HistoryReadersTest, AJepsenLog) {
  const auto operations = ReadJepsenLog(
      "INFO  jepsen.util - 0\t:invoke\t:write\t1\n"
      "; A comment.\n"
      "INFO  jepsen.util - 1   :invoke   :cas   [1 2]\n"
      "INFO  jepsen.util - 0\t:ok\t:write\t1\n"
      "INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n"
      "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n"
      "INFO  jepsen.util - 1\t:info\t:cas\t:timed-out\n"
      "INFO  jepsen.util - 0\t:ok\t:read\tnil\n"
      "INFO  jepsen.util - 2\t:invoke\t:cas\t[1 2]\n"
      "INFO  jepsen.util - 3\t:invoke\t:write\t7\n"
      "INFO  jepsen.util - 2\t:fail\t:cas\t[1 2]\n"
      "INFO  jepsen.util - 3\t:fail\t:write\t:refused\n"
      "INFO  jepsen.util - 3\t:invoke\t:cas\t[1 2]\n"
      "INFO  jepsen.util - 3\t:ok\t:cas\t[1 2]\n"
      "INFO  jepsen.util - 4\t:invoke\t:read\tnil");

  ASSERT_OK(operations);
  EXPECT_THAT(Texts(*operations), ElementsAre("1-4 0: write(1)", "3- 1: cas(1, 2) -> ?", "6-8 0: read() -> nil",
                                              "9-11 2: cas(1, 2) -> false", "10-12 3: write(7) -> failed",
                                              "13-14 3: cas(1, 2) -> true", "15- 4: read() -> ?"));
}

TEST(HistoryReadersTest, APorcupineFile) {
  const auto operations = ReadPorcupineKv(
      "{:process 0, :type :invoke, :f :append, :key \"k\", :value \"a \\\"b\\\"\"}\n"
      "{:process 1, :type :invoke, :f :get, :key \"k\", :value nil}\n"
      "{:process 1, :type :ok, :f :get, :key \"k\", :value \"\"}\n"
      "{:process 1, :type :invoke, :f :put, :key \"\", :value \"\"}\n"
      "{:process 1, :type :info, :f :put, :key \"\", :value \"\"}\n"
      "{:process 0, :type :ok, :f :append, :key \"k\", :value \"a \\\"b\\\"\"}\n");

  ASSERT_OK(operations);
  EXPECT_THAT(Texts(*operations), ElementsAre("1-6 0: append(k, a \"b\")", "2-3 1: get(k)", "4- 1: put() -> ?"));
}

TEST(HistoryReadersTest, AnEmptyFileIsAnEmptyHistory) {
  EXPECT_THAT(ReadJepsenLog(""), IsOkAndHolds(ElementsAre()));
  EXPECT_THAT(ReadPorcupineKv(""), IsOkAndHolds(ElementsAre()));
  EXPECT_THAT(ReadJsonLines(""), IsOkAndHolds(ElementsAre()));
}

// --- What is refused ---

struct BadLine {
  const char* name;
  const char* line;
  const char* error;
};

class JepsenErrorTest : public ::testing::TestWithParam<BadLine> {};

TEST_P(JepsenErrorTest, NamesTheLine) {
  const std::string text = absl::StrCat(
      "INFO  jepsen.util - 0\t:invoke\t:write\t1\n"
      "INFO  jepsen.util - 1\t:invoke\t:cas\t[1 2]\n",
      GetParam().line, "\n");

  EXPECT_THAT(ReadJepsenLog(text),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(absl::StrCat("line 3: ", GetParam().error))));
}

INSTANTIATE_TEST_SUITE_P(
    Lines, JepsenErrorTest,
    ::testing::Values(BadLine{"Blank", "", "not of the form"},
                      BadLine{"Other", "INFO  jepsen.core - 0 :ok :write 1", "not of the form"},
                      BadLine{"CutShort", "INFO  jepsen.util - 0 :ok", "not of the form"},
                      BadLine{"Client", "INFO  jepsen.util - x :ok :write 1", "the client is no number: x"},
                      BadLine{"Type", "INFO  jepsen.util - 0 :okay :write 1", "unknown type :okay"},
                      BadLine{"NoColon", "INFO  jepsen.util - 0 ok :write 1", "unknown type ok"},
                      BadLine{"Operation", "INFO  jepsen.util - 0 :ok :put 1", "unknown operation :put"},
                      BadLine{"NoValue", "INFO  jepsen.util - 0 :ok :write", "not a value of :ok :write"},
                      BadLine{"TwoValues", "INFO  jepsen.util - 0 :ok :write 1 2", "not a value of :ok :write"},
                      BadLine{"Pair", "INFO  jepsen.util - 1 :ok :cas 1", "not a value of :ok :cas"},
                      BadLine{"HalfPair", "INFO  jepsen.util - 1 :ok :cas [1 ]", "not a value of :ok :cas"},
                      BadLine{"ReasonOfOk", "INFO  jepsen.util - 0 :ok :write :timed-out", "not a value of :ok :write"},
                      BadLine{"ReadOfValue", "INFO  jepsen.util - 2 :invoke :read 1", "not a value of :invoke :read"},
                      BadLine{"Twice", "INFO  jepsen.util - 0 :invoke :write 2",
                              "client 0 has not ended what it began in line 1"},
                      BadLine{"NotBegun", "INFO  jepsen.util - 2 :ok :write 1", "client 2 has not begun anything"},
                      BadLine{"OtherValue", "INFO  jepsen.util - 0 :ok :write 2",
                              "this is not the end of what the client began in line 1"},
                      BadLine{"OtherPair", "INFO  jepsen.util - 1 :fail :cas [1 3]", "this is not the end of"},
                      BadLine{"OtherOperation", "INFO  jepsen.util - 0 :ok :read 1", "this is not the end of"}),
    [](const auto& info) { return info.param.name; });

class PorcupineErrorTest : public ::testing::TestWithParam<BadLine> {};

TEST_P(PorcupineErrorTest, NamesTheLine) {
  const std::string text = absl::StrCat(
      "{:process 0, :type :invoke, :f :append, :key \"k\", :value \"a\"}\n"
      "{:process 1, :type :invoke, :f :get, :key \"k\", :value nil}\n",
      GetParam().line, "\n");

  EXPECT_THAT(ReadPorcupineKv(text),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(absl::StrCat("line 3: ", GetParam().error))));
}

INSTANTIATE_TEST_SUITE_P(
    Lines, PorcupineErrorTest,
    ::testing::Values(
        BadLine{"Blank", "", "not of the form"},
        BadLine{"CutShort", "{:process 0, :type :ok, :f :append, :key \"k\", :value \"a", "not of the form"},
        BadLine{"NotClosed", "{:process 0, :type :ok, :f :append, :key \"k\", :value \"a\"", "not of the form"},
        BadLine{"More", "{:process 0, :type :ok, :f :append, :key \"k\", :value \"a\"} ", "not of the form"},
        BadLine{"NoKey", "{:process 0, :type :ok, :f :append, :value \"a\"}", "not of the form"},
        BadLine{"Client", "{:process -1, :type :ok, :f :append, :key \"k\", :value \"a\"}", "not of the form"},
        BadLine{"Escape", "{:process 0, :type :ok, :f :append, :key \"k\", :value \"\\a\"}", "not of the form"},
        BadLine{"Type", "{:process 0, :type :no, :f :append, :key \"k\", :value \"a\"}", "unknown type :no"},
        BadLine{"Operation", "{:process 0, :type :ok, :f :cas, :key \"k\", :value \"a\"}", "unknown operation :cas"},
        BadLine{"NoValue", "{:process 0, :type :ok, :f :append, :key \"k\", :value nil}", "a append without a value"},
        BadLine{"GetOfNil", "{:process 1, :type :ok, :f :get, :key \"k\", :value nil}",
                "a get has a value when it is ok"},
        BadLine{"OtherKey", "{:process 0, :type :ok, :f :append, :key \"K\", :value \"a\"}", "this is not the end of"},
        BadLine{"OtherValue", "{:process 0, :type :ok, :f :append, :key \"k\", :value \"b\"}",
                "this is not the end of"},
        BadLine{"Twice", "{:process 0, :type :invoke, :f :get, :key \"k\", :value nil}", "client 0 has not ended"}),
    [](const auto& info) { return info.param.name; });

// --- JSON ---

TEST(HistoryReadersTest, WhatIsWrittenAsJsonComesBack) {
  int64_t now_ns = 0;
  History history([&] { return Instant::FromNanoseconds(now_ns += 100); });
  history.Invoke("ann", "x", "cas", 1, "\"\\\n\t\x01\x7f\xc3\xa4").Return("true");
  (void)history.Invoke("bob", "", "read");
  history.Invoke("eve", "y", "write", "z").Fail();

  EXPECT_THAT(ReadJsonLines(ToJsonLines(history.operations())), IsOkAndHolds(history.operations()));
}

TEST(HistoryReadersTest, WhatIsNoJsonOfOursIsRefused) {
  const std::string good =
      R"({"client":"a","object":"x","name":"read","arguments":[],"outcome":"answered","answer":"1","invoked":0,"returned":1})";
  const auto with = [&](absl::string_view part, absl::string_view other) {
    std::string text = good;
    return text.replace(text.find(part), part.size(), other);
  };
  EXPECT_OK(ReadJsonLines(good));
  for (const std::string& line : {with("client", "who"), with("[]", "[\"]"), with("[]", "[\"\",]"),
                                  with(",\"answer\":\"1\"", ""), with("answered", "maybe"), with(":0", ":x"),
                                  with(":0", ":-1"), with("}", ""), with("}", "} "), with("\"1\"", "\"\\u0100\"")}) {
    EXPECT_THAT(ReadJsonLines(absl::StrCat(with(":0", ":5").replace(good.size() - 2, 1, "6"), "\n", line)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 2: not an operation")))
        << line;
  }
  EXPECT_THAT(ReadJsonLines(absl::StrCat(good, "\n", good)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 2: began before")));
  EXPECT_THAT(ReadJsonLines(with(",\"returned\":1", "")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 1: has returned and is open, or neither")));
  EXPECT_THAT(ReadJsonLines(with(":0", ":1")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 1: has returned before it began")));
}

}  // namespace
}  // namespace tandem::testing
