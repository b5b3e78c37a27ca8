// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/datagrams.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/string_view.h"
#include "tandem/core/io/address.h"
#include "tandem/posix/descriptors.h"
#include "tandem/posix/socket_address.h"
#include "tandem/posix/sockets.h"

namespace tandem::posix {
namespace {

// --- Sending ---------------------------------------------------------------------------------------------------------

// What one message may carry: the kernel's UDP_MAX_SEGMENTS (it is 128 since Linux 6.9), and an IPv4 datagram.
constexpr size_t kMaxSegments = 64;
constexpr size_t kMaxSegmentedBytes = 65507;
constexpr size_t kMessagesPerCall = 32;
constexpr size_t kDatagramsPerCall = 256;

// One message of a sendmmsg(2) and what it points to. Left uninitialised: Fill() sets what is used.
struct OutgoingMessage {
  sockaddr_storage address;
  union {
    DescriptorControl descriptors;
    alignas(cmsghdr) char segment[CMSG_SPACE(sizeof(uint16_t))];
  };
};

// Whether UDP_SEGMENT means something: a Unix socket would ignore it and send one long datagram.
bool IsInternetSocket(SocketId socket) {
  int domain = AF_UNSPEC;
  socklen_t length = sizeof(domain);
  return getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && (domain == AF_INET || domain == AF_INET6);
}

// How many of `datagrams`, from the first on, can go as one message: all have the size of the first, but for the last,
// which may be shorter.
size_t CountSegments(absl::Span<const OutgoingDatagram> datagrams) {
  const OutgoingDatagram& first = datagrams.front();
  const size_t size = first.data.size();
  if (size == 0 || !first.descriptors.empty()) return 1;
  size_t bytes = size;
  size_t count = 1;
  while (count < std::min(datagrams.size(), kMaxSegments)) {
    const OutgoingDatagram& next = datagrams[count];
    const size_t next_size = next.data.size();
    if (next_size == 0 || next_size > size || bytes + next_size > kMaxSegmentedBytes || !next.descriptors.empty() ||
        next.destination != first.destination) {
      break;
    }
    bytes += next_size;
    ++count;
    if (next_size < size) break;
  }
  return count;
}

// Makes `*message` send `datagrams`, which are several only for UDP_SEGMENT. `vectors` has room for them.
int Fill(absl::Span<const OutgoingDatagram> datagrams, OutgoingMessage* memory, iovec* vectors, msghdr* message) {
  const OutgoingDatagram& first = datagrams.front();
  *message = {};
  if (first.destination.family() != AddressFamily::kNone) {
    message->msg_name = &memory->address;
    message->msg_namelen = ToSockaddr(first.destination, &memory->address);
  }
  std::transform(datagrams.begin(), datagrams.end(), vectors, [](const OutgoingDatagram& datagram) {
    return iovec{.iov_base = const_cast<char*>(datagram.data.data()), .iov_len = datagram.data.size()};
  });
  message->msg_iov = vectors;
  message->msg_iovlen = datagrams.size();
  if (datagrams.size() == 1) return AttachDescriptors(first.descriptors, &memory->descriptors, message);
  message->msg_control = memory->segment;
  message->msg_controllen = sizeof(memory->segment);
  std::memset(memory->segment, 0, sizeof(memory->segment));
  cmsghdr* const header = CMSG_FIRSTHDR(message);
  header->cmsg_level = SOL_UDP;
  header->cmsg_type = UDP_SEGMENT;
  header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  const auto size = static_cast<uint16_t>(first.data.size());
  std::memcpy(CMSG_DATA(header), &size, sizeof(size));
  return 0;
}

// What the kernel may say when a message cannot be cut up: the datagrams are longer than the route's MTU, the interface
// computes no checksums, there is no room for so much at once, the kernel is older than Linux 4.18.
bool RefusesSegments(int error) {
  switch (error) {
    case EINVAL:
    case EMSGSIZE:
    case EIO:
    case ENOBUFS:
    case ENOMEM:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
      return true;
    default:
      return false;
  }
}

// One sendmmsg(2) of the first of `datagrams`: how many went, or -errno when the first did not. `*segments` is set to
// false when the first message had several datagrams and the kernel would not cut it up.
int64_t SendBatch(SocketId socket, absl::Span<const OutgoingDatagram> datagrams, bool* segments) {
  std::array<OutgoingMessage, kMessagesPerCall> memory;
  std::array<mmsghdr, kMessagesPerCall> messages;
  std::array<size_t, kMessagesPerCall> counts;
  std::array<iovec, kDatagramsPerCall> vectors;
  size_t taken = 0;
  size_t filled = 0;
  while (filled < kMessagesPerCall && taken < std::min(datagrams.size(), kDatagramsPerCall)) {
    const auto left = datagrams.subspan(taken, kDatagramsPerCall - taken);
    counts[filled] = *segments ? CountSegments(left) : 1;
    const int failed = Fill(left.first(counts[filled]), &memory[filled], &vectors[taken], &messages[filled].msg_hdr);
    if (failed < 0 && filled == 0) return failed;
    if (failed < 0) break;
    taken += counts[filled++];
  }
  int sent = -1;
  do {
    sent = sendmmsg(socket, messages.data(), static_cast<unsigned int>(filled), MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    const int error = errno;
    if (counts[0] > 1 && RefusesSegments(error)) *segments = false;
    return -error;
  }
  size_t count = 0;
  for (int i = 0; i < sent; ++i) count += counts[static_cast<size_t>(i)];
  return static_cast<int64_t>(count);
}

// --- Receiving -------------------------------------------------------------------------------------------------------

// More than any datagram of UDP, and any of a Unix socket within the limits that Linux starts with (net.core.wmem_max,
// doubled).
constexpr size_t kMessageBytes = size_t{512} << 10;
constexpr size_t kControlBytes = CMSG_SPACE(Operation::kMaxDescriptors * sizeof(int)) + CMSG_SPACE(sizeof(in_pktinfo)) +
                                 CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int));

template <typename Value>
Value ReadValue(cmsghdr* header) {
  Value value = {};
  std::memcpy(&value, CMSG_DATA(header), sizeof(value));
  return value;
}

template <size_t size, typename Field>
std::array<uint8_t, size> BytesOf(const Field& field) {
  static_assert(sizeof(Field) == size);
  std::array<uint8_t, size> bytes = {};
  std::memcpy(bytes.data(), &field, size);
  return bytes;
}

// What the kernel tells beside the bytes.
struct MessageInfo {
  SocketAddress destination;  // Its port is not known here.
  uint32_t interface_index = 0;
  size_t segment = 0;  // When coalesced: the size of each datagram but the last.
};

MessageInfo ReadInfo(msghdr* message) {
  MessageInfo info;
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
      const auto packet = ReadValue<in_pktinfo>(header);
      info.destination = SocketAddress::Ipv4(BytesOf<4>(packet.ipi_addr), 0);
      info.interface_index = static_cast<uint32_t>(packet.ipi_ifindex);
    } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
      const auto packet = ReadValue<in6_pktinfo>(header);
      const bool link_local = IN6_IS_ADDR_LINKLOCAL(&packet.ipi6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&packet.ipi6_addr);
      info.interface_index = packet.ipi6_ifindex;
      info.destination = SocketAddress::Ipv6(BytesOf<16>(packet.ipi6_addr), 0, link_local ? info.interface_index : 0);
    } else if (header->cmsg_level == SOL_UDP && header->cmsg_type == UDP_GRO) {
      info.segment = static_cast<size_t>(std::max(ReadValue<int>(header), 0));
    }
  }
  return info;
}

}  // namespace

