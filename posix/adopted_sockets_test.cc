// SPDX-License-Identifier: Apache-2.0
//
// The environment of sd_listen_fds(3). testing/conformance has the rest.

#include "tandem/posix/adopted_sockets.h"

#include <cerrno>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace tandem::posix {
namespace {

struct Case {
  const char* name;
  const char* pid;
  const char* count;
  const char* names;
  int result;
  std::vector<std::string> parsed;
};

class ListenVariablesTest : public ::testing::TestWithParam<Case> {};

TEST_P(ListenVariablesTest, AreParsed) {
  const Case& c = GetParam();
  std::vector<std::string> names = {"old"};
  EXPECT_EQ(ParseListenVariables(c.pid, c.count, c.names, 42, &names), c.result);
  EXPECT_EQ(names, c.parsed);
}

INSTANTIATE_TEST_SUITE_P(Environment, ListenVariablesTest,
                         ::testing::Values(Case{"Unset", nullptr, nullptr, nullptr, 0, {}},
                                           Case{"NoPid", nullptr, "1", "a", 0, {}},
                                           Case{"NoCount", "42", nullptr, "a", 0, {}},
                                           Case{"None", "42", "0", nullptr, 0, {}},
                                           Case{"NoneWithNames", "42", "0", "", 0, {}},
                                           Case{"WithoutNames", "42", "2", nullptr, 0, {"unknown", "unknown"}},
                                           Case{"WithNames", "42", "2", "http:admin", 0, {"http", "admin"}},
                                           Case{"WithAnEmptyName", "42", "2", ":admin", 0, {"", "admin"}},
                                           Case{"OfAnotherProcess", "41", "2", "http:admin", 0, {}},
                                           Case{"OfAnotherProcessMalformed", "41", "x", nullptr, 0, {}},
                                           Case{"PidIsNoNumber", "x", "1", nullptr, -EINVAL, {}},
                                           Case{"PidIsZero", "0", "1", nullptr, -EINVAL, {}},
                                           Case{"CountIsNoNumber", "42", "one", nullptr, -EINVAL, {}},
                                           Case{"CountIsNegative", "42", "-1", nullptr, -EINVAL, {}},
                                           Case{"CountIsHuge", "42", "2147483647", nullptr, -EINVAL, {}},
                                           Case{"TooFewNames", "42", "2", "http", -EINVAL, {}},
                                           Case{"TooManyNames", "42", "1", "http:admin", -EINVAL, {}}),
                         [](const ::testing::TestParamInfo<Case>& info) { return info.param.name; });

}  // namespace
}  // namespace tandem::posix
