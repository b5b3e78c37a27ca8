// SPDX-License-Identifier: Apache-2.0
//
// The examples of docs/api.md, run on every reactor.
//
// What is between a name in brackets and the next end is in the document word for word: doc_examples_test holds the two
// against each other.

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/tandem.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

using testing::IsOkAndHolds;

class ApiExamples : public testing::SocketConformanceTest {};

// [Task]
Task<absl::Status> SayTwice(std::string word, std::string* said) {
  for (int i = 0; i < 2; ++i) {
    absl::Status slept = co_await Sleep(absl::Milliseconds(1));
    if (!slept.ok()) co_return slept;  // Cancelled.
    said->append(word);
  }
  co_return absl::OkStatus();
}
// [end]

TEST_F(ApiExamples, Task) {
  std::string said;
  EXPECT_OK(Run(SayTwice("ha", &said)));
  EXPECT_EQ(said, "haha");
}

// [WhenAll]
Task<absl::Status> SayBoth(std::string* first, std::string* second) {
  auto [one, two] = co_await WhenAll(SayTwice("a", first), SayTwice("b", second));
  if (!one.ok()) co_return one;
  co_return two;
}
// [end]

TEST_F(ApiExamples, WhenAll) {
  std::string first;
  std::string second;
  EXPECT_OK(Run(SayBoth(&first, &second)));
  EXPECT_EQ(first + second, "aabb");
}

// [WhenAny]
Task<absl::StatusOr<size_t>> ReadEither(TcpStream* a, TcpStream* b, absl::Span<char> from_a, absl::Span<char> from_b) {
  auto [one, two] = co_await WhenAny(a->Read(from_a), b->Read(from_b));
  size_t bytes = 0;
  if (one.has_value() && one->ok()) bytes += **one;
  if (two.has_value() && two->ok()) bytes += **two;  // Both may have completed: no byte is thrown away.
  co_return bytes;
}
// [end]

TEST_F(ApiExamples, WhenAny) {
  auto [a, b] = ConnectedPair();
  auto [c, d] = ConnectedPair();
  Send(d, "hello");
  char first[8];
  char second[8];
  EXPECT_THAT(Run(ReadEither(&a, &c, absl::MakeSpan(first), absl::MakeSpan(second))), IsOkAndHolds(5u));
}

// [WithTimeout]
Task<absl::StatusOr<size_t>> ReadSoon(TcpStream* stream, absl::Span<char> target) {
  absl::StatusOr<size_t> count = co_await WithTimeout(absl::Milliseconds(5), stream->Read(target));
  if (absl::IsDeadlineExceeded(count.status())) co_return size_t{0};  // Nothing was consumed.
  co_return count;
}
// [end]

TEST_F(ApiExamples, WithTimeout) {
  auto [client, server] = ConnectedPair();
  char target[8];
  EXPECT_THAT(Run(ReadSoon(&server, absl::MakeSpan(target))), IsOkAndHolds(0u));
}

// [CancelScope]
Task<absl::Status> RunUntilStopped(CancelScope* scope, Task<absl::Status> work) {
  absl::Status status = co_await scope->Run(std::move(work));  // Elsewhere: scope->Cancel().
  if (!absl::IsCancelled(status)) co_return status;
  co_return absl::OkStatus();
}
// [end]

TEST_F(ApiExamples, CancelScope) {
  CancelScope scope;
  std::string said;
  scope.Cancel();
  EXPECT_OK(Run(RunUntilStopped(&scope, SayTwice("ha", &said))));
  EXPECT_EQ(said, "");
}

// [Shield]
Task<absl::Status> SayGoodbye(TcpStream* stream) {
  IoResult result = co_await stream->WriteAll("bye");
  co_return result.status;
}

Task<absl::Status> TalkThenSayGoodbye(TcpStream* stream) {
  absl::Status status = co_await Sleep(absl::Hours(1));  // Whatever the connection is for; it may be cancelled.
  co_return co_await Shield(absl::Seconds(1), SayGoodbye(stream));
}
// [end]

TEST_F(ApiExamples, Shield) {
  auto [client, server] = ConnectedPair();
  auto talk = Start(TalkThenSayGoodbye(&client));
  Settle();
  talk->Cancel();
  EXPECT_OK(Wait(talk));
  EXPECT_THAT(Read(server), IsOkAndHolds("bye"));
}

// [TcpListener]
Task<absl::Status> Echo(TcpStream stream) {
  char bytes[4096];
  for (;;) {
    absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(bytes));
    if (!count.ok() || *count == 0) co_return count.status();
    IoResult written = co_await stream.WriteAll(absl::string_view(bytes, *count));
    if (!written.ok()) co_return written.status;
  }
}

Task<absl::Status> ServeTwo(TcpListener* listener, TaskGroup* group) {
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    group->Spawn(&Echo, *std::move(stream));  // Runs beside this; the group joins it.
  }
  co_return absl::OkStatus();
}
// [end]

TEST_F(ApiExamples, TcpListener) {
  TcpListener listener = Listen();
  auto body = [&listener](TaskGroup& group) { return ServeTwo(&listener, &group); };
  auto serving = Start(WithTaskGroup(body));
  TcpStream one = Connect(listener.LocalAddress());
  TcpStream two = Connect(listener.LocalAddress());
  Send(one, "one");
  Send(two, "two");
  EXPECT_THAT(Read(one), IsOkAndHolds("one"));
  EXPECT_THAT(Read(two), IsOkAndHolds("two"));
  EXPECT_OK(Run(one.Close()));
  EXPECT_OK(Run(two.Close()));
  EXPECT_OK(Wait(serving));
}

// [Serve]
Task<absl::StatusOr<size_t>> ReadQuestion(TcpStream* stream, absl::Span<char> target) {
  absl::StatusOr<size_t> count = co_await stream->Read(target);
  co_return count;
}