int64_t SendDatagrams(SocketId socket, absl::Span<const OutgoingDatagram> datagrams) {
  size_t done = 0;
  bool segments = datagrams.size() > 1 && IsInternetSocket(socket);
  while (done < datagrams.size()) {
    const bool tried_segments = segments;
    const int64_t sent = SendBatch(socket, datagrams.subspan(done), &segments);
    if (sent > 0) {
      done += static_cast<size_t>(sent);
    } else if (segments == tried_segments) {
      return done > 0 ? static_cast<int64_t>(done) : sent;
    }
  }
  return static_cast<int64_t>(done);
}

void CoalesceDatagrams(SocketId socket) {
  const int on = 1;
  // Refused by other sockets and older kernels: they deliver datagrams one by one.
  (void)setsockopt(socket, SOL_UDP, UDP_GRO, &on, sizeof(on));
}

struct DatagramReceiver::Scratch {
  std::array<mmsghdr, kMaxBatch> messages;
  std::array<iovec, kMaxBatch> vectors;
  std::array<sockaddr_storage, kMaxBatch> addresses;
  struct alignas(cmsghdr) Control {
    char bytes[kControlBytes];
  };
  std::array<Control, kMaxBatch> controls;
  std::array<std::array<char, kMessageBytes>, kMaxBatch> bytes;

