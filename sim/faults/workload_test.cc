// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/workload.h"

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"

namespace tandem::sim {
namespace {

Workload Sample() {
  Workload workload;
  workload.end_ns = 1'234'567;
  workload.steps = {120, 900, 8};
  workload.hosts["server"] = {.calls = 10, .lookups = 3, .works = 4, .accepts = 5, .changed_lookups = 6, .visits = {}};
  workload.hosts["client"] = {.calls = 7, .connects = 2, .timers = 9, .visits = {{"commit.before_reply", 3}, {"x", 1}}};
  workload.links[{"client", "server"}] = {100, 20, 1460};
  workload.links[{"server", "client"}] = {90, 0, 0};
  return workload;
}

TEST(WorkloadTest, TextParsesBack) {
  for (const Workload& workload : {Workload(), Sample()}) {
    const absl::StatusOr<Workload> parsed = Workload::Parse(workload.ToString());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, workload);
  }
}

TEST(WorkloadTest, EveryCutIsNoticed) {
  const std::string text = Sample().ToString();
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(Workload::Parse(text.substr(0, size)).ok()) << text.substr(0, size);
  }
}

TEST(WorkloadTest, WrongLinesAreQuoted) {
  for (const char* line :
       {"host a calls 1", "link a b packets x datagrams 0", "end", "visits a b", "steps 1 of 2", "nothing"}) {
    const absl::Status status = Workload::Parse(std::string(line) + "\nend 1\n").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(line), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace tandem::sim