Task<void> AnswerQuestions(TcpStream stream, CancelScope* idle, int* answered) {
  char question[4096];
  for (;;) {
    absl::StatusOr<size_t> count = co_await idle->Run(ReadQuestion(&stream, absl::MakeSpan(question)));
    if (!count.ok() || *count == 0) co_return;            // The server stops, or the client has ended.
    IoResult written = co_await stream.WriteAll("42\n");  // Goes on while the server drains.
    if (!written.ok()) co_return;
    ++*answered;
  }
}

Task<absl::Status> ServeQuestions(TcpListener listener) {
  int answered = 0;  // Of all connections: no handler outlives Serve().
  auto handler = [&answered](TcpStream stream, CancelScope* idle) {
    return AnswerQuestions(std::move(stream), idle, &answered);
  };
  ServeOptions options;
  options.set_max_connections(10'000).set_drain_limit(absl::Seconds(30));
  absl::Status status = co_await Serve(std::move(listener), handler, options);
  if (answered > 0) co_return status;
  co_return absl::UnavailableError("nobody has asked");
}
// [end]

TEST_F(ApiExamples, Serve) {
  TcpListener listener = Listen();
  const SocketAddress address = listener.LocalAddress();
  auto serving = Start(ServeQuestions(std::move(listener)));
  TcpStream client = Connect(address);
  Send(client, "What is six times seven?");
  EXPECT_THAT(Read(client), IsOkAndHolds("42\n"));
  serving->Cancel();
  EXPECT_THAT(ReadAll(client), IsOkAndHolds(""));
  EXPECT_EQ(Wait(serving).code(), absl::StatusCode::kCancelled);
}

// [TcpStream]
Task<absl::StatusOr<std::string>> Ask(SocketAddress server, std::string question, size_t answer_bytes) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server).By(Now() + absl::Seconds(3));
  if (!stream.ok()) co_return stream.status();
  IoResult written = co_await stream->WriteAll(question);
  if (!written.ok()) co_return written.status;
  std::string answer(answer_bytes, '\0');
  IoResult read = co_await stream->ReadExactly(absl::MakeSpan(answer));
  if (!read.ok()) co_return read.status;
  co_return answer;
}
// [end]

Task<absl::Status> EchoOne(TcpListener* listener) {
  absl::StatusOr<TcpStream> stream = co_await listener->Accept();
  if (!stream.ok()) co_return stream.status();
  co_return co_await Echo(*std::move(stream));
}

TEST_F(ApiExamples, TcpStream) {
  TcpListener listener = Listen();
  auto serving = Start(EchoOne(&listener));
  EXPECT_THAT(Run(Ask(listener.LocalAddress(), "what", 4)), IsOkAndHolds("what"));
  EXPECT_OK(Wait(serving));
}

// [PeekAtLeast]
Task<absl::StatusOr<bool>> SpeaksTls(TcpStream* stream) {
  char record[5];  // A TLS record begins with its type, 22, the version and the length.
  absl::StatusOr<size_t> count = co_await stream->PeekAtLeast(absl::MakeSpan(record), 5);
  if (!count.ok()) co_return count.status();
  co_return record[0] == 22 && record[1] == 3;  // Whoever reads the stream next gets these bytes, too.
}
// [end]

TEST_F(ApiExamples, PeekAtLeast) {
  auto [client, server] = ConnectedPair();
  auto speaks = Start(SpeaksTls(&server));
  Send(client, "\x16");
  Send(client, absl::string_view("\x03\x01\x02\x00hello", 9));
  EXPECT_THAT(Wait(speaks), IsOkAndHolds(true));
  EXPECT_EQ(Read(server)->size(), 10u);
}

// [Unread]
// Reads a line and leaves what came behind it, for CopyBidirectional() for example.
Task<absl::StatusOr<std::string>> ReadFirstLine(TcpStream* stream) {
  std::string line;
  for (;;) {
    absl::StatusOr<Buffer> buffer = co_await stream->Receive();
    if (!buffer.ok()) co_return buffer.status();
    if (buffer->empty()) co_return absl::OutOfRangeError("the stream ended in its first line");
    const size_t end = buffer->view().find('\n');
    line.append(buffer->view().substr(0, end));
    if (end == absl::string_view::npos) continue;
    buffer->RemovePrefix(end + 1);
    absl::Status unread = stream->Unread(*std::move(buffer));  // Without a copy.
    if (!unread.ok()) co_return unread;
    co_return line;
  }
}
// [end]

TEST_F(ApiExamples, Unread) {
  auto [client, server] = ConnectedPair();
  auto line = Start(ReadFirstLine(&server));
  Send(client, "CONNECT ");
  Send(client, "example\nearly bytes");
  EXPECT_THAT(Wait(line), IsOkAndHolds("CONNECT example"));
  EXPECT_THAT(Read(server), IsOkAndHolds("early bytes"));
}

// [TcpSocket]
Task<absl::StatusOr<TcpStream>> ConnectFrom(SocketAddress local, SocketAddress server) {
  absl::StatusOr<TcpSocket> socket = TcpSocket::Open(AddressFamily::kIpv4);
  if (!socket.ok()) co_return socket.status();
  if (absl::Status set = socket->set_keep_alive(KeepAlive().set_idle(absl::Seconds(30))); !set.ok()) co_return set;
  if (absl::Status bound = socket->Bind(local); !bound.ok()) co_return bound;
  co_return co_await (*std::move(socket)).Connect(server);
}
// [end]

TEST_F(ApiExamples, TcpSocket) {
  TcpListener listener = Listen();
  auto stream = Run(ConnectFrom(SocketAddress::Ipv4({127, 0, 0, 3}, 0), listener.LocalAddress()));
  ASSERT_OK(stream.status());
  TcpStream accepted = Accept(listener);
  EXPECT_EQ(accepted.PeerAddress().HostToString(), "127.0.0.3");
}

// [Try]
absl::StatusOr<std::string> WhatIsThere(TcpStream& stream) {
  char bytes[100];
  absl::StatusOr<std::optional<size_t>> count = stream.TryRead(absl::MakeSpan(bytes));
  if (!count.ok()) return count.status();
  if (!count->has_value()) return "(nothing yet)";  // Read() would have to wait.
  return std::string(bytes, **count);
}
// [end]

