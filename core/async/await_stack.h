// SPDX-License-Identifier: Apache-2.0
//
// How places of awaits are written: in reports of stuck tasks, of exceptions and of crashes.

#ifndef TANDEM_CORE_ASYNC_AWAIT_STACK_H_
#define TANDEM_CORE_ASYNC_AWAIT_STACK_H_

#include <source_location>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace tandem {

class PromiseBase;
struct TaskContext;

// Takes a part of a text.
using TextWriter = absl::FunctionRef<void(absl::string_view part)>;

// Returns a source file as the project names it, without the folders that the build has put before it. A header of
// Tandem in another project is tandem/core/...
absl::string_view ProjectPath(absl::string_view file);

// Writes `file:line in function`. The file is a ProjectPath(), and the function is without what a compiler adds to the
// name of a coroutine. Uses no heap, so that it can be called in a signal handler.
void WritePlace(const std::source_location& place, TextWriter write);

// Writes one line, `    at file:line in function`, for each coroutine from `innermost` outward: where it awaits or, of
// one that runs, where it awaited last, if it has. The first frame of a task is the library's own and is left out. Uses
// no heap.
void WriteAwaitStack(const PromiseBase& innermost, TextWriter write);

// Returns where the innermost coroutine that is not the library's own awaits, or awaited last: the line of the program
// that waits. Of a task that is all the library's, as a connection of ServeLines(), where its outermost coroutine
// awaits. Null while there is none.
const std::source_location* PlaceInProgram(const PromiseBase& innermost);

// Returns what a person may call a task: the plain name of its outermost coroutine that is not the library's own,
// "HandleConnection", or "lambda". Empty while the task has not awaited anything.
absl::string_view TaskName(const TaskContext& task);

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_AWAIT_STACK_H_
