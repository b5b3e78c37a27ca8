// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/framing.h"

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"

namespace tandem {

FrameFormat& FrameFormat::set_prefix_bytes(size_t bytes) {
  CHECK(bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8) << "a length prefix of " << bytes << " bytes";
  prefix_bytes_ = bytes;
  return *this;
}

std::string FrameFormat::Encode(uint64_t length) const {
  std::string prefix(prefix_bytes_, '\0');
  for (size_t i = 0; i < prefix_bytes_; ++i) {
    const size_t place = byte_order_ == ByteOrder::kLittleEndian ? i : prefix_bytes_ - 1 - i;
    prefix[place] = static_cast<char>(length >> (8 * i));
  }
  return prefix;
}

uint64_t FrameFormat::Decode(absl::string_view prefix) const {
  DCHECK_EQ(prefix.size(), prefix_bytes_);
  uint64_t length = 0;
  for (size_t i = 0; i < prefix_bytes_; ++i) {
    const size_t place = byte_order_ == ByteOrder::kBigEndian ? i : prefix_bytes_ - 1 - i;
    length = length << 8 | static_cast<uint8_t>(prefix[place]);
  }
  return length;
}

absl::Status FrameFormat::Check(uint64_t length) const {
  const bool fits = prefix_bytes_ == 8 || length >> (8 * prefix_bytes_) == 0;
  if (length <= limit_ && fits) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("a frame of ", length, " bytes is too long: the limit is ", limit_,
                                                   ", the prefix has ", prefix_bytes_, " bytes"));
}

namespace internal {

absl::Status LineTooLongError(size_t limit) {
  return absl::ResourceExhaustedError(absl::StrCat("read line: longer than ", limit, " bytes"));
}

absl::Status EndedWithinFrameError(size_t bytes) {
  return absl::OutOfRangeError(absl::StrCat("read frame: the stream ended ", bytes, " bytes after the last frame"));
}

}  // namespace internal
}  // namespace tandem
