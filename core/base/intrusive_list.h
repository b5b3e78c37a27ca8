// SPDX-License-Identifier: Apache-2.0
//
// A doubly linked list whose links live in its elements: no allocation, removal in constant time from anywhere.
//
// An element derives from ListLink<Tag> and is in at most one list per Tag. The list does not own its elements; an
// element must leave its list before it dies (CHECKed). Order is insertion order, which makes iteration deterministic.

#ifndef TANDEM_CORE_BASE_INTRUSIVE_LIST_H_
#define TANDEM_CORE_BASE_INTRUSIVE_LIST_H_

#include "absl/log/check.h"

namespace tandem {

template <typename T, typename Tag>
class IntrusiveList;

// The link. `Tag` tells the lists apart when an element can be in several.
template <typename Tag>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { DCHECK(!linked()); }

  bool linked() const { return next_ != nullptr; }

  // Leaves the list. REQUIRES linked().
  void Unlink() {
    DCHECK(linked());
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

 private:
  template <typename T, typename U>
  friend class IntrusiveList;

  ListLink* next_ = nullptr;
  ListLink* previous_ = nullptr;
};

template <typename T, typename Tag>
class IntrusiveList {
 public:
  using Link = ListLink<Tag>;

  IntrusiveList() { Reset(); }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    DCHECK(empty());
    head_.next_ = head_.previous_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }

  void PushBack(T& element) { InsertBefore(head_, element); }
  void PushFront(T& element) { InsertBefore(*head_.next_, element); }

  // REQUIRES !empty().
  T& front() { return Element(head_.next_); }
  T& PopFront() {
    T& element = front();
    static_cast<Link&>(element).Unlink();
    return element;
  }

  // REQUIRES !empty().
  T& PopBack() {
    T& element = Element(head_.previous_);
    static_cast<Link&>(element).Unlink();
    return element;
  }

  // Moves all elements of `other` to the end of this list, in constant time.
  void Splice(IntrusiveList& other) {
    if (other.empty()) return;
    Link& first = *other.head_.next_;
    Link& last = *other.head_.previous_;
    first.previous_ = head_.previous_;
    head_.previous_->next_ = &first;
    last.next_ = &head_;
    head_.previous_ = &last;
    other.Reset();
  }

  // For walks that end early or take elements out: the first element, and the one after `element`; null at the end.
  T* First() const { return head_.next_ == &head_ ? nullptr : &Element(head_.next_); }
  T* Next(const T& element) const {
    Link* next = static_cast<const Link&>(element).next_;
    return next == &head_ ? nullptr : &Element(next);
  }

  // Calls `visit(T&)` for each element, in order. `visit` must not change the list.
  template <typename F>
  void ForEach(F&& visit) const {
    for (Link* link = head_.next_; link != &head_; link = link->next_) visit(Element(link));
  }

 private:
  static T& Element(Link* link) { return *static_cast<T*>(link); }

  void Reset() { head_.next_ = head_.previous_ = &head_; }

  void InsertBefore(Link& position, T& element) {
    Link& link = element;
    DCHECK(!link.linked());
    link.previous_ = position.previous_;
    link.next_ = &position;
    position.previous_->next_ = &link;
    position.previous_ = &link;
  }

  mutable Link head_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_BASE_INTRUSIVE_LIST_H_
