// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/send_path.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/log/check.h"
#include "tandem/core/base/prefetch.h"
#include "tandem/sim/reactor/file_read.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/udp/udp_socket.h"

namespace tandem::sim {
namespace {

constexpr int64_t kSlowWritePauseNs = 100'000;
// A file is read in pieces of this size.
constexpr size_t kFilePiece = 16384;

size_t TotalSize(absl::Span<const IoSlice> slices) {
  CHECK_LE(slices.size(), Operation::kMaxSlices);
  size_t size = 0;
  for (const IoSlice& slice : slices) size += slice.size;
  return size;
}

size_t SizeOf(const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::kSendDatagrams:
      return operation.datagrams.size();
    case OperationKind::kSendFile:
      return operation.file->count;
    default:
      return TotalSize(operation.slices);
  }
}

}  // namespace

void SendPath::Start(Operation& operation, uint64_t start) {
  const SocketId socket = operation.socket;
  if (const TcpSocket* stream = stack_.Find(socket)) Prefetch(stream, sizeof(*stream));
  Descriptor& descriptor = descriptors_[socket];
  CHECK(descriptor.send.operation == nullptr) << "two sends at once on one socket";
  const size_t size = SizeOf(operation);
  CHECK_GT(size, 0u) << "an empty send";
  descriptor.send = Descriptor::Send{.operation = &operation, .pauses = descriptor.send.pauses, .start = start};
  draws_.LimitSend(descriptor, socket, size);
  // The first datagrams of a slow write wait, too: a cancel may find that nothing was sent.
  if (operation.kind == OperationKind::kSendDatagrams && descriptor.send.step != 0) {
    Pause(descriptor, socket);
  } else {
    Continue(socket);
  }
}

void SendPath::Continue(SocketId socket) {
  Descriptor& descriptor = descriptors_[socket];
  const Descriptor::Send& send = descriptor.send;
  if (send.operation == nullptr || send.ended || send.pauses) return;
  if (send.operation->kind == OperationKind::kSendDatagrams) {
    ContinueDatagrams(descriptor, socket);
  } else {
    ContinueStream(descriptor, socket);
  }
}

void SendPath::ContinueStream(Descriptor& descriptor, SocketId id) {
  Descriptor::Send& send = descriptor.send;
  TcpSocket* const socket = stack_.Find(id);
  if (socket == nullptr) {
    End(descriptor, -EBADF);
    return;
  }
  // The error after some bytes is for the next call.
  if (send.done > 0 && socket->has_error()) {
    End(descriptor, static_cast<int64_t>(send.done));
    return;
  }
  const size_t limit = EndOfStep(send) - send.done;
  const int64_t result = send.operation->kind == OperationKind::kSendFile
                             ? WriteFile(send, *socket, limit)
                             : socket->Write(send.operation->slices, send.done, limit);
  if (result == -EAGAIN) return;
  if (result < 0) {
    EndEarly(descriptor, result);
    return;
  }
  send.done += static_cast<size_t>(result);
  if (send.done == send.limit || send.operation->some_is_enough) {
    End(descriptor, static_cast<int64_t>(send.done));
    return;
  }
  program_.TellProgress(*send.operation);
  if (send.step != 0 && static_cast<size_t>(result) == limit) Pause(descriptor, id);
}

// As much as there is room for. What was read and found no room is read again later. Where the file ends, the send
// does.
int64_t SendPath::WriteFile(Descriptor::Send& send, TcpSocket& socket, size_t limit) {
  const FileRange& file = *send.operation->file;
  std::array<char, kFilePiece> piece;
  size_t written = 0;
  while (written < limit) {
    const absl::Span<char> target = absl::MakeSpan(piece).subspan(0, limit - written);
    const int64_t count = ReadFileAt(file.descriptor, file.offset + send.done + written, target);
    if (count < 0 && written == 0) return count;
    if (count <= 0) {
      send.limit = send.done + written;
      break;
    }
    const IoSlice slice{piece.data(), static_cast<size_t>(count)};
    const int64_t result = socket.Write(absl::MakeConstSpan(&slice, 1), 0, slice.size);
    if (result < 0) return written > 0 ? static_cast<int64_t>(written) : result;
    written += static_cast<size_t>(result);
    if (result < count) break;
  }
  return static_cast<int64_t>(written);
}

void SendPath::ContinueDatagrams(Descriptor& descriptor, SocketId id) {
  Descriptor::Send& send = descriptor.send;
  UdpSocket* const socket = stack_.FindDatagrams(id);
  if (socket == nullptr) {
    End(descriptor, -EBADF);
    return;
  }
  const size_t limit = EndOfStep(send);
  while (send.done < limit) {
    const int64_t result = socket->Send(send.operation->datagrams[send.done]);
    if (result < 0) {
      EndEarly(descriptor, result);
      return;
    }
    ++send.done;
  }
  if (limit == send.limit) {
    End(descriptor, static_cast<int64_t>(limit));
  } else {
    Pause(descriptor, id);
  }
}

size_t SendPath::EndOfStep(const Descriptor::Send& send) {
  return send.step == 0 ? send.limit : std::min(send.limit, send.done + send.step);
}

void SendPath::Pause(Descriptor& descriptor, SocketId socket) {
  descriptor.send.pauses = true;
  reports_.PushLater(Report::Send(socket), kSlowWritePauseNs);
}

void SendPath::End(Descriptor& descriptor, int64_t result) {
  descriptor.send.ended = true;
  Operation& operation = *descriptor.send.operation;
  reports_.PushLater(Report::Ended(operation, result), draws_.Jitter(descriptor, operation.socket));
}

void SendPath::EndEarly(Descriptor& descriptor, int64_t error) {
  End(descriptor, descriptor.send.done > 0 ? static_cast<int64_t>(descriptor.send.done) : error);
}

void SendPath::Cancel(Descriptor& descriptor) {
  if (!descriptor.send.ended) EndEarly(descriptor, -ECANCELED);
}

void SendPath::OnSendable(SocketId socket) {
  const Descriptor::Send& send = descriptors_[socket].send;
  if (send.operation == nullptr || send.ended) return;
  // The bytes are copied by the program's side, in Poll(): a host that is paused does not send.
  reports_.Push(Report::Send(socket));
}

int64_t SendPath::Try(TcpSocket& socket, SocketId id, absl::Span<const IoSlice> slices) {
  const size_t size = TotalSize(slices);
  if (size == 0) return 0;
  Descriptor& descriptor = descriptors_[id];
  CHECK(descriptor.send.operation == nullptr) << "two sends at once on one socket";
  descriptor.send.done = 0;
  draws_.LimitSend(descriptor, id, size);
  return socket.Write(slices, 0, EndOfStep(descriptor.send));
}

int64_t SendPath::Try(UdpSocket& socket, SocketId id, absl::Span<const OutgoingDatagram> datagrams) {
  if (datagrams.empty()) return 0;
  Descriptor& descriptor = descriptors_[id];
  CHECK(descriptor.send.operation == nullptr) << "two sends at once on one socket";
  draws_.LimitSend(descriptor, id, datagrams.size());
  for (size_t sent = 0; sent < descriptor.send.limit; ++sent) {
    const int64_t result = socket.Send(datagrams[sent]);
    if (result < 0) return sent > 0 ? static_cast<int64_t>(sent) : result;
  }
  return static_cast<int64_t>(descriptor.send.limit);
}

}  // namespace tandem::sim
