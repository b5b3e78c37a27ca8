// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/intrusive_list.h"

#include <vector>

#include "gtest/gtest.h"

namespace tandem {
namespace {

struct FirstTag;
struct SecondTag;

struct Item : ListLink<FirstTag>, ListLink<SecondTag> {
  explicit Item(int value) : value(value) {}
  int value;
};
using FirstList = IntrusiveList<Item, FirstTag>;
using SecondList = IntrusiveList<Item, SecondTag>;

template <typename List>
std::vector<int> ValuesOf(const List& list) {
  std::vector<int> values;
  list.ForEach([&](Item& item) { values.push_back(item.value); });
  return values;
}

TEST(IntrusiveListTest, KeepsInsertionOrder) {
  Item a(1), b(2), c(3);
  FirstList list;
  EXPECT_TRUE(list.empty());

  list.PushBack(b);
  list.PushBack(c);
  list.PushFront(a);

  EXPECT_EQ(ValuesOf(list), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(&list.front(), &a);
  EXPECT_EQ(&list.PopFront(), &a);
  EXPECT_EQ(&list.PopBack(), &c);
  EXPECT_EQ(&list.PopBack(), &b);
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveListTest, ElementLeavesFromTheMiddle) {
  Item a(1), b(2), c(3);
  FirstList list;
  for (Item* item : {&a, &b, &c}) list.PushBack(*item);

  static_cast<ListLink<FirstTag>&>(b).Unlink();

  EXPECT_FALSE(static_cast<ListLink<FirstTag>&>(b).linked());
  EXPECT_EQ(ValuesOf(list), (std::vector<int>{1, 3}));
  list.PopFront();
  list.PopFront();
}

TEST(IntrusiveListTest, ElementMayBeInOneListPerTag) {
  Item a(1), b(2);
  FirstList first;
  SecondList second;
  first.PushBack(a);
  second.PushBack(b);
  second.PushBack(a);

  EXPECT_EQ(&first.PopFront(), &a);
  EXPECT_EQ(ValuesOf(second), (std::vector<int>{2, 1}));
  second.PopFront();
  second.PopFront();
}

TEST(IntrusiveListTest, AWalkMayTakeElementsOutAndEndEarly) {
  Item a(1), b(2), c(3);
  FirstList list;
  EXPECT_EQ(list.First(), nullptr);
  list.PushBack(a);
  list.PushBack(b);
  list.PushBack(c);
  Item* first = list.First();
  ASSERT_EQ(first, &a);
  Item* second = list.Next(*first);
  static_cast<ListLink<FirstTag>&>(a).Unlink();
  EXPECT_EQ(second, &b);
  EXPECT_EQ(list.Next(*second), &c);
  EXPECT_EQ(list.Next(c), nullptr);
  EXPECT_EQ(list.First(), &b);
  while (!list.empty()) list.PopFront();
}

TEST(IntrusiveListTest, SpliceMovesEverythingToTheEnd) {
  Item a(1), b(2), c(3);
  FirstList list, other;
  list.PushBack(a);
  other.PushBack(b);
  other.PushBack(c);

  list.Splice(other);

  EXPECT_TRUE(other.empty());
  EXPECT_EQ(ValuesOf(list), (std::vector<int>{1, 2, 3}));
  while (!list.empty()) list.PopFront();
}

TEST(IntrusiveListTest, SpliceOfAndIntoEmptyLists) {
  Item a(1), b(2);
  FirstList list, other;
  list.Splice(other);
  EXPECT_TRUE(list.empty());
  other.PushBack(a);
  other.PushBack(b);

  list.Splice(other);
  list.Splice(other);

  EXPECT_EQ(ValuesOf(list), (std::vector<int>{1, 2}));
  static_cast<ListLink<FirstTag>&>(a).Unlink();
  EXPECT_EQ(&list.PopBack(), &b);
  EXPECT_TRUE(list.empty());
  other.PushBack(a);
  EXPECT_EQ(&other.PopFront(), &a);
}

}  // namespace
}  // namespace tandem