  void Prepare(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      vectors[i] = {.iov_base = bytes[i].data(), .iov_len = kMessageBytes};
      messages[i] = {};
      messages[i].msg_hdr.msg_name = &addresses[i];
      messages[i].msg_hdr.msg_namelen = sizeof(addresses[i]);
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_hdr.msg_control = controls[i].bytes;
      messages[i].msg_hdr.msg_controllen = sizeof(controls[i].bytes);
    }
  }
};

DatagramReceiver::DatagramReceiver() = default;
DatagramReceiver::~DatagramReceiver() = default;

int64_t DatagramReceiver::Receive(SocketId socket, HeapBufferPool& pool, size_t max, std::vector<Datagram>* datagrams) {
  if (scratch_ == nullptr) scratch_ = std::make_unique_for_overwrite<Scratch>();
  // Where much is coalesced, few messages at a time keep the overshoot over `max` small.
  const size_t wanted = std::clamp<size_t>(max / coalesced_, 1, kMaxBatch);
  scratch_->Prepare(wanted);
  int received = -1;
  do {
    received = recvmmsg(socket, scratch_->messages.data(), static_cast<unsigned int>(wanted),
                        MSG_DONTWAIT | MSG_CMSG_CLOEXEC, nullptr);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;

  coalesced_ = 1;
  size_t count = 0;
  SocketAddress local;  // Read when it is first needed.
  for (size_t i = 0; i < static_cast<size_t>(received); ++i) {
    msghdr& message = scratch_->messages[i].msg_hdr;
    const SocketAddress source = FromSockaddr(scratch_->addresses[i], message.msg_namelen);
    MessageInfo info = ReadInfo(&message);
    if (info.destination.family() != AddressFamily::kNone) {
      if (local.family() == AddressFamily::kNone) (void)LocalAddress(socket, &local);
      info.destination = info.destination.WithPort(local.port());
    }
    absl::string_view left(scratch_->bytes[i].data(), scratch_->messages[i].msg_len);
    size_t parts = 0;
    do {
      const absl::string_view part = info.segment == 0 ? left : left.substr(0, info.segment);
      left.remove_prefix(part.size());
      Datagram& datagram = datagrams->emplace_back();
      datagram.data = pool.Copy(part);
      datagram.source = source;
      datagram.destination = info.destination;
      datagram.interface_index = info.interface_index;
      datagram.truncated = (message.msg_flags & MSG_TRUNC) != 0 && left.empty();
      ++parts;
    } while (!left.empty());
    TakeDescriptors(message, &datagrams->back().descriptors);
    coalesced_ = std::max(coalesced_, parts);
    count += parts;
  }
  return static_cast<int64_t>(count);
}

}  // namespace tandem::posix
