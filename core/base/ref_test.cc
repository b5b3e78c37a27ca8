// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/ref.h"

#include <utility>

#include "gtest/gtest.h"

namespace tandem {
namespace {

struct Object : Counted<Object> {
  explicit Object(int* alive) : alive(alive) { ++*alive; }
  ~Object() { --*alive; }
  int* alive;
};

TEST(RefTest, LastReferenceDestroys) {
  int alive = 0;
  Ref<Object> first = Ref<Object>::Adopt(new Object(&alive));
  Ref<Object> second = first;
  first = Ref<Object>();
  EXPECT_EQ(alive, 1);

  second = Ref<Object>();
  EXPECT_EQ(alive, 0);
}

TEST(RefTest, MoveLeavesNull) {
  int alive = 0;
  Ref<Object> first = Ref<Object>::Adopt(new Object(&alive));
  Ref<Object> second = std::move(first);
  EXPECT_EQ(first.get(), nullptr);
  EXPECT_TRUE(second);
  EXPECT_EQ(alive, 1);
}

TEST(RefTest, ShareAddsAReference) {
  int alive = 0;
  Ref<Object> first = Ref<Object>::Adopt(new Object(&alive));
  Ref<Object> second = Ref<Object>::Share(*first);
  first = Ref<Object>();
  EXPECT_EQ(alive, 1);
}

TEST(RefTest, SelfAssignmentKeepsTheObject) {
  int alive = 0;
  Ref<Object> ref = Ref<Object>::Adopt(new Object(&alive));
  Ref<Object>& alias = ref;
  ref = alias;
  EXPECT_EQ(alive, 1);
}

}  // namespace
}  // namespace tandem
