// SPDX-License-Identifier: Apache-2.0
//
// Holds the definitions, and the document, against symbols.inc.

#include "tandem/sim/process/interpose/table.h"

#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/testing/document.h"

// Each function by another name, without its type: some have none in the headers.
#define TANDEM_SERVED(symbol, family, how) extern "C" void tandem_test_##symbol() asm(#symbol);
#define TANDEM_REFUSED(symbol, family, instead) extern "C" void tandem_test_##symbol() asm(#symbol);
#include "tandem/sim/process/interpose/symbols.inc"

namespace tandem::sim {
namespace {

struct Function {
  const char* name;
  void (*call)();
};

void PrintTo(const Function& function, std::ostream* out) { *out << function.name; }

constexpr Function kServed[] = {
#define TANDEM_SERVED(symbol, family, how) {#symbol, &tandem_test_##symbol},
#include "tandem/sim/process/interpose/symbols.inc"
};

constexpr Function kRefused[] = {
#define TANDEM_REFUSED(symbol, family, instead) {#symbol, &tandem_test_##symbol},
#include "tandem/sim/process/interpose/symbols.inc"
};

// A world in which time stands still.
class FakeWorld {
 public:
  FakeWorld() { EnterWorld(hooks_); }
  ~FakeWorld() { LeaveWorld(); }

 private:
  WorldHooks hooks_{nullptr, [](void*) -> int64_t { return kEpochRealtimeNs; },
                    [](void*) -> int64_t { return kEpochMonotonicNs; }, [](void*) -> uint64_t { return 4; }};
};

std::string FileOf(const void* address) {
  Dl_info info = {};
  return dladdr(address, &info) == 0 || info.dli_fname == nullptr ? "" : info.dli_fname;
}

const CallEntry* FindFunction(absl::string_view name) {
  for (const CallEntry& entry : CallTable()) {
    if (entry.number < 0 && entry.name == name) return &entry;
  }
  return nullptr;
}

TEST(CallTableTest, EachDefinitionIsTheProgramsOwn) {
  const std::string program = FileOf(reinterpret_cast<const void*>(&CallTable));
  ASSERT_FALSE(program.empty());
  for (const Function& function : kServed) {
    EXPECT_EQ(FileOf(reinterpret_cast<const void*>(function.call)), program) << function.name;
  }
  for (const Function& function : kRefused) {
    EXPECT_EQ(FileOf(reinterpret_cast<const void*>(function.call)), program) << function.name;
  }
}

// What libc itself, and other libraries, would call.
TEST(CallTableTest, LibrariesFindTheProgramsDefinition) {
  const std::string program = FileOf(reinterpret_cast<const void*>(&CallTable));
  int checked = 0;
  for (const CallEntry& entry : CallTable()) {
    if (entry.number >= 0 || entry.kind == CallKind::kAllowed) continue;
    const void* const found = dlsym(RTLD_DEFAULT, entry.name);
    if (found == nullptr) continue;  // No library has it: an old function, or one of a later libc.
    ++checked;
    EXPECT_EQ(FileOf(found), program) << entry.name;
  }
  EXPECT_GT(checked, 200);
}

TEST(CallTableTest, NoCallIsThereTwice) {
  std::set<std::pair<bool, std::string>> seen;
  for (const CallEntry& entry : CallTable()) {
    EXPECT_TRUE(seen.emplace(entry.number >= 0, entry.name).second) << entry.name;
  }
}

class RefusedCallDeathTest : public ::testing::TestWithParam<Function> {};

TEST_P(RefusedCallDeathTest, FailsByNameAndSaysWhatToUse) {
  const CallEntry* const entry = FindFunction(GetParam().name);
  ASSERT_NE(entry, nullptr);
  EXPECT_DEATH(
      {
        const FakeWorld world;
        GetParam().call();
      },
      absl::StrCat("(^| )", entry->name, R"(\(\) was called in a simulated world: )"));
  EXPECT_GT(strlen(entry->text), 10u);
}

INSTANTIATE_TEST_SUITE_P(Interpose, RefusedCallDeathTest, ::testing::ValuesIn(kRefused),
                         [](const ::testing::TestParamInfo<Function>& info) { return std::string(info.param.name); });

// By syscall(), which needs no filter of the kernel.
TEST(SystemCallDeathTest, RefusedOnesFailByName) {
  for (const CallEntry& entry : CallTable()) {
    if (entry.number < 0 || entry.kind != CallKind::kRefused) continue;
    EXPECT_DEATH(
        {
          const FakeWorld world;
          syscall(entry.number, 0, 0, 0, 0, 0, 0);
        },
        absl::StrCat("the system call ", entry.name, " was called in a simulated world: "));
  }
}

// --- The document ---

TEST(CallTableTest, TheDocumentHasTheTable) {
  EXPECT_EQ(MarkedPartOf("docs/simulation.md", "made of sim/process/interpose/symbols.inc by table_test"),
            CallTableAsMarkdown())
      << "docs/simulation.md should have between its marks:\n"
      << CallTableAsMarkdown();
}

}  // namespace
}  // namespace tandem::sim
