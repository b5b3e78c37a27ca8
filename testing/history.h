// SPDX-License-Identifier: Apache-2.0
//
// Histories: what clients asked of a system under test, what they were told, and in which order.
//
//   tandem::testing::History history;
//   ...
//   tandem::testing::History::Call call = history.Invoke("ann", "x", "cas", 3, 4);  // Client, object, operation,
//   arguments. const absl::StatusOr<std::string> answer = co_await Ask(...); if (!answer.ok()) co_return
//   answer.status();  // Left open: it may take effect at any later time, or never. call.Return(*answer);
//   ...
//   EXPECT_OK(tandem::testing::CheckLinearizable(history.operations(), tandem::testing::Register()));
//
// An operation whose Call is destroyed without a word stays open. So does one whose coroutine is cancelled or goes down
// with its host, since the frame takes the Call with it, and one that was sent when its caller stopped waiting.
//
// The order is that of the calls of Invoke() and Return(), counted, and no clock's. What is recorded before something
// begins and after it has ended contains the time in which it took effect. Recording is the same in a simulation and on
// a real reactor: there any number of threads may record to one history, whose mutex makes an order on which all of
// them agree. (Histories of each thread, put together afterwards, would need a clock that all threads agree on.)

#ifndef TANDEM_TESTING_HISTORY_H_
#define TANDEM_TESTING_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "tandem/core/base/instant.h"

namespace tandem::testing {

class History {
 public:
  // An operation of one client on one object.
  struct Operation {
    enum class Outcome {
      kOpen,      // Without an answer: it may have taken effect, may yet, or never will.
      kAnswered,  // It took effect between `invoked` and `returned`.
      kFailed,    // It has not taken effect and never will.
    };
    static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

    std::string client;
    std::string object;  // What it is about, such as a key. Objects are independent of each other.
    std::string name;    // Such as "write".
    std::vector<std::string> arguments;
    Outcome outcome = Outcome::kOpen;
    std::string answer;          // If kAnswered; empty when there is nothing to say.
    uint64_t invoked = 0;        // Its place in the order of all that began or ended.
    uint64_t returned = kNever;  // kNever if kOpen.
    // By the clock of the history, if it has one.
    std::optional<Instant> invoked_at;
    std::optional<Instant> returned_at;

    friend bool operator==(const Operation&, const Operation&) = default;
  };

  // A handle on an operation that has been invoked. To destroy it leaves the operation open and touches no history, so
  // a frame may be destroyed later than the history; the other calls need it.
  class Call {
   public:
    Call(Call&& other) noexcept;
    Call& operator=(Call&& other) noexcept;
    ~Call() = default;

    // The operation took effect, and this was the answer. REQUIRES that the operation is open (CHECKed).
    void Return(const absl::AlphaNum& answer = "");

    // The operation has certainly not taken effect and never will, whatever is still on its way: it was refused, or
    // never sent. A time-out is no failure. REQUIRES that the operation is open (CHECKed).
    void Fail();

   private:
    friend History;
    Call(History* history, size_t index) : history_(history), index_(index) {}

    History* history_;  // nullptr: moved from, or ended.
    size_t index_;      // Of the operation.
  };

  History() = default;
  // `clock` is read on the thread and in the host that records, for people to read; the order does not depend on it.
  // tandem::Now is one for what is recorded by tasks.
  explicit History(std::function<Instant()> clock) : clock_(std::move(clock)) {}
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  // Records that `client` begins an operation. A client may begin another one while one is open.
  template <typename... Arguments>
  [[nodiscard]] Call Invoke(std::string client, std::string object, std::string name, const Arguments&... arguments) {
    return Begin(std::move(client), std::move(object), std::move(name), {absl::StrCat(arguments)...});
  }

  // What was recorded until now, in the order of invocation.
  std::vector<Operation> operations() const;

 private:
  Call Begin(std::string client, std::string object, std::string name, std::vector<std::string> arguments);
  void End(size_t index, Operation::Outcome outcome, std::string answer);
  std::optional<Instant> ReadClock() const;

  const std::function<Instant()> clock_;
  mutable std::mutex mutex_;
  std::vector<Operation> operations_;
  uint64_t events_ = 0;  // How much has begun or ended.
};

namespace internal {

// Told of what all histories record, while a run is recorded for a report.
class HistoryWatcher {
 public:
  // `operation` is the one with this index of `history`: it is invoked, or has ended.
  virtual void OnOperation(const History& history, size_t index, const History::Operation& operation) = 0;
  // `operation`, of the window that is not linearizable, has no place in it.
  virtual void OnMisfit(const History::Operation& operation) = 0;

 protected:
  ~HistoryWatcher() = default;
};

// Set while one thread runs; null elsewhere.
inline HistoryWatcher* history_watcher = nullptr;

}  // namespace internal

// As people write it: "ann: cas(x, 3, 4) -> true"; what is open has "-> ?" and what failed "-> failed".
std::string ToString(const History::Operation& operation);

// One operation a line, as JSON (history.jsonl):
//
//   {"client":"ann","object":"x","name":"cas","arguments":["3","4"],"outcome":"answered","answer":"true","invoked":7,
//    "returned":9,"invoked_ns":1200,"returned_ns":1300}
//
// without the line break. What an operation does not have is left out: the answer and the return of an open one, times
// without a clock. Strings are UTF-8; a byte that is part of no character becomes U+FFFD.
std::string ToJsonLines(absl::Span<const History::Operation> operations);

// Writes ToJsonLines() to a file. Errors: those of the file system, with the path.
absl::Status WriteJsonLines(absl::Span<const History::Operation> operations, const std::string& path);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_HISTORY_H_
