// SPDX-License-Identifier: Apache-2.0
//
// SendFile: its place in the write queue, and what happens when the file or the connection ends first.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

// A file with `content`, without a name.
class TestFile {
 public:
  explicit TestFile(const std::string& content) {
    std::string path = ::testing::TempDir() + "/send_file_XXXXXX";
    descriptor_ = mkstemp(path.data());
    CHECK_GE(descriptor_, 0);
    unlink(path.c_str());
    CHECK_EQ(::write(descriptor_, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  }
  TestFile(const TestFile&) = delete;
  TestFile& operator=(const TestFile&) = delete;
  ~TestFile() { close(descriptor_); }

  int descriptor() const { return descriptor_; }

 private:
  int descriptor_ = -1;
};

Task<IoResult> SendFileOf(TcpStream* stream, int descriptor, uint64_t offset, uint64_t count) {
  IoResult result = co_await stream->SendFile(descriptor, offset, count);
  co_return result;
}

Task<IoResult> SendFileRestOf(TcpStream* stream, int descriptor, uint64_t offset, uint64_t count) {
  IoResult result = co_await stream->SendFileRest(descriptor, offset, count);
  co_return result;
}

class SendFileTest : public TcpConformanceTest {
 protected:
  // Begins to send the first `size` bytes of the file, and cancels that. Returns how many were sent.
  size_t SendAPart(TcpStream& stream, const TestFile& file, size_t size) {
    auto send = Start(SendFileOf(&stream, file.descriptor(), 0, size));
    Settle();
    send->Cancel();
    const IoResult result = Wait(send);
    EXPECT_EQ(result.status, CancelledStatus());
    EXPECT_GT(result.bytes, 0u);
    EXPECT_LT(result.bytes, size);
    return result.bytes;
  }
  std::string ReadExactly(TcpStream& stream, size_t size) {
    std::string data(size, '\0');
    EXPECT_OK(Run(stream.ReadExactly(absl::MakeSpan(data))));
    return data;
  }
};

TEST_F(SendFileTest, SendsAPartOfTheFile) {
  const TestFile file("0123456789");
  auto [client, server] = ConnectedPair();
  const IoResult result = Run(client.SendFile(file.descriptor(), 2, 5));
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, 5u);
  EXPECT_THAT(Read(server), IsOkAndHolds("23456"));
}

TEST_F(SendFileTest, DoesNotMoveTheFilesPosition) {
  const TestFile file("0123456789");
  ASSERT_EQ(lseek(file.descriptor(), 3, SEEK_SET), 3);
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.SendFile(file.descriptor(), 0, 10)));
  EXPECT_EQ(lseek(file.descriptor(), 0, SEEK_CUR), 3);
  EXPECT_EQ(ReadExactly(server, 10), "0123456789");
}

TEST_F(SendFileTest, LargeFileArrivesWhole) {
  const std::string content = Pattern(5 << 20);
  const TestFile file(content);
  auto [client, server] = ConnectedPair();
  auto send = Start(SendFileOf(&client, file.descriptor(), 0, content.size()));
  EXPECT_TRUE(ReadExactly(server, content.size()) == content);
  const IoResult result = Wait(send);
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, content.size());
}

TEST_F(SendFileTest, KeepsItsPlaceAmongWrites) {
  const std::string content = Pattern(600'000);
  const TestFile file(content);
  auto [client, server] = ConnectedPair();
  auto head = Start(WriteAllOf(&client, "head"));
  auto send = Start(SendFileOf(&client, file.descriptor(), 0, content.size()));
  auto tail = Start(WriteAllOf(&client, "tail"));
  auto again = Start(SendFileOf(&client, file.descriptor(), 0, 3));
  EXPECT_TRUE(ReadExactly(server, content.size() + 11) == "head" + content + "tail" + content.substr(0, 3));
  EXPECT_OK(Wait(head));
  EXPECT_OK(Wait(send));
  EXPECT_OK(Wait(tail));
  EXPECT_OK(Wait(again));
}

TEST_F(SendFileTest, ShutdownComesAfterIt) {
  const std::string content = Pattern(1 << 20);
  const TestFile file(content);
  auto [client, server] = ConnectedPair();
  auto send = Start(SendFileOf(&client, file.descriptor(), 0, content.size()));
  auto shutdown = Start(ShutDownWriting(&client));
  EXPECT_TRUE(ReadAll(server).value() == content);
  EXPECT_OK(Wait(send));
  EXPECT_OK(Wait(shutdown));
}

TEST_F(SendFileTest, NothingIsDoneAtOnce) {
  auto [client, server] = ConnectedPair();
  const IoResult result = Run(client.SendFile(-1, 0, 0));
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, 0u);
}

