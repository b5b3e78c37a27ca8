// SPDX-License-Identifier: Apache-2.0
//
// What the commands know of one client, and of all that are connected.

#ifndef TANDEM_EXAMPLES_KV_SESSION_H_
#define TANDEM_EXAMPLES_KV_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "tandem/examples/kv/reply.h"
#include "tandem/examples/kv/transaction.h"

namespace tandem::kv {

class Session {
 public:
  explicit Session(uint64_t id) : id(id) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  virtual ~Session() = default;

  // What CLIENT LIST shows of the connection.
  struct Connection {
    std::string address;
    std::string local_address;
    size_t request_bytes = 0;  // Of an unfinished request.
    size_t reply_bytes = 0;    // Memory of unsent replies...
    size_t reply_buffers = 0;  // ...and the pieces in which it waits.
  };
  virtual Connection DescribeConnection() const { return Connection(); }
  // Ends the connection without another word, soon.
  virtual void Kill() {}

  // The memory that it takes beyond its own: the open transaction.
  size_t held_bytes() const { return transaction.held_bytes(); }

  const uint64_t id;
  std::string name;
  std::string library_name;
  std::string library_version;
  Protocol protocol = Protocol::kResp2;
  bool no_evict = false;  // CLIENT NO-EVICT: not cut when all clients together hold too much.
  Transaction transaction;

  // CLIENT REPLY.
  enum class Replies : uint8_t { kOn, kSkipNext, kOff };
  Replies replies = Replies::kOn;

  // Times of the clock that Execute() is given.
  int64_t connected_at_ns = 0;
  int64_t last_request_ns = 0;
  std::string_view last_command = "NULL";  // From the table.
  std::string_view last_subcommand;

  // Set by a command: send the replies so far, then close. Further requests must not be executed.
  bool should_close = false;
  // Set by SHUTDOWN, together with should_close.
  bool should_stop_server = false;
};

// The clients that are connected, in the order in which they came. Sessions add and remove themselves.
class SessionList {
 public:
  void Add(Session& session) { by_id_.emplace_hint(by_id_.end(), session.id, &session); }
  void Remove(Session& session) { by_id_.erase(session.id); }

  // Visits every session. `visit` must neither add nor remove one.
  void ForEach(absl::FunctionRef<void(Session&)> visit) const {
    for (const auto& [id, session] : by_id_) visit(*session);
  }

 private:
  std::map<uint64_t, Session*> by_id_;
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_SESSION_H_
