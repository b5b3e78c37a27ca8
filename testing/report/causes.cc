// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/causes.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::testing {
namespace {

using sim::TraceKind;

// What is known of a host, while the events pass by.
struct HostState {
  uint64_t step = kNoEvent;  // Of the task that runs: what it did last.
  uint64_t last = kNoEvent;  // Of all, but for turns.
  int64_t last_ns = -1;
  uint64_t crash = kNoEvent;
  std::map<uint64_t, uint64_t> ready;                         // By task.
  std::map<uint64_t, uint64_t> armed;                         // By deadline.
  std::map<int32_t, uint64_t> sockets;                        // What was last done to each.
  std::map<std::string, uint64_t> arrived;                    // The last packet, by connection.
  std::map<std::pair<std::string, uint64_t>, uint64_t> lost;  // The last of its packets, by connection and sequence.
};

class Causes {
 public:
  explicit Causes(Recording& recording) : recording_(recording), hosts_(recording.hosts.size()) {}

  void Find() {
    for (RecordedEvent& event : recording_.events) {
      if (event.source == RecordedEvent::Source::kNote) note_ = event.number;
      if (event.host < 0 || static_cast<size_t>(event.host) >= hosts_.size()) continue;
      HostState& host = hosts_[static_cast<size_t>(event.host)];
      event.cause = CauseOf(event, host);
      Remember(event, host);
    }
  }

 private:
  static uint64_t Find(const auto& map, const auto& key) {
    const auto found = map.find(key);
    return found == map.end() ? kNoEvent : found->second;
  }
  static uint64_t FirstOf(std::initializer_list<uint64_t> candidates) {
    for (const uint64_t candidate : candidates) {
      if (candidate != kNoEvent) return candidate;
    }
    return kNoEvent;
  }
  // What the host did right before, if it was at the same instant.
  static uint64_t Before(const RecordedEvent& event, const HostState& host) {
    return host.last_ns == event.time_ns ? host.last : kNoEvent;
  }
  // A remark of this instant.
  uint64_t Note(const RecordedEvent& event) const {
    if (note_ == kNoEvent || recording_.events[note_].time_ns != event.time_ns) return kNoEvent;
    return note_;
  }

  uint64_t CauseOf(const RecordedEvent& event, const HostState& host) const {
    switch (event.kind) {
      case TraceKind::kPacketDelivered:
        return event.packet.has_value() ? Find(sent_, KeyOf(*event.packet)) : kNoEvent;
      case TraceKind::kPacketLost:
        return event.packet.has_value() ? Find(sent_, KeyOf(*event.packet)) : kNoEvent;
      case TraceKind::kTaskResume:
        return FirstOf({Find(host.ready, event.a), Before(event, host)});
      case TraceKind::kTimer:
        if (event.b == 1) return Find(host.armed, event.a);
        break;
      case TraceKind::kHostStart:
        return FirstOf({host.crash, Note(event)});
      case TraceKind::kHostCrash:
      case TraceKind::kHostPause:
      case TraceKind::kClockStep:
        return FirstOf({Note(event), host.last});
      default:
        break;
    }
    if (event.datagram != kNoEvent) return event.datagram;
    if (event.task_id != 0) return FirstOf({host.step, host.last});
    switch (event.kind) {
      case TraceKind::kAccept:
      case TraceKind::kConnected:
      case TraceKind::kReceive:
      case TraceKind::kReceiveEnd:
      case TraceKind::kSocketError:
        return FirstOf({Find(host.arrived, event.connection), Find(host.sockets, event.socket), Before(event, host)});
      case TraceKind::kComplete:
        return FirstOf({Find(host.sockets, event.socket), Before(event, host)});
      case TraceKind::kPacketSent:
        return FirstOf({Find(host.lost, LossKeyOf(event)), Before(event, host)});
      default:
        return FirstOf({Before(event, host), host.last});
    }
  }

  void Remember(const RecordedEvent& event, HostState& host) {
    switch (event.kind) {
      case TraceKind::kPacketSent:
        if (!event.packet.has_value()) break;
        sent_[KeyOf(*event.packet)] = event.number;
        if (!event.packet->lost.empty()) host.lost[LossKeyOf(event)] = event.number;
        break;
      case TraceKind::kPacketDelivered:
        host.arrived[event.connection] = event.number;
        break;
      case TraceKind::kTaskReady:
        host.ready[event.a] = event.number;
        break;
      case TraceKind::kTimer:
        if (event.b == 0) host.armed[event.a] = event.number;
        break;
      case TraceKind::kHostCrash:
        host.crash = event.number;
        host.sockets.clear();
        host.arrived.clear();
        break;
      case TraceKind::kHostTurn:
        return;  // Says nothing of what happens in it.
      default:
        break;
    }
    if (event.socket >= 0) host.sockets[event.socket] = event.number;
    host.step = event.task_id != 0 ? event.number : kNoEvent;
    host.last = event.number;
    host.last_ns = event.time_ns;
  }