TEST_F(SendFileTest, FileThatEndsFirstSaysHowMuchWasSentAndPoisons) {
  const TestFile file("only this");
  auto [client, server] = ConnectedPair();
  const IoResult result = Run(client.SendFile(file.descriptor(), 5, 100));
  EXPECT_THAT(result.status, StatusIs(kOutOfRange));
  EXPECT_EQ(result.bytes, 4u);
  EXPECT_THAT(Run(client.WriteAll("x")).status, StatusIs(kFailedPrecondition));
  client.AcceptPartial();
  Send(client, "!");
  EXPECT_EQ(ReadExactly(server, 5), "this!");
}

TEST_F(SendFileTest, OffsetBehindTheEndSendsNothingAndTheStreamGoesOn) {
  const TestFile file("short");
  auto [client, server] = ConnectedPair();
  const IoResult result = Run(client.SendFile(file.descriptor(), 100, 1));
  EXPECT_THAT(result.status, StatusIs(kOutOfRange));
  EXPECT_EQ(result.bytes, 0u);
  Send(client, "on");
  EXPECT_THAT(Read(server), IsOkAndHolds("on"));
}

TEST_F(SendFileTest, DescriptorThatIsNoneFailsAloneAndTheStreamGoesOn) {
  auto [client, server] = ConnectedPair();
  auto failed = Start(SendFileOf(&client, -1, 0, 10));
  auto write = Start(WriteAllOf(&client, "on"));
  const IoResult result = Wait(failed);
  EXPECT_EQ(ErrnoOf(result.status), EBADF) << result.status;
  EXPECT_EQ(result.bytes, 0u);
  EXPECT_OK(Wait(write));
  EXPECT_THAT(Read(server), IsOkAndHolds("on"));
}

TEST_F(SendFileTest, CutShortSaysExactlyWhatThePeerGetsAndPoisons) {
  const std::string content = Pattern(16 << 20);
  const TestFile file(content);
  auto [client, server] = ConnectedPair();
  auto send = Start(SendFileOf(&client, file.descriptor(), 0, content.size()));
  auto queued = Start(WriteAllOf(&client, "queued"));
  Settle();
  send->Cancel();
  const IoResult result = Wait(send);
  EXPECT_EQ(result.status, CancelledStatus());
  EXPECT_GT(result.bytes, 0u);
  EXPECT_LT(result.bytes, content.size());
  EXPECT_THAT(Wait(queued).status, StatusIs(kFailedPrecondition));
  EXPECT_OK(Run(client.Close()));
  auto received = ReadAll(server);
  ASSERT_OK(received);
  EXPECT_TRUE(*received == content.substr(0, result.bytes)) << received->size() << " " << result.bytes;
}

TEST_F(SendFileTest, TheRestGoesBeforeAnythingElse) {
  const std::string content = Pattern(16 << 20);
  const TestFile file(content);
  auto [client, server] = ConnectedPair();
  const size_t sent = SendAPart(client, file, content.size());
  EXPECT_THAT(Run(client.WriteAll("too early")).status, StatusIs(kFailedPrecondition));

  auto rest = Start(SendFileRestOf(&client, file.descriptor(), sent, content.size() - sent));
  Settle();
  auto behind = Start(WriteAllOf(&client, "behind"));
  EXPECT_TRUE(ReadExactly(server, content.size() + 6) == content + "behind");

  const IoResult result = Wait(rest);
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, content.size() - sent);
  EXPECT_OK(Wait(behind).status);
}

// Else the next message would stand in the middle of the file.
TEST_F(SendFileTest, TheRestThatIsStoppedBeforeAnythingWentKeepsThePoison) {
  const std::string content = Pattern(16 << 20);
  const TestFile file(content);
  auto [client, server] = ConnectedPair();
  const size_t sent = SendAPart(client, file, content.size());

  const IoResult stopped =
      Run(client.SendFileRest(file.descriptor(), sent, content.size() - sent).By(Now() - absl::Seconds(1)));

  EXPECT_EQ(stopped.status, DeadlineExceededStatus());
  EXPECT_EQ(stopped.bytes, 0u);
  EXPECT_THAT(Run(client.WriteAll("too early")).status, StatusIs(kFailedPrecondition));
  auto rest = Start(SendFileRestOf(&client, file.descriptor(), sent, content.size() - sent));
  EXPECT_TRUE(ReadExactly(server, content.size()) == content);
  EXPECT_OK(Wait(rest));
}