TEST_F(ApiExamples, Try) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(WhatIsThere(server), IsOkAndHolds("(nothing yet)"));
  Send(client, "now");
  Settle();
  EXPECT_THAT(WhatIsThere(server), IsOkAndHolds("now"));
}

// [Split]
Task<absl::Status> SendAll(TcpWriter writer, std::string data) {
  IoResult result = co_await writer.WriteAll(data);
  co_return result.status;  // The end of the writer is the end of what the peer reads.
}

Task<absl::Status> ReadWhileSending(TcpStream stream, std::string data, absl::Span<char> answer) {
  auto [reader, writer] = std::move(stream).Split();
  auto [sent, read] = co_await WhenAll(SendAll(std::move(writer), std::move(data)), reader.ReadExactly(answer));
  co_return sent.ok() ? read.status : sent;
}
// [end]

TEST_F(ApiExamples, Split) {
  auto [client, server] = ConnectedPair();
  char answer[2];
  auto exchange = Start(ReadWhileSending(std::move(client), "question", absl::MakeSpan(answer)));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("question"));
  Send(server, "ok");
  EXPECT_OK(Wait(exchange));
  EXPECT_EQ(absl::string_view(answer, 2), "ok");
}

// [Buffer]
Task<absl::Status> EchoWithoutCopy(TcpStream* stream) {
  for (;;) {
    absl::StatusOr<Buffer> received = co_await stream->Receive();  // The reactor's own memory.
    if (!received.ok() || received->empty()) co_return received.status();
    IoResult written = co_await stream->WriteAll(*std::move(received));
    if (!written.ok()) co_return written.status;
  }
}
// [end]

TEST_F(ApiExamples, Buffer) {
  auto [client, server] = ConnectedPair();
  auto echo = Start(EchoWithoutCopy(&server));
  Send(client, "hello");
  EXPECT_THAT(Read(client), IsOkAndHolds("hello"));
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Wait(echo));
}

// [UdpSocket]
Task<absl::Status> EchoDatagrams(UdpSocket* socket, int count) {
  char bytes[2048];
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<ReceivedDatagram> received = co_await socket->ReceiveFrom(absl::MakeSpan(bytes));
    if (!received.ok()) co_return received.status();
    absl::Status sent = co_await socket->SendTo(absl::string_view(bytes, received->size), received->source);
    if (!sent.ok()) co_return sent;
  }
  co_return absl::OkStatus();
}
// [end]

TEST_F(ApiExamples, UdpSocket) {
  auto server = UdpSocket::Bind(SocketAddress::LoopbackIpv4(0));
  auto client = UdpSocket::Bind(SocketAddress::LoopbackIpv4(0));
  ASSERT_OK(server.status());
  ASSERT_OK(client.status());
  auto echo = Start(EchoDatagrams(&*server, 1));
  EXPECT_OK(Run(client->SendTo("hello", *server->LocalAddress())));
  char answer[10];
  auto received = Run(client->ReceiveFrom(absl::MakeSpan(answer)));
  ASSERT_OK(received.status());
  EXPECT_EQ(absl::string_view(answer, received->size), "hello");
  EXPECT_OK(Wait(echo));
}

// [SendMany]
Task<absl::StatusOr<size_t>> SendThree(UdpSocket* socket, SocketAddress to) {
  const std::vector<OutgoingDatagram> batch = {OutgoingDatagram("one", to), OutgoingDatagram("two", to),
                                               OutgoingDatagram("six", to)};
  SendManyResult result = co_await socket->SendMany(batch);  // As few system calls as the kernel allows.
  if (!result.ok()) co_return result.status;
  co_return result.sent;
}
// [end]

TEST_F(ApiExamples, SendMany) {
  auto socket = UdpSocket::Bind(SocketAddress::LoopbackIpv4(0));
  ASSERT_OK(socket.status());
  EXPECT_THAT(Run(SendThree(&*socket, *socket->LocalAddress())), IsOkAndHolds(3u));
}

// [Stream]
class Connections {
 public:
  template <AsyncStream S>
  void Add(S stream) {
    streams_.emplace_back(std::move(stream));  // Over TCP, a pipe, a Unix socket, ...
  }
  Task<absl::Status> Broadcast(std::string text) {
    for (Stream& stream : streams_) static_cast<void>(co_await stream.WriteAll(text));
    co_return absl::OkStatus();
  }

 private:
  std::list<Stream> streams_;  // Not a vector: Add() must not move a stream that Broadcast() is writing to.
};
// [end]

TEST_F(ApiExamples, Stream) {
  auto [client, server] = ConnectedPair();
  auto [left, right] = MakePipe(1024);
  Connections connections;
  connections.Add(std::move(server));
  connections.Add(std::move(left));
  EXPECT_OK(Run(connections.Broadcast("news")));
  EXPECT_THAT(Read(client), IsOkAndHolds("news"));
  char news[4];
  EXPECT_THAT(Run(right.Read(absl::MakeSpan(news))), IsOkAndHolds(4u));
}

// [Pipe]
Task<absl::StatusOr<size_t>> ThroughAPipe(std::string text, absl::Span<char> target) {
  auto [left, right] = MakePipe(64 * 1024);
  IoResult written = co_await left.WriteAll(text);
  if (!written.ok()) co_return written.status;
  co_return co_await right.Read(target);
}
// [end]

TEST_F(ApiExamples, Pipe) {
  char target[10];
  EXPECT_THAT(Run(ThroughAPipe("hello", absl::MakeSpan(target))), IsOkAndHolds(5u));
}

// [BufferedReader]
Task<absl::StatusOr<std::string>> ReadHeader(TcpStream* stream) {
  BufferedReader reader(*stream);
  absl::StatusOr<absl::string_view> header = co_await reader.ReadUntil("\r\n\r\n", 8192);
  if (!header.ok()) co_return header.status();  // kResourceExhausted: longer than 8192 bytes.
  co_return std::string(*header);
}
// [end]

