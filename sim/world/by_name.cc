// SPDX-License-Identifier: Apache-2.0
//
// What a test does to hosts and links by their names.

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

// '*' stands for any characters, '?' for one.
bool Matches(absl::string_view pattern, absl::string_view name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = absl::string_view::npos;  // The last one; what it stands for ends before `again`.
  size_t again = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      again = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != absl::string_view::npos) {
      p = star + 1;
      n = ++again;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

std::vector<Host*> World::HostsLike(absl::string_view pattern) const {
  std::vector<Host*> matching;
  for (const std::unique_ptr<Host>& host : hosts_) {
    if (Matches(pattern, host->name())) matching.push_back(host.get());
  }
  CHECK(!matching.empty()) << "no host is called " << pattern << "; there are: " << absl::StrJoin(HostNames(), ", ");
  return matching;
}

std::vector<Host*> World::HostsLikeAny(const std::vector<std::string>& patterns) const {
  std::vector<Host*> matching;
  for (const std::string& pattern : patterns) {
    for (Host* host : HostsLike(pattern)) matching.push_back(host);
  }
  return matching;
}

void World::ForEachLink(const std::vector<Host*>& from, const std::vector<Host*>& to,
                        void (Network::*change)(NetworkHost& from, NetworkHost& to)) {
  for (Host* sender : from) {
    for (Host* receiver : to) {
      if (sender != receiver) (network_.get()->*change)(sender->stack(), receiver->stack());
    }
  }
}

void World::PartitionOneWay(const std::vector<std::string>& from, const std::vector<std::string>& to) {
  ForEachLink(HostsLikeAny(from), HostsLikeAny(to), &Network::Cut);
}

void World::Partition(const std::vector<std::string>& left, const std::vector<std::string>& right) {
  PartitionOneWay(left, right);
  PartitionOneWay(right, left);
}

void World::Isolate(absl::string_view name) {
  const std::vector<Host*> inside = HostsLike(name);
  std::vector<Host*> outside;
  for (const std::unique_ptr<Host>& host : hosts_) {
    if (!Matches(name, host->name())) outside.push_back(host.get());
  }
  ForEachLink(inside, outside, &Network::Cut);
  ForEachLink(outside, inside, &Network::Cut);
}

void World::Hold(absl::string_view name, absl::string_view other) {
  ForEachLink(HostsLike(name), HostsLike(other), &Network::Hold);
  ForEachLink(HostsLike(other), HostsLike(name), &Network::Hold);
}

void World::Release(absl::string_view name, absl::string_view other) {
  ForEachLink(HostsLike(name), HostsLike(other), &Network::Release);
  ForEachLink(HostsLike(other), HostsLike(name), &Network::Release);
}

void World::Heal() {
  for (const std::unique_ptr<Host>& from : hosts_) {
    for (const std::unique_ptr<Host>& to : hosts_) {
      const Link* const link = from->stack().FindLink(to->stack());
      if (link == nullptr || from == to) continue;  // Hosts that say nothing to each other have none.
      if (link->cut()) network_->Mend(from->stack(), to->stack());
      if (link->holds()) network_->Release(from->stack(), to->stack());
    }
  }
}

void World::CrashAll(absl::string_view pattern) {
  for (Host* host : HostsLike(pattern)) host->Crash();
}

void World::KillAll(absl::string_view pattern) {
  for (Host* host : HostsLike(pattern)) host->Kill();
}

void World::RestartAll(absl::string_view pattern, absl::Duration delay) {
  for (Host* host : HostsLike(pattern)) host->Restart(delay);
}

}  // namespace tandem::sim
