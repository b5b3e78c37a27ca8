// SPDX-License-Identifier: Apache-2.0
//
// One client of the server: receives, executes, replies.
//
// A connection has one coroutine, and at times two. The first receives and executes, and sends the replies as long as
// the client takes them at once, which is the rule. When the client does not, a second coroutine sends what has piled
// up, oldest first, until the client has caught up; the first goes on receiving meanwhile. So a client may send all of
// its requests before it reads the first reply, as far as the limits go: what has piled up counts, and a connection
// that passes its own limit, or is the largest when all together pass theirs, is cut.
//
// How a client ends decides how its connection is closed. A peer that is still sending must not be closed with input
// unread: TCP would answer that with a reset, and a reset throws away replies that the peer has not read yet. So where
// something was said last, input is dropped until the replies are sent, and the close is a lingering one.

#ifndef TANDEM_EXAMPLES_KV_CONNECTION_H_
#define TANDEM_EXAMPLES_KV_CONNECTION_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/examples/kv/commands.h"
#include "tandem/examples/kv/reply.h"
#include "tandem/examples/kv/resp.h"
#include "tandem/examples/kv/server.h"
#include "tandem/examples/kv/session.h"
#include "tandem/examples/kv/store.h"
#include "tandem/tandem.h"

namespace tandem::kv {

class Connection;

// What the connections of one server share. Outlives them.
class ServerState {
 public:
  explicit ServerState(const Options& options);
  ServerState(const ServerState&) = delete;
  ServerState& operator=(const ServerState&) = delete;
  virtual ~ServerState() = default;

  // Requests were executed: they may have changed settings, and made keys expire.
  virtual void OnExecuted() = 0;

  // The server was told to stop: replies of what was executed are sent for a while.
  void NoteStop();
  bool is_stopping() const { return stop_deadline != Instant::InfiniteFuture(); }
  absl::Duration TimeLeftToStop() const { return std::max(stop_deadline - Now(), absl::ZeroDuration()); }

  const Options options;
  Settings settings;
  Statistics statistics;
  Store store;
  CommandExecutor executor;
  TaskGroup* group = nullptr;  // Of all tasks of the server.
  uint64_t next_client_id = 1;
  // Those that were not told to end, the least recently active first.
  std::list<Connection*> by_activity;
  Instant stop_deadline = Instant::InfiniteFuture();
  bool shut_down = false;  // A client said SHUTDOWN.
  // What connections hold that were told to end.
  size_t killed_bytes = 0;
};

class Connection final : public Session {
 public:
  // Talks to the client until one side has had enough.
  static Task<void> Serve(ServerState* server, TcpStream stream);

  Connection(ServerState& server, TcpStream stream);
  ~Connection() override;

  Session::Connection DescribeConnection() const override;
  void Kill() override;

  // When a byte came from the client, or it took one.
  Instant last_active() const { return last_active_; }
  // What is to be sent, values that are sent from the store included, and unfinished requests and transactions.
  size_t unfinished_bytes() const { return parser_.held_bytes() + held_bytes() + reply_.size() + backlog_bytes_; }
  // Ends the connection with a reset: `why` goes to the log.
  void Cut(absl::string_view why);

 private:
  // Replies that the client did not take at once.
  struct Unsent {
    explicit Unsent(ReplyBuffer replies, size_t sent) : replies(std::move(replies)), sent(sent) {}
    ReplyBuffer replies;
    size_t sent;  // Of their bytes.
  };

  enum class Next : uint8_t {
    kGoOn,
    kClose,   // Nothing is to be said any more.
    kFinish,  // The peer has to get what it was sent although it may still be sending.
  };

  Task<Next> Process(absl::string_view chunk);
  Task<Next> Flush();
  Next AtEndOfInput(const absl::Status& status);
  Task<void> Finish();
  Task<absl::Status> DropInputWhileSending();
  Task<absl::Status> DropInput();
  Task<absl::Status> WaitForSender();

  void PileUp(size_t sent);
  Task<void> Send();
  Task<absl::Status> SendUnsent();

  void Touch();
  void MarkKilled();
  void CountBytes();
  bool KeepsToLimits();

  ServerState& server_;
  TcpStream stream_;
  RequestParser parser_;
  ReplyBuffer reply_;               // What the commands add to.
  std::list<Unsent> backlog_;       // Older than reply_. Empty but while sending_.
  size_t backlog_bytes_ = 0;        // All bytes of backlog_...
  size_t backlog_owned_bytes_ = 0;  // ...and those that are memory of its own.
  size_t counted_bytes_ = 0;
  size_t killed_bytes_ = 0;               // Counted in ServerState::killed_bytes.
  std::vector<std::string_view> pieces_;  // Scratch space of Flush().
  std::vector<IoSlice> slices_;
  Instant last_active_;
  std::list<Connection*>::iterator place_;  // In by_activity, unless killed_.
  Event sender_ended_;
  bool sending_ = false;  // Send() runs: nobody else writes.
  bool finishing_ = false;
  bool killed_ = false;
};

// Cuts the connections that hold most until all together hold no more than they may.
void CutLargest(ServerState& server);

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_CONNECTION_H_
