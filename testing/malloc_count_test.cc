// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/malloc_count.h"

#include <cstdlib>
#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace tandem::testing {
namespace {

TEST(MallocCountTest, CountsMallocAndNew) {
  if (!MallocCount::kCounts) GTEST_SKIP() << "the sanitizer owns the allocator";
  const uint64_t before = MallocCount::ThisThread();
  void* volatile memory = std::malloc(10);
  std::free(memory);
  EXPECT_EQ(MallocCount::ThisThread(), before + 1);

  std::unique_ptr<std::string> text = std::make_unique<std::string>(100, 'x');
  EXPECT_EQ(MallocCount::ThisThread(), before + 3);
}

TEST(MallocCountTest, NothingIsCountedWhereNothingIsAllocated) {
  const uint64_t before = MallocCount::ThisThread();
  EXPECT_EQ(MallocCount::ThisThread(), before);
}

}  // namespace
}  // namespace tandem::testing
