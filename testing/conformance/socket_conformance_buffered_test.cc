// SPDX-License-Identifier: Apache-2.0
//
// BufferedReader and BufferedWriter.

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/core/net/buffered.h"
#include "tandem/testing/conformance/socket_conformance.h"

namespace tandem::testing {
namespace {

class BufferedReaderTest : public SocketConformanceTest {};
class BufferedWriterTest : public SocketConformanceTest {};

TEST_F(BufferedReaderTest, ReadUntilReturnsTheDelimiterToo) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  Send(client, "one\r\ntwo\r\nthr");
  EXPECT_THAT(Run(reader.ReadUntil("\r\n", 100)), IsOkAndHolds("one\r\n"));
  EXPECT_THAT(Run(reader.ReadUntil("\r\n", 100)), IsOkAndHolds("two\r\n"));
  Send(client, "ee\r\n");
  EXPECT_THAT(Run(reader.ReadUntil("\r\n", 100)), IsOkAndHolds("three\r\n"));
  EXPECT_EQ(reader.buffered(), "");
}

TEST_F(BufferedReaderTest, FindsADelimiterThatComesInPieces) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  auto line = Start([](BufferedReader<TcpStream>* reader) -> Task<absl::StatusOr<std::string>> {
    absl::StatusOr<absl::string_view> line = co_await reader->ReadUntil("<end>", 100);
    if (!line.ok()) co_return line.status();
    co_return std::string(*line);
  }(&reader));
  for (const char c : absl::string_view("ab<en<end>rest")) {
    Send(client, absl::string_view(&c, 1));
    Settle();
  }
  EXPECT_THAT(Wait(line), IsOkAndHolds("ab<en<end>"));
}

TEST_F(BufferedReaderTest, StoppedReadUntilKeepsWhatCame) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  Send(client, "half a li");
  auto stopped = Run(WithTimeout(absl::Milliseconds(2), reader.ReadUntil("\n", 100)));
  EXPECT_EQ(stopped.status(), DeadlineExceededStatus());
  EXPECT_EQ(reader.buffered(), "half a li");

  Send(client, "ne\n");
  EXPECT_THAT(Run(reader.ReadUntil("\n", 100)), IsOkAndHolds("half a line\n"));
}

TEST_F(BufferedReaderTest, EndWithoutADelimiterConsumesNothing) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  Send(client, "rest");
  EXPECT_OK(Run(client.Close()));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Run(reader.ReadUntil("\n", 100)), StatusIs(kOutOfRange));
    EXPECT_EQ(reader.buffered(), "rest");
  }
}

TEST_F(BufferedReaderTest, LimitCountsTheDelimiter) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  Send(client, "12345\n");
  EXPECT_THAT(Run(reader.ReadUntil("\n", 5)), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(reader.buffered(), "12345\n");
  EXPECT_THAT(Run(reader.ReadUntil("\n", 6)), IsOkAndHolds("12345\n"));
}

TEST_F(BufferedReaderTest, TooMuchWithoutADelimiterIsRefused) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  Send(client, std::string(1000, 'x'));
  EXPECT_THAT(Run(reader.ReadUntil("\n", 100)), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_GE(reader.buffered().size(), 100u);
}

TEST_F(BufferedReaderTest, EmptyDelimiterIsAnInvalidArgument) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  EXPECT_THAT(Run(reader.ReadUntil("", 100)), StatusIs(kInvalidArgument));
}

TEST_F(BufferedReaderTest, ReadExactlyWaitsForAllAndLosesNothingWhenStopped) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  Send(client, "abc");
  EXPECT_EQ(Run(WithTimeout(absl::Milliseconds(2), reader.ReadExactly(5))).status(), DeadlineExceededStatus());
  EXPECT_EQ(reader.buffered(), "abc");
  Send(client, "defg");
  EXPECT_THAT(Run(reader.ReadExactly(5)), IsOkAndHolds("abcde"));
  EXPECT_THAT(Run(reader.ReadExactly(0)), IsOkAndHolds(""));
  EXPECT_EQ(reader.buffered(), "fg");
}

TEST_F(BufferedReaderTest, ReadExactlyBeyondTheEndKeepsTheRest) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  Send(client, "abc");
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(Run(reader.ReadExactly(5)), StatusIs(kOutOfRange));
  EXPECT_EQ(reader.buffered(), "abc");
  EXPECT_THAT(Run(reader.ReadExactly(3)), IsOkAndHolds("abc"));
}

