// SPDX-License-Identifier: Apache-2.0
//
// Says which of a few machines have gone silent, over UDP.
//
// Each detector sends each other one a beat, ten times a second. In it are a stamp, which tells its sender when it was
// sent, and the last stamp that came from the receiver. Who gets a stamp of his own back knows that the other one lived
// after he had sent it, by his own clock, for however long the network has held up either beat. That a beat arrives
// proves nothing: it may be old.
//
// Who has given no such sign of life for a timeout is suspected. The timeout follows the age that signs have when they
// come, as TCP's does (RFC 6298), up to a limit. What is promised is
//   completeness: who crashes is suspected by everybody who lives, kTimeoutMax later, whatever else fails;
//   accuracy: some time after the last fault nobody who lives is suspected.

#ifndef TANDEM_EXAMPLES_FAILURE_DETECTOR_FAILURE_DETECTOR_H_
#define TANDEM_EXAMPLES_FAILURE_DETECTOR_FAILURE_DETECTOR_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/tandem.h"

namespace failure_detector {

inline constexpr absl::Duration kInterval = absl::Milliseconds(100);  // Between two beats.
inline constexpr absl::Duration kTimeoutMin = absl::Milliseconds(500);
inline constexpr absl::Duration kTimeoutMax = absl::Seconds(2);

// Belongs to one shard.
class Detector {
 public:
  // `id` is what others call this one in their `peers`, a word. Everybody counts as alive at first.
  Detector(std::string id, tandem::UdpSocket socket, const std::map<std::string, tandem::SocketAddress>& peers);

  // Sends and receives until it is cancelled. Errors: kCancelled; of the socket.
  tandem::Task<absl::Status> Run();

  // Whether there is no sign of life of this peer (CHECKed to be one), now.
  bool Suspects(const std::string& peer) const;

 private:
  struct Peer {
    tandem::SocketAddress address;
    tandem::Instant alive_at;  // It lived at this time, or later.
    std::string stamp = "-";   // Of its last beat.
    absl::Duration age;        // That signs of life have when they come: mean, and mean deviation from it.
    absl::Duration deviation;
  };

  tandem::Task<absl::Status> SendBeats();
  tandem::Task<absl::Status> ReceiveBeats();
  void TakeBeat(absl::string_view beat);

  const std::string id_;
  const std::string life_;  // Of this process alone: its stamps begin with it.
  tandem::UdpSocket socket_;
  std::map<std::string, Peer> peers_;
};

}  // namespace failure_detector

#endif  // TANDEM_EXAMPLES_FAILURE_DETECTOR_FAILURE_DETECTOR_H_
