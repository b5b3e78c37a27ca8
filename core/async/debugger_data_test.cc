// SPDX-License-Identifier: Apache-2.0
//
// Reads as a debugger does, by addresses and offsets alone, and compares with the objects. What tools/gdb_tasks.py
// makes of it, testing/debugger shows.

#include "tandem/core/async/debugger_data.h"

#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/leaf.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"
#include "tandem/core/runtime/shard.h"

namespace tandem {
namespace {

using internal::debugger_data;
using internal::DebuggerData;

uint64_t AddressOf(const volatile void* object) { return reinterpret_cast<uint64_t>(object); }

template <typename T>
T Read(uint64_t address) {
  T value;
  std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof(value));
  return value;
}

uint64_t Value(absl::string_view name) {
  for (const DebuggerData::Field& field : debugger_data.fields) {
    CHECK(field.name != nullptr) << name;
    if (name == field.name) return field.value;
  }
  CHECK(false) << name;
}

uint64_t Word(uint64_t address, absl::string_view name) { return Read<uint64_t>(address + Value(name)); }

std::vector<uint64_t> Executors() {
  std::vector<uint64_t> executors;
  uint64_t before = 0;
  for (uint64_t at = AddressOf(debugger_data.oldest); at != 0; at = Word(at, "Executor.next")) {
    EXPECT_EQ(Word(at, "Executor.previous"), before);
    executors.push_back(at);
    before = at;
  }
  EXPECT_EQ(AddressOf(debugger_data.newest), before);
  return executors;
}

std::unique_ptr<Shard> MakeShard() { return std::make_unique<Shard>(std::make_unique<FakeReactor>()); }

TEST(DebuggerDataTest, LeadsToEachExecutorThatLives) {
  std::unique_ptr<Shard> a = MakeShard();
  std::unique_ptr<Shard> b = MakeShard();
  std::unique_ptr<Shard> c = MakeShard();
  const auto address = [](const std::unique_ptr<Shard>& shard) {
    return AddressOf(static_cast<const Executor*>(shard.get()));
  };

  EXPECT_EQ(Executors(), (std::vector<uint64_t>{address(a), address(b), address(c)}));
  b.reset();
  EXPECT_EQ(Executors(), (std::vector<uint64_t>{address(a), address(c)}));
  a.reset();
  EXPECT_EQ(Executors(), (std::vector<uint64_t>{address(c)}));
  a = MakeShard();
  EXPECT_EQ(Executors(), (std::vector<uint64_t>{address(c), address(a)}));
  a.reset();
  c.reset();
  EXPECT_EQ(Executors(), (std::vector<uint64_t>{}));
}

Task<void> SleepLong() { (co_await Sleep(absl::Hours(1))).IgnoreError(); }

Task<void> Main(uint64_t* running) {
  *running = AddressOf(Executor::Current().running_task());
  Spawn([] { return SleepLong(); });
  co_await SleepLong();
}

// The task behind the address of its link, and what was read of it; each is compared.
const PromiseBase& ReadTask(uint64_t link, const Executor& executor) {
  const uint64_t address = link - Value("RootPromise.link");
  const uint64_t context = address + Value("RootPromise.context");
  const auto* const root = reinterpret_cast<const RootPromise*>(address);
  EXPECT_EQ(AddressOf(static_cast<const ListLink<TaskListTag>*>(root)), link);
  EXPECT_EQ(AddressOf(&root->context), context);
  EXPECT_EQ(Value("RootPromise.size"), sizeof(RootPromise));
  EXPECT_EQ(Word(context, "TaskContext.executor"), AddressOf(&executor));
  EXPECT_EQ(Word(context, "TaskContext.first_frame"), address);
  EXPECT_EQ(Word(context, "TaskContext.path"), root->context.path);
  EXPECT_EQ(Word(context, "TaskContext.resumes"), root->context.resumes);
  EXPECT_EQ(Read<uint32_t>(context + Value("TaskContext.refused_awaits")), root->context.refused_awaits);
  return *root;
}

void ReadFrame(const PromiseBase& frame) {
  const uint64_t address = AddressOf(&frame);
  EXPECT_EQ(Value("PromiseBase.size"), sizeof(PromiseBase));
  EXPECT_EQ(Word(address, "PromiseBase.self"), AddressOf(frame.self.address()));
  EXPECT_EQ(Word(address, "PromiseBase.parent"), AddressOf(frame.parent));
  EXPECT_EQ(Word(address, "PromiseBase.child"), AddressOf(frame.child));
  EXPECT_EQ(Word(address, "PromiseBase.task"), AddressOf(frame.task));
  EXPECT_EQ(Word(address, "PromiseBase.leaf"), AddressOf(frame.leaf));
  // What the compilers make of a std::source_location.
  const uint64_t location = Word(address, "PromiseBase.await_location");
  ASSERT_NE(location, 0u);
  EXPECT_STREQ(Read<const char*>(location), frame.await_location.file_name());
  EXPECT_STREQ(Read<const char*>(location + 8), frame.await_location.function_name());
  EXPECT_EQ(Read<uint32_t>(location + 16), frame.await_location.line());
  EXPECT_EQ(Read<uint32_t>(location + 20), frame.await_location.column());
}

TEST(DebuggerDataTest, SaysWhereThingsAre) {
  FakeShard fake;
  Shard& shard = fake.shard();
  const uint64_t executor = AddressOf(static_cast<Executor*>(&shard));
  shard.set_name("a name that is longer than what a std::string has room for");
  uint64_t running = 0;
  fake.Start(Main(&running));
  EXPECT_EQ(Word(executor, "Executor.running"), 0u);
  ASSERT_TRUE(shard.Turn(Instant::InfinitePast()));
  ASSERT_TRUE(shard.Turn(Instant::InfinitePast()));

  EXPECT_EQ(Value("Executor.size"), sizeof(Executor));
  EXPECT_EQ(Value("Executor.kManyRefusedAwaits"), Executor::kManyRefusedAwaits);
  EXPECT_EQ(Word(executor, "Executor.task_count"), 2u);
  EXPECT_EQ(Read<bool>(executor + Value("Executor.dead")), false);
  const auto name = Read<uint64_t>(Word(executor, "Executor.name"));
  EXPECT_STREQ(reinterpret_cast<const char*>(name), shard.name().c_str());
  EXPECT_EQ(Read<uint64_t>(Word(executor, "Executor.name") + 8), shard.name().size());

  const uint64_t head = executor + Value("Executor.tasks");
  const uint64_t first = Word(head, "ListLink.next");
  const uint64_t second = Word(first, "ListLink.next");
  EXPECT_EQ(Word(second, "ListLink.next"), head);
  EXPECT_EQ(Word(head, "ListLink.previous"), second);
  EXPECT_EQ(Word(second, "ListLink.previous"), first);
  for (const uint64_t link : {first, second}) {
    int frames = 0;
    const PromiseBase* innermost = nullptr;
    for (const PromiseBase* frame = &ReadTask(link, shard); frame != nullptr; frame = frame->child, ++frames) {
      ReadFrame(*frame);
      innermost = frame;
    }
    EXPECT_EQ(frames, link == first ? 3 : 2);
    ASSERT_NE(innermost->leaf, nullptr);
    // Its table of virtual functions comes first.
    EXPECT_EQ(AddressOf(dynamic_cast<const void*>(innermost->leaf)), AddressOf(innermost->leaf));
  }
  EXPECT_EQ(running, first - Value("RootPromise.link") + Value("RootPromise.context"));

  shard.SetRunsAlone(reinterpret_cast<const TaskContext*>(running));
  EXPECT_EQ(Word(executor, "Executor.runs_alone"), running);
  shard.SetRunsAlone(nullptr);
  fake.Drain();
}

Task<void> CompareRunning(bool* compared) {
  const Executor& executor = Executor::Current();
  EXPECT_EQ(Word(AddressOf(&executor), "Executor.running"), AddressOf(executor.running_task()));
  *compared = true;
  co_return;
}

TEST(DebuggerDataTest, SaysWhichTaskRuns) {
  FakeShard fake;
  bool compared = false;
  fake.Run(CompareRunning(&compared));
  EXPECT_TRUE(compared);
}

TEST(DebuggerDataTest, TheFieldsEndWithOneThatHasNoName) {
  EXPECT_EQ(std::end(debugger_data.fields)[-1].name, nullptr);
  EXPECT_TRUE(absl::string_view(debugger_data.source_file).ends_with("core/async/debugger_data.cc"));
}

}  // namespace
}  // namespace tandem
