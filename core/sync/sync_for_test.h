// SPDX-License-Identifier: Apache-2.0
//
// The fixture of this package's tests: calls as tasks that run beside the test, in the world of the binary.

#ifndef TANDEM_CORE_SYNC_SYNC_FOR_TEST_H_
#define TANDEM_CORE_SYNC_SYNC_FOR_TEST_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {

class SyncTest : public ::testing::Test {
 protected:
  using Code = absl::StatusCode;
  template <typename T>
  using Background = std::unique_ptr<testing::Background<T>>;

  void TearDown() override { loop_.Drain(); }

  // Awaits in the loop.
  template <typename Awaitable>
  auto Run(Awaitable&& awaitable) {
    return loop_.Run(std::forward<Awaitable>(awaitable));
  }
  template <typename T>
  Background<T> Start(Task<T> task) {
    Background<T> background = loop_.Start(std::move(task));
    Settle();
    return background;
  }
  template <typename T>
  T Wait(const Background<T>& background) {
    return loop_.Wait(background);
  }
  // Lets everything happen that is about to.
  void Settle() {
    for (int i = 0; i < 4; ++i) EXPECT_OK(Run(Yield()));
  }
  // Gives `operation` no time to wait.
  template <typename Operation>
  auto RunBriefly(Operation&& operation) {
    return Run(static_cast<Operation&&>(operation).By(loop_.shard().now() + absl::Milliseconds(1)));
  }

  testing::WorldLoop loop_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_SYNC_FOR_TEST_H_
