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
#include "tandem/sim/random/choices.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {

class Network;
class Packet;

// Who is told what happens to the sockets of a host. Called from events and from calls into the stack; must not call
// back into the stack.
class StackObserver {
 public:
  // A connect has ended; `error` is 0 or a positive errno.
  virtual void OnConnected(SocketId socket, int error) = 0;
  // There may be room in the send buffer, or sending has become impossible.
  virtual void OnSendable(SocketId socket) = 0;
  // Bytes, an error or the end of the stream arrived.
  virtual void OnReceivable(SocketId socket) = 0;
  // A connection can be accepted, or the listener was shut down.
  virtual void OnAcceptable(SocketId socket) = 0;
  // A descriptor was closed.
  virtual void OnDescriptorFree() = 0;
  // The Close() that returned -EINPROGRESS for `ticket` is over.
  virtual void OnLingerEnd(uint64_t ticket) = 0;

 protected:
  ~StackObserver() = default;
};

inline constexpr int64_t kSlowLookupMaxNs = 30'000'000'000;

// Faults inside one host.
struct StackFaults {
  Probability connect_refused;    // Of connects: the peer answers as if nobody listened.
  Probability connect_timed_out;  // Of connects: every SYN is lost.
  Probability short_read;         // Of deliveries to a Source: only a random part now, the rest in a later Poll().
  Probability short_write;        // Of sends: reported short after a random part.
  Probability slow_write;         // Of sends: the send buffer takes a few bytes at a time.
  int64_t completion_jitter_max_ns = 0;  // Completions and items show up this much later, at random.
  // What the contract of core/io/reactor.h allows and a quiet machine seldom does; see chaos.h.
  Probability late_cancel;       // Of cancels and disarms: what is cancelled goes on for a while, and may win.
  Probability stall;             // Of looks at a Source: nothing is delivered for a while, as when no buffer is free.
  Probability overshoot;         // Of deliveries to a Source: the budget does not bound this one.
  Probability late_end;          // Of ends of an arming: some time after the last item.
  Probability lookup_failed;     // Of names looked up: EAGAIN, as when the name servers do not answer.
  Probability lookup_missing;    // Of names looked up: ENOENT, as if there were no such name.
  Probability lookup_slow;       // Of names looked up: the answer takes kSlowLookupMaxNs more, at most.
  int64_t work_slow_max_ns = 0;  // Blocking work takes this much longer, at random.

  // Where hits are counted; null: nowhere.
  struct Hits {
    uint64_t* connect_refused = nullptr;
    uint64_t* connect_timed_out = nullptr;
    uint64_t* short_read = nullptr;
    uint64_t* short_write = nullptr;
    uint64_t* completion_jitter = nullptr;
    uint64_t* lookup_failed = nullptr;
    uint64_t* lookup_missing = nullptr;
    uint64_t* lookup_slow = nullptr;
    uint64_t* work_slow = nullptr;
  };
  Hits hits;

  static void CountHit(uint64_t* hits) {
    if (hits != nullptr) ++*hits;
  }
};

// What the processes of a host have done so far.
struct HostCounts {
  uint64_t calls = 0;     // Into their reactors.
  uint64_t connects = 0;  // Of TCP.
  uint64_t lookups = 0;   // Of names.
  uint64_t works = 0;     // Blocking work.
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

  void set_observer(StackObserver* observer) { observer_ = observer; }
  StackObserver* observer() const { return observer_; }

 protected:
  void set_up(bool up) { up_ = up; }
  EventQueue& events() { return events_; }

 private:
  friend class Network;
  void OnCallAlarm();
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
  StackObserver* observer_ = nullptr;
  std::vector<std::unique_ptr<Link>> links_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_NETWORK_HOST_H_