TEST_F(SendFileTest, TheRestOfAFileThatHasNoneKeepsThePoisonUntilWriteRest) {
  const TestFile file("only this");
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(Run(client.SendFile(file.descriptor(), 5, 8)).status, StatusIs(kOutOfRange));
  const IoResult none = Run(client.SendFileRest(file.descriptor(), 9, 4));
  EXPECT_THAT(none.status, StatusIs(kOutOfRange));
  EXPECT_EQ(none.bytes, 0u);
  EXPECT_THAT(Run(client.WriteAll("x")).status, StatusIs(kFailedPrecondition));
  EXPECT_OK(Run(client.WriteRest("0000")));
  EXPECT_EQ(ReadExactly(server, 8), "this0000");
}

TEST_F(SendFileTest, QueuedOneIsStoppedWithNothingSent) {
  const TestFile file("file");
  auto [client, server] = ConnectedPair();
  auto write = Start(WriteAllOf(&client, Pattern(16 << 20)));
  auto send = Start(SendFileOf(&client, file.descriptor(), 0, 4));
  Settle();
  send->Cancel();
  const IoResult result = Wait(send);
  EXPECT_EQ(result.status, CancelledStatus());
  EXPECT_EQ(result.bytes, 0u);
  EXPECT_FALSE(write->done());
  write->Cancel();
  EXPECT_EQ(Wait(write).status, CancelledStatus());
}

TEST_F(SendFileTest, DeadlineInThePastSendsNothing) {
  const TestFile file("file");
  auto [client, server] = ConnectedPair();
  const IoResult result = Run(client.SendFile(file.descriptor(), 0, 4).By(Now() - absl::Seconds(1)));
  EXPECT_EQ(result.status, DeadlineExceededStatus());
  EXPECT_EQ(result.bytes, 0u);
  Send(client, "next");
  EXPECT_THAT(Read(server), IsOkAndHolds("next"));
}

TEST_F(SendFileTest, ResetEndsItAndWhatIsQueued) {
  const std::string content = Pattern(16 << 20);
  const TestFile file(content);
  auto [client, server] = ConnectedPair();
  auto send = Start(SendFileOf(&client, file.descriptor(), 0, content.size()));
  auto queued = Start(WriteAllOf(&client, "queued"));
  Settle();
  server.Abort();
  EXPECT_TRUE(IsReset(Wait(send).status));
  EXPECT_TRUE(IsReset(Wait(queued).status));
}

TEST_F(SendFileTest, CloseEndsItAndItKnowsWhatItSent) {
  const std::string content = Pattern(16 << 20);
  const TestFile file(content);
  auto [client, server] = ConnectedPair();
  auto send = Start(SendFileOf(&client, file.descriptor(), 0, content.size()));
  Settle();
  EXPECT_OK(Run(client.Close()));
  const IoResult result = Wait(send);
  EXPECT_EQ(ErrnoOf(result.status), EBADF);
  auto received = ReadAll(server);
  ASSERT_OK(received);
  EXPECT_EQ(received->size(), result.bytes);
}

TEST_F(SendFileTest, HugeCountSendsWhatIsThere) {
  const TestFile file("0123456789");
  for (const uint64_t count : {uint64_t{1} << 31, uint64_t{1} << 32, uint64_t{1} << 63, ~uint64_t{0}}) {
    auto [client, server] = ConnectedPair();
    const IoResult result = Run(client.SendFile(file.descriptor(), 4, count));
    EXPECT_THAT(result.status, StatusIs(kOutOfRange)) << count;
    EXPECT_EQ(result.bytes, 6u) << count;
    EXPECT_EQ(ReadExactly(server, 6), "456789");
  }
}

TEST_F(SendFileTest, HugeOffsetIsRefusedAndTheStreamGoesOn) {
  const TestFile file("0123456789");
  auto [client, server] = ConnectedPair();
  for (const uint64_t offset : {uint64_t{1} << 63, ~uint64_t{0}}) {
    const IoResult result = Run(client.SendFile(file.descriptor(), offset, 10));
    EXPECT_EQ(ErrnoOf(result.status), EINVAL) << offset << " " << result.status;
    EXPECT_EQ(result.bytes, 0u);
  }
  Send(client, "on");
  EXPECT_THAT(Read(server), IsOkAndHolds("on"));
}

}  // namespace
}  // namespace tandem::testing