TEST_F(BufferedReaderTest, ReadTakesWhatIsBufferedFirst) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  Send(client, "line\nrest");
  EXPECT_THAT(Run(reader.ReadUntil("\n", 100)), IsOkAndHolds("line\n"));
  std::string target(10, '\0');
  EXPECT_THAT(Run(reader.Read(absl::MakeSpan(target))), IsOkAndHolds(4u));
  Send(client, "more");
  EXPECT_THAT(Run(reader.Read(absl::MakeSpan(target))), IsOkAndHolds(4u));
  EXPECT_EQ(target.substr(0, 4), "more");
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(Run(reader.Read(absl::MakeSpan(target))), IsOkAndHolds(0u));
}

TEST_F(BufferedReaderTest, FillAndConsume) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  Send(client, "abcdef");
  EXPECT_THAT(Run(reader.Fill()), IsOkAndHolds(6u));
  reader.Consume(2);
  EXPECT_EQ(reader.buffered(), "cdef");
  Send(client, "gh");
  EXPECT_THAT(Run(reader.Fill()), IsOkAndHolds(2u));
  EXPECT_EQ(reader.buffered(), "cdefgh");
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(Run(reader.Fill()), IsOkAndHolds(0u));
}

TEST_F(BufferedReaderTest, ManyLinesOfAllLengths) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  std::string all;
  for (int i = 0; i < 2000; ++i) absl::StrAppend(&all, i, std::string((i * 31) % 300, 'x'), "\n");
  auto write = Start(WriteAllOf(&client, all));
  std::string received;
  for (int i = 0; i < 2000; ++i) {
    auto line = Run(reader.ReadUntil("\n", 1000));
    ASSERT_OK(line);
    received.append(line->data(), line->size());
  }
  EXPECT_OK(Wait(write));
  EXPECT_TRUE(received == all);
}

// --- BufferedWriter ---

TEST_F(BufferedWriterTest, HoldsBytesBackUntilFlush) {
  auto [client, server] = ConnectedPair();
  BufferedWriter writer(client);
  writer.Append("a");
  EXPECT_THAT(Run(writer.WriteSome("b")), IsOkAndHolds(1u));
  EXPECT_EQ(writer.pending(), 2u);
  EXPECT_OK(Run(writer.Flush()));
  EXPECT_EQ(writer.pending(), 0u);
  EXPECT_THAT(Read(server), IsOkAndHolds("ab"));
  EXPECT_OK(Run(writer.Flush()));
}

TEST_F(BufferedWriterTest, FlushesToMakeRoom) {
  auto [client, server] = ConnectedPair();
  BufferedWriter writer(client, 4);
  EXPECT_OK(Run(writer.WriteAll("ab")).status);
  EXPECT_OK(Run(writer.WriteAll("cd")).status);
  EXPECT_EQ(writer.pending(), 4u);
  EXPECT_FALSE(writer.full());
  EXPECT_OK(Run(writer.WriteAll("larger")).status);
  EXPECT_EQ(writer.pending(), 6u);
  EXPECT_TRUE(writer.full());
  EXPECT_THAT(Read(server), IsOkAndHolds("abcd"));
  EXPECT_OK(Run(writer.WriteAll("e")).status);
  EXPECT_THAT(Read(server), IsOkAndHolds("larger"));
  EXPECT_EQ(writer.pending(), 1u);
}

TEST_F(BufferedWriterTest, GoesOnAfterACutWithoutGapOrRepeat) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(24 << 20);
  BufferedWriter writer(client);
  writer.Append(data);
  EXPECT_EQ(Run(WithTimeout(absl::Milliseconds(2), writer.Flush())), DeadlineExceededStatus());
  EXPECT_GT(writer.pending(), 0u);
  // Goes out after what is left.
  writer.Append("tail");

  std::string received;
  auto read = Start(ReadToEnd(&server, &received));
  int cuts = 0;
  for (;;) {
    const absl::Status status = Run(WithTimeout(absl::Microseconds(200), writer.Flush()));
    if (status.ok()) break;
    ASSERT_EQ(status, DeadlineExceededStatus());
    ASSERT_LT(++cuts, 1'000'000);
  }
  EXPECT_EQ(writer.pending(), 0u);
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Wait(read));
  EXPECT_TRUE(received == data + "tail");
}

TEST_F(BufferedWriterTest, StoppedBeforeAnythingWentKeepsEverything) {
  auto [client, server] = ConnectedPair();
  BufferedWriter writer(client);
  writer.Append("kept");
  EXPECT_EQ(Run(WithTimeout(-absl::Seconds(1), writer.Flush())), DeadlineExceededStatus());
  EXPECT_EQ(writer.pending(), 4u);
  EXPECT_OK(Run(writer.Flush()));
  EXPECT_THAT(Read(server), IsOkAndHolds("kept"));
}

TEST_F(BufferedWriterTest, DestructorDropsWhatWaits) {
  auto [client, server] = ConnectedPair();
  {
    BufferedWriter writer(client);
    writer.Append("dropped");
  }
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds(""));
}

}  // namespace
}  // namespace tandem::testing