  using PacketKey = std::tuple<int32_t, int32_t, uint32_t>;
  static PacketKey KeyOf(const RecordedPacket& packet) { return {packet.from, packet.to, packet.ordinal}; }

  static std::pair<std::string, uint64_t> LossKeyOf(const RecordedEvent& event) {
    return {event.connection, event.packet.has_value() ? event.packet->sequence : 0};
  }

  Recording& recording_;
  std::vector<HostState> hosts_;
  std::map<PacketKey, uint64_t> sent_;
  uint64_t note_ = kNoEvent;
};

}  // namespace

std::string ConnectionName(const SocketAddress& local, const SocketAddress& remote) {
  if (local.port() == 0) return "";
  return absl::StrCat(local.ToString(), " ", remote.family() == AddressFamily::kNone ? "-" : remote.ToString());
}

void FindCauses(Recording& recording) { Causes(recording).Find(); }

namespace {

// Of each event of a task the one before it; kNoEvent for the first, and for what no task does.
std::vector<uint64_t> EventsBefore(const std::vector<RecordedEvent>& events) {
  std::vector<uint64_t> before(events.size(), kNoEvent);
  std::map<std::pair<int32_t, uint64_t>, uint64_t> last;
  for (const RecordedEvent& event : events) {
    if (event.task_id == 0 || event.host < 0) continue;
    const auto [found, is_first] = last.try_emplace({event.host, event.task_id}, event.number);
    if (!is_first) before[event.number] = std::exchange(found->second, event.number);
  }
  return before;
}

int64_t TimeOf(int64_t time_ns) { return time_ns; }
int64_t TimeOf(const RecordedEvent& event) { return event.time_ns; }

// `turn`, and what came of it until `failure`.
std::vector<uint64_t> Consequences(const std::vector<RecordedEvent>& events, uint64_t turn, uint64_t failure) {
  std::vector<bool> follows(events.size());
  std::vector<uint64_t> found;
  for (uint64_t i = turn; i < failure; ++i) {
    const RecordedEvent& event = events[i];
    follows[i] = i == turn || (event.cause < i && follows[event.cause]) ||
                 std::any_of(event.written_by.begin(), event.written_by.end(),
                             [&](const RecordedWriter& writer) { return follows[writer.event]; });
    if (follows[i]) found.push_back(i);
  }
  return found;
}

// Where a failure that is no host's doing comes from: what each host, and each of its last tasks, did last. Of the
// hosts of `reached` alone, if there are some.
std::set<uint64_t> LastOfEach(const Recording& recording, uint64_t failure, const std::vector<uint64_t>& reached) {
  constexpr size_t kTasksOfAHost = 3;
  std::set<uint64_t> found;
  std::vector<bool> seen(recording.hosts.size(), !reached.empty());
  std::vector<bool> left_out = seen;
  for (const uint64_t number : reached) {
    const int32_t host = recording.events[number].host;
    if (host >= 0) seen[static_cast<size_t>(host)] = left_out[static_cast<size_t>(host)] = false;
  }
  std::vector<std::set<uint64_t>> tasks(recording.hosts.size());
  for (uint64_t i = failure; i-- > 0;) {
    const RecordedEvent& event = recording.events[i];
    if (event.host < 0) continue;
    const auto host = static_cast<size_t>(event.host);
    if (!event.detail && !event.verb.empty() && !seen[host]) {
      seen[host] = true;
      found.insert(i);
    }
    if (event.task_id == 0 || left_out[host] || tasks[host].size() == kTasksOfAHost) continue;
    if (tasks[host].insert(event.task_id).second) found.insert(i);
  }
  return found;
}

// Who wrote what it read; kNoHost: nobody, or it is no read.
int32_t WriterOf(const std::vector<RecordedEvent>& events, const RecordedEvent& event) {
  if (event.kind != TraceKind::kReceive) return kNoHost;
  if (!event.written_by.empty()) return events[event.written_by.back().event].host;
  if (event.datagram == kNoEvent || !events[event.datagram].packet.has_value()) return kNoHost;
  return events[event.datagram].packet->from;
}

// What the host of `failure` has read last from each other host, and how that came to it. Its tasks share memory: what
// one of them has read, another may fail of.
std::set<uint64_t> LastHeard(const std::vector<RecordedEvent>& events, uint64_t failure) {
  constexpr size_t kHostsMax = 8;
  std::set<uint64_t> found;
  std::set<int32_t> heard;
  for (uint64_t i = failure; i-- > 0 && heard.size() < kHostsMax;) {
    if (events[i].host != events[failure].host) continue;
    const int32_t writer = WriterOf(events, events[i]);
    if (writer == kNoHost || writer == events[i].host || !heard.insert(writer).second) continue;
    if (!events[i].written_by.empty()) found.insert(events[i].written_by.back().event);
    uint64_t step = i;
    while (events[step].cause < step && events[step].host == events[i].host && found.insert(step).second) {
      step = events[step].cause;
    }
    found.insert(step);
  }
  return found;
}

// Where a history that cannot be right comes from: what tasks did when its operations began and ended.
std::set<uint64_t> EventsOfOperations(const Recording& recording) {
  std::set<uint64_t> found;
  const std::vector<RecordedEvent>& events = recording.events;
  const auto add = [&](const std::string& client, int64_t time_ns) {
    const auto [begin, end] = std::equal_range(events.begin(), events.end(), time_ns,
                                               [](const auto& a, const auto& b) { return TimeOf(a) < TimeOf(b); });
    uint64_t last = kNoEvent;
    for (auto event = begin; event != end; ++event) {
      if (event->task_id == 0 || event->host < 0) continue;
      last = event->number;
      // Clients tend to be called as their hosts are.
      if (recording.hosts[static_cast<size_t>(event->host)] == client) found.insert(event->number);
    }
    if (last != kNoEvent && (found.empty() || *found.rbegin() < begin->number)) found.insert(last);
  };
  for (const RecordedOperation& operation : recording.operations) {
    if (!operation.bad) continue;
    add(operation.client, operation.begin_ns);
    if (operation.end_ns >= 0) add(operation.client, operation.end_ns);
  }
  return found;
}

}  // namespace

