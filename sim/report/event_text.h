// SPDX-License-Identifier: Apache-2.0
//
// What a record of the trace says to people, in words: with the names of hosts and tasks, addresses, the first bytes
// and what becomes of each packet. It looks at the world that lives, while the record is made, and uses no heap.

#ifndef TANDEM_SIM_REPORT_EVENT_TEXT_H_
#define TANDEM_SIM_REPORT_EVENT_TEXT_H_

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {

// A line under construction. What does not fit is cut off.
class TextLine {
 public:
  TextLine& operator<<(absl::string_view text) {
    const size_t size = std::min(text.size(), kSize - size_);
    std::memcpy(text_ + size_, text.data(), size);
    size_ += size;
    return *this;
  }
  TextLine& operator<<(const char* text) { return *this << absl::string_view(text); }
  TextLine& operator<<(int64_t number) { return Number(number, 10); }
  TextLine& operator<<(uint64_t number) { return Number(number, 10); }
  TextLine& operator<<(uint32_t number) { return Number(number, 10); }
  TextLine& operator<<(int number) { return Number(number, 10); }
  template <typename T>
  TextLine& Number(T number, int base) {
    char digits[24];
    const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), number, base);
    return *this << absl::string_view(digits, static_cast<size_t>(end.ptr - digits));
  }
  TextLine& Time(int64_t time_ns) { return *this << VirtualTimeText(time_ns).view(); }
  // Goes on at `column`, after two spaces at least.
  TextLine& At(size_t column) {
    do {
      *this << " ";
    } while (size_ < kSize && (size_ < column || text_[size_ - 2] != ' '));
    return *this;
  }
  // The line with its end, without spaces before it.
  absl::string_view End() {
    while (size_ > 0 && text_[size_ - 1] == ' ') --size_;
    text_[size_] = '\n';
    return absl::string_view(text_, size_ + 1);
  }

  size_t size() const { return size_; }
  absl::string_view view() const { return absl::string_view(text_, size_); }

 private:
  static constexpr size_t kSize = 600;
  char text_[kSize + 1];
  size_t size_ = 0;
};

// Where what somebody does begins: the verbs are shorter.
inline constexpr size_t kRestColumn = 77;

// The name of `host`, or `none`.
void WriteHost(TextLine& line, uint32_t host, absl::string_view none = "-");

// "HandleConnection": the task that runs, nothing if none does or it is new.
void WriteTaskName(TextLine& line);
// "echo.cc:31": where in the program its innermost await is.
void WriteTaskPlace(TextLine& line);

// Whether it is about how things happened rather than what.
bool IsDetail(TraceKind kind);

// Writes what has happened: a verb, and from kRestColumn on to what. False for what people are not shown, since another
// record says the same, or it says nothing.
bool WriteEvent(TextLine& line, const TraceRecord& record, const TraceAbout& about);
// Writes in words what WriteEvent() does not show: "ends a send of socket 4", without a column for the verb.
void WriteSilentEvent(TextLine& line, const TraceRecord& record);

// The bytes that it carries.
absl::string_view PayloadOf(const Packet& packet);
// Why it did not arrive, in words.
absl::string_view WhyLost(DropReason reason);

// The socket that it is about; kNoSocket if it is about none.
SocketId SocketOf(const TraceRecord& record);
// The addresses of a socket of `host`, without a family where it has none. False while it has no port.
bool EndsOf(uint32_t host, SocketId id, SocketAddress* local, SocketAddress* remote);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REPORT_EVENT_TEXT_H_