TEST_F(ApiExamples, BufferedReader) {
  auto [client, server] = ConnectedPair();
  Send(client, "GET / HTTP/1.1\r\n\r\nbody");
  EXPECT_THAT(Run(ReadHeader(&server)), IsOkAndHolds("GET / HTTP/1.1\r\n\r\n"));
}

size_t ContentLength(absl::string_view head) {
  size_t length = 0;
  const size_t begin = head.find("Content-Length: ");
  CHECK(begin != absl::string_view::npos);
  CHECK(absl::SimpleAtoi(head.substr(begin + 16, head.find("\r\n", begin) - begin - 16), &length));
  return length;
}
std::string AnswerTo(absl::string_view head, absl::string_view body) {
  return absl::StrCat(head.substr(0, head.find(' ')), ":", body);
}

// [FillUntil]
// A head that says how long the body is, and the body.
Task<absl::Status> HandleRequest(BufferedReader<TcpStream>* reader, std::string* answer) {
  absl::StatusOr<size_t> head = co_await reader->FillUntil("\r\n\r\n", 8192);
  if (!head.ok()) co_return head.status();
  const size_t size = *head + ContentLength(reader->buffered().substr(0, *head));
  absl::Status filled = co_await reader->FillAtLeast(size);
  if (!filled.ok()) co_return filled;
  *answer = AnswerTo(/*head=*/reader->buffered().substr(0, *head),
                     /*body=*/reader->buffered().substr(*head, size - *head));
  reader->Consume(size);
  co_return absl::OkStatus();
}
// [end]

TEST_F(ApiExamples, FillUntil) {
  auto [client, server] = ConnectedPair();
  BufferedReader reader(server);
  std::string answer;
  auto handling = Start(HandleRequest(&reader, &answer));
  Send(client, "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n");
  Settle();
  Send(client, "bodynext");
  EXPECT_OK(Wait(handling));
  EXPECT_EQ(answer, "POST:body");
  EXPECT_THAT(Run(reader.ReadExactly(4)), IsOkAndHolds("next"));
}

// [BufferedWriter]
Task<absl::Status> Publish(BufferedWriter<TcpStream>* writer, std::string message) {
  // Waits while the buffer is full; a message that was not taken within a second was not taken at all.
  IoResult written = co_await WithTimeout(absl::Seconds(1), writer->WriteAll(message));
  if (!written.ok()) co_return written.status;
  co_return co_await writer->Flush();  // OK: it is sent, by this call or by another that flushed meanwhile.
}
// [end]

TEST_F(ApiExamples, BufferedWriter) {
  auto [client, server] = ConnectedPair();
  BufferedWriter writer(client);
  auto one = Start(Publish(&writer, "one;"));
  auto two = Start(Publish(&writer, "two;"));
  EXPECT_OK(Wait(one));
  EXPECT_OK(Wait(two));
  std::string received(8, '\0');
  EXPECT_OK(Run(server.ReadExactly(absl::MakeSpan(received))).status);
  EXPECT_EQ(received, "one;two;");
}

// [LineReader]
Task<absl::StatusOr<size_t>> CountLines(TcpStream* stream) {
  BufferedReader reader(*stream);
  LineReader lines(reader);
  for (size_t count = 0;; ++count) {
    absl::StatusOr<std::optional<absl::string_view>> line = co_await lines.Next();
    if (!line.ok()) co_return line.status();
    if (!line->has_value()) co_return count;  // The end of the stream.
  }
}
// [end]

TEST_F(ApiExamples, LineReader) {
  auto [client, server] = ConnectedPair();
  Send(client, "one\ntwo\r\nthree");
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_THAT(Run(CountLines(&server)), IsOkAndHolds(3u));
}

// [ServeLines]
class PhoneBook {
 public:
  // "NAME NUMBER" remembers, "NAME" asks.
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const size_t space = line.find(' ');
    std::string& number = numbers_[line.substr(0, space)];
    if (space != std::string::npos) number = line.substr(space + 1);
    co_return number;
  }

 private:
  std::map<std::string, std::string> numbers_;
};

Task<absl::Status> ServePhoneBook(TcpListener listener) {
  PhoneBook book;
  auto handler = [&book](std::string line) { return book.Answer(std::move(line)); };
  co_return co_await ServeLines(std::move(listener), handler, ServeLinesOptions().set_line_limit(1000));
}

Task<absl::StatusOr<std::string>> NumberOf(std::string server, std::string name) {
  absl::StatusOr<TcpStream> stream = co_await WithTimeout(absl::Seconds(5), Connect(server));
  if (!stream.ok()) co_return stream.status();
  LineClient client(*std::move(stream));  // Many calls may follow, one at a time.
  co_return co_await WithTimeout(absl::Seconds(1), client.Call(name));
}
// [end]

TEST_F(ApiExamples, ServeLines) {
  TcpListener listener = Listen();
  const std::string address = listener.LocalAddress().ToString();
  auto serving = Start(ServePhoneBook(std::move(listener)));
  EXPECT_THAT(Run(NumberOf(address, "alice")), IsOkAndHolds(""));
  EXPECT_THAT(Run(NumberOf(address, "alice 555-1234")), IsOkAndHolds("555-1234"));
  EXPECT_THAT(Run(NumberOf(address, "alice")), IsOkAndHolds("555-1234"));
  serving->Cancel();
  EXPECT_EQ(Wait(serving).code(), absl::StatusCode::kCancelled);
}

// [FrameReader]
Task<absl::StatusOr<std::string>> SendAndReadFrame(TcpStream* from, TcpStream* to, std::string message) {
  BufferedWriter out(*from);
  FrameWriter writer(out);  // A length of 4 bytes, big-endian, comes before each frame.
  if (absl::Status appended = writer.Append(message); !appended.ok()) co_return appended;
  if (absl::Status flushed = co_await out.Flush(); !flushed.ok()) co_return flushed;
  BufferedReader in(*to);
  FrameReader reader(in, FrameFormat().set_limit(1 << 20));
  absl::StatusOr<std::optional<absl::string_view>> frame = co_await reader.Next();
  if (!frame.ok()) co_return frame.status();
  co_return std::string(frame->value_or("(end)"));
}
// [end]

