// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/causes.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/recording_for_test.h"

namespace tandem::testing {
namespace {

constexpr int64_t kMs = 1'000'000;

// Two clients and a server. Tasks are what makes an event one of a program.
class Story {
 public:
  Story() {
    for (const char* const name : {"ann", "bob", "server"}) run_.Host(name);
  }
  uint64_t Does(int64_t time_ns, int32_t host, uint64_t cause = kNoEvent) {
    RecordedEvent event;
    event.kind = sim::TraceKind::kSend;
    event.verb = "writes";
    event.host = host;
    event.task_id = 1;
    event.cause = cause;
    return run_.Add(time_ns, std::move(event));
  }
  uint64_t Fails(int64_t time_ns) {
    RecordedEvent event;
    event.source = RecordedEvent::Source::kFailure;
    return run_.Add(time_ns, std::move(event));
  }
  void Operation(std::string client, int64_t begin_ns, int64_t end_ns, bool bad) {
    run_.recording().operations.push_back({std::move(client), "read() -> 1", begin_ns, end_ns, bad, 0, ""});
  }
  Recording& recording() { return run_.recording(); }

 private:
  RecordingForTest run_;
};

TEST(SliceTest, AHistoryThatCannotBeFollowsFromItsOperations) {
  Story story;
  const uint64_t earlier = story.Does(1 * kMs, 2);
  const uint64_t asked = story.Does(5 * kMs, 0);
  const uint64_t answered = story.Does(6 * kMs, 2, asked);
  const uint64_t told = story.Does(7 * kMs, 0, answered);
  const uint64_t other = story.Does(7 * kMs, 1);
  for (int i = 0; i < 200; ++i) story.Does((50 + i) * kMs, i % 3);
  const uint64_t failure = story.Fails(1000 * kMs);
  story.Operation("ann", 5 * kMs, 7 * kMs, true);
  story.Operation("bob", 60 * kMs, 61 * kMs, false);

  const std::vector<uint64_t> slice = SliceOf(story.recording(), 1000);
  for (const uint64_t event : {asked, answered, told, failure}) {
    EXPECT_TRUE(std::binary_search(slice.begin(), slice.end(), event)) << event;
  }
  EXPECT_EQ(slice.back(), failure);
  EXPECT_FALSE(std::binary_search(slice.begin(), slice.end(), other));
  EXPECT_LE(slice.size(), 6u) << "nothing of what came later";
  EXPECT_GE(earlier, 0u);
}

// Who is called otherwise than its host.
TEST(SliceTest, AnOperationOfNobodysHostIsWhatWasDoneThen) {
  Story story;
  const uint64_t begins = story.Does(5 * kMs, 1);
  const uint64_t ends = story.Does(9 * kMs, 1);
  story.Does(50 * kMs, 2);
  const uint64_t failure = story.Fails(100 * kMs);
  story.Operation("client 7", 5 * kMs, 9 * kMs, true);
  EXPECT_EQ(SliceOf(story.recording(), 1000), (std::vector<uint64_t>{begins, ends, failure}));
}

// One that never ended, and one that is not in the recording.
TEST(SliceTest, OperationsThatAreNotThereAreNoRoots) {
  Story story;
  const uint64_t begins = story.Does(5 * kMs, 0);
  const uint64_t last = story.Does(50 * kMs, 2);
  const uint64_t failure = story.Fails(100 * kMs);
  story.Operation("ann", 5 * kMs, -1, true);
  EXPECT_EQ(SliceOf(story.recording(), 1000), (std::vector<uint64_t>{begins, failure}));
  story.recording().operations[0].begin_ns = 1;
  EXPECT_EQ(SliceOf(story.recording(), 1000), (std::vector<uint64_t>{begins, last, failure}));
}

// A check of the client's may fail as it is told, and it goes on.
TEST(SliceTest, TheFailureIsLastWhateverComesBehindIt) {
  Story story;
  const uint64_t told = story.Does(5 * kMs, 0);
  const uint64_t failure = story.Fails(5 * kMs);
  const uint64_t goes_on = story.Does(5 * kMs, 0);
  story.Operation("client 7", 5 * kMs, 5 * kMs, true);
  EXPECT_EQ(SliceOf(story.recording(), 1000, {goes_on}), (std::vector<uint64_t>{told, failure}));
  story.recording().operations[0].client = "ann";
  EXPECT_EQ(SliceOf(story.recording(), 1000), (std::vector<uint64_t>{told, failure}));
}

// And what led to that; itself also where there is no room.
TEST(SliceTest, WhatIsKnownToBelongToItIsThere) {
  Story story;
  const uint64_t before = story.Does(5 * kMs, 1);
  const uint64_t known = story.Does(6 * kMs, 1, before);
  story.Does(7 * kMs, 1);
  uint64_t last = kNoEvent;
  for (int i = 0; i < 200; ++i) last = story.Does((50 + i) * kMs, 0, last);
  story.Fails(1000 * kMs);
  const std::vector<uint64_t> without = SliceOf(story.recording(), 1000);
  EXPECT_FALSE(std::binary_search(without.begin(), without.end(), known));
  const std::vector<uint64_t> with = SliceOf(story.recording(), 1000, {known});
  EXPECT_TRUE(std::binary_search(with.begin(), with.end(), known));
  EXPECT_TRUE(std::binary_search(with.begin(), with.end(), before));
  EXPECT_EQ(SliceOf(story.recording(), 2, {known}).front(), known);
}

// What another host goes on with, be it much and later than all that, has nothing to do with it.
TEST(SliceTest, AFailureOfNoHostFollowsFromWhereAPassingRunTurnsOff) {
  Story story;
  const uint64_t asked = story.Does(5 * kMs, 0);
  const uint64_t turn = story.Does(6 * kMs, 2, asked);
  const uint64_t told = story.Does(7 * kMs, 0, turn);
  const uint64_t chatter = story.Does(8 * kMs, 1);
  uint64_t last = chatter;
  for (int i = 0; i < 200; ++i) last = story.Does((50 + i) * kMs, 1, last);
  const uint64_t read = story.Does(300 * kMs, 0);
  story.recording().events[read].written_by.push_back({turn, 1});
  const uint64_t failure = story.Fails(1000 * kMs);

  const std::vector<uint64_t> without = SliceOf(story.recording(), 1000);
  EXPECT_TRUE(std::binary_search(without.begin(), without.end(), last));
  EXPECT_EQ(SliceOf(story.recording(), 1000, {}, turn), (std::vector<uint64_t>{asked, turn, told, read, failure}));
  // Where it is a detail of the failure's own instant there is nothing behind it.
  EXPECT_EQ(SliceOf(story.recording(), 1000, {}, failure), without);
}

// Tasks of a host share memory.
TEST(SliceTest, WhatAHostHasHeardLastFromEachOtherMayHaveMadeItFail) {
  Story story;
  const auto hears = [&](int64_t time_ns, uint64_t written) {
    RecordedEvent event;
    event.kind = sim::TraceKind::kReceive;
    event.verb = "reads";
    event.host = 2;
    event.task_id = 7;
    event.cause = written;
    event.written_by.push_back({written, 1});
    story.recording().events.push_back(event);
    story.recording().events.back().number = story.recording().events.size() - 1;
    story.recording().events.back().time_ns = time_ns;
    return story.recording().events.back().number;
  };
  const uint64_t early = hears(2 * kMs, story.Does(1 * kMs, 0));
  const uint64_t from_ann = story.Does(3 * kMs, 0);
  const uint64_t read_of_ann = hears(4 * kMs, from_ann);
  const uint64_t from_bob = story.Does(5 * kMs, 1);
  const uint64_t read_of_bob = hears(6 * kMs, from_bob);
  const uint64_t failure = story.Fails(7 * kMs);
  story.recording().events[failure].host = 2;

  EXPECT_EQ(SliceOf(story.recording(), 1000),
            (std::vector<uint64_t>{from_ann, read_of_ann, from_bob, read_of_bob, failure}))
      << early << " was long ago";
}

}  // namespace
}  // namespace tandem::testing
