// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/executor.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/debugger_data.h"
#include "tandem/core/base/random.h"

namespace tandem {
namespace {

const PromiseBase& Innermost(const PromiseBase& first) {
  const PromiseBase* frame = &first;
  while (frame->child != nullptr) frame = frame->child;
  return *frame;
}

}  // namespace

Executor::Executor() : root_scope_(new CancelScope()) { internal::DebuggerData::Add(*this); }

Executor::~Executor() {
  CHECK(tasks_.empty()) << "an executor ended with " << task_count_ << " tasks";
  internal::DebuggerData::Remove(*this);
  delete root_scope_;
}

void Executor::StartTask(RootPromise& root, std::coroutine_handle<> self, CancelScope& scope) {
  TaskContext& parent = running_ != nullptr ? *running_ : own_context_;
  root.context.executor = this;
  root.context.first_frame = &root;
  root.context.path = HashCombine(parent.path, parent.next_ordinal++);
  root.self = self;
  root.scope = &scope;
  root.task = &root.context;
  tasks_.PushBack(root);
  ++task_count_;
  if (!dead_) Ready(root);
}

void Executor::NoteRefusedAwait(TaskContext& task) {
  if (!root_scope_->cancelled() || task.refused_awaits == std::numeric_limits<uint32_t>::max()) return;
  most_refused_awaits_ = std::max(most_refused_awaits_, ++task.refused_awaits);
}

void Executor::ForgetTask(RootPromise& root) {
  static_cast<ListLink<TaskListTag>&>(root).Unlink();
  --task_count_;
}

void Executor::RunReady() {
  if (policy_ != nullptr) {
    RunByPolicy();
  } else {
    PromiseBase* head = std::exchange(ready_head_, nullptr);
    ready_tail_ = nullptr;
    while (head != nullptr && !dead_) {
      PromiseBase* promise = head;
      head = promise->next_ready_;
      Resume(*promise);
    }
  }
  if (waits_to_be_alone_ != nullptr && (task_count_ == 1 || runs_alone_ == nullptr)) ResumeAlone();
}

// Not at once: those who turn the loop look at what is ready.
void Executor::ResumeAlone() {
  PromiseBase& promise = *std::exchange(waits_to_be_alone_, nullptr);
  promise.is_ready_ = false;
  Ready(promise);
}

void Executor::RunByPolicy() {
  HandToPolicy();
  if (steps_with_held_ >= kHoldsMax) {
    steps_with_held_ = 0;
    all_held_.clear();
    while (held_count_ > 0) all_held_.push_back(&TakeFromPolicy());
    for (PromiseBase* const promise : all_held_) {
      if (dead_) return;  // By a call that the one before it made.
      Resume(*promise);
    }
    return;
  }
  for (size_t left = held_count_; left > 0 && held_count_ > 0 && !dead_; --left) {
    Resume(TakeFromPolicy());
    ++steps_with_held_;
    if (held_count_ == 0) steps_with_held_ = 0;
    HandToPolicy();
  }
}

void Executor::HandToPolicy() {
  PromiseBase* promise = std::exchange(ready_head_, nullptr);
  ready_tail_ = nullptr;
  for (; promise != nullptr; promise = promise->next_ready_) {
    promise->task->held = promise;
    policy_->Add(*promise->task);
    ++held_count_;
  }
}

PromiseBase& Executor::TakeFromPolicy() {
  --held_count_;
  return *std::exchange(policy_->Take().held, nullptr);
}

void Executor::Resume(PromiseBase& promise) {
  if (promise.task == runs_alone_ && task_count_ > 1) {
    waits_to_be_alone_ = &promise;
    return;
  }
  promise.is_ready_ = false;
  running_ = promise.task;
  ++running_->resumes;
  ready_awaits_ = 0;
  slice_start_ = Instant::InfiniteFuture();
  if (task_observer_ != nullptr) [[unlikely]] {
    task_observer_->OnResume();
  }
  next_ = promise.self;
  while (next_) std::exchange(next_, nullptr).resume();
  running_ = nullptr;
  exception_trace_.End();
}

const PromiseBase& Executor::running_coroutine() const {
  CHECK(running_ != nullptr) << "no coroutine runs here";
  return Innermost(*running_->first_frame);
}

bool Executor::TimeSliceIsOver() {
  const Instant now = ReadNow();
  if (slice_start_ == Instant::InfiniteFuture()) slice_start_ = now;
  return now - slice_start_ >= TimeSlice();
}

namespace {

// Where a task is: equal for tasks that do the same, whatever each of them waits for.
std::string AwaitStackOf(const PromiseBase& innermost) {
  std::string text;
  WriteAwaitStack(innermost, [&](absl::string_view part) { absl::StrAppend(&text, part); });
  return text;
}

}  // namespace

std::string Executor::WhatKeeps(const RootPromise& root, const Leaf* leaf) const {
  if (root.context.refused_awaits >= kManyRefusedAwaits) {
    return absl::StrCat("nothing: it ignores its cancellation, and has gone on after ", root.context.refused_awaits,
                        " awaits that were refused");
  }
  if (leaf != nullptr) return leaf->Describe();
  return &root.context == runs_alone_ && task_count_ > 1 ? "the end of all other tasks" : "its turn to run";
}

std::string Executor::DescribeTasks(size_t limit) const {
  struct Paragraph {
    size_t first_task;
    std::string waits_for;
    absl::string_view awaits;
    size_t others = 0;
  };
  std::map<std::string, size_t> by_awaits;
  std::vector<Paragraph> paragraphs;
  std::vector<const RootPromise*> tasks;
  tasks_.ForEach([&](RootPromise& root) {
    tasks.push_back(&root);
    const PromiseBase& innermost = Innermost(root);
    const auto [found, inserted] = by_awaits.emplace(AwaitStackOf(innermost), paragraphs.size());
    if (!inserted) {
      ++paragraphs[found->second].others;
      return;
    }
    paragraphs.push_back({tasks.size(), WhatKeeps(root, innermost.leaf), absl::string_view(found->first)});
  });

  std::string text = DescribeCircle(tasks);
  for (size_t i = 0; i < paragraphs.size() && i < limit; ++i) {
    const Paragraph& paragraph = paragraphs[i];
    absl::StrAppend(&text, "  task ", paragraph.first_task, " of ", task_count_);
    if (paragraph.others > 0) absl::StrAppend(&text, ", and ", paragraph.others, " more like it");
    absl::StrAppend(&text, "\n    waits for: ", paragraph.waits_for, "\n", paragraph.awaits);
  }
  if (paragraphs.size() > limit) {
    size_t left_out = 0;
    for (size_t i = limit; i < paragraphs.size(); ++i) left_out += 1 + paragraphs[i].others;
    absl::StrAppend(&text, "  and ", left_out, " more\n");
  }
  return text;
}

// The first circle of tasks each of which waits for the next; empty if there is none. Nobody else can end it.
std::string Executor::DescribeCircle(const std::vector<const RootPromise*>& tasks) const {
  std::map<uint64_t, size_t> by_path;
  for (size_t i = 0; i < tasks.size(); ++i) by_path.emplace(tasks[i]->context.path, i);
  std::vector<size_t> next(tasks.size(), tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    const Leaf* const leaf = Innermost(*tasks[i]).leaf;
    const std::optional<uint64_t> path = leaf == nullptr ? std::nullopt : leaf->WaitsForTask();
    const auto found = path.has_value() ? by_path.find(*path) : by_path.end();
    if (found != by_path.end()) next[i] = found->second;
  }
  // The walk that last came by, so that each task is looked at once.
  std::vector<size_t> seen(tasks.size(), tasks.size());
  for (size_t start = 0; start < tasks.size(); ++start) {
    size_t at = start;
    while (at < tasks.size() && seen[at] == tasks.size()) {
      seen[at] = start;
      at = next[at];
    }
    if (at == tasks.size() || seen[at] != start) continue;
    std::string text = "  a circle, in which each task waits for the next:\n";
    const size_t first = at;
    do {
      absl::StrAppend(&text, "    task ", at + 1, " waits for ", Innermost(*tasks[at]).leaf->Describe(), " by task ",
                      next[at] + 1, next[at] == at ? ", itself" : "", "\n", AwaitStackOf(Innermost(*tasks[at])));
      at = next[at];
    } while (at != first);
    return text;
  }
  return "";
}

void Executor::Die() {
  dead_ = true;
  ready_head_ = ready_tail_ = nullptr;
  waits_to_be_alone_ = nullptr;
  if (held_count_ > 0) policy_->Clear();
  held_count_ = 0;
}

void Executor::DestroyTasks() {
  CHECK(dead_);
  destroys_tasks_ = true;
  // Newest first: a child is younger than the group that it belongs to.
  while (!tasks_.empty()) {
    RootPromise& root = tasks_.PopBack();
    tasks_.PushBack(root);
    // From the inside out, as the nesting of the frames would have it, but not by recursion: a chain may be long.
    PromiseBase* frame = &root;
    while (frame->child != nullptr) frame = frame->child;
    while (frame != nullptr) {
      PromiseBase* const parent = frame->parent;
      frame->self.destroy();
      frame = parent;
    }
  }
  destroys_tasks_ = false;
}

void Executor::EscapedException() {
  std::string text = "unknown exception";
  try {
    throw;
  } catch (const std::exception& exception) {
    text = exception.what();
  } catch (...) {
  }
  // One that was thrown outside of any coroutine has no trace; what is noted then belongs to an older one.
  const PromiseBase* const root = running_ != nullptr ? running_->first_frame : nullptr;
  const std::string trace = exception_trace_.LeadsTo(root) ? exception_trace_.Describe() : "";
  LOG(FATAL) << "an exception escaped "
             << (destroys_tasks_ ? "a destructor, of what a task held whose host has ended: " : "a spawned task: ")
             << text << trace;
}

}  // namespace tandem
