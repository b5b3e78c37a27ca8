// SPDX-License-Identifier: Apache-2.0
//
// Who wrote the bytes that were read: of each read from a TCP connection the writes of its peer, in order, and of each
// datagram what sent it.

#ifndef TANDEM_TESTING_REPORT_WRITERS_H_
#define TANDEM_TESTING_REPORT_WRITERS_H_

#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// Fills RecordedEvent::written_by and RecordedEvent::datagram, and says it in the texts of the reads. Connections that
// were there before the recording began are left out: nobody knows how far they had come. A datagram is known by its
// port and its size, in the order of arrival: of several sockets that share a port, two that got datagrams of one size
// may be mistaken for each other.
void FindWriters(Recording& recording);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_WRITERS_H_
