// SPDX-License-Identifier: Apache-2.0
//
// What a client has said since MULTI, and what it watches.
//
// Thread-compatible.

#ifndef TANDEM_EXAMPLES_KV_TRANSACTION_H_
#define TANDEM_EXAMPLES_KV_TRANSACTION_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tandem/examples/kv/resp.h"
#include "tandem/examples/kv/watch.h"

namespace tandem::kv {

struct Command;

class Transaction {
 public:
  struct Queued {
    const Command* command;
    std::vector<std::string> arguments;
  };

  // Between MULTI and EXEC or DISCARD.
  bool is_open() const { return is_open_; }
  void Open() { is_open_ = true; }

  // A request of the open transaction was refused, so it must not be executed.
  void Break() { is_broken_ = is_open_; }
  bool is_broken() const { return is_broken_; }

  // Keeps a request of the open transaction. The arguments' strings may be moved from. One that cannot be executed any
  // more keeps nothing.
  void Queue(const Command& command, std::span<Argument> arguments);
  // The flags of all queued commands together.
  uint32_t command_flags() const { return command_flags_; }
  size_t queued_count() const { return queued_.size(); }

  // Ends the transaction and forgets what is watched. Returns what was queued.
  std::vector<Queued> Take();
  void Discard() { Take(); }

  Watcher& watcher() { return watcher_; }
  const Watcher& watcher() const { return watcher_; }

  // The memory that queued requests and watched keys take.
  size_t held_bytes() const { return queued_bytes_ + watcher_.held_bytes(); }

 private:
  bool is_open_ = false;
  bool is_broken_ = false;
  uint32_t command_flags_ = 0;
  size_t queued_bytes_ = 0;
  std::vector<Queued> queued_;
  Watcher watcher_;
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_TRANSACTION_H_