TEST_F(ApiExamples, FrameReader) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(Run(SendAndReadFrame(&client, &server, "message")), IsOkAndHolds("message"));
}

// [Copy]
Task<absl::Status> Proxy(TcpStream client, SocketAddress backend) {
  absl::StatusOr<TcpStream> server = co_await TcpStream::Connect(backend);
  if (!server.ok()) co_return server.status();
  BidirectionalCopyResult result =
      co_await CopyBidirectional(client, *server, CopyOptions().set_idle_timeout(absl::Minutes(5)));
  co_return result.status;
}
// [end]

TEST_F(ApiExamples, Copy) {
  TcpListener backend = Listen();
  auto [client, proxied] = ConnectedPair();
  auto proxy = Start(Proxy(std::move(proxied), backend.LocalAddress()));
  TcpStream server = Accept(backend);
  Send(client, "question");
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("question"));
  Send(server, "answer");
  EXPECT_OK(Run(server.ShutdownWrite()));
  EXPECT_THAT(ReadAll(client), IsOkAndHolds("answer"));
  EXPECT_OK(Wait(proxy));
}

// [Duplex]
// "backend:80\n", and then whatever is for the backend.
Task<absl::Status> ProxyByName(TcpStream client) {
  BufferedReader reader(client);
  absl::StatusOr<absl::string_view> line = co_await reader.ReadUntil("\n", 300);
  if (!line.ok()) co_return line.status();
  absl::StatusOr<TcpStream> server = co_await Connect(std::string(line->substr(0, line->size() - 1)));
  if (!server.ok()) co_return server.status();
  Duplex front(reader, client);
  BidirectionalCopyResult result = co_await CopyBidirectional(front, *server);
  co_return result.status;
}
// [end]

TEST_F(ApiExamples, Duplex) {
  TcpListener backend = Listen();
  auto [client, proxied] = ConnectedPair();
  auto proxy = Start(ProxyByName(std::move(proxied)));
  Send(client, "localhost:" + std::to_string(backend.LocalAddress().port()) + "\nquestion");
  EXPECT_OK(Run(client.ShutdownWrite()));
  TcpStream server = Accept(backend);
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("question"));
  Send(server, "answer");
  EXPECT_OK(Run(server.ShutdownWrite()));
  EXPECT_THAT(ReadAll(client), IsOkAndHolds("answer"));
  EXPECT_OK(Wait(proxy));
}

// [LingeringClose]
Task<void> RefuseAndClose(TcpStream stream) {
  IoResult refused = co_await stream.WriteAll("-ERR the request is too large\r\n");
  if (!refused.ok()) co_return;  // The destructor closes.
  absl::Status closed = co_await LingeringClose(stream, LingerOptions().set_time_limit(absl::Seconds(2)));
  closed.IgnoreError();  // kDeadlineExceeded and others: the peer did not end by itself.
}
// [end]

TEST_F(ApiExamples, LingeringClose) {
  auto [client, server] = ConnectedPair();
  Send(client, "a request that nobody reads");
  Spawn(&RefuseAndClose, std::move(server));
  EXPECT_THAT(ReadAll(client), IsOkAndHolds("-ERR the request is too large\r\n"));
  EXPECT_OK(Run(client.Close()));
}

// [Resolve]
Task<absl::StatusOr<SocketAddress>> FirstAddress(std::string name) {
  absl::StatusOr<std::vector<SocketAddress>> addresses = co_await Resolve(name, 80).By(Now() + absl::Seconds(5));
  if (!addresses.ok()) co_return addresses.status();  // kNotFound: there is no such name.
  co_return addresses->front();
}
// [end]

TEST_F(ApiExamples, Resolve) {
  auto address = Run(FirstAddress("localhost"));
  ASSERT_OK(address.status());
  EXPECT_TRUE(address->is_loopback());
}

// [Connect]
Task<absl::Status> Ping(std::string target) {
  absl::StatusOr<TcpStream> stream = co_await WithTimeout(absl::Seconds(5), Connect(target));  // "db.example:5432"
  if (!stream.ok()) co_return stream.status();
  IoResult result = co_await stream->WriteAll("ping");
  co_return result.status;
}
// [end]

TEST_F(ApiExamples, Connect) {
  TcpListener listener = Listen();
  EXPECT_OK(Run(Ping("localhost:" + std::to_string(listener.LocalAddress().port()))));
  TcpStream accepted = Accept(listener);
  EXPECT_THAT(Read(accepted), IsOkAndHolds("ping"));
}

// [ConnectionPool]
Task<absl::Status> Request(ConnectionPool<TcpStream>* pool, std::string host, std::string text,
                           absl::Span<char> answer) {
  auto lease = co_await WithTimeout(absl::Seconds(1), pool->Acquire(host));
  if (!lease.ok()) co_return lease.status();
  IoResult written = co_await (*lease)->WriteAll(text);
  if (!written.ok()) co_return written.status;  // The lease ends here, and closes its connection.
  IoResult read = co_await (*lease)->ReadExactly(answer);
  if (!read.ok()) co_return read.status;
  lease->ReturnToPool();  // Only a connection whose answer was read in full is used again.
  co_return absl::OkStatus();
}
// [end]

Task<absl::StatusOr<TcpStream>> ConnectToHost(std::string host) { return tandem::Connect(std::move(host)); }

TEST_F(ApiExamples, ConnectionPool) {
  TcpListener listener = Listen();
  ConnectionPool<TcpStream> pool(&ConnectToHost);
  auto serving = Start(EchoOne(&listener));
  char answer[4];
  for (int i = 0; i < 2; ++i) {
    EXPECT_OK(Run(Request(&pool, listener.LocalAddress().ToString(), "ping", absl::MakeSpan(answer))));
  }
  EXPECT_EQ(pool.statistics().made, 1u);
  pool.CloseIdle();
  EXPECT_OK(Wait(serving));
}

