// SPDX-License-Identifier: Apache-2.0
//
// SIM_TEST: a test that runs in a simulated world, once per seed.
//
//   SIM_TEST(Kv, RepliesMatchRequestsUnderFaults) {
//     auto& client = world.AddHost("client", [] { return RunWorkload("server:6379"); });
//     world.Inject(sim::Faults::Network());
//     EXPECT_OK(world.RunUntilDone(client, absl::Minutes(10)));
//   }
//
// The body gets `tandem::sim::World& world`, made from the seed and from options, where there are any:
//
//   SIM_TEST(Kv, AMillionKeys, sim::WorldOptions().set_schedule(sim::ScheduleKind::kPct)) { ... }
//
// Tests that share a cluster have a fixture, a class from SimFixture (below), as googletest's TEST_F; and those that
// are run for several values have one from SimFixtureWithParam:
//
//   class RaftTest : public tandem::testing::SimFixtureWithParam<int> {
//    protected:
//     RaftTest() { for (int i = 0; i < GetParam(); ++i) AddServer(i); }
//   };
//   SIM_TEST_P(RaftTest, ElectsOneLeader, 3, 5, 7) { EXPECT_OK(world.RunUntil("a leader is elected", ...)); }
//
// A seed fails by a failed EXPECT_ or ASSERT_ (what the
// world finds, such as stuck tasks or a livelock, is in the status that RunUntilDone() returns), by a crash, a leak
// under ASan, an exit, or by taking too long; a failed expectation is followed by the faults of its seed. Each seed has
// a process of its own, so globals start fresh. `--help` of the test's binary lists the flags.

#ifndef TANDEM_TESTING_SIM_TEST_H_
#define TANDEM_TESTING_SIM_TEST_H_

#include <cstddef>
#include <iterator>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gtest/gtest.h"  // IWYU pragma: export
#include "tandem/sim/world/world.h"
#include "tandem/testing/runner.h"

namespace tandem::testing {

// Runs `body` in a new world and returns what became of it. Of `world_options`, the seed and the trace are those of the
// run, and so is max_events where the run has one.
SeedResult RunInWorld(const SeedOptions& options, sim::WorldOptions world_options,
                      absl::FunctionRef<void(sim::World& world)> body);

// What tests have in common: a class of one's own between this and SIM_TEST_F(), made anew for each seed.
class SimFixture {
 public:
  SimFixture() : world(*sim::World::Current()) {}
  SimFixture(const SimFixture&) = delete;
  SimFixture& operator=(const SimFixture&) = delete;
  virtual ~SimFixture() = default;

  // A class that wants other options has a function of this name.
  static sim::WorldOptions Options() { return sim::WorldOptions(); }
  // SetUp(), the test unless an ASSERT_ in there has failed, and TearDown().
  void RunTest();

 protected:
  virtual void SetUp() {}
  virtual void TearDown() {}

  sim::World& world;  // As in the body of a SIM_TEST.

 private:
  virtual void TestBody() = 0;
};

// The same for SIM_TEST_P().
template <typename T>
class SimFixtureWithParam : public SimFixture {
 public:
  using ParamType = T;
  static const T& GetParam() { return *param_; }
  static void SetParam(const T* param) { param_ = param; }

 private:
  inline static const T* param_ = nullptr;
};

template <typename Test>
concept HasParam = requires { typename Test::ParamType; };

template <typename Test>
SeedResult RunFixture(const SeedOptions& options) {
  return RunInWorld(options, Test::Options(), [](sim::World&) { Test().RunTest(); });
}

// The cases of a SIM_TEST_P, one for each of an array of values: "Name/0" and so on. Static, as what is in it.
template <typename Test, const auto& kParams>
class SimTestCases {
 public:
  SimTestCases(const char* suite, const char* name, const char* file, int line) {
    Register(suite, name, file, line, std::make_index_sequence<kCount>());
  }

