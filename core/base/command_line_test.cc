// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/command_line.h"

#include <cstdint>
#include <string>

#include "absl/flags/flag.h"
#include "gtest/gtest.h"

ABSL_FLAG(uint16_t, first_port, 7777, "a port of the test");
ABSL_FLAG(std::string, second_name, "none", "a name of the test");

namespace tandem {
namespace {

// As main() would, with `argument`.
void Parse(const char* argument) {
  std::string program = "server";
  std::string text = argument;
  char* argv[] = {program.data(), text.data(), nullptr};
  ParseFlags(2, argv, "About.", __FILE__);
}

TEST(CommandLineTest, HelpShowsTheFlagsOfTheFileInOrder) {
  EXPECT_EQ(HelpText("About.", __FILE__),
            "About.\n\nFlags, with their defaults:\n"
            "  --first_port=7777\n      a port of the test\n"
            "  --second_name=none\n      a name of the test\n");
}

TEST(CommandLineTest, HelpExitsWithZero) { EXPECT_EXIT(Parse("--help"), ::testing::ExitedWithCode(0), ""); }

TEST(CommandLineTest, WhatIsNoFlagIsRefused) {
  EXPECT_EXIT(Parse("7777"), ::testing::ExitedWithCode(1), "unknown argument '7777'");
  EXPECT_EXIT(Parse("--porp=7777"), ::testing::ExitedWithCode(1), "porp");
  EXPECT_EXIT(Parse("--first_port=70000"), ::testing::ExitedWithCode(1), "first_port");
}

TEST(CommandLineTest, FlagsAreSet) {
  Parse("--first_port=80");

  EXPECT_EQ(absl::GetFlag(FLAGS_first_port), 80);
}

}  // namespace
}  // namespace tandem
