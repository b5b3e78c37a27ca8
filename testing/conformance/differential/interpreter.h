// SPDX-License-Identifier: Apache-2.0
//
// Runs the steps of a socket program over Tandem's API, in whatever world the binary was linked with.
//
// Each step gives one line:
//
//   ok                          a call without a count
//   37 ok, 37 end, 37 waited    all that was asked for; then the end of the stream; then nothing more came in time
//   0 UNAVAILABLE ECONNRESET    bytes, status code and errno
//   none                        what a Try call says when it would wait
//   -                           the step means nothing to such a socket: no call was made
//
// Addresses are told by name, so that two runs can be compared: "@1 p0", "lo4 port(s3)" is the port that the kernel
// gave to s3.

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_INTERPRETER_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_INTERPRETER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_socket.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/testing/conformance/differential/program.h"

namespace tandem::testing {

// Where the coroutines of a host run.
class HostRunner {
 public:
  virtual ~HostRunner() = default;
  // Runs the task that `start` makes, on the shard of `host`, and returns its result when it has ended.
  virtual std::string Run(int host, absl::FunctionRef<Task<std::string>()> start) = 0;
  // The IPv4 address of `host`, port 0.
  virtual SocketAddress AddressOf(int host) = 0;
};

// How long calls may take, in the world's time.
struct Patience {
  absl::Duration settle;    // After each step.
  absl::Duration brief;     // For what is not expected to come.
  absl::Duration long_;     // For what is.
  absl::Duration unhinted;  // When nobody knows.
};

class Interpreter {
 public:
  Interpreter(HostRunner& runner, const Patience& patience);
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;
  // Resets what is still open.
  ~Interpreter();

  std::string Run(const Step& step);

 private:
  enum class Kind : uint8_t { kNone, kSocket, kListener, kStream, kDatagram, kGone };

  struct Slot {
    Kind kind = Kind::kNone;
    int host = 0;
    TcpSocket socket;
    TcpListener listener;
    TcpStream stream;
    UdpSocket datagram;

    bool read_shutdown = false;
    bool closed = false;      // A stream that was closed or aborted.
    bool buffer_set = false;  // The size that the system chose for a buffer is not the same everywhere.
    uint64_t written = 0;
    uint64_t read = 0;
    int peer = -1;           // The slot at the other end, once it is accepted.
    SocketAddress local;     // Known once it is connected, or listens.
    SocketAddress remote;    // Likewise.
    uint64_t datagrams = 0;  // Sent so far.
  };

  Slot& At(int index) { return slots_[static_cast<size_t>(index)]; }
  SocketAddress AddressFor(const Place& place, int port);
  std::string Describe(const SocketAddress& address, const SocketAddress& other, int self);
  std::string PortName(const SocketAddress& address, const SocketAddress& other, int self);
  int FindOwner(const SocketAddress& address, const SocketAddress& other);
  // The deadline of a call that has got `bytes` so far.
  Instant DeadlineFor(const Step& step, uint64_t bytes) const;
  void Connected(int index);
  // What is wrong with `data`, which was read from `slot`: nothing, or " corrupt".
  const char* Check(Slot& slot, const std::string& data, uint64_t position) const;

  Task<std::string> RunStep(Step step);
  Task<std::string> Immediate(Step step);
  Task<std::string> Settle();
  Task<std::string> Open(Step step);
  Task<std::string> Connect(Step step);
  Task<std::string> Accept(Step step);
  Task<std::string> TryAccept(Step step);
  Task<std::string> Write(Step step);
  Task<std::string> Fill(Step step);
  Task<std::string> Drain(Step step);
  Task<std::string> Read(Step step);
  Task<std::string> TryRead(Step step);
  Task<std::string> Peek(Step step);
  Task<std::string> Shutdown(Step step);
  Task<std::string> Close(Step step);
  Task<std::string> Abort(Step step);
  Task<std::string> Send(Step step);
  Task<std::string> Receive(Step step);
  std::string Set(const Step& step);
  std::string Get(const Step& step);
  std::string Bind(const Step& step);
  std::string Listen(const Step& step);
  std::string Local(const Step& step);
  std::string Peer(const Step& step);
  std::string Adopt(const Step& step, TcpStream stream);

  HostRunner& runner_;
  const Patience patience_;
  std::vector<Slot> slots_;
  std::array<uint16_t, kPorts> ports_{};
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_INTERPRETER_H_
