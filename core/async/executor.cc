// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/executor.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/base/random.h"

namespace tandem {
namespace {

std::string PlaceOf(const std::source_location& location) {
  absl::string_view file = location.file_name();
  return absl::StrCat(file, ":", location.line());
}

}  // namespace

Executor::Executor() : root_scope_(new CancelScope()) {}

Executor::~Executor() {
  CHECK(tasks_.empty()) << "an executor ended with " << task_count_ << " tasks";
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

void Executor::ForgetTask(RootPromise& root) {
  static_cast<ListLink<TaskListTag>&>(root).Unlink();
  --task_count_;
}

void Executor::RunReady() {
  PromiseBase* head = std::exchange(ready_head_, nullptr);
  ready_tail_ = nullptr;
  if (policy_ != nullptr && head != nullptr && head->next_ready_ != nullptr) {
    OrderByPolicy(head);
  } else {
    while (head != nullptr) {
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

void Executor::OrderByPolicy(PromiseBase* head) {
  ranked_.clear();
  for (PromiseBase* promise = head; promise != nullptr; promise = promise->next_ready_) {
    ranked_.push_back({policy_->Rank(*promise->task), ranked_.size(), promise});
  }
  std::sort(ranked_.begin(), ranked_.end(),
            [](const Ranked& a, const Ranked& b) { return a.rank != b.rank ? a.rank < b.rank : a.order < b.order; });
  for (const Ranked& ranked : ranked_) Resume(*ranked.promise);
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
  next_ = promise.self;
  while (next_) std::exchange(next_, nullptr).resume();
  running_ = nullptr;
  exception_trace_.End();
}

const PromiseBase& Executor::running_coroutine() const {
  CHECK(running_ != nullptr) << "no coroutine runs here";
  const PromiseBase* frame = running_->first_frame;
  while (frame->child != nullptr) frame = frame->child;
  return *frame;
}

bool Executor::TimeSliceIsOver() {
  const Instant now = ReadNow();
  if (slice_start_ == Instant::InfiniteFuture()) slice_start_ = now;
  return now - slice_start_ >= TimeSlice();
}

std::string Executor::DescribeTasks(size_t limit) const {
  std::string text;
  size_t number = 0;
  tasks_.ForEach([&](RootPromise& root) {
    if (++number > limit) return;
    absl::StrAppend(&text, "  task ", number, " of ", task_count_, "\n");
    // The first frame is the library's own; it has nothing to say but when the task has not started.
    std::vector<const PromiseBase*> chain;
    for (const PromiseBase* frame = &root; frame != nullptr; frame = frame->child) chain.push_back(frame);
    const Leaf* leaf = chain.back()->leaf;
    const absl::string_view turn =
        &root.context == runs_alone_ && task_count_ > 1 ? "the end of all other tasks" : "its turn to run";
    absl::StrAppend(&text, "    waits for: ", leaf != nullptr ? leaf->Describe() : turn, "\n");
    for (size_t i = chain.size(); i-- > 1;) {
      absl::StrAppend(&text, "    at ", PlaceOf(chain[i]->await_location), " in ",
                      chain[i]->await_location.function_name(), "\n");
    }
  });
  if (number > limit) absl::StrAppend(&text, "  and ", number - limit, " more\n");
  return text;
}

void Executor::Die() {
  dead_ = true;
  ready_head_ = ready_tail_ = nullptr;
  waits_to_be_alone_ = nullptr;
}

void Executor::DestroyTasks() {
  CHECK(dead_);
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
  LOG(FATAL) << "an exception escaped a spawned task: " << text << trace;
}

}  // namespace tandem
