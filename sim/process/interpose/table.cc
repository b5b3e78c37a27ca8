// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/process/interpose/table.h"

#include <cxxabi.h>
#include <sys/syscall.h>

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem::sim {
namespace {

// The families, and what is said about their calls.
constexpr char kClocks[] = "clocks";
constexpr char kSleeping[] = "sleeping";
constexpr char kTimedWaits[] = "timed waits";
constexpr char kTimers[] = "timers";
constexpr char kRandomness[] = "randomness";
constexpr char kIdentity[] = "identity";
constexpr char kProcessors[] = "processors and memory";
constexpr char kNames[] = "names";
constexpr char kDescriptors[] = "descriptors";
constexpr char kThreads[] = "threads and processes";
constexpr char kFileCalls[] = "files";
constexpr char kOthers[] = "everything else";

constexpr char kHostClock[] = "the clock of the host";
constexpr char kProcessorTime[] = "the processor time of a host is its monotonic clock";
constexpr char kReadNow[] = "it speaks of the machine's clock; read tandem::Now() or tandem::WallNow()";
constexpr char kCallLibc[] = "call libc's function, which the world serves, or tandem::Now()";
constexpr char kAwaitSleep[] =
    "in blocking work it takes virtual time; elsewhere it would stop every host: co_await tandem::Sleep() "
    "instead, or do it in tandem::RunBlocking()";
constexpr char kSleepRaw[] = "co_await tandem::Sleep() instead";
constexpr char kAwaitDeadline[] =
    "it returns at once or, in blocking work, at its deadline; elsewhere nobody could end it but time, which "
    "stands still: co_await a Tandem lock, event or channel with a deadline instead";
constexpr char kFutex[] =
    "without a timeout it is the machine's, and ends the seed where there is no other thread; with one it is as libc's "
    "timed waits (absl::Mutex, std::future)";
constexpr char kAwaitSignal[] =
    "it would wait for what is not simulated; co_await Tandem's timers, signals and channels instead";
constexpr char kAwaitTimer[] = "it would count real time; co_await tandem::Sleep() or give the call a deadline";
constexpr char kDrawn[] = "drawn from the stream of the host";
constexpr char kNoEffect[] = "without effect in a world: the numbers come from the seed";
constexpr char kCallersState[] = "the caller holds the whole state";
constexpr char kCallGetrandom[] = "call libc's getrandom(), which the world serves, or draw from tandem::Random";
constexpr char kOfTheHost[] = "answers for the host that runs";
constexpr char kOneUser[] = "one user, 1000, is everywhere";
constexpr char kAsLibc[] = "as libc's function";
constexpr char kUseHostName[] = "it names the machine or its user; use the name of the host, gethostname()";
constexpr char kUseHost[] = "the numbers of processes are the world's; stop a host by its sim::Host instead";
constexpr char kSmallHost[] = "a host has one processor and 4 GiB";
constexpr char kOneProcessor[] = "a host has one processor";
constexpr char kCounters[] = "it counts what the processor does";
constexpr char kLimits[] = "8 MiB of stack, 1,048,576 open files and no limit else; to set one has no effect";
constexpr char kUseResolve[] = "it would ask the real network or the machine's files; use tandem::Resolve()";
constexpr char kInterfaces[] = "the interfaces are the machine's; a host has the addresses that the world gave it";
constexpr char kAwaitEvents[] =
    "it would stop every host and wait for what is not simulated; co_await Tandem's sockets and timers "
    "instead";
constexpr char kUseTandem[] = "it would reach the real network; use Tandem's sockets and tandem::Resolve() instead";
constexpr char kNotSimulated[] =
    "what is behind it is not simulated; use Tandem's sockets, pipes, channels and events instead";
constexpr char kOneThread[] =
    "a world has one thread; spawn a task instead, or keep what needs threads out of simulated programs";
constexpr char kOneProcess[] = "hosts are no processes of the machine; add one to the world instead";
constexpr char kOneThreadOneProcess[] = "a world has one thread and one process; spawn a task or add a host instead";
constexpr char kAlone[] = "with one thread, nobody else runs";
constexpr char kFiles[] =
    "reading is the machine's, but of /dev/random, /proc and /sys; writing below TEST_TMPDIR, of which each "
    "seed has its own";
constexpr char kNameFiles[] = "names of the machine; name the file yourself, below TEST_TMPDIR";
constexpr char kDrawnName[] = "the name is drawn from the stream of the host; below TEST_TMPDIR";
constexpr char kUnnamed[] = "in memory; nothing of it can be seen from outside";
constexpr char kFullPaths[] = "the folder is the caller's; use full paths, of TEST_TMPDIR or TEST_SRCDIR";
constexpr char kFolderOrder[] = "the order of a folder is the file system's; keep the names of the files yourself";
constexpr char kLinks[] = "the machine's, but of /proc and /sys";
constexpr char kFileSystem[] = "how much room there is, and on what, is the machine's";
constexpr char kContents[] =
    "contents and sizes are what the program put there; times and numbers of files are the machine's";
constexpr char kByNumber[] = "a system call made by its number: as the rows for it say, else the machine's";

constexpr CallEntry kTable[] = {
#define TANDEM_SERVED(symbol, family, how) {#symbol, family, CallKind::kServed, how, -1},
#define TANDEM_REFUSED(symbol, family, instead) {#symbol, family, CallKind::kRefused, instead, -1},
#define TANDEM_ALLOWED(symbol, family, why) {#symbol, family, CallKind::kAllowed, why, -1},
#define TANDEM_CALL_SERVED(call, family, how) {#call, family, CallKind::kServed, how, SYS_##call},
#define TANDEM_CALL_REFUSED(call, family, instead) {#call, family, CallKind::kRefused, instead, SYS_##call},
#include "tandem/sim/process/interpose/symbols.inc"
};

absl::string_view KindName(CallKind kind) {
  switch (kind) {
    case CallKind::kServed:
      return "served";
    case CallKind::kRefused:
      return "refused";
    case CallKind::kAllowed:
      break;
  }
  return "allowed";
}

std::string ReadableName(const CallEntry& entry) {
  int status = 0;
  char* const demangled = abi::__cxa_demangle(entry.name, nullptr, nullptr, &status);
  std::string name = absl::string_view(entry.name).substr(0, 2) == "_Z" && status == 0 ? demangled : entry.name;
  std::free(demangled);
  return name;
}

bool IsGrouped(const CallEntry& a, const CallEntry& b) {
  return a.family == b.family && a.kind == b.kind && a.text == b.text && (a.number < 0) == (b.number < 0);
}

}  // namespace

absl::Span<const CallEntry> CallTable() { return kTable; }

const CallEntry* FindSystemCall(long number) {
  for (const CallEntry& entry : kTable) {
    if (entry.number >= 0 && entry.number == number) return &entry;
  }
  return nullptr;
}

std::string CallTableAsMarkdown() {
  std::string text = "| family | in a world | calls | how, why, or what instead |\n|---|---|---|---|\n";
  const CallEntry* last = nullptr;
  for (const CallEntry& entry : kTable) {
    if (last != nullptr && IsGrouped(*last, entry)) {
      absl::StrAppend(&text, " `", ReadableName(entry), "`");
    } else {
      if (last != nullptr) absl::StrAppend(&text, " | ", last->text, " |\n");
      absl::StrAppend(&text, "| ", entry.family, " | ", KindName(entry.kind), " | ",
                      entry.number < 0 ? "" : "system calls ", "`", ReadableName(entry), "`");
    }
    last = &entry;
  }
  absl::StrAppend(&text, " | ", last->text, " |\n");
  return text;
}

}  // namespace tandem::sim
