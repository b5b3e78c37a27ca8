// SPDX-License-Identifier: Apache-2.0
//
// Datagrams for tests: numbered texts, and what sends them.

#ifndef TANDEM_POSIX_DATAGRAMS_FOR_TEST_H_
#define TANDEM_POSIX_DATAGRAMS_FOR_TEST_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"

namespace tandem::posix {

// One datagram to `address` for each of `texts`, which must outlive them.
inline std::vector<OutgoingDatagram> To(const SocketAddress& address, const std::vector<std::string>& texts) {
  std::vector<OutgoingDatagram> datagrams;
  datagrams.reserve(texts.size());
  for (const std::string& text : texts) datagrams.emplace_back(text, address);
  return datagrams;
}

// "0:aaa...", "1:bbb...", ... of `size` bytes.
inline std::vector<std::string> Texts(size_t count, size_t size) {
  std::vector<std::string> texts;
  texts.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    texts.push_back(absl::StrCat(i, ":"));
    texts.back().resize(size, static_cast<char>('a' + i % 26));
  }
  return texts;
}

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_DATAGRAMS_FOR_TEST_H_