std::vector<uint64_t> SliceOf(const Recording& recording, size_t most, const std::vector<uint64_t>& also,
                              uint64_t turn) {
  const std::vector<RecordedEvent>& events = recording.events;
  if (events.empty()) return {};
  uint64_t failure = events.size() - 1;
  for (const RecordedEvent& event : events) {
    if (event.source == RecordedEvent::Source::kFailure) failure = event.number;
  }
  std::set<uint64_t> slice;
  std::set<uint64_t> todo;
  // The latest first, so that what is left out is what is longest ago.
  const auto follow = [&](size_t limit, const std::vector<uint64_t>* before) {
    while (!todo.empty() && slice.size() < limit) {
      const uint64_t number = *todo.rbegin();
      todo.erase(number);
      if (!slice.insert(number).second) continue;
      if (events[number].cause < number) todo.insert(events[number].cause);
      if (before != nullptr && (*before)[number] < number) todo.insert((*before)[number]);
    }
  };
  todo = EventsOfOperations(recording);
  // What comes behind it did not lead to it, be it of the same instant.
  todo.erase(todo.upper_bound(failure), todo.end());
  std::set<uint64_t> known(also.begin(), also.end());
  if (todo.empty() && events[failure].host < 0) {
    constexpr size_t kFirst = 16;
    const std::vector<uint64_t> reached = Consequences(events, turn, failure);
    size_t count = 0;
    for (const uint64_t number : reached) {
      if (!events[number].detail && !events[number].verb.empty() && ++count <= kFirst) known.insert(number);
    }
    todo = LastOfEach(recording, failure, reached);
  }
  known.erase(known.upper_bound(failure), known.end());
  todo.insert(failure);
  todo.insert(known.begin(), known.end());
  follow(most, nullptr);
  // A short story has room for what its tasks did before.
  constexpr size_t kShort = 100;
  if (slice.size() < kShort) {
    todo = std::exchange(slice, {});
    const std::vector<uint64_t> before = EventsBefore(events);
    follow(std::min(most, kShort), &before);
  }
  if (events[failure].host >= 0 && slice.size() < most) slice.merge(LastHeard(events, failure));
  slice.insert(known.begin(), known.end());  // Also where there was no room left.
  return std::vector<uint64_t>(slice.begin(), slice.end());
}

std::vector<uint64_t> Milestones(const Recording& recording) {
  constexpr size_t kFew = 16;
  std::vector<uint64_t> faults;
  std::vector<uint64_t> logs;
  std::vector<uint64_t> stops;
  std::set<int32_t> started;
  for (const RecordedEvent& event : recording.events) {
    if (event.source == RecordedEvent::Source::kFailure) break;
    if (event.source == RecordedEvent::Source::kNote && absl::StartsWith(event.text, "fault begins: ")) {
      faults.push_back(event.number);
    }
    if (event.host < 0) continue;
    if (event.source == RecordedEvent::Source::kLog) logs.push_back(event.number);
    // What a fault does to a host.
    const bool again = event.kind == TraceKind::kHostStart && !started.insert(event.host).second;
    if (event.source == RecordedEvent::Source::kTrace &&
        (again || event.kind == TraceKind::kHostCrash || event.kind == TraceKind::kHostPause)) {
      stops.push_back(event.number);
    }
  }
  std::vector<uint64_t> found;
  for (const std::vector<uint64_t>* const few : {&faults, &logs, &stops}) {
    if (few->size() <= kFew) found.insert(found.end(), few->begin(), few->end());
  }
  return found;
}

}  // namespace tandem::testing
