// SPDX-License-Identifier: Apache-2.0
//
// TcpReader and TcpWriter: the two halves of a TcpStream, each with an owner of its own.
//
//   auto [reader, writer] = std::move(stream).Split();   // One task owns the reader, another one the writer.
//
// The socket closes when both halves are gone. Handles like TcpStream: they belong to one shard, and must not outlive
// the runtime.

#ifndef TANDEM_CORE_NET_TCP_SPLIT_H_
#define TANDEM_CORE_NET_TCP_SPLIT_H_

#include <utility>

#include "absl/strings/string_view.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/stream_socket.h"
#include "tandem/core/net/handle.h"
#include "tandem/core/net/socket_stream.h"

namespace tandem {

class TcpStream;

namespace internal {

// Closes the socket with the last half.
class SplitSocket final : public Counted<SplitSocket> {
 public:
  explicit SplitSocket(Ref<StreamSocket> socket) : socket_(std::move(socket)) {}
  const Ref<StreamSocket>& socket() const { return socket_; }
  Ref<StreamSocket> Release() { return std::move(socket_); }

 private:
  friend class Counted<SplitSocket>;
  ~SplitSocket() {
    if (socket_) socket_->Close(StreamSocket::CloseMode::kGraceful);
  }
  Ref<StreamSocket> socket_;
};

}  // namespace internal

// The receiving half. Destroying it does not tell the peer; what the peer sends is kept until the socket closes, and
// makes that close a reset, as all unread bytes do. ShutdownRead() and set_high_water_mark() are here, too.
class TcpReader final : public Handle<TcpReader, internal::SplitSocket>, public ReadingCalls<TcpReader> {
 public:
  TcpReader() = default;
  TcpReader(TcpReader&&) = default;
  TcpReader& operator=(TcpReader&&) = default;
  ~TcpReader() = default;

  const SocketAddress& PeerAddress() const { return socket()->peer(); }

  // For the library: the state below.
  const Ref<StreamSocket>& socket() const { return state()->socket(); }

 private:
  friend class TcpStream;
  friend class Handle<TcpReader, internal::SplitSocket>;
  static constexpr absl::string_view kHandleName = "TcpReader";
  static void LetGo(internal::SplitSocket&) {}

  explicit TcpReader(Ref<internal::SplitSocket> split) : Handle(std::move(split)) {}
};

// The sending half. Destroying it ends the sending half, after everything that was queued: the peer reads the end of
// the stream.
class TcpWriter final : public Handle<TcpWriter, internal::SplitSocket>, public WritingCalls<TcpWriter> {
 public:
  TcpWriter() = default;
  TcpWriter(TcpWriter&&) = default;
  TcpWriter& operator=(TcpWriter&&) = default;
  ~TcpWriter() = default;

  const SocketAddress& PeerAddress() const { return socket()->peer(); }

  // Closes the socket now, under the reader as well: TcpStream::Close().
  CloseOperation<StreamSocket> Close() { return CloseOperation<StreamSocket>(socket()); }
  // TcpStream::Abort(): closes the socket with a reset.
  void Abort() { socket()->Close(StreamSocket::CloseMode::kReset); }

  // For the library: the state below.
  const Ref<StreamSocket>& socket() const { return state()->socket(); }

 private:
  friend class TcpStream;
  friend class Handle<TcpWriter, internal::SplitSocket>;
  static constexpr absl::string_view kHandleName = "TcpWriter";
  static void LetGo(internal::SplitSocket& split) { split.socket()->ShutdownWriteWhenSent(); }

  explicit TcpWriter(Ref<internal::SplitSocket> split) : Handle(std::move(split)) {}
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_TCP_SPLIT_H_