// [Channel]
Task<absl::Status> Produce(Channel<int>* numbers) {
  for (int i = 1; i <= 3; ++i) {
    absl::Status sent = co_await numbers->Send(int{i});  // Waits while the channel is full.
    if (!sent.ok()) co_return sent;
  }
  numbers->Close();
  co_return absl::OkStatus();
}

Task<absl::StatusOr<int>> Sum(Channel<int>* numbers) {
  int sum = 0;
  for (;;) {
    absl::StatusOr<int> number = co_await numbers->Receive();
    if (!number.ok()) co_return sum;  // kOutOfRange: closed and empty.
    sum += *number;
  }
}
// [end]

TEST_F(ApiExamples, Channel) {
  Channel<int> numbers(1);
  auto produce = Start(Produce(&numbers));
  EXPECT_THAT(Run(Sum(&numbers)), IsOkAndHolds(6));
  EXPECT_OK(Wait(produce));
}

// [Mutex]
Task<absl::Status> AppendLine(Mutex* mutex, TcpStream* log, std::string line) {
  absl::StatusOr<Mutex::Guard> guard = co_await mutex->Lock();  // Held across the awaits below.
  if (!guard.ok()) co_return guard.status();
  IoResult text = co_await log->WriteAll(line);
  if (!text.ok()) co_return text.status;
  IoResult end = co_await log->WriteAll("\n");
  co_return end.status;
}
// [end]

TEST_F(ApiExamples, Mutex) {
  auto [client, server] = ConnectedPair();
  Mutex mutex;
  auto one = Start(AppendLine(&mutex, &client, "one"));
  auto two = Start(AppendLine(&mutex, &client, "two"));
  EXPECT_OK(Wait(one));
  EXPECT_OK(Wait(two));
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("one\ntwo\n"));
}

// [Semaphore]
Task<absl::Status> WithOneOfFew(Semaphore* few, int* running, int* most) {
  absl::StatusOr<Semaphore::Guard> permit = co_await few->Acquire();
  if (!permit.ok()) co_return permit.status();
  *most = std::max(*most, ++*running);
  absl::Status slept = co_await Sleep(absl::Milliseconds(1));
  --*running;
  co_return slept;  // The guard gives the permit back.
}
// [end]

TEST_F(ApiExamples, Semaphore) {
  Semaphore few(2);
  int running = 0;
  int most = 0;
  std::vector<std::unique_ptr<testing::Background<absl::Status>>> tasks(5);
  for (auto& task : tasks) task = Start(WithOneOfFew(&few, &running, &most));
  for (auto& task : tasks) EXPECT_OK(Wait(task));
  EXPECT_EQ(most, 2);
}

// [Event]
Task<absl::Status> StartWhenReady(Event* ready, bool* started) {
  absl::Status waited = co_await ready->Wait();
  if (!waited.ok()) co_return waited;
  *started = true;
  co_return absl::OkStatus();
}
// [end]

TEST_F(ApiExamples, Event) {
  Event ready;
  bool started = false;
  auto task = Start(StartWhenReady(&ready, &started));
  Settle();
  EXPECT_FALSE(started);
  ready.Set();
  EXPECT_OK(Wait(task));
  EXPECT_TRUE(started);
}

// [WaitGroup]
struct Background {
  WaitGroup running;
  int done = 0;
};
HostLocal<Background> background;  // Outlives every task; a local variable would not, when Wait() is cancelled.

Task<void> Work() {
  static_cast<void>(co_await Sleep(absl::Milliseconds(1)));
  ++background->done;
  background->running.Done();
}

Task<absl::Status> SpawnAndWait() {
  for (int i = 0; i < 3; ++i) {
    background->running.Add();
    Spawn(&Work);
  }
  co_return co_await background->running.Wait();
}
// [end]

TEST_F(ApiExamples, WaitGroup) {
  EXPECT_OK(Run(SpawnAndWait()));
  EXPECT_EQ(background->done, 3);
}

// The tasks go on, and what they use is still there.
TEST_F(ApiExamples, WaitGroupThatIsCancelled) {
  EXPECT_EQ(Run(WithTimeout(absl::Microseconds(1), SpawnAndWait())), DeadlineExceededStatus());
  EXPECT_OK(Run(Sleep(absl::Milliseconds(20))));
  EXPECT_EQ(background->done, 3);
  EXPECT_EQ(background->running.pending(), 0u);
}

// [Promise]
Task<void> AnswerLater(Promise<int> promise) {
  const absl::Status slept = co_await Sleep(absl::Milliseconds(1));
  if (slept.ok()) promise.Set(42);
}

Task<absl::StatusOr<int>> AskAnotherTask() {
  auto [promise, future] = MakePromise<int>();
  Spawn(&AnswerLater, std::move(promise));
  co_return co_await future.Get();
}
// [end]

TEST_F(ApiExamples, Promise) {
  EXPECT_THAT(Run(AskAnotherTask()), IsOkAndHolds(42));
  EXPECT_EQ(Run(WithTimeout(absl::Microseconds(1), AskAnotherTask())).status(), DeadlineExceededStatus());
  EXPECT_OK(Run(Sleep(absl::Milliseconds(5))));  // The other task sets its promise for nobody.
}

// [Watch]
Task<absl::StatusOr<std::string>> FollowUntil(Watch<std::string>::Observer observer, std::string last) {
  std::string seen;
  for (;;) {
    absl::StatusOr<std::string> value = co_await observer.Next();  // The current one first, then each change.
    if (!value.ok()) co_return value.status();                     // kOutOfRange: the Watch is gone.
    seen += *value + ";";
    if (*value == last) co_return seen;
  }
}
// [end]

TEST_F(ApiExamples, Watch) {
  Watch<std::string> word("one");
  auto following = Start(FollowUntil(word.Observe(), "three"));
  Settle();
  word.Set("two");
  Settle();
  word.Set("three");
  EXPECT_THAT(Wait(following), IsOkAndHolds("one;two;three;"));
}

// [Condition]
struct CommitLog {
  int length = 0;
  Condition advanced;

