// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/spawn.h"

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"

namespace tandem::internal {

void RootCoroutine::Start(CancelScope& scope, TaskSet* set) && {
  Executor& executor = Executor::Current();
  promise_.set = set;
  executor.StartTask(promise_, std::coroutine_handle<promise_type>::from_promise(promise_), scope);
}

void RootCoroutine::promise_type::unhandled_exception() {
  if (set == nullptr || Executor::Current().destroys_tasks()) Executor::Current().EscapedException();
  set->Fail();
}

void RootCoroutine::promise_type::Ender::await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
  TaskSet* set = ended.promise().set;
  ended.destroy();
  if (set != nullptr) set->OnTaskEnded();
}

TaskSet::~TaskSet() { CHECK(running_ == 0 || Executor::Current().dead()) << "a task set ended before its tasks"; }

bool TaskSet::JoinOperation::Start() {
  if (set_.running_ == 0) return true;
  CHECK(set_.joiner_ == nullptr) << "a task set is joined once at a time";
  set_.joiner_ = this;
  return false;
}

std::string TaskSet::JoinOperation::Describe() const { return absl::StrCat("the end of ", set_.running_, " task(s)"); }

void TaskSet::Fail() {
  if (!first_exception_) first_exception_.Catch();
  scope_.Cancel();
}

void TaskSet::OnTaskEnded() {
  CHECK_GT(running_, 0u);
  if (--running_ > 0 || joiner_ == nullptr) return;
  std::exchange(joiner_, nullptr)->Finish();
}

}  // namespace tandem::internal
