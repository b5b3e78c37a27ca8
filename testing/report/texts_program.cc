// SPDX-License-Identifier: Apache-2.0
//
// Fails with what is hard to show: much text, bytes that are no text, many hosts, none. Run by texts_test.py.

#include <string>

#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

Task<absl::Status> Do(void (*what)()) {
  co_await Pause(absl::Seconds(1));
  what();
  co_await Pause(absl::Seconds(1));
  co_return absl::OkStatus();
}

// One host, which does `what` after a second.
void RunOne(sim::World& world, void (*what)()) {
  sim::Host& host = world.AddHost("host", [what] { return Do(what); });
  EXPECT_OK(world.RunUntilDone(host, absl::Minutes(1)));
}

SIM_TEST(Texts, LongValue) {
  RunOne(world, [] {
    const std::string value(3'000'000, 'v');
    TANDEM_ALWAYS(value.empty(), "there is no value", value);
  });
}

SIM_TEST(Texts, LongMessage) {
  RunOne(world, [] {
    std::string text = "it begins so: ";
    text.resize(text.size() + 50'000'000, 'm');
    ADD_FAILURE() << text;
  });
}

SIM_TEST(Texts, LongLog) {
  RunOne(world, [] {
    for (int i = 0; i < 200'000; ++i) LOG(INFO) << i << std::string(200, 'l');
    LOG(INFO) << std::string(3'000'000, 'n');
    ADD_FAILURE() << "it has logged much";
  });
}

SIM_TEST(Texts, Bytes) {
  RunOne(world, [] {
    LOG(INFO) << absl::string_view("before\0behind\x1b[31m\xff red", 23);
    ADD_FAILURE() << "rings \a and paints \x1b[31m, \xff is no character, \xc3\xa4 is one\r\n\tand more";
  });
}

SIM_TEST(Texts, ManyHosts) {
  for (int i = 0; i < 200; ++i) {
    world.AddHost(absl::StrCat("a-very-long-host-name-whose-end-tells-it-apart-", i), [] { return Do([] {}); });
  }
  EXPECT_OK(world.RunFor(absl::Seconds(5)));
  ADD_FAILURE() << "none of them did anything";
}

SIM_TEST(Texts, Stuck) {
  sim::Host& server = world.AddHost("server", [] { return Do([] {}); });
  sim::Host& client = world.AddHost("client", []() -> Task<absl::Status> {
    Event never;
    co_return co_await never.Wait();
  });
  static_cast<void>(server);
  EXPECT_EQ(world.RunUntilDone(client, absl::Minutes(5)), absl::OkStatus());
}

SIM_TEST(Texts, ACondition) {
  RunOne(world, [] {});
  const int failed = 5;
  EXPECT_TRUE(failed == 0 || failed > 10);
}

SIM_TEST(Texts, Passes) {
  RunOne(world, [] {});
}

SIM_TEST(Texts, BeforeAnything) { ADD_FAILURE() << "there is no host"; }

}  // namespace
}  // namespace tandem
