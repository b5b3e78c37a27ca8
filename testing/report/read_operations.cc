// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/read_operations.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/base/instant.h"

namespace tandem::testing {
namespace {

using Frame = sim::RecordedFrame;
using Outcome = History::Operation::Outcome;

std::vector<std::string> Arguments(absl::string_view text) {
  std::vector<std::string> arguments;
  while (!text.empty()) {
    const size_t end = text.find('\0');
    arguments.emplace_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return arguments;
}

// Without the client, which has a column of its own.
std::string TextOf(History::Operation operation) {
  operation.client.clear();
  return ToString(operation);
}

}  // namespace

void OperationReader::Add(const Frame& frame, const Texts& texts) {
  const auto [place, is_new] = places_.try_emplace({frame.a, frame.b}, entries_.size());
  if (is_new) {
    Entry& entry = entries_.emplace_back();
    entry.history = histories_.try_emplace(frame.a, histories_.size()).first->second;
    entry.operation.client = std::string(texts[Frame::kTask]);
    entry.operation.object = std::string(texts[Frame::kPlace]);
    entry.operation.name = std::string(texts[Frame::kVerb]);
    entry.operation.arguments = Arguments(texts[Frame::kText]);
    entry.operation.invoked = frame.task;
    entry.operation.invoked_at = Instant::FromNanoseconds(frame.time_ns);
  }
  History::Operation& operation = entries_[place->second].operation;
  operation.outcome = static_cast<Outcome>(frame.c);
  if (operation.outcome == Outcome::kOpen) return;
  operation.answer = std::string(texts[Frame::kPayload]);
  operation.returned = frame.sequence;
  operation.returned_at = Instant::FromNanoseconds(frame.time_ns);
}

void OperationReader::AddMisfit(const Frame& frame, const Texts& texts) {
  for (Entry& entry : entries_) {
    const History::Operation& operation = entry.operation;
    entry.bad = entry.bad || (operation.invoked == frame.task && operation.client == texts[Frame::kTask] &&
                              operation.object == texts[Frame::kPlace] && operation.name == texts[Frame::kVerb]);
  }
}

std::vector<RecordedOperation> OperationReader::Take() {
  std::vector<RecordedOperation> operations;
  operations.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    RecordedOperation& recorded = operations.emplace_back();
    recorded.client = entry.operation.client;
    recorded.text = TextOf(entry.operation);
    recorded.begin_ns = entry.operation.invoked_at->nanoseconds();
    if (entry.operation.returned_at.has_value()) recorded.end_ns = entry.operation.returned_at->nanoseconds();
    recorded.bad = entry.bad;
    recorded.history = entry.history;
    recorded.json_line = ToJsonLines(absl::MakeConstSpan(&entry.operation, 1));
  }
  entries_.clear();
  return operations;
}

}  // namespace tandem::testing
