// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/tcp_stream.h"

#include "absl/log/check.h"
#include "tandem/core/net/adopt.h"

namespace tandem {

absl::StatusOr<TcpStream> TcpStream::Adopt(OwnedDescriptor&& descriptor) {
  absl::StatusOr<Ref<StreamSocket>> socket = internal::AdoptStream(descriptor, internal::SocketKind::kInternet);
  if (!socket.ok()) return socket.status();
  return TcpStream(*std::move(socket));
}

std::pair<TcpReader, TcpWriter> TcpStream::Split() && {
  const auto split = Ref<internal::SplitSocket>::Adopt(new internal::SplitSocket(ReleaseState()));
  return {TcpReader(split), TcpWriter(split)};
}

TcpStream TcpStream::Join(TcpReader reader, TcpWriter writer) {
  CHECK(reader.state().get() == writer.state().get()) << "these are not halves of one stream";
  return TcpStream(writer.ReleaseState()->Release());
}

}  // namespace tandem
