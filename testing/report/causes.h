// SPDX-License-Identifier: Apache-2.0
//
// What brought each event of a recording about, as far as the recording shows it.
//
//   a packet that arrives       that packet, where it was sent
//   what a socket of a host     the packet of its connection that arrived last, or what was last done to the socket
//   a read of a datagram        that datagram, where it arrived
//   a task that goes on         what made it ready: bytes, a timer, another task
//   what a task does            what it did right before, in the same step
//   a timer that is due         where it was armed
//   a packet that is repeated   the same packet, where it was lost
//   a host that starts again    its crash; a crash, the fault
//
// A task that uses bytes which have waited in a buffer does so by itself: what brought the bytes is not seen.

#ifndef TANDEM_TESTING_REPORT_CAUSES_H_
#define TANDEM_TESTING_REPORT_CAUSES_H_

#include <string>

#include "tandem/core/io/address.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// "10.0.0.1:7 10.0.0.2:49152", what is called a connection in RecordedEvent; empty without a local port.
std::string ConnectionName(const SocketAddress& local, const SocketAddress& remote);

// Sets RecordedEvent::cause of all events.
void FindCauses(Recording& recording);

// The numbers of the events that led to the failure, in order, the failure last: back from it along the causes. One of
// a history follows from what the clients did in the operations that cannot be right. Another failure that is no host's
// doing follows from what each host and its tasks did last; where `turn` is known, the first event that a run which
// passes does not have, it follows from that, from what came of it, and from what the hosts that it reached did last.
// Where that is a short story, what the tasks in it did before is part of it. At most `most` events, those that came
// last; and the events `also`, which are known to belong to it.
std::vector<uint64_t> SliceOf(const Recording& recording, size_t most, const std::vector<uint64_t>& also = {},
                              uint64_t turn = kNoEvent);

// What belongs to the story of a failure although the way back from it need not lead there: what a program would have
// done otherwise is nowhere recorded. That each fault begins, before the failure, where they are so few that each is
// needed or may be: those of a scenario that was shrunk; and that a host stops, and goes on. And likewise what the
// hosts have logged, which is what those who wrote the program found worth telling.
std::vector<uint64_t> Milestones(const Recording& recording);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_CAUSES_H_
