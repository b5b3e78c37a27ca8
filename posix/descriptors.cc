// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/descriptors.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/log/check.h"

namespace tandem::posix {
namespace {

// A receive gets a block of this size at most. When it brought little, that is copied to a smaller block.
constexpr size_t kReceiveBytes = 65536;
constexpr size_t kCopyBytes = 4096;

}  // namespace

int AttachDescriptors(absl::Span<const int> descriptors, DescriptorControl* control, msghdr* message) {
  if (descriptors.empty()) return 0;
  if (descriptors.size() > Operation::kMaxDescriptors) return -EINVAL;
  const size_t bytes = descriptors.size() * sizeof(int);
  message->msg_control = control->bytes;
  message->msg_controllen = CMSG_SPACE(bytes);
  std::memset(control->bytes, 0, CMSG_SPACE(bytes));
  cmsghdr* const header = CMSG_FIRSTHDR(message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(bytes);
  std::memcpy(CMSG_DATA(header), descriptors.data(), bytes);
  return 0;
}

void TakeDescriptors(const msghdr& message, std::vector<OwnedDescriptor>* descriptors) {
  msghdr& writable = const_cast<msghdr&>(message);  // CMSG_NXTHDR is C and only reads.
  for (cmsghdr* header = CMSG_FIRSTHDR(&writable); header != nullptr; header = CMSG_NXTHDR(&writable, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    descriptors->reserve(descriptors->size() + count);
    for (size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      descriptors->emplace_back(descriptor);
    }
  }
}

int64_t SendWithDescriptors(SocketId socket, absl::Span<const IoSlice> slices, absl::Span<const int> descriptors) {
  CHECK_LE(slices.size(), Operation::kMaxSlices);
  std::array<iovec, Operation::kMaxSlices> vectors;
  std::transform(slices.begin(), slices.end(), vectors.begin(), [](const IoSlice& slice) {
    return iovec{.iov_base = const_cast<char*>(slice.data), .iov_len = slice.size};
  });
  msghdr message = {};
  message.msg_iov = vectors.data();
  message.msg_iovlen = slices.size();
  DescriptorControl control;
  if (const int failed = AttachDescriptors(descriptors, &control, &message); failed < 0) return failed;
  while (true) {
    const ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    if (errno != EINTR) return -errno;
  }
}

int64_t ReceiveWithDescriptors(SocketId socket, HeapBufferPool& pool, size_t max, Buffer* data,
                               std::vector<OwnedDescriptor>* descriptors) {
  BufferBlock* const block = pool.Allocate(std::min(max, kReceiveBytes));
  Buffer buffer(block);
  iovec vector{.iov_base = block->memory, .iov_len = std::min(max, kReceiveBytes)};
  DescriptorControl control;
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof(control.bytes);
  ssize_t received = -1;
  do {
    received = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  if (received == 0) return 0;
  block->end = static_cast<uint32_t>(received);
  if (static_cast<size_t>(received) <= kCopyBytes && block->capacity > 4 * kCopyBytes)
    buffer = pool.Copy(buffer.view());
  *data = std::move(buffer);
  descriptors->clear();
  TakeDescriptors(message, descriptors);
  return received;
}

}  // namespace tandem::posix
