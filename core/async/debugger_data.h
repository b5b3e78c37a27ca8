// SPDX-License-Identifier: Apache-2.0
//
// What a debugger needs to list the tasks of a process of which it has only memory and symbols, such as a core: where
// the executors are, and where in them, and in what hangs on them, the things are that tools/gdb_tasks.py reads.
//
// The build has no debug information about types, and that of a user's build may be of another compiler. So the
// offsets are in the program itself, as data, by name.

#ifndef TANDEM_CORE_ASYNC_DEBUGGER_DATA_H_
#define TANDEM_CORE_ASYNC_DEBUGGER_DATA_H_

#include <cstddef>
#include <cstdint>

namespace tandem {

class Executor;

namespace internal {

// The debugger finds it by the name of `debugger_data` and reads its members in this order. Everything else goes by the
// names of the fields, which tools/gdb_tasks.py asks for.
struct DebuggerData {
  struct Field {
    const char* name = nullptr;
    uint64_t value = 0;  // Bytes from the start of what the name names first; or a size, or a number.
  };

  // Of this file's implementation, as the compiler calls it: what stands before core/ in the names of our sources.
  const char* source_file = nullptr;
  // Every executor of the process, from the oldest.
  Executor* oldest = nullptr;
  Executor* newest = nullptr;
  Field fields[32];  // A field without a name ends them.

  // An executor begins and ends. From any thread.
  static void Add(Executor& executor);
  static void Remove(Executor& executor);

  static constexpr DebuggerData Make();
};

// One object, so that no linker drops the half of it that no code reads.
extern DebuggerData debugger_data;

}  // namespace internal
}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_DEBUGGER_DATA_H_
