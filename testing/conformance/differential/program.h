// SPDX-License-Identifier: Apache-2.0
//
// A socket program as text: one step a line, so that what differs between two worlds can be read, run again and kept
// as a test.
//
//   open s0 @0 v4            a TCP socket, on host 0
//   bind s0 @0 p0            to that host's address and a port that is called p0 from now on
//   listen s0 4
//   open s1 @1 v4
//   connect s1 @0 p0
//   accept s2 s0             the connection becomes s2
//   write s1 100             100 bytes of a pattern; the world knows which
//   read s2 200              until 200 bytes have come, the stream has ended, or nothing more comes
//   close s2
//
// A place is @0 .. @3 (the IPv4 address of a host), mapped@0 .. mapped@3 (the same inside IPv6), any4, any6 or lo6.
// A port name that no bind has set stands for port 0. A line "=> text" below a step is its expected result. "#" begins
// a comment line.
//
// A step may carry a hint, "? 37 waited": what another world got, so that a slow machine knows how much is worth
// waiting for. Hints change when a call is given up, never what it returns otherwise.

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_PROGRAM_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_PROGRAM_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem::testing {

inline constexpr int kHosts = 4;
inline constexpr int kSockets = 64;
inline constexpr int kPorts = 16;

enum class Verb : uint8_t {
  kOpen,          // open s0 @1 v4
  kSet,           // set s0 reuse_address 1
  kGet,           // get s0 reuse_address
  kBind,          // bind s0 @1 p0
  kListen,        // listen s0 4
  kConnect,       // connect s0 @1 p0
  kAccept,        // accept s1 s0
  kTryAccept,     // try_accept s1 s0
  kWrite,         // write s0 100
  kTryWrite,      // try_write s0 100
  kFlood,         // flood s0: fills all buffers on the way, then empties them at the other end
  kRead,          // read s0 100
  kTryRead,       // try_read s0 100
  kPeek,          // peek s0 100
  kShutdown,      // shutdown s0 read|write
  kClose,         // close s0
  kAbort,         // abort s0
  kLocal,         // local s0
  kPeer,          // peer s0
  kWait,          // wait
  kOpenDatagram,  // open_datagram s0 @1 v4
  kSend,          // send s0 100
  kSendTo,        // send_to s0 @1 p0 100
  kReceive,       // receive s0 100
};

struct Place {
  enum class Kind : uint8_t { kHost, kMapped, kAny4, kAny6, kLoopback6 };
  Kind kind = Kind::kHost;
  int host = 0;

  friend bool operator==(const Place&, const Place&) = default;
};

// What a step gave in another world.
struct Hint {
  int64_t bytes = 0;
  bool waited = false;  // It was given up.

  friend bool operator==(const Hint&, const Hint&) = default;
};

struct Step {
  Verb verb = Verb::kWait;
  int socket = 0;      // What the step acts on, or makes.
  int listener = 0;    // kAccept.
  Place place;         // kBind, kConnect, kSendTo; its host: kOpen.
  bool ipv6 = false;   // kOpen.
  int port = 0;        // kBind, kConnect, kSendTo.
  int64_t value = 0;   // Bytes, backlog, or an option's value.
  std::string option;  // kSet, kGet; "read" or "write" of kShutdown.
  std::optional<Hint> hint;
  std::string expected;  // Of the "=>" line; empty when there is none.

  friend bool operator==(const Step&, const Step&) = default;
};

struct Program {
  std::vector<Step> steps;

  friend bool operator==(const Program&, const Program&) = default;
};

// Errors:
//   kInvalidArgument  The text is not a program; the message has the line.
absl::StatusOr<Step> ParseStep(absl::string_view line);
absl::StatusOr<Program> ParseProgram(absl::string_view text);

// Without its expected result.
std::string StepToString(const Step& step);
// With expected results where there are some, without hints.
std::string ProgramToString(const Program& program);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_PROGRAM_H_
