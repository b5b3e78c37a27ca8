// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/trace/trace.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace tandem::sim {
namespace {

TEST(TraceTest, TheDigestIsTheSameOnEveryMachine) {
  Trace trace;

  for (uint64_t i = 0; i < 100; ++i) {
    trace.Record(TraceKind::kUser, static_cast<int64_t>(1000 + i), 3, i, i * i, ~i);
  }

  EXPECT_EQ(trace.digest().ToString(), "ce5eeca6873538b0ccda16f42fd46604");
  EXPECT_EQ(trace.records(), 100u);
}

TEST(TraceTest, EveryFieldAndTheOrderCount) {
  const std::array<TraceRecord, 7> records = {
      TraceRecord{0, 1, TraceKind::kSend, 0, 1, 2, 3},
      TraceRecord{0, 2, TraceKind::kSend, 0, 1, 2, 3},
      TraceRecord{0, 1, TraceKind::kClose, 0, 1, 2, 3},
      TraceRecord{0, 1, TraceKind::kSend, 1, 1, 2, 3},
      TraceRecord{0, 1, TraceKind::kSend, 0, 2, 2, 3},
      TraceRecord{0, 1, TraceKind::kSend, 0, 1, 3, 3},
      TraceRecord{0, 1, TraceKind::kSend, 0, 1, 2, uint64_t{1} << 63},
  };
  std::vector<TraceDigest> digests;
  const auto record = [](Trace& trace, const TraceRecord& r) {
    trace.Record(r.kind, r.time_ns, r.host, r.a, r.b, r.c);
  };
  for (const TraceRecord& first : records) {
    for (const TraceRecord& second : records) {
      Trace trace;
      record(trace, first);
      record(trace, second);
      for (const TraceDigest& other : digests) EXPECT_FALSE(trace.digest() == other);
      digests.push_back(trace.digest());
    }
  }
}

TEST(TraceTest, ASinkSeesEveryRecordAndChangesNothing) {
  class Sink final : public TraceSink {
   public:
    void OnRecord(const TraceRecord& record, const TraceDigest& digest) override {
      last = record;
      last_digest = digest;
    }
    TraceRecord last;
    TraceDigest last_digest;
  };
  Sink sink;
  Trace with, without;
  with.set_sink(&sink);

  for (Trace* trace : {&with, &without}) trace->Record(TraceKind::kAccept, 1'000'015'000, 2, 3, 4);
  with.Note(0, "nothing to see");

  EXPECT_EQ(with.digest(), without.digest());
  EXPECT_EQ(sink.last_digest, with.digest());
  EXPECT_EQ(sink.last.kind, TraceKind::kAccept);
  EXPECT_EQ(sink.last.time_ns, 1'000'015'000);
  EXPECT_EQ(sink.last.host, 2u);
  EXPECT_EQ(sink.last.a, 3u);
  EXPECT_EQ(sink.last.b, 4u);
}

TEST(TraceTest, DetailsEnterTheFineDigestAlone) {
  class Sink final : public TraceSink {
   public:
    void OnRecord(const TraceRecord& record, const TraceDigest& /*digest*/) override {
      ordinals.push_back(record.ordinal);
    }
    std::vector<uint64_t> ordinals;
  };
  Sink sink;
  Trace before, after, none;
  before.set_sink(&sink);
  for (Trace* trace : {&before, &after}) trace->set_detailed();

  before.RecordDetail(TraceKind::kTimer, 5, 1, 7);
  for (Trace* trace : {&before, &after, &none}) trace->Record(TraceKind::kSend, 5, 1, 2);
  after.RecordDetail(TraceKind::kTimer, 5, 1, 7);

  EXPECT_EQ(before.digest(), after.digest());
  EXPECT_EQ(before.digest(), none.digest());
  EXPECT_FALSE(before.fine_digest() == after.fine_digest());
  EXPECT_FALSE(none.fine_digest() == after.fine_digest());
  EXPECT_EQ(sink.ordinals, (std::vector<uint64_t>{0, 1}));
}

TEST(TraceTest, HashBytesSeesEveryByteAndTheLength) {
  std::string bytes(100, 'a');
  const uint64_t all = HashBytes(bytes.data(), bytes.size());

  EXPECT_NE(all, HashBytes(bytes.data(), bytes.size() - 1));
  for (char& c : bytes) {
    c = 'b';
    EXPECT_NE(all, HashBytes(bytes.data(), bytes.size()));
    c = 'a';
  }
}

}  // namespace
}  // namespace tandem::sim
