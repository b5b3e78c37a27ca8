// SPDX-License-Identifier: Apache-2.0
//
// A simulator that gets one thing wrong: who writes to a connection that was reset is told that all is well. For the
// test that this is found.

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "tandem/testing/conformance/differential/child.h"
#include "tandem/testing/conformance/differential/program.h"
#include "tandem/testing/conformance/differential/sim_hosts.h"

namespace tandem::testing {
namespace {

class WrongWorld final : public SimWorld {
 public:
  using SimWorld::SimWorld;
  std::string Falsify(const Step& step, std::string result) override {
    if (step.verb == Verb::kWrite && absl::StrContains(result, "UNAVAILABLE")) return "1 ok";
    return result;
  }
};

}  // namespace
}  // namespace tandem::testing

int main(int argc, char** argv) {
  tandem::testing::WrongWorld world(tandem::testing::SimHostsOptionsFromArguments(argc, argv));
  return tandem::testing::ServePrograms(world);
}
