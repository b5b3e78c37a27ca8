// SPDX-License-Identifier: Apache-2.0
//
// The connections of a listener that no program has accepted: those whose handshake is under way, and those that wait
// for an Accept, in the order of their completion.
//
// As Linux counts, a backlog of n lets n + 1 connections wait. What finds the queue full is ignored and tries again
// (tcp_abort_on_overflow = 0).

#ifndef TANDEM_SIM_TCP_TCP_LISTEN_QUEUE_H_
#define TANDEM_SIM_TCP_TCP_LISTEN_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace tandem::sim {

class TcpSocket;

class TcpListenQueue {
 public:
  static constexpr int kMaxBacklog = 4096;  // net.core.somaxconn.

  void set_backlog(int backlog) { backlog_ = backlog < 0 ? kMaxBacklog : std::min(backlog, kMaxBacklog); }

  bool empty() const { return head_ == complete_.size(); }
  // No further connection may become complete.
  bool full() const { return complete_.size() - head_ > static_cast<size_t>(backlog_); }
  // No further handshake may begin.
  bool closed_to_new() const { return full() || half_open_.size() >= kMaxHalfOpen; }

  void AddHalfOpen(TcpSocket& child) { half_open_.push_back(&child); }
  void RemoveHalfOpen(TcpSocket& child) { std::erase(half_open_, &child); }
  // The handshake of `child` is done.
  void Complete(TcpSocket& child) {
    RemoveHalfOpen(child);
    complete_.push_back(&child);
  }
  // The next to accept. REQUIRES !empty().
  TcpSocket& Pop() {
    TcpSocket* child = complete_[head_++];
    if (empty()) {
      complete_.clear();
      head_ = 0;
    }
    return *child;
  }
  // Hands out those whose handshake is under way, for their end.
  std::vector<TcpSocket*> TakeHalfOpen() { return std::exchange(half_open_, {}); }

 private:
  static constexpr size_t kMaxHalfOpen = 4096;

  int backlog_ = 0;
  std::vector<TcpSocket*> complete_;
  size_t head_ = 0;
  std::vector<TcpSocket*> half_open_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_LISTEN_QUEUE_H_
