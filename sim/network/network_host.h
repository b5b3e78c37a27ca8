// SPDX-License-Identifier: Apache-2.0
//
// A host as the network knows it: its name, its addresses, its links, and who gets the packets that arrive.
//
// The two halves of a stack (sim/tcp, sim/udp) know their host as this, and nothing of descriptors and system calls,
// which are the business of sim/machine/host_stack.h.

#ifndef TANDEM_SIM_NETWORK_NETWORK_HOST_H_
#define TANDEM_SIM_NETWORK_NETWORK_HOST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/stack_faults.h"  // IWYU pragma: export
#include "tandem/sim/random/choices.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {

class Network;
class Packet;

// What the processes of a host have done so far.
struct HostCounts {
  uint64_t calls = 0;            // Into their reactors.
  uint64_t connects = 0;         // Of TCP.
  uint64_t lookups = 0;          // Of names.
  uint64_t works = 0;            // Blocking work.
  uint64_t accepts = 0;          // Of TCP.
  uint64_t changed_lookups = 0;  // Of names that had been something else before.
  uint64_t timers = 0;           // For which a process waited.
  uint64_t operations = 0;       // Calls that can fail with an error of the kernel's.
};

// Which of its operations fail.
struct FailingOperations {
  uint64_t number = 0;  // From 1.
  bool and_after = false;
};

class NetworkHost {
 public:
  NetworkHost(Network& network, std::string name, std::vector<SocketAddress> addresses);
  NetworkHost(const NetworkHost&) = delete;
  NetworkHost& operator=(const NetworkHost&) = delete;
  virtual ~NetworkHost() = default;

  Network& network() { return network_; }
  // In the order in which hosts were added to the network; enters the digest.
  uint32_t index() const { return index_; }
  const std::string& name() const { return name_; }
  // Without the loopback addresses, which every host has. Ports are 0.
  const std::vector<SocketAddress>& addresses() const { return addresses_; }
  // What decisions about this host are addressed by: its name.
  Entity entity() const { return entity_; }
  // Puts what happens on this host into the trace: numbers, at most three.
  template <typename... Values>
  void Record(TraceKind kind, Values... values) {
    trace_.Record(kind, events_.now_ns(), index_, static_cast<uint64_t>(values)...);
  }

  // The same, with bytes for people.
  template <typename... Values>
  void RecordBytes(absl::string_view bytes, TraceKind kind, Values... values) {
    trace_.About(bytes);
    Record(kind, values...);
  }

  StackFaults& faults() { return faults_; }

  const HostCounts& counts() const { return counts_; }
  // A program calls; before the call has any effect.
  void CountCall() {
    if (++counts_.calls == call_alarm_) [[unlikely]] {
      OnCallAlarm();
    }
  }
  void CountConnect() { ++counts_.connects; }
  void CountLookup() { ++counts_.lookups; }
  void CountWork() { ++counts_.works; }
  void CountAccept() { ++counts_.accepts; }
  void CountTimer() { ++counts_.timers; }
  void CountChangedLookup() { ++counts_.changed_lookups; }
  // An operation that can fail begins. Whether it does.
  bool NextOperationFails() {
    ++counts_.operations;
    return !failing_.empty() && IsFailing(counts_.operations);
  }
  void AddFailingOperations(FailingOperations failing) { failing_.push_back(failing); }
  void ForgetFailingOperations() { failing_.clear(); }
  // The same, but for what fails already: with all that come after it.
  void ForgetOperationsThatWouldFail() {
    std::erase_if(failing_, [this](const FailingOperations& failing) { return failing.number > counts_.operations; });
  }
  // With which call, from 1, the network's FaultSource is to be told.
  void set_call_alarm(uint64_t count) { call_alarm_ = count; }

  // True while the machine runs. A new host is up.
  bool up() const { return up_; }

  // --- Addresses and links ---

  // True for an address of this host, loopback included. The port does not matter.
  bool Owns(const SocketAddress& address) const;
  // Where packets to `address` go: this host, another one, or null.
  NetworkHost* Route(const SocketAddress& address);
  // The address that packets to `peer` come from; -ENETUNREACH when this host has none of that family.
  int SourceAddressFor(const SocketAddress& peer, SocketAddress* source) const;
  // Made when first used.
  Link& LinkTo(NetworkHost& to) {
    const bool known = to.index_ < links_.size() && links_[to.index_] != nullptr;
    return known ? *links_[to.index_] : NewLink(to);
  }
  // Null when it was never used.
  const Link* FindLink(const NetworkHost& to) const {
    return to.index_ < links_.size() ? links_[to.index_].get() : nullptr;
  }
  // The links so far, by the index of the destination; null for those that were never used.
  const std::vector<std::unique_ptr<Link>>& links() const { return links_; }

  // --- What arrives ---

  // A packet for this host, which is up. What it takes of the packet it takes out of it.
  virtual void OnPacket(Packet& packet) = 0;
  // Whether anybody here listens to the datagrams of `group` on this interface, or, for a broadcast, is on the network.
  virtual bool ListensTo(uint32_t interface_index, const SocketAddress& group) const = 0;

 protected:
  void set_up(bool up) { up_ = up; }
  EventQueue& events() { return events_; }

 private:
  friend class Network;
  void OnCallAlarm();
  bool IsFailing(uint64_t number) const;
  Link& NewLink(NetworkHost& to);

  Network& network_;
  EventQueue& events_;
  Trace& trace_;
  uint32_t index_ = 0;
  const std::string name_;
  const std::vector<SocketAddress> addresses_;
  const Entity entity_;
  bool up_ = true;
  StackFaults faults_;
  HostCounts counts_;
  uint64_t call_alarm_ = ~uint64_t{0};
  std::vector<FailingOperations> failing_;
  std::vector<std::unique_ptr<Link>> links_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_NETWORK_HOST_H_
