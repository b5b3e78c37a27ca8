// SPDX-License-Identifier: Apache-2.0
//
// The packets of a run as a capture for Wireshark and tshark (the pcapng format), an interface for each host.
//
// Each packet is in it once: where it arrives, as inbound on the receiver's interface, so that a duplicate is there
// twice. With each packet where it was sent and where it arrives, as captures of all hosts that are merged have them,
// everything would look to Wireshark like a retransmission: it tells streams apart by addresses and ports alone. This
// way "Follow Stream" gives the bytes that have arrived.
//
// A packet that never arrives is where it was sent, as outbound on the sender's interface, with a number of IP's for
// experiments instead of the one of TCP or UDP, or Wireshark would take its bytes for part of the stream, and a comment
// that says in words what it was. This shows those packets, and this takes them for what they are:
//
//   tshark -r capture.pcapng -Y 'frame.packet_flags_direction == 2'
//   tshark -r capture.pcapng -d ip.proto==253,tcp -d ip.proto==254,udp
//
// Comments tell each packet's event ("e17"), when it was sent, why it did not arrive, and the faults that began or
// ended since the packet before it: the display filter 'frame.comment contains "fault"'. Headers are as they would be
// on the wire, with right checksums, but for these:
//   - Sequence numbers are the lower 32 bits.
//   - A SYN has a window scale that fits the largest window of its sender. Where that is not 0, windows are rounded
//   down
//     to what it can say; Wireshark shows them in bytes.
//   - A payload that does not fit into a packet, as of a segment over loopback that is sent in one piece, becomes
//   several
//     with one comment.
//   - Of IPv4 there is no identification, and the time to live is always 64.
// Connections over loopback of two hosts look like one if their ports are the same.
// Times count from the start of the world, which Wireshark takes for 1970.

#ifndef TANDEM_TESTING_REPORT_PCAPNG_H_
#define TANDEM_TESTING_REPORT_PCAPNG_H_

#include <string>

#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// The bytes of the file. Packets without IP addresses are not in it.
std::string PcapNg(const Recording& recording, const Excerpt& excerpt = {});

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_PCAPNG_H_
