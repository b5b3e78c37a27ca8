// SPDX-License-Identifier: Apache-2.0
//
// Commands on keys and on the database as a whole.

#include <optional>
#include <string_view>

#include "tandem/examples/kv/command_context.h"

namespace tandem::kv {
namespace {

constexpr char kSameObjectError[] = "ERR source and destination objects are the same";
constexpr char kNoSuchKeyError[] = "ERR no such key";

}  // namespace

void HandleDbSize(CommandContext& context) { context.reply.Integer(static_cast<int64_t>(context.store.size())); }

void HandleDel(CommandContext& context) {
  int64_t removed = 0;
  for (size_t i = 1; i < context.arguments.size(); ++i) {
    if (context.store.Erase(context.arg(i), context.now_ms)) ++removed;
  }
  context.reply.Integer(removed);
}

void HandleExists(CommandContext& context) {
  int64_t found = 0;
  for (size_t i = 1; i < context.arguments.size(); ++i) {
    if (context.PeekForRead(context.arg(i)) != nullptr) ++found;
  }
  context.reply.Integer(found);
}

void HandleType(CommandContext& context) {
  const bool exists = context.PeekForRead(context.arg(1)) != nullptr;
  context.reply.SimpleString(exists ? "string" : "none");
}

void HandleFlush(CommandContext& context) {
  const size_t count = context.arguments.size();
  if (count > 2 || (count == 2 && !context.ArgIs(1, "SYNC") && !context.ArgIs(1, "ASYNC"))) {
    return context.reply.Error(kSyntaxError);
  }
  context.store.Clear();
  context.Ok();
}

void HandleTouch(CommandContext& context) {
  int64_t found = 0;
  for (size_t i = 1; i < context.arguments.size(); ++i) {
    if (context.FindForRead(context.arg(i)) != nullptr) ++found;
  }
  context.reply.Integer(found);
}

void HandleRename(CommandContext& context) {
  const std::string_view from = context.arg(1);
  const std::string_view to = context.arg(2);
  const Store::Entry* const entry = context.store.Find(from, context.now_ms);
  if (entry == nullptr) return context.reply.Error(kNoSuchKeyError);
  if (from != to) context.store.Rename(*entry, to, context.now_ms);
  context.Ok();
}

void HandleRenameNx(CommandContext& context) {
  const std::string_view to = context.arg(2);
  const Store::Entry* const entry = context.store.Find(context.arg(1), context.now_ms);
  if (entry == nullptr) return context.reply.Error(kNoSuchKeyError);
  if (context.store.Find(to, context.now_ms) != nullptr) return context.reply.Integer(0);
  context.store.Rename(*entry, to, context.now_ms);
  context.reply.Integer(1);
}

void HandleCopy(CommandContext& context) {
  bool replaces = false;
  for (size_t i = 3; i < context.arguments.size(); ++i) {
    if (context.ArgIs(i, "REPLACE")) {
      replaces = true;
    } else if (context.ArgIs(i, "DB") && i + 1 < context.arguments.size()) {
      if (context.RefuseOtherDatabase(++i)) return;
    } else {
      return context.reply.Error(kSyntaxError);
    }
  }
  const std::string_view from = context.arg(1);
  const std::string_view to = context.arg(2);
  if (from == to) return context.reply.Error(kSameObjectError);
  const Store::Entry* const entry = context.FindForRead(from);
  if (entry == nullptr) return context.reply.Integer(0);
  if (context.store.Find(to, context.now_ms) != nullptr && !replaces) return context.reply.Integer(0);
  context.store.Copy(*entry, to, context.now_ms);
  context.reply.Integer(1);
}

// There is no other database to move to.
void HandleMove(CommandContext& context) {
  if (!context.RefuseOtherDatabase(2)) context.reply.Error(kSameObjectError);
}

void HandleSwapDb(CommandContext& context) {
  const std::optional<int64_t> first = context.DatabaseArg(1, "ERR invalid first DB index");
  if (!first.has_value()) return;
  const std::optional<int64_t> second = context.DatabaseArg(2, "ERR invalid second DB index");
  if (!second.has_value()) return;
  if (*first != 0 || *second != 0) return context.reply.Error(kNoSuchDatabaseError);
  context.Ok();
}

void HandleRandomKey(CommandContext& context) {
  const Store::Entry* const entry = context.store.FindRandom(context.now_ms);
  entry != nullptr ? context.reply.Bulk(std::string_view(entry->key)) : context.reply.Null();
}

}  // namespace tandem::kv
