// SPDX-License-Identifier: Apache-2.0
//
// The patience of a TCP connection: how often something was sent again or asked without an answer, how long the next
// answer is waited for, and when the peer is given up.
//
// The numbers are Linux'. The program may shorten all of it by SocketOption::kUserTimeout.

#ifndef TANDEM_SIM_TCP_TCP_RETRIES_H_
#define TANDEM_SIM_TCP_TCP_RETRIES_H_

#include <algorithm>
#include <cstdint>
#include <optional>

#include "tandem/core/io/reactor.h"
#include "tandem/sim/network/socket_options.h"
#include "tandem/sim/tcp/tcp_round_trip.h"

namespace tandem::sim {

inline constexpr int64_t kSynTimeoutNs = 1'000'000'000;
inline constexpr int kSynTries = 6;
inline constexpr int kSynAckTries = 5;
inline constexpr int kDataTries = 15;
inline constexpr int kOrphanTries = 8;

class TcpRetries {
 public:
  // `options` are those of the socket, and outlive this.
  explicit TcpRetries(const SocketOptions& options) : options_(options) {}

  // A handshake begins.
  void Start(int64_t now_ns) {
    tries_ = 0;
    since_ns_ = now_ns;
  }

  // How often the same was sent again.
  int tries() const { return tries_; }
  // Something new was acknowledged, or the handshake is over.
  void OnProgress() { tries_ = 0; }
  // The peer lives.
  void OnAnswer() { unanswered_probes_ = 0; }
  // The peer's window is no longer closed.
  void OnWindow() { closed_since_ns_.reset(); }

  // --- Handshakes ---

  int64_t SynTimeout(int64_t now_ns) const {
    const int64_t timeout = kSynTimeoutNs << tries_;
    return tries_ > 0 ? Clamp(timeout, since_ns_, now_ns) : timeout;
  }
  // A SYN, or the SYN-ACK when not `active`, was not answered in time. False: that was the last one.
  bool SendsSynAgain(bool active, int64_t now_ns) {
    if (tries_ >= (active ? kSynTries : kSynAckTries) || (tries_ > 0 && IsOver(since_ns_, now_ns))) return false;
    ++tries_;
    return true;
  }

  // --- Segments and probes of a closed window ---

  // How long to wait for the answer to what is sent now; `timeout_ns` is what a first time takes.
  int64_t AnswerTimeout(int64_t timeout_ns, int64_t now_ns) const {
    const int64_t timeout = std::min(timeout_ns << std::min(tries_, 20), kRetransmitMaxNs);
    if (!options_.has(SocketOption::kUserTimeout)) [[likely]]
      return timeout;
    if (closed_since_ns_.has_value()) return Clamp(timeout, *closed_since_ns_, now_ns);
    return tries_ > 0 ? Clamp(timeout, since_ns_, now_ns) : timeout;
  }
  // A segment was not acknowledged within `timeout_ns`. False: the connection is given up. `orphan`: nobody waits for
  // it any more.
  bool SendsAgain(bool orphan, int64_t timeout_ns, int64_t now_ns) {
    if (tries_ >= Limit(orphan) || (tries_ > 0 && IsOver(since_ns_, now_ns))) return false;
    if (tries_++ == 0) since_ns_ = now_ns - timeout_ns;
    return true;
  }
  // A probe of a closed window is due. False: the connection is given up. The peer may keep its window closed for
  // ever, as long as it answers.
  bool Probes(bool orphan, int64_t now_ns) {
    if (!closed_since_ns_.has_value()) closed_since_ns_ = now_ns;
    if (unanswered_probes_ >= Limit(orphan) || IsOver(*closed_since_ns_, now_ns)) return false;
    ++unanswered_probes_;
    tries_ = std::min(tries_ + 1, kDataTries);
    return true;
  }

  // --- Keep-alive ---

  // A keep-alive probe is due, to a peer that was last heard at that time. False: it is given up.
  bool KeepsAlive(int64_t last_heard_ns, int64_t now_ns) {
    const bool gives_up = options_.has(SocketOption::kUserTimeout)
                              ? unanswered_probes_ > 0 && IsOver(last_heard_ns, now_ns)
                              : unanswered_probes_ >= options_[SocketOption::kKeepAliveCount];
    if (gives_up) return false;
    ++unanswered_probes_;
    return true;
  }

 private:
  static constexpr int64_t kMillisecondNs = 1'000'000;

  static int Limit(bool orphan) { return orphan ? kOrphanTries : kDataTries; }
  // True when the time that the program grants the peer, counted from `since_ns`, is over.
  bool IsOver(int64_t since_ns, int64_t now_ns) const {
    const int user_timeout_ms = options_[SocketOption::kUserTimeout];
    return user_timeout_ms > 0 && now_ns - since_ns >= user_timeout_ms * kMillisecondNs;
  }
  // `timeout`, or less when that time is over before.
  int64_t Clamp(int64_t timeout, int64_t since_ns, int64_t now_ns) const {
    const int user_timeout_ms = options_[SocketOption::kUserTimeout];
    if (user_timeout_ms == 0) return timeout;
    const int64_t left = since_ns + user_timeout_ms * kMillisecondNs - now_ns;
    return std::min(timeout, std::max(left, kMillisecondNs));
  }

  const SocketOptions& options_;
  int tries_ = 0;
  int unanswered_probes_ = 0;
  int64_t since_ns_ = 0;  // When what was sent again first had been sent. Meaningful while tries_ > 0.
  std::optional<int64_t> closed_since_ns_;  // When a probe of a closed window was first due; none: it is open.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_RETRIES_H_
