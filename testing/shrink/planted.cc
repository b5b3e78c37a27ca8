// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/shrink/planted.h"

#include <string>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"

namespace tandem {
namespace {

Task<absl::StatusOr<std::string>> AskNow(std::string server, std::string line) {
  absl::StatusOr<TcpStream> stream = co_await Connect(absl::StrCat(server, ":", kPort));
  if (!stream.ok()) co_return stream.status();
  LineClient client(*std::move(stream));
  co_return co_await client.Call(std::move(line));
}

Task<absl::StatusOr<std::string>> Echo(std::string line) { co_return line; }

Task<absl::Status> AskTheOther() {
  for (uint64_t i = 0; i < kOps; ++i) {
    static_cast<void>(co_await Ask("bystander", "still there?"));
    const absl::Status slept = co_await Sleep(absl::Milliseconds(50));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

}  // namespace

Task<absl::StatusOr<std::string>> Ask(std::string server, std::string line, absl::Duration timeout) {
  co_return co_await WithTimeout(timeout, AskNow(std::move(server), std::move(line)));
}

void AddBystanders(sim::World& world) {
  world.AddHost("bystander", [] { return AnswerLines(&Echo); });
  world.AddHost("asker", [] { return AskTheOther(); });
}

// Those before it are held back from now on; it is not any more.
void Turns::GoesOn(int task) {
  for (auto waiting = waiting_.begin();; ++waiting) {
    CHECK(waiting != waiting_.end()) << "a task goes on that did not wait";
    if (waiting->task == task) {
      waiting_.erase(waiting);
      return;
    }
    if (!waiting->held) ++held_back_;
    waiting->held = true;
  }
}

Task<void> Turns::Pass(int task) {
  Waits(task);
  static_cast<void>(co_await Yield());
  GoesOn(task);
}

}  // namespace tandem
