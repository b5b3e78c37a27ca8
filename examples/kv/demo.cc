// SPDX-License-Identifier: Apache-2.0
//
// The server and three clients in one program, over loopback. The same object files run in both worlds:
//
//   bazel run //examples/kv:demo --config=uring    on the machine's network
//   bazel run //examples/kv:demo --config=sim      on a virtual one, in no time, the same each time

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/examples/kv/client.h"
#include "tandem/examples/kv/server.h"
#include "tandem/tandem.h"

namespace tandem {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(5);

void Say(Instant start, absl::string_view who, absl::string_view what) {
  absl::PrintF("%9.3f ms  %-8s %s\n", absl::ToDoubleMilliseconds(Now() - start), who, what);
}

// Sends one command and says what came back.
Task<absl::Status> Show(kv::Client* client, Instant start, std::string who, std::vector<std::string> words) {
  std::string text;
  for (const std::string& word : words) absl::StrAppend(&text, text.empty() ? "" : " ", word);
  const kv::Request request = kv::Request::Of(words);
  const absl::StatusOr<kv::Reply> reply = co_await client->Command(request, kTimeout);
  if (!reply.ok()) co_return reply.status();
  Say(start, who, absl::StrCat(text, " -> ", reply->ToString()));
  co_return absl::OkStatus();
}

// Counts together with whoever else counts.
Task<absl::Status> Count(SocketAddress address, Instant start, std::string who) {
  absl::StatusOr<kv::Client> client = co_await kv::Client::Connect(address, kTimeout);
  if (!client.ok()) co_return client.status();
  for (int i = 0; i < 3; ++i) {
    const std::vector<std::string> words = {"INCR", "visits"};
    absl::Status status = co_await Show(&*client, start, who, words);
    if (status.ok()) status = co_await Sleep(absl::Milliseconds(5));
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

// Sends a thousand requests at once, then a value that takes many segments.
Task<absl::Status> Pipeline(SocketAddress address, Instant start, std::string who) {
  absl::StatusOr<kv::Client> client = co_await kv::Client::Connect(address, kTimeout);
  if (!client.ok()) co_return client.status();
  std::vector<kv::Request> requests;
  requests.reserve(1000);
  for (int i = 0; i < 1000; ++i) requests.push_back(kv::Request("ECHO", absl::StrCat("token ", i)));
  const absl::StatusOr<std::vector<kv::Reply>> replies = co_await client->Pipeline(std::move(requests), kTimeout);
  if (!replies.ok()) co_return replies.status();
  int right = 0;
  for (int i = 0; i < 1000; ++i)
    right += (*replies)[static_cast<size_t>(i)] == kv::Reply::Bulk(absl::StrCat("token ", i));
  Say(start, who, absl::StrCat("1000 ECHOs at once -> ", right, " right replies"));

  const std::string big(size_t{1} << 20, 'x');
  const kv::Request set("SET", "big", big);
  const absl::StatusOr<kv::Reply> stored = co_await client->Command(set, kTimeout);
  if (!stored.ok()) co_return stored.status();
  const kv::Request get("GET", "big");
  const absl::StatusOr<kv::Reply> loaded = co_await client->Command(get, kTimeout);
  if (!loaded.ok()) co_return loaded.status();
  Say(start, who, absl::StrCat("SET and GET of 1 MiB -> ", loaded->text == big ? "the same" : "another value"));
  co_return absl::OkStatus();
}

// Watches a key expire.
Task<absl::Status> Expire(SocketAddress address, Instant start, std::string who) {
  absl::StatusOr<kv::Client> client = co_await kv::Client::Connect(address, kTimeout);
  if (!client.ok()) co_return client.status();
  const std::vector<std::string> set = {"SET", "session", "42", "PX", "50"};
  const std::vector<std::string> get = {"GET", "session"};
  absl::Status status = co_await Show(&*client, start, who, set);
  if (status.ok()) status = co_await Show(&*client, start, who, get);
  if (status.ok()) status = co_await Sleep(absl::Milliseconds(60));
  if (status.ok()) status = co_await Show(&*client, start, who, get);
  co_return status;
}

// The server ends when the clients have ended and `group` is cancelled.
Task<absl::Status> RunClients(TaskGroup* group, SocketAddress address) {
  const Instant start = Now();
  auto [counted, pipelined, expired] = co_await WhenAll(
      Count(address, start, "count"), Pipeline(address, start, "pipeline"), Expire(address, start, "expire"));
  absl::Status status = counted;
  status.Update(pipelined);
  status.Update(expired);
  if (status.ok()) status = co_await Count(address, start, "again");
  group->Cancel();
  co_return status;
}

// Being cancelled is how the server ends well.
Task<absl::Status> ServeUntilCancelled(TcpListener listener) {
  const kv::Options options;
  const absl::Status status = co_await kv::Serve(std::move(listener), options);
  co_return absl::IsCancelled(status) ? absl::OkStatus() : status;
}

Task<absl::Status> Demo() {
  kv::Options options;
  options.set_address(SocketAddress::LoopbackIpv4(0));
  absl::StatusOr<TcpListener> listener = kv::Listen(options);
  if (!listener.ok()) co_return listener.status();
  absl::PrintF("listening on %s\n", listener->LocalAddress().ToString());
  auto body = [&listener](TaskGroup& group) {
    const SocketAddress address = listener->LocalAddress();
    group.Spawn(ServeUntilCancelled, *std::move(listener));
    return RunClients(&group, address);
  };
  co_return co_await WithTaskGroup(body);
}

}  // namespace
}  // namespace tandem

int main() {
  tandem::Runtime runtime;
  const absl::Status status = runtime.BlockOn(tandem::Demo());
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
