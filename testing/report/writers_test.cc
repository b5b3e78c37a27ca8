// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/writers.h"

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

using sim::TraceKind;

constexpr char kFromClient[] = "10.0.0.1:49152 10.0.0.2:7";
constexpr char kFromServer[] = "10.0.0.2:7 10.0.0.1:49152";

class WritersTest : public ::testing::Test {
 protected:
  WritersTest() {
    recording_.Host("client");
    recording_.Host("server");
  }

  uint64_t Add(TraceKind kind, int32_t host, int32_t socket, std::string connection, uint64_t b) {
    RecordedEvent event;
    event.kind = kind;
    event.host = host;
    event.socket = socket;
    event.connection = std::move(connection);
    event.b = b;
    event.text = "bytes";
    event.place = host == 0 ? "client.cc:5" : "";
    return recording_.Add(static_cast<int64_t>(recording_.recording().events.size()), std::move(event));
  }
  void Connect(int32_t client_socket, int32_t server_socket) {
    Add(TraceKind::kConnected, 0, client_socket, kFromClient, 0);
    Add(TraceKind::kAccept, 1, 1, "", static_cast<uint64_t>(server_socket));
  }
  uint64_t ClientWrites(int32_t socket, uint64_t bytes) { return Add(TraceKind::kSend, 0, socket, kFromClient, bytes); }
  uint64_t ServerReads(int32_t socket, uint64_t bytes) {
    return Add(TraceKind::kReceive, 1, socket, kFromServer, bytes);
  }

  std::vector<std::pair<uint64_t, uint64_t>> WritersOf(uint64_t event) {
    std::vector<std::pair<uint64_t, uint64_t>> writers;
    for (const RecordedWriter& writer : recording_.recording().events[event].written_by) {
      writers.emplace_back(writer.event, writer.bytes);
    }
    return writers;
  }
  std::string TextOf(uint64_t event) { return recording_.recording().events[event].text; }

  RecordingForTest recording_;
};

using Pairs = std::vector<std::pair<uint64_t, uint64_t>>;

TEST_F(WritersTest, AReadHasPartsOfWritesInOrder) {
  Connect(3, 4);
  const uint64_t one = ClientWrites(3, 10);
  const uint64_t two = ClientWrites(3, 5);
  const uint64_t first = ServerReads(4, 4);
  const uint64_t second = ServerReads(4, 8);
  const uint64_t three = ClientWrites(3, 2);
  const uint64_t third = ServerReads(4, 5);
  FindWriters(recording_.recording());

  EXPECT_EQ(WritersOf(first), (Pairs{{one, 4}}));
  EXPECT_EQ(WritersOf(second), (Pairs{{one, 6}, {two, 2}}));
  EXPECT_EQ(WritersOf(third), (Pairs{{two, 3}, {three, 2}}));
  EXPECT_EQ(TextOf(first), "bytes, written in e2 (client.cc:5)");
  EXPECT_EQ(TextOf(second), "bytes, written in e2 to e3 (client.cc:5)");
}

TEST_F(WritersTest, TheDirectionsAreApart) {
  Connect(3, 4);
  const uint64_t question = ClientWrites(3, 10);
  const uint64_t answer = Add(TraceKind::kSend, 1, 4, kFromServer, 20);
  const uint64_t asked = ServerReads(4, 10);
  const uint64_t answered = Add(TraceKind::kReceive, 0, 3, kFromClient, 20);
  FindWriters(recording_.recording());

  EXPECT_EQ(WritersOf(asked), (Pairs{{question, 10}}));
  EXPECT_EQ(WritersOf(answered), (Pairs{{answer, 20}}));
  EXPECT_EQ(TextOf(answered), "bytes, written in e3");
}

TEST_F(WritersTest, AConnectionWithTheSamePortsIsAnother) {
  Connect(3, 4);
  ClientWrites(3, 10);
  ServerReads(4, 6);
  Connect(5, 6);
  const uint64_t other = ClientWrites(5, 7);
  const uint64_t read = ServerReads(6, 7);
  FindWriters(recording_.recording());

  EXPECT_EQ(WritersOf(read), (Pairs{{other, 7}}));
}

TEST_F(WritersTest, WhatFailedWroteNothing) {
  Connect(3, 4);
  ClientWrites(3, static_cast<uint64_t>(-int64_t{32}));
  const uint64_t write = ClientWrites(3, 3);
  const uint64_t read = ServerReads(4, 3);
  FindWriters(recording_.recording());

  EXPECT_EQ(WritersOf(read), (Pairs{{write, 3}}));
}

TEST_F(WritersTest, OfWhatBeganBeforeNobodyKnows) {
  ClientWrites(3, 10);
  const uint64_t read = ServerReads(4, 10);
  FindWriters(recording_.recording());

  EXPECT_TRUE(WritersOf(read).empty());
  EXPECT_EQ(TextOf(read), "bytes");
}

}  // namespace
}  // namespace tandem::testing
