// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/lock_service/lock_service.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/examples/cluster/ask.h"
#include "tandem/tandem.h"

namespace lock_service {

using namespace tandem;
using examples::Ask;
using examples::Number;

namespace {

constexpr absl::Duration kTimeout = absl::Seconds(1);
constexpr absl::Duration kLease = absl::Seconds(1);  // By the lock server's clock.
// By the client's, and from before it has asked: over first, also when its clock is slow and the server's is fast.
constexpr absl::Duration kCountedOn = absl::Milliseconds(750);
constexpr int64_t kTokensOfAStart = 1'000'000'000;

class LockServer {
 public:
  // Each start has tokens of its own. To whom an earlier one has granted the lock is not known: nobody gets it for as
  // long as a lease lasts.
  explicit LockServer(int64_t start) : token_(start * kTokensOfAStart), end_(Now() + kLease) {}

  // "ACQUIRE" is answered by "GRANTED token" or "BUSY", "RENEW token" and "RELEASE token" by "OK" or "LOST".
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() == 1 && words[0] == "ACQUIRE") {
      if (Now() < end_) co_return "BUSY";
      end_ = Now() + kLease;
      co_return absl::StrCat("GRANTED ", ++token_);
    }
    const bool renews = words[0] == "RENEW";
    if (words.size() != 2 || (!renews && words[0] != "RELEASE"))
      co_return "ERR say ACQUIRE, RENEW TOKEN, RELEASE TOKEN";
    if (Number(words[1]) != token_ || Now() >= end_) {
      TANDEM_REACHABLE("a lease is over before its holder knows");
      co_return "LOST";
    }
    end_ = renews ? Now() + kLease : Now();
    co_return "OK";
  }

 private:
  int64_t token_;  // The last one that was granted.
  Instant end_;    // Of its lease.
};

class Store {
 public:
  // `text` is what the disk has.
  Store(examples::Disk* disk, absl::string_view text) : disk_(disk) {
    const std::pair<std::string, std::string> words = absl::StrSplit(text, absl::MaxSplits(' ', 1));
    token_ = Number(words.first);
    value_ = words.second;
  }

  // "READ token" is answered by "VALUE value", "WRITE token value" by "OK", both by "FENCED" when the token is too low.
  // What they change is on the disk before they are answered, the token of a READ too.
  Task<absl::StatusOr<std::string>> Answer(std::string line) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 2));
    const bool writes = words.size() == 3 && words[0] == "WRITE";
    const bool reads = words.size() == 2 && words[0] == "READ";
    const int64_t token = writes || reads ? Number(words[1]) : 0;
    if (token <= 0) co_return "ERR say READ TOKEN or WRITE TOKEN VALUE";
    const absl::StatusOr<Mutex::Guard> guard = co_await mutex_.Lock();  // While the disk writes, others wait.
    if (!guard.ok()) co_return guard.status();
    if (token < token_) {
      TANDEM_REACHABLE("a token comes too late");
      co_return "FENCED";
    }
    const std::string value = writes ? words[2] : value_;
    if (writes || token != token_) {
      const absl::Status written = co_await disk_->Write(absl::StrCat(token, " ", value));
      if (!written.ok()) co_return written;  // Ends the connection without an answer.
    }
    token_ = token;
    value_ = value;
    VisitSite("store.kept");  // Where a simulation may let something happen.
    co_return writes ? "OK" : absl::StrCat("VALUE ", value);
  }

 private:
  examples::Disk* const disk_;
  Mutex mutex_;
  int64_t token_ = 0;  // The highest one that was seen.
  std::string value_;
};

// What follows the word `yes` in the answer, which is a no if it begins with another one.
Task<absl::StatusOr<std::string>> AskFor(std::string yes, std::string server, std::string line) {
  const absl::StatusOr<std::string> answer = co_await Ask(std::move(server), std::move(line), kTimeout);
  if (!answer.ok()) co_return answer.status();
  const std::pair<std::string, std::string> words = absl::StrSplit(*answer, absl::MaxSplits(' ', 1));
  if (words.first != yes) co_return absl::AbortedError(*answer);
  co_return words.second;
}

}  // namespace

Task<absl::Status> ServeLock(TcpListener listener, examples::Disk* disk) {
  const absl::StatusOr<std::string> starts = co_await disk->Read();
  if (!starts.ok()) co_return starts.status();
  const int64_t start = Number(*starts) + 1;
  const absl::Status written = co_await disk->Write(absl::StrCat(start));
  if (!written.ok()) co_return written;
  LockServer server(start);
  const auto answer = [&server](std::string line) { return server.Answer(std::move(line)); };
  co_return co_await ServeLines(std::move(listener), answer);
}

Task<absl::Status> ServeStore(TcpListener listener, examples::Disk* disk) {
  const absl::StatusOr<std::string> text = co_await disk->Read();
  if (!text.ok()) co_return text.status();
  Store store(disk, *text);
  const auto answer = [&store](std::string line) { return store.Answer(std::move(line)); };
  co_return co_await ServeLines(std::move(listener), answer);
}

Task<absl::StatusOr<Lease>> Acquire(std::string server) {
  const Instant asked = Now();
  const absl::StatusOr<std::string> token = co_await AskFor("GRANTED", server, "ACQUIRE");
  if (!token.ok()) co_return token.status();
  co_return Lease{Number(*token), asked + kCountedOn};
}

Task<absl::Status> Renew(std::string server, Lease* lease) {
  const Instant asked = Now();
  const auto renewed = co_await AskFor("OK", server, absl::StrCat("RENEW ", lease->token));
  if (renewed.ok()) lease->end = asked + kCountedOn;
  co_return renewed.status();
}

Task<absl::Status> Release(std::string server, Lease lease) {
  const auto released = co_await AskFor("OK", server, absl::StrCat("RELEASE ", lease.token));
  co_return released.status();
}

Task<absl::StatusOr<std::string>> Read(std::string store, Lease lease) {
  co_return co_await AskFor("VALUE", store, absl::StrCat("READ ", lease.token));
}

Task<absl::Status> Write(std::string store, Lease lease, std::string value) {
  const auto written = co_await AskFor("OK", store, absl::StrCat("WRITE ", lease.token, " ", value));
  co_return written.status();
}

}  // namespace lock_service
