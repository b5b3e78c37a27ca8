// SPDX-License-Identifier: Apache-2.0
//
// What the tests of Unix sockets share: names in a folder of their own, pipes, and calls as tasks. For real reactors.

#ifndef TANDEM_TESTING_CONFORMANCE_UNIX_CONFORMANCE_H_
#define TANDEM_TESTING_CONFORMANCE_UNIX_CONFORMANCE_H_

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/unix_datagram.h"
#include "tandem/core/net/unix_listener.h"
#include "tandem/core/net/unix_stream.h"
#include "tandem/testing/conformance/socket_conformance.h"

namespace tandem::testing {

inline Task<absl::StatusOr<std::string>> UnixRead(UnixStream* stream) {
  std::string data(4096, '\0');
  absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(data));
  if (!count.ok()) co_return count.status();
  data.resize(*count);
  co_return data;
}

// A pipe(2). What is left of it is closed at the end.
class Pipe {
 public:
  Pipe() {
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    reading_ = ends[0];
    writing_ = ends[1];
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close(reading_);
    CloseWriting();
  }

  int reading() const { return reading_; }
  int writing() const { return writing_; }
  void CloseWriting() {
    if (writing_ >= 0) close(std::exchange(writing_, -1));
  }
  // "empty" when a write end is open somewhere, "end" when none is, else what was written.
  std::string Read() const {
    char data[100];
    const ssize_t count = read(reading_, data, sizeof(data));
    if (count < 0) return "empty";
    return count == 0 ? "end" : std::string(data, static_cast<size_t>(count));
  }

 private:
  int reading_ = -1;
  int writing_ = -1;
};

class UnixConformanceTest : public SocketConformanceTest {
 protected:
  UnixConformanceTest() {
    char name[] = "/tmp/tandem.XXXXXX";  // Short: a path has 107 bytes.
    CHECK(mkdtemp(name) != nullptr);
    folder_ = name;
  }
  ~UnixConformanceTest() override { std::filesystem::remove_all(folder_); }

  std::string PathOf(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }
  SocketAddress Path(absl::string_view name) const { return *SocketAddress::Unix(PathOf(name)); }
  // The folder's name makes it unique.
  SocketAddress Abstract(absl::string_view name) const { return *SocketAddress::UnixAbstract(PathOf(name)); }

  UnixListener ListenUnix(const SocketAddress& address, const ListenOptions& options = ListenOptions()) {
    auto listener = UnixListener::Listen(address, options);
    CHECK(listener.ok()) << listener.status();
    return *std::move(listener);
  }
  UnixStream ConnectUnix(const SocketAddress& address) {
    auto stream = Run(UnixStream::Connect(address));
    CHECK(stream.ok()) << stream.status();
    return *std::move(stream);
  }
  std::pair<UnixStream, UnixStream> StreamPair() {
    auto pair = UnixStream::Pair();
    CHECK(pair.ok()) << pair.status();
    return *std::move(pair);
  }
  std::pair<UnixDatagram, UnixDatagram> DatagramPair() {
    auto pair = UnixDatagram::Pair();
    CHECK(pair.ok()) << pair.status();
    return *std::move(pair);
  }
  UnixDatagram BindUnix(const SocketAddress& address) {
    auto socket = UnixDatagram::Bind(address);
    CHECK(socket.ok()) << socket.status();
    return *std::move(socket);
  }

  void Write(UnixStream& stream, absl::string_view data) { EXPECT_OK(Run(stream.WriteAll(data))); }
  absl::StatusOr<std::string> Read(UnixStream& stream) { return Run(UnixRead(&stream)); }

 private:
  std::string folder_;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_UNIX_CONFORMANCE_H_
