// SPDX-License-Identifier: Apache-2.0
//
// MULTI, EXEC, DISCARD, WATCH and UNWATCH. While a transaction is open, the executor queues all other commands.

#include <utility>
#include <vector>

#include "tandem/examples/kv/command_context.h"
#include "tandem/examples/kv/transaction.h"

namespace tandem::kv {
namespace {

// What a queued argument costs besides its bytes.
constexpr size_t kArgumentOverheadBytes = sizeof(std::string);

// Executes `queued` with `reply` for its reply.
void ExecuteQueued(const CommandContext& context, Transaction::Queued& queued, ReplyBuffer& reply) {
  std::vector<Argument> arguments;
  arguments.reserve(queued.arguments.size());
  for (std::string& argument : queued.arguments) arguments.emplace_back(&argument);
  CommandContext one{context.store, context.settings, context.statistics, context.sessions,   context.session,
                     arguments,     context.now_ns,   context.now_ms,     context.unix_clock, reply};
  RunQueued(one, *queued.command);
}

// Executes all of `queued`. Once the replies together are longer than one reply may be, the other commands are executed
// as well, but an error stands for their replies.
void ExecuteAll(CommandContext& context, std::vector<Transaction::Queued> queued) {
  const ReplyBuffer::Mark start = context.reply.mark();
  context.reply.Array(queued.size());
  bool is_full = false;
  for (Transaction::Queued& one : queued) {
    if (!is_full) {
      const ReplyBuffer::Mark before = context.reply.mark();
      ExecuteQueued(context, one, context.reply);
      is_full = context.RefuseLongReply(start, before);
      continue;
    }
    ReplyBuffer unseen;
    ExecuteQueued(context, one, unseen);
    context.reply.Error("ERR the replies of the transaction exceed the limit");
  }
}

// Whether a watched key was changed or has expired.
bool WasWatchedKeyChanged(CommandContext& context) {
  // A lookup removes what has expired, which counts as a change.
  context.transaction().watcher().ForEachKey(
      [&context](std::string_view key) { context.store.Peek(key, context.now_ms); });
  return context.transaction().watcher().touched();
}

}  // namespace

void Transaction::Queue(const Command& command, std::span<Argument> arguments) {
  if (is_broken_ || watcher_.touched()) return;
  Queued queued{&command, {}};
  queued.arguments.reserve(arguments.size());
  queued_bytes_ += sizeof(Queued);
  for (Argument& argument : arguments) {
    queued_bytes_ += argument.text().size() + kArgumentOverheadBytes;
    queued.arguments.push_back(argument.Take());
  }
  queued_.push_back(std::move(queued));
  command_flags_ |= command.flags;
}

std::vector<Transaction::Queued> Transaction::Take() {
  is_open_ = false;
  is_broken_ = false;
  command_flags_ = 0;
  queued_bytes_ = 0;
  watcher_.Clear();
  return std::exchange(queued_, {});
}

void HandleMulti(CommandContext& context) {
  if (context.transaction().is_open()) return context.reply.Error("ERR MULTI calls can not be nested");
  context.transaction().Open();
  context.Ok();
}

void HandleDiscard(CommandContext& context) {
  if (!context.transaction().is_open()) return context.reply.Error("ERR DISCARD without MULTI");
  context.transaction().Discard();
  context.Ok();
}

void HandleExec(CommandContext& context) {
  Transaction& transaction = context.transaction();
  if (!transaction.is_open()) return context.reply.Error("ERR EXEC without MULTI");
  const bool is_broken = transaction.is_broken();
  const bool was_changed = WasWatchedKeyChanged(context);
  std::vector<Transaction::Queued> queued = transaction.Take();
  if (is_broken) return context.reply.Error("EXECABORT Transaction discarded because of previous errors.");
  if (was_changed) return context.reply.NullArray();
  ExecuteAll(context, std::move(queued));
}

void HandleWatch(CommandContext& context) {
  if (context.transaction().is_open()) return context.reply.Error("ERR WATCH inside MULTI is not allowed");
  Watcher& watcher = context.transaction().watcher();
  // What was touched stays so until EXEC or UNWATCH: more keys would change nothing.
  for (size_t i = 1; i < context.arguments.size() && !watcher.touched(); ++i) {
    context.store.Watch(context.arg(i), context.now_ms, watcher);
  }
  context.Ok();
}

void HandleUnwatch(CommandContext& context) {
  context.transaction().watcher().Clear();
  context.Ok();
}

}  // namespace tandem::kv
