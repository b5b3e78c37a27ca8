// SPDX-License-Identifier: Apache-2.0
//
// The name service of a simulated world: which addresses a host's name has, and how long the answer takes.
//
// It is no host and has no links: partitions do not cut it off. Every host of the world is in it by its name, with its
// addresses, and so is `localhost`. Whatever a test sets comes first, and holds for the lookups that are answered from
// then on, also those that were asked before:
//
//   world.names().Set("db", {first.address(0), second.address(0)});
//   world.names().SetLatency("db", absl::Seconds(3), absl::Seconds(5));
//   world.After(absl::Minutes(1), [&] { world.names().Fail("db", EAGAIN); });
//
// Faults that hit single lookups by chance are those of the host that asks: StackFaults.

#ifndef TANDEM_SIM_NETWORK_NAMES_H_
#define TANDEM_SIM_NETWORK_NAMES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/core/io/address.h"

namespace tandem::sim {

// Names are compared as DNS does: upper and lower case are the same, and a dot at the end does not matter.
class NameTable {
 public:
  NameTable();
  NameTable(const NameTable&) = delete;
  NameTable& operator=(const NameTable&) = delete;

  // From now on `name` has these addresses, in this order; their ports do not matter. None: the name exists and has no
  // address.
  void Set(absl::string_view name, std::vector<SocketAddress> addresses);
  // From now on there is no such name.
  void SetMissing(absl::string_view name);
  // From now on lookups of `name` end with `error`: EAGAIN (the name servers failed for now), EIO (they failed) or
  // ENOENT (CHECKed).
  void Fail(absl::string_view name, int error);
  // Undoes the calls above: hosts and `localhost` have their own addresses again, other names are gone.
  void Reset(absl::string_view name);

  // Lookups of `name` take between `least` and `most`, drawn for each; infinite: there is no answer.
  // REQUIRES 0 <= least <= most.
  void SetLatency(absl::string_view name, absl::Duration least, absl::Duration most);
  // The same for all names that have nothing of their own. At first 100 us to 2 ms.
  void SetLatency(absl::Duration least, absl::Duration most);

  // --- For the network and the reactors ---

  // Whether it has changed since the start of the world.
  bool HasChanged(absl::string_view name) const { return previous_.contains(Canonical(name)); }
  // What `name` was before the last change, if it has changed: as LookUp(). False: it has not, and nothing was done.
  bool LookUpPrevious(absl::string_view name, uint16_t port, std::vector<SocketAddress>* addresses, int* result) const;
  // What `name` is when no test says something else.
  void SetDefault(absl::string_view name, std::vector<SocketAddress> addresses);
  // 0 and at least one address, with `port`; or -errno, and `addresses` is as it was.
  int LookUp(absl::string_view name, uint16_t port, std::vector<SocketAddress>* addresses) const;
  // How long a lookup takes, for a uniform 64-bit `draw`.
  int64_t LatencyNs(absl::string_view name, uint64_t draw) const;

 private:
  struct Answer {
    int error = 0;
    std::vector<SocketAddress> addresses;
  };
  struct Latency {
    int64_t least_ns = 100'000;
    int64_t most_ns = 2'000'000;
  };
  static std::string Canonical(absl::string_view name);
  const Answer& AnswerFor(const std::string& key) const;
  // `key` is about to be something else.
  void KeepPrevious(const std::string& key) { previous_[key] = AnswerFor(key); }
  static int Give(const Answer& answer, uint16_t port, std::vector<SocketAddress>* addresses);
  static Latency MakeLatency(absl::Duration least, absl::Duration most);

  std::map<std::string, Answer> defaults_;
  std::map<std::string, Answer> answers_;
  std::map<std::string, Answer> previous_;
  std::map<std::string, Latency> latencies_;
  Latency latency_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_NAMES_H_