 private:
  static constexpr size_t kCount = std::size(kParams);
  static constexpr size_t kNameBytes = 128;  // More is cut.

  template <size_t kIndex>
  static SeedResult Run(const SeedOptions& options) {
    Test::SetParam(&kParams[kIndex]);
    SCOPED_TRACE(absl::StrCat("GetParam() is ", ::testing::PrintToString(kParams[kIndex])));
    return RunFixture<Test>(options);
  }
  template <size_t... kIndices>
  void Register(const char* suite, const char* name, const char* file, int line, std::index_sequence<kIndices...>) {
    (RegisterCase(kIndices, SimTestCase{suite, name, &Run<kIndices>, file, line}), ...);
  }
  void RegisterCase(size_t index, const SimTestCase& test_case) {
    absl::SNPrintF(names_[index], kNameBytes, "%s/%d", test_case.name, index);
    cases_[index] = test_case;
    cases_[index].name = names_[index];
    RegisterSimTest(&cases_[index]);
  }

  char names_[kCount][kNameBytes];
  SimTestCase cases_[kCount];
};

}  // namespace tandem::testing

#define TANDEM_REGISTER_SIM_TEST(suite, name, run)                                                              \
  static ::tandem::testing::SimTestCase sim_test_case_##suite##_##name{#suite, #name, run, __FILE__, __LINE__}; \
  [[maybe_unused]] static const bool sim_test_registered_##suite##_##name =                                     \
      ::tandem::testing::RegisterSimTest(&sim_test_case_##suite##_##name)

// SIM_TEST(suite, name) or SIM_TEST(suite, name, options).
#define SIM_TEST(suite, name, ...)                                                                                  \
  static void SimTestBody_##suite##_##name(::tandem::sim::World& world);                                            \
  static ::tandem::testing::SeedResult SimTestRun_##suite##_##name(const ::tandem::testing::SeedOptions& options) { \
    return ::tandem::testing::RunInWorld(options, ::tandem::sim::WorldOptions(__VA_ARGS__),                         \
                                         &SimTestBody_##suite##_##name);                                            \
  }                                                                                                                 \
  TANDEM_REGISTER_SIM_TEST(suite, name, &SimTestRun_##suite##_##name);                                              \
  static void SimTestBody_##suite##_##name([[maybe_unused]] ::tandem::sim::World& world)

#define TANDEM_SIM_FIXTURE_CLASS(fixture, name)       \
  class SimTest_##fixture##_##name : public fixture { \
   private:                                           \
    void TestBody() override;                         \
  }

#define SIM_TEST_F(fixture, name)                                                                                \
  static_assert(!::tandem::testing::HasParam<fixture>, #fixture " has a parameter: SIM_TEST_P gives it values"); \
  TANDEM_SIM_FIXTURE_CLASS(fixture, name);                                                                       \
  TANDEM_REGISTER_SIM_TEST(fixture, name, &::tandem::testing::RunFixture<SimTest_##fixture##_##name>);           \
  void SimTest_##fixture##_##name::TestBody()

// SIM_TEST_P(fixture, name, value, ...): one test for each value, which GetParam() gives.
#define SIM_TEST_P(fixture, name, ...)                                                                   \
  static_assert(::tandem::testing::HasParam<fixture>, #fixture " is no SimFixtureWithParam");            \
  static_assert(sizeof(#__VA_ARGS__) > 1, "SIM_TEST_P(fixture, name, value, ...) needs a value");        \
  TANDEM_SIM_FIXTURE_CLASS(fixture, name);                                                               \
  static const fixture::ParamType sim_test_params_##fixture##_##name[] = {__VA_ARGS__};                  \
  static ::tandem::testing::SimTestCases<SimTest_##fixture##_##name, sim_test_params_##fixture##_##name> \
      sim_test_cases_##fixture##_##name(#fixture, #name, __FILE__, __LINE__);                            \
  void SimTest_##fixture##_##name::TestBody()

#endif  // TANDEM_TESTING_SIM_TEST_H_
