// SPDX-License-Identifier: Apache-2.0
//
// What RunBlocking() makes of a reactor's answers that a test cannot get from a machine. The rest is in
// testing/conformance/run_blocking_test.cc.

#include "tandem/core/runtime/run_blocking.h"

#include <cerrno>
#include <cstddef>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"

namespace tandem {
namespace {

int calls = 0;

absl::Status Count() {
  ++calls;
  return absl::OkStatus();
}
IoResult CountBytes(size_t size) {
  ++calls;
  return IoResult{absl::OkStatus(), size};
}

Task<void> CallBoth(absl::Status* status, IoResult* result) {
  *status = co_await RunBlocking(&Count);
  *result = co_await RunBlocking(&CountBytes, size_t{7});
}

TEST(RunBlockingTest, WithoutAThreadNothingIsCalled) {
  calls = 0;
  FakeShard shard;
  absl::Status status;
  IoResult result;
  shard.Start(CallBoth(&status, &result));
  for (size_t i = 0; i < 2; ++i) {
    while (shard.reactor().submitted().size() <= i) ASSERT_TRUE(shard.shard().Turn(Instant::InfinitePast()));
    shard.reactor().Complete(*shard.reactor().submitted()[i], -EAGAIN);
  }
  EXPECT_TRUE(shard.RunUntilEnd());
  shard.Drain();

  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(result.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(result.bytes, 0u);
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace tandem