  void Append() {
    ++length;
    advanced.Notify();
  }
};

Task<absl::Status> WaitForLength(CommitLog* log, int length) {
  const auto reached = [&] { return log->length >= length; };
  co_return co_await log->advanced.Wait(reached);
}
// [end]

TEST_F(ApiExamples, Condition) {
  CommitLog log;
  auto waiting = Start(WaitForLength(&log, 2));
  Settle();
  log.Append();
  Settle();
  EXPECT_FALSE(waiting->done());
  log.Append();
  EXPECT_OK(Wait(waiting));
}

// [SharedMutex]
Task<absl::Status> Publish(SharedMutex* mutex, std::string* page, std::string text) {
  absl::StatusOr<SharedMutex::Guard> alone = co_await mutex->Lock();
  if (!alone.ok()) co_return alone.status();
  *page = text;
  co_return absl::OkStatus();
}

Task<absl::Status> SendPage(SharedMutex* mutex, std::string* page, TcpStream* stream) {
  absl::StatusOr<SharedMutex::Guard> shared = co_await mutex->LockShared();  // `page` stays as it is meanwhile.
  if (!shared.ok()) co_return shared.status();
  IoResult sent = co_await stream->WriteAll(*page);
  co_return sent.status;
}
// [end]

TEST_F(ApiExamples, SharedMutex) {
  auto [client, server] = ConnectedPair();
  SharedMutex mutex;
  std::string page;
  EXPECT_OK(Run(Publish(&mutex, &page, "news")));
  EXPECT_OK(Run(SendPage(&mutex, &page, &server)));
  EXPECT_THAT(Read(client), IsOkAndHolds("news"));
  EXPECT_FALSE(mutex.locked());
}

// [Barrier]
Task<absl::Status> WorkInRounds(Barrier* barrier, int* rounds) {
  for (int i = 0; i < 3; ++i) {
    ++*rounds;
    absl::Status all = co_await barrier->Arrive();  // Waits for the others.
    if (!all.ok()) co_return all;
  }
  co_return absl::OkStatus();
}
// [end]

TEST_F(ApiExamples, Barrier) {
  Barrier barrier(2);
  int one = 0;
  int two = 0;
  auto first = Start(WorkInRounds(&barrier, &one));
  Settle();
  EXPECT_EQ(one, 1);
  EXPECT_OK(Run(WorkInRounds(&barrier, &two)));
  EXPECT_OK(Wait(first));
  EXPECT_EQ(one + two, 6);
}

// [WaitList]
class Gate {
 public:
  class PassOperation;
  [[nodiscard]] PassOperation Pass();
  void LetOnePass();

 private:
  WaitList<PassOperation> waiters_{"gate"};
};

class [[nodiscard]] Gate::PassOperation final : public WaitingOperation<PassOperation> {
 public:
  explicit PassOperation(Gate& gate) : gate_(gate) {}
  std::string Describe() const override { return "a gate"; }
  absl::Status TakeResult() { return granted() ? absl::OkStatus() : StopStatus(); }

 private:
  bool Start() override {
    gate_.waiters_.PushBack(*this);
    return false;
  }
  Gate& gate_;
};

Gate::PassOperation Gate::Pass() { return PassOperation(*this); }

void Gate::LetOnePass() {
  waiters_.CheckShard();
  if (!waiters_.empty()) waiters_.PopFront().Grant();
}
// [end]

Task<absl::Status> PassThrough(Gate* gate) { co_return co_await gate->Pass(); }

TEST_F(ApiExamples, WaitList) {
  Gate gate;
  auto passing = Start(PassThrough(&gate));
  Settle();
  EXPECT_FALSE(passing->done());
  gate.LetOnePass();
  EXPECT_OK(Wait(passing));
}

// [Ticker]
Task<absl::Status> Heartbeat(TcpStream* stream, int beats) {
  Ticker ticker(absl::Milliseconds(2));
  for (int i = 0; i < beats; ++i) {
    absl::StatusOr<Instant> tick = co_await ticker.Next();  // Does not drift; a missed tick is skipped.
    if (!tick.ok()) co_return tick.status();
    IoResult sent = co_await stream->WriteAll("beat;");
    if (!sent.ok()) co_return sent.status;
  }
  co_return co_await stream->ShutdownWrite();
}
// [end]

TEST_F(ApiExamples, Ticker) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(Heartbeat(&client, 3)));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("beat;beat;beat;"));
}

// [RateLimiter]
Task<absl::Status> SendSlowly(RateLimiter* limiter, TcpStream* stream, int messages) {
  for (int i = 0; i < messages; ++i) {
    absl::Status turn = co_await limiter->Acquire(1);
    if (!turn.ok()) co_return turn;
    IoResult sent = co_await stream->WriteAll(".");
    if (!sent.ok()) co_return sent.status;
  }
  co_return co_await stream->ShutdownWrite();
}
// [end]

TEST_F(ApiExamples, RateLimiter) {
  auto [client, server] = ConnectedPair();
  RateLimiter limiter(1000, absl::Seconds(1), 2);  // 1000 a second, at most 2 at once.
  EXPECT_OK(Run(SendSlowly(&limiter, &client, 5)));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("....."));
}

// [Quorum]
Task<absl::Status> Replicate(std::vector<TcpStream>* replicas, std::string entry) {
  auto send = [](TcpStream* replica, std::string entry) -> Task<absl::Status> {
    IoResult written = co_await replica->WriteAll(entry);
    if (!written.ok()) co_return written.status;
    char answer[2];
    IoResult read = co_await replica->ReadExactly(absl::MakeSpan(answer));
    co_return read.status;
  };
  std::vector<Task<absl::Status>> sends;
  for (TcpStream& replica : *replicas) sends.push_back(send(&replica, entry));
  const size_t majority = replicas->size() / 2 + 1;
  WhenSomeResult<absl::Status> result = co_await WhenSome(majority, std::move(sends));
  if (result.accepted < majority) co_return absl::UnavailableError("no majority");
  co_return absl::OkStatus();
}
// [end]

