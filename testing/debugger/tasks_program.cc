// SPDX-License-Identifier: Apache-2.0
//
// A program that crashes in one of many tasks: gdb_tasks_test looks at what is left.

#include <cstdlib>

#include "absl/time/time.h"
#include "tandem/tandem.h"

namespace tandem {
namespace {

Task<void> SleepLong() {
  (co_await Sleep(absl::Hours(1))).IgnoreError();  // Of SleepLong().
}

Task<void> Wait() {
  co_await SleepLong();  // Of Wait().
}

Task<void> Descend(int depth) {
  if (depth == 0) {
    co_await SleepLong();  // Of Descend(), at the bottom.
  } else {
    co_await Descend(depth - 1);  // Of Descend().
  }
}

Task<void> DescendByTwo(int depth);

Task<void> DescendByOne(int depth) {
  co_await DescendByTwo(depth);  // Of DescendByOne().
}

Task<void> DescendByTwo(int depth) {
  if (depth == 0) {
    co_await SleepLong();  // Of DescendByTwo(), at the bottom.
  } else {
    co_await DescendByOne(depth - 1);  // Of DescendByTwo().
  }
}

Task<void> WaitForLock(Mutex* mutex) {
  const absl::StatusOr<Mutex::Guard> guard = co_await mutex->Lock();  // Of WaitForLock().
}

Task<void> Crash() {
  (co_await Yield()).IgnoreError();  // Of Crash().
  std::abort();
}

Task<void> HasAwaitedNothing() { co_return; }

Task<void> Main(int tasks) {
  Mutex mutex;
  const absl::StatusOr<Mutex::Guard> guard = co_await mutex.Lock();
  for (int i = 0; i < tasks; ++i) Spawn(&Wait);
  Spawn(&Descend, 10);
  Spawn(&DescendByOne, 50);
  Spawn(&WaitForLock, &mutex);
  (co_await Yield()).IgnoreError();
  Spawn(&Crash);
  (co_await Yield()).IgnoreError();
  Spawn(&HasAwaitedNothing);
  co_await SleepLong();  // Of Main().
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::Runtime runtime(tandem::RuntimeOptions().set_crash_report(false));
  runtime.BlockOn(tandem::Main(argc > 1 ? std::atoi(argv[1]) : 100));
}
