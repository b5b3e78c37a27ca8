// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/writers.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {
namespace {

using sim::TraceKind;

// One direction of a connection.
struct Stream {
  struct Write {
    uint64_t event;
    uint64_t end;  // Of its bytes, in the stream.
  };

  std::pair<int32_t, int32_t> writer;  // The host and the socket.
  std::vector<Write> writes;
  uint64_t read = 0;  // So many bytes.
  size_t next = 0;    // The write that the next byte is of.
};

// "10.0.0.1:7 10.0.0.2:49152" is the other end of "10.0.0.2:49152 10.0.0.1:7".
std::string OtherEnd(const std::string& connection) {
  const size_t blank = connection.find(' ');
  return blank == connection.npos ? "" : absl::StrCat(connection.substr(blank + 1), " ", connection.substr(0, blank));
}

class Writers {
 public:
  explicit Writers(Recording& recording) : recording_(recording) {}

  void Find() {
    for (RecordedEvent& event : recording_.events) {
      if (event.source == RecordedEvent::Source::kTrace) See(event);
    }
  }

 private:
  static std::pair<int32_t, int32_t> EndOf(const RecordedEvent& event) { return {event.host, event.socket}; }

  void See(RecordedEvent& event) {
    switch (event.kind) {
      case TraceKind::kConnected:
        ends_.insert(EndOf(event));
        break;
      case TraceKind::kAccept:
        ends_.insert({event.host, static_cast<int32_t>(event.b)});
        break;
      case TraceKind::kSend:
        Write(event);
        break;
      case TraceKind::kReceive:
        Read(event);
        break;
      default:
        break;
    }
  }

  void Write(const RecordedEvent& event) {
    const auto bytes = static_cast<int64_t>(event.b);
    if (bytes <= 0 || !ends_.contains(EndOf(event))) return;
    Stream& stream = streams_[event.connection];
    if (stream.writer != EndOf(event)) stream = Stream{EndOf(event), {}, 0, 0};  // The ports are used again.
    const uint64_t begin = stream.writes.empty() ? 0 : stream.writes.back().end;
    stream.writes.push_back({event.number, begin + static_cast<uint64_t>(bytes)});
  }

  void Read(RecordedEvent& event) {
    const auto found = streams_.find(OtherEnd(event.connection));
    if (found == streams_.end() || !ends_.contains(EndOf(event))) return;
    Stream& stream = found->second;
    for (uint64_t left = event.b; left > 0 && stream.next < stream.writes.size();) {
      const Stream::Write& write = stream.writes[stream.next];
      const uint64_t bytes = std::min(left, write.end - stream.read);
      event.written_by.push_back({write.event, bytes});
      stream.read += bytes;
      left -= bytes;
      if (stream.read == write.end) ++stream.next;
    }
    Tell(event);
  }

  void Tell(RecordedEvent& event) const {
    if (event.written_by.empty()) return;
    const RecordedEvent& first = recording_.events[event.written_by.front().event];
    const uint64_t last = event.written_by.back().event;
    absl::StrAppend(&event.text, ", written in ", EventName(first.number));
    if (last != first.number) absl::StrAppend(&event.text, " to ", EventName(last));
    if (!first.place.empty()) absl::StrAppend(&event.text, " (", first.place, ")");
  }

  Recording& recording_;
  std::set<std::pair<int32_t, int32_t>> ends_;  // Of connections whose beginning was seen.
  std::map<std::string, Stream> streams_;       // By the connection as its writer calls it.
};

}  // namespace

void FindWriters(Recording& recording) { Writers(recording).Find(); }

}  // namespace tandem::testing
