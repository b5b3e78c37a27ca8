// SPDX-License-Identifier: Apache-2.0
//
// The fixture of the tests that every stream passes, over every reactor: pairs of connected streams of any type.

#ifndef TANDEM_TESTING_CONFORMANCE_STREAM_CONFORMANCE_H_
#define TANDEM_TESTING_CONFORMANCE_STREAM_CONFORMANCE_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/net/pipe.h"
#include "tandem/core/net/stream.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/testing/conformance/socket_conformance.h"

namespace tandem::testing {

// --- Calls as tasks, for Start(). The stream stays where it is until the task has ended. ---

template <AsyncReader S>
Task<absl::StatusOr<std::string>> ReadOnce(S* stream, size_t size) {
  std::string data(size, '\0');
  absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(data));
  if (!count.ok()) co_return count.status();
  data.resize(*count);
  co_return data;
}

template <AsyncReader S>
Task<absl::Status> AppendUntilEnd(S* stream, std::string* data) {
  for (;;) {
    absl::StatusOr<std::string> more = co_await ReadOnce(stream, 64 * 1024);
    if (!more.ok()) co_return more.status();
    if (more->empty()) co_return absl::OkStatus();
    data->append(*more);
  }
}

template <AsyncReader S>
Task<absl::StatusOr<std::string>> ReadCount(S* stream, size_t count) {
  std::string data;
  while (data.size() < count) {
    absl::StatusOr<std::string> more = co_await ReadOnce(stream, std::min(count - data.size(), size_t{64} * 1024));
    if (!more.ok()) co_return more.status();
    if (more->empty()) co_return absl::OutOfRangeError("the stream ended");
    data.append(*more);
  }
  co_return data;
}

template <AsyncWriter S>
Task<IoResult> WriteWhole(S* stream, std::string data) {
  IoResult result = co_await stream->WriteAll(data);
  co_return result;
}

template <AsyncWriter S>
Task<IoResult> WriteRestOf(S* stream, std::string data) {
  IoResult result = co_await stream->WriteRest(data);
  co_return result;
}

template <AsyncWriter S>
Task<absl::Status> EndWriting(S* stream) {
  absl::Status status = co_await stream->ShutdownWrite();
  co_return status;
}

template <AsyncStream S>
Task<absl::Status> CloseStream(S* stream) {
  absl::Status status = co_await stream->Close();
  co_return status;
}

// --- The types ---

struct Tcp {
  using Type = TcpStream;
};
struct Pipe {
  using Type = PipeStream;
};
struct AnyTcp {
  using Type = Stream;
};
struct AnyPipe {
  using Type = Stream;
};
using AllStreams = ::testing::Types<Tcp, Pipe, AnyTcp, AnyPipe>;

struct StreamNames {
  template <typename Kind>
  static std::string GetName(int) {
    if (std::same_as<Kind, Tcp>) return "Tcp";
    if (std::same_as<Kind, Pipe>) return "Pipe";
    return std::same_as<Kind, AnyTcp> ? "AnyTcp" : "AnyPipe";
  }
};

template <typename Kind>
class StreamTest : public SocketConformanceTest {
 protected:
  using S = typename Kind::Type;

  static constexpr bool kIsTcp = std::same_as<Kind, Tcp> || std::same_as<Kind, AnyTcp>;
  static constexpr size_t kPipeCapacity = 4096;
  // More than the buffers of a connection take.
  static constexpr size_t kTooMuch = kIsTcp ? size_t{24} << 20 : 60 * kPipeCapacity;

  std::pair<S, S> MakePair() {
    if constexpr (kIsTcp) {
      auto [left, right] = ConnectedPair();
      return {S(std::move(left)), S(std::move(right))};
    } else {
      auto [left, right] = MakePipe(kPipeCapacity);
      return {S(std::move(left)), S(std::move(right))};
    }
  }

  // Cancels `task` when it has had the time to do something.
  template <typename T>
  T CutShort(Task<T> task) {
    auto background = Start(std::move(task));
    EXPECT_OK(Run(Sleep(absl::Milliseconds(10))));
    background->Cancel();
    return Wait(background);
  }

  // Writes `data`, which is too much, until nothing more goes: the writing half is then cut short, and full. Returns
  // the number of bytes that went.
  size_t FillUp(S& stream, const std::string& data) {
    size_t sent = CutShort(WriteWhole(&stream, data)).bytes;
    for (;;) {
      const IoResult rest = CutShort(WriteRestOf(&stream, data.substr(sent)));
      EXPECT_EQ(rest.status, CancelledStatus());
      if (rest.bytes == 0) return sent;
      sent += rest.bytes;
    }
  }

  absl::StatusOr<std::string> ReadFrom(S& stream, size_t size = 64 * 1024) { return Run(ReadOnce(&stream, size)); }
  absl::StatusOr<std::string> ReadCountFrom(S& stream, size_t count) { return Run(ReadCount(&stream, count)); }
  void SendTo(S& stream, absl::string_view data) { EXPECT_OK(Run(WriteWhole(&stream, std::string(data)))); }
  void EndOf(S& stream) { EXPECT_OK(Run(EndWriting(&stream))); }
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_STREAM_CONFORMANCE_H_
