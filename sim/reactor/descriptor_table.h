// SPDX-License-Identifier: Apache-2.0
//
// What a process has in flight on each of its descriptors.

#ifndef TANDEM_SIM_REACTOR_DESCRIPTOR_TABLE_H_
#define TANDEM_SIM_REACTOR_DESCRIPTOR_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/log/check.h"
#include "tandem/core/io/reactor.h"

namespace tandem::sim {

struct Descriptor {
  struct Connect {
    Operation* operation = nullptr;
    bool ended = false;  // Its report is on the way.
    uint64_t start = 0;  // Which submission it is.
  };
  struct Send {
    Operation* operation = nullptr;
    bool ended = false;
    bool pauses = false;  // A slow write waits for its next step.
    uint64_t start = 0;
    size_t done = 0;
    size_t limit = 0;  // Where the send ends: its size, or less by a short-write fault.
    size_t step = 0;   // A slow-write fault: this many bytes at a time. 0: no fault.
  };
  struct Receive {
    Source* source = nullptr;
    bool reported = false;  // A report for the source is on the way.
    bool disarming = false;
    uint64_t start = 0;  // Which arming it is.
  };
  // How many decisions of each kind there were. Every decision is counted, whether or not a fault needs it: a fault
  // that begins later decides the same.
  struct Counts {
    uint64_t sends = 0;
    uint64_t receives = 0;
    uint64_t reports = 0;
    uint64_t overshoots = 0;
    uint64_t accepts = 0;
    std::array<uint64_t, 3> lates = {};  // By FaultDraws::Late.
  };

  Connect connect;
  Send send;
  Receive receive;
  Counts counts;

  bool in_use() const { return connect.operation != nullptr || send.operation != nullptr || receive.source != nullptr; }
};

class DescriptorTable {
 public:
  // CHECKs that it may be a socket.
  Descriptor& operator[](SocketId socket) {
    const auto index = static_cast<size_t>(socket);  // Huge for what is not a socket.
    return index < descriptors_.size() ? *descriptors_[index] : Add(socket);
  }
  // No socket has a number so large or a larger one.
  SocketId end() const { return static_cast<SocketId>(descriptors_.size()); }
  // The number is free for another socket.
  void Forget(SocketId socket) { (*this)[socket] = Descriptor(); }

 private:
  Descriptor& Add(SocketId socket) {
    CHECK_GE(socket, 0) << "not a socket";
    while (static_cast<size_t>(socket) >= descriptors_.size()) descriptors_.push_back(std::make_unique<Descriptor>());
    return *descriptors_.back();
  }

  std::vector<std::unique_ptr<Descriptor>> descriptors_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_DESCRIPTOR_TABLE_H_
