// SPDX-License-Identifier: Apache-2.0
//
// Readers of histories that others have recorded, in the formats of the checkers that are used most, and of our own.
// The places of operations in the order are numbers of lines, from 1, so that a report can be held against the file.
//
// A line of a log that begins with ";" is a comment. Else they are strict: what is not of the format, an answer without
// a question, a question while the client has another one open, or an answer that repeats its question wrongly is
// kInvalidArgument, "line 17: ...".

#ifndef TANDEM_TESTING_HISTORY_READERS_H_
#define TANDEM_TESTING_HISTORY_READERS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/testing/history.h"

namespace tandem::testing {

// The log of a Jepsen test of one register, as its etcd histories are, for the model Register:
//
//   INFO  jepsen.util - 4 :invoke :cas [3 0]
//   INFO  jepsen.util - 4 :ok :cas [3 0]
//
// `:ok`, `:fail` and `:info` end a read, write or cas. `:fail` of a cas is the answer "false"; of a read or write it
// says that it had no effect. `:info`, and no end at all, leaves it open. Lines of `:nemesis` are left out.
absl::StatusOr<std::vector<History::Operation>> ReadJepsenLog(absl::string_view text);

// The test data of Porcupine's key-value model, for the model KeyValue; a get, put or append with its key a line:
//
//   {:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}
//   {:process 9, :type :ok, :f :append, :key "0", :value "x 9 0 y"}
//
// A get is invoked with the value nil. `:fail` and `:info` are those of ReadJepsenLog().
absl::StatusOr<std::vector<History::Operation>> ReadPorcupineKv(absl::string_view text);

// What ToJsonLines() writes.
absl::StatusOr<std::vector<History::Operation>> ReadJsonLines(absl::string_view text);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_HISTORY_READERS_H_
