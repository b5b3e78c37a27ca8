// SPDX-License-Identifier: Apache-2.0
//
// The servers as main() has them, with files, over the loopback address of each world.

#include "tandem/examples/primary_backup/primary_backup.h"

#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/examples/cluster/ask.h"
#include "tandem/examples/cluster/disk.h"
#include "tandem/tandem.h"
#include "tandem/testing/co_assert.h"
#include "tandem/testing/status_matchers.h"

namespace primary_backup {
namespace {

using namespace tandem;
using tandem::testing::IsOkAndHolds;
using tandem::testing::StatusIs;

std::string PathOf(const std::string& file) { return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", file); }

// A server on a free port, from its construction to Stop(). Without `views` it is the view service.
class Server {
 public:
  explicit Server(const std::string& file, const std::string& views = "") : disk_(PathOf(file)) {
    TcpListener listener = *TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
    id_ = listener.LocalAddress().ToString();
    examples::Disk* const disk = &disk_;
    running_ = views.empty() ? SpawnJoinable(&ServeViews, std::move(listener), disk)
                             : SpawnJoinable(&ServeReplica, std::move(listener), id_, views, disk);
  }
  const std::string& id() const { return id_; }
  Task<absl::Status> Stop() {
    running_.Cancel();
    co_return co_await running_.Join();
  }

 private:
  examples::FileDisk disk_;
  std::string id_;
  JoinHandle<absl::Status> running_;
};

Task<absl::Status> WriteInTheEnd(Client* client, std::string value) {
  for (;;) {
    const absl::Status written = co_await client->Write(value);
    if (written.ok() || absl::IsCancelled(written)) co_return written;
    co_await Pause(absl::Milliseconds(20));
  }
}

Task<absl::StatusOr<std::string>> ReadInTheEnd(Client* client) {
  for (;;) {
    absl::StatusOr<std::string> value = co_await client->Read();
    if (value.ok() || absl::IsCancelled(value.status())) co_return value;
    co_await Pause(absl::Milliseconds(20));
  }
}

// Waits until the view service knows that a backup has everything, and `id` is this backup or the primary.
Task<absl::Status> WaitUntilBackedUp(std::string id) {
  examples::FileDisk disk(PathOf("views"));
  for (;;) {
    const absl::StatusOr<std::string> view = co_await disk.Read();
    if (!view.ok()) co_return view.status();
    if (absl::StrContains(*view, id) && !absl::StrContains(*view, "-") && view->ends_with(" 1")) break;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(20));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReplaceOneAfterTheOther() {
  Server views("views");
  Server one("one", views.id());
  Server two("two", views.id());
  Client client({one.id(), two.id()});
  CO_ASSERT_OK(co_await WriteInTheEnd(&client, "first"));
  EXPECT_THAT(co_await ReadInTheEnd(&client), IsOkAndHolds("first"));

  CO_ASSERT_OK(co_await WaitUntilBackedUp(one.id()));
  EXPECT_THAT(co_await one.Stop(), StatusIs(absl::StatusCode::kCancelled));
  std::string longest = "second value";
  longest.resize(60'000, '.');
  CO_ASSERT_OK(co_await WriteInTheEnd(&client, longest));
  EXPECT_THAT(co_await ReadInTheEnd(&client), IsOkAndHolds(longest));

  Server three("one", views.id());  // With what `one` had.
  CO_ASSERT_OK(co_await WaitUntilBackedUp(three.id()));
  EXPECT_THAT(co_await two.Stop(), StatusIs(absl::StatusCode::kCancelled));
  Client later({three.id()});
  EXPECT_THAT(co_await ReadInTheEnd(&later), IsOkAndHolds(longest));
  EXPECT_THAT(co_await later.Write(longest + "."), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(co_await later.Write("two\nlines"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(co_await three.Stop(), StatusIs(absl::StatusCode::kCancelled));
  co_return co_await views.Stop();
}

TEST(PrimaryBackupTest, ServesWhileReplicasAreReplaced) {
  EXPECT_THAT(Runtime().BlockOn(ReplaceOneAfterTheOther()), StatusIs(absl::StatusCode::kCancelled));
}

Task<absl::StatusOr<std::string>> AskOne(std::string line) {
  Server alone("of_nobody", "127.0.0.1:1");
  absl::StatusOr<std::string> answer = co_await examples::Ask(alone.id(), line, absl::Minutes(1));
  EXPECT_THAT(co_await alone.Stop(), StatusIs(absl::StatusCode::kCancelled));
  co_return answer;
}

TEST(PrimaryBackupTest, ServesNobodyBeforeAViewSaysSo) {
  EXPECT_THAT(Runtime().BlockOn(AskOne("READ")), IsOkAndHolds("NO"));
  EXPECT_THAT(Runtime().BlockOn(AskOne("WRITE x")), IsOkAndHolds("NO"));
  EXPECT_THAT(Runtime().BlockOn(AskOne("STEAL")), IsOkAndHolds(::testing::StartsWith("ERR")));
}

}  // namespace
}  // namespace primary_backup
