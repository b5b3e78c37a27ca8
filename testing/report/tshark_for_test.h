// SPDX-License-Identifier: Apache-2.0
//
// What tshark says of a capture, and what a recording says it should.

#ifndef TANDEM_TESTING_REPORT_TSHARK_FOR_TEST_H_
#define TANDEM_TESTING_REPORT_TSHARK_FOR_TEST_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// The output of tshark, asked about `file` with `arguments`.
std::string Tshark(const std::string& file, absl::string_view arguments);

// `fields` of each packet that the display filter `filter` lets through, with tabs between them.
std::vector<std::string> Fields(const std::string& file, absl::string_view filter, absl::string_view fields);

// Fails the test if tshark finds a packet malformed, a checksum wrong, or anything else to be an error.
void ExpectNoComplaint(const std::string& file);

// What both ends of a connection get.
struct Stream {
  std::string from_first;  // From the end that sent the first packet.
  std::string from_second;

  friend bool operator==(const Stream&, const Stream&) = default;
  friend void PrintTo(const Stream& stream, std::ostream* out);
};

// All connections, in the order of their first packets, as tshark puts them together.
std::vector<Stream> FollowAll(const std::string& file);
// The same, as `recording` has them. REQUIRES that no two connections have the same addresses and ports.
std::vector<Stream> Arrived(const Recording& recording);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_TSHARK_FOR_TEST_H_