TEST_F(ApiExamples, Quorum) {
  std::vector<TcpStream> replicas;
  std::vector<TcpStream> peers;
  for (int i = 0; i < 3; ++i) {
    auto [near, far] = ConnectedPair();
    replicas.push_back(std::move(near));
    peers.push_back(std::move(far));
  }
  Send(peers[0], "ok");
  peers[1].Abort();
  Send(peers[2], "ok");
  EXPECT_OK(Run(Replicate(&replicas, "entry")));
}

// [JoinHandle]
class Prefetcher {
 public:
  void Start(std::string key) { load_ = SpawnJoinable(&Prefetcher::Load, std::move(key)); }
  void GiveUp() { load_.Cancel(); }
  Task<absl::StatusOr<std::string>> Value() {
    absl::StatusOr<std::string> value = co_await load_.Join();
    co_return value;
  }

 private:
  static Task<absl::StatusOr<std::string>> Load(std::string key) {
    absl::Status slept = co_await Sleep(absl::Milliseconds(1));  // Whatever it takes.
    if (!slept.ok()) co_return slept;
    co_return "value of " + key;
  }
  JoinHandle<absl::StatusOr<std::string>> load_;
};
// [end]

TEST_F(ApiExamples, JoinHandle) {
  Prefetcher prefetcher;
  prefetcher.Start("a");
  EXPECT_THAT(Run(prefetcher.Value()), IsOkAndHolds("value of a"));
  prefetcher.Start("b");
  prefetcher.GiveUp();
  EXPECT_EQ(Run(prefetcher.Value()).status(), CancelledStatus());
}

// [CurrentDeadline]
std::string RequestHeader() {
  const Instant deadline = CurrentDeadline();
  if (deadline == Instant::InfiniteFuture()) return "";
  return "timeout-ms: " + std::to_string(absl::ToInt64Milliseconds(deadline - Now())) + "\r\n";
}

Task<absl::StatusOr<size_t>> CountPrimes(size_t limit) {
  size_t count = 0;
  for (size_t n = 2; n < limit; ++n) {
    if (n % 1024 == 0) {
      if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;  // Lets others run, too.
    }
    bool prime = true;
    for (size_t d = 2; prime && d * d <= n; ++d) prime = n % d != 0;
    if (prime) ++count;
  }
  co_return count;
}
// [end]

TEST_F(ApiExamples, CurrentDeadline) {
  auto header = []() -> Task<absl::StatusOr<std::string>> { co_return RequestHeader(); };
  const absl::StatusOr<std::string> text = Run(WithTimeout(absl::Hours(1), header()));
  ASSERT_OK(text.status());
  EXPECT_EQ(text->substr(0, 12), "timeout-ms: ");
  EXPECT_THAT(Run(header()), IsOkAndHolds(""));
  EXPECT_THAT(Run(CountPrimes(10'000)), IsOkAndHolds(1229u));
}

// [RunBlocking]
absl::StatusOr<std::string> FirstLine(std::string path) {
  std::ifstream file(path);  // Blocks; it runs on another thread.
  std::string line;
  if (!std::getline(file, line)) return absl::NotFoundError(path);
  return line;
}

Task<absl::StatusOr<std::string>> Load(std::string path) { co_return co_await RunBlocking(&FirstLine, path); }
// [end]

TEST_F(ApiExamples, RunBlocking) {
  EXPECT_EQ(Run(Load("/does/not/exist")).status().code(), absl::StatusCode::kNotFound);
}

// [Stop]
Task<absl::Status> WorkUntilStopped(Channel<int>* jobs, int* sum) {
  for (;;) {
    absl::StatusOr<int> job = co_await UntilStop(jobs->Receive());
    if (!job.ok()) co_return absl::OkStatus();  // No job was taken and left undone.
    absl::Status worked = co_await Sleep(absl::Milliseconds(1));
    if (!worked.ok()) co_return worked;  // The drain took too long.
    *sum += *job;
  }
}

Task<absl::Status> RunWorker(Channel<int>* jobs, int* sum) {
  co_return co_await WithDrain(absl::Seconds(10), WorkUntilStopped(jobs, sum));
}
// [end]

TEST_F(ApiExamples, Stop) {
  Channel<int> jobs(10);
  int sum = 0;
  auto working = Start(RunWorker(&jobs, &sum));
  EXPECT_OK(Run(jobs.Send(1)));
  Settle();
  EXPECT_OK(Run(jobs.Send(2)));
  loop_.shard().RequestStop();
  Wait(working).IgnoreError();  // Cancelled, together with everything, when the worker has drained.
  EXPECT_EQ(sum + static_cast<int>(jobs.size()) * 2, 3);
}

// [Random]
Task<absl::Status> RetryLater(int attempt) {
  const int64_t most_ms = int64_t{2} << attempt;
  const int64_t pause_ms = Random("retry").Between(1, most_ms);  // In the simulator, from the seed.
  co_return co_await Sleep(absl::Milliseconds(pause_ms));
}
// [end]

TEST_F(ApiExamples, Random) { EXPECT_OK(Run(RetryLater(1))); }

// [HostLocal]
struct Counters {
  int requests = 0;
};
HostLocal<Counters> counters;  // One for each host of the simulator and each shard of the runtime.

int CountRequest() { return ++counters->requests; }
// [end]

TEST_F(ApiExamples, HostLocal) {
  EXPECT_EQ(CountRequest(), 1);
  EXPECT_EQ(CountRequest(), 2);
}

// [Errors]
std::string Explain(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) return "my own deadline";
  if (ErrnoOf(status) == ECONNREFUSED) return "nobody listens there";
  if (absl::IsUnavailable(status)) return "the connection is dead";
  return std::string(status.message());
}
// [end]

TEST_F(ApiExamples, Errors) {
  TcpListener listener = Listen();
  const SocketAddress closed = listener.LocalAddress();
  EXPECT_OK(Run(listener.Close()));
  EXPECT_EQ(Explain(Run(TcpStream::Connect(closed)).status()), "nobody listens there");
}

}  // namespace
}  // namespace tandem
