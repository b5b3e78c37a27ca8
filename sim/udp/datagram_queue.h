// SPDX-License-Identifier: Apache-2.0
//
// Datagrams that wait for their program, in their order. Once it has been as long as it gets, it allocates nothing.

#ifndef TANDEM_SIM_UDP_DATAGRAM_QUEUE_H_
#define TANDEM_SIM_UDP_DATAGRAM_QUEUE_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "tandem/core/io/datagram.h"

namespace tandem::sim {

class DatagramQueue {
 public:
  bool empty() const { return head_ == datagrams_.size(); }
  void Push(Datagram datagram) {
    // What was taken out is given up when it is the larger part, so that a queue which is never empty stays short.
    if (datagrams_.size() == datagrams_.capacity() && head_ > datagrams_.size() / 2) {
      datagrams_.erase(datagrams_.begin(), datagrams_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    }
    datagrams_.push_back(std::move(datagram));
  }
  // REQUIRES !empty().
  Datagram Pop() {
    Datagram datagram = std::move(datagrams_[head_++]);
    if (empty()) {
      datagrams_.clear();
      head_ = 0;
    }
    return datagram;
  }

 private:
  std::vector<Datagram> datagrams_;
  size_t head_ = 0;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_UDP_DATAGRAM_QUEUE_H_
