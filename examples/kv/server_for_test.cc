// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/server_for_test.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace tandem::kv {
namespace {

Task<absl::Status> ServeUntilCancelled(TcpListener listener, Options options) {
  const absl::Status status = co_await Serve(std::move(listener), options);
  co_return absl::IsCancelled(status) ? absl::OkStatus() : status;
}

Task<absl::Status> RunBody(TaskGroup* group, Body body, SocketAddress address) {
  const absl::Status status = co_await body(address);
  group->Cancel();
  co_return status;
}

Task<absl::Status> RunWithServer(Options options, Body body) {
  options.set_address(SocketAddress::LoopbackIpv4(0));
  absl::StatusOr<TcpListener> listener = Listen(options);
  if (!listener.ok()) co_return listener.status();
  auto group_body = [&listener, &options, &body](TaskGroup& group) {
    const SocketAddress address = listener->LocalAddress();
    group.Spawn(ServeUntilCancelled, *std::move(listener), options);
    return RunBody(&group, body, address);
  };
  co_return co_await WithTaskGroup(group_body);
}

}  // namespace

absl::Status WithServer(const Options& options, Body body) {
  Runtime runtime;
  return runtime.BlockOn(RunWithServer(options, body));
}

Task<absl::StatusOr<Reply>> Ask(SocketAddress address, Request request) {
  absl::StatusOr<Client> client = co_await Client::Connect(address, kPatience);
  if (!client.ok()) co_return client.status();
  co_return co_await client->Command(std::move(request), kPatience);
}

Task<absl::StatusOr<int64_t>> Info(SocketAddress address, std::string name) {
  absl::StatusOr<Client> client = co_await Client::Connect(address, kPatience);
  if (!client.ok()) co_return client.status();
  co_return co_await InfoOn(&*client, name);
}

Task<absl::StatusOr<int64_t>> InfoOn(Client* client, std::string name) {
  const Request request("INFO");
  const absl::StatusOr<Reply> reply = co_await client->Command(request, kPatience);
  if (!reply.ok()) co_return reply.status();
  for (const absl::string_view line : absl::StrSplit(reply->text, "\r\n")) {
    const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(line, absl::MaxSplits(':', 1));
    int64_t value = 0;
    if (field.first == name && absl::SimpleAtoi(field.second, &value)) co_return value;
  }
  co_return absl::NotFoundError(name);
}

Task<absl::Status> InfoBecomes(SocketAddress address, std::string name, int64_t value) {
  const Instant deadline = Now() + kPatience;
  for (;;) {
    const absl::StatusOr<int64_t> now = co_await Info(address, name);
    if (!now.ok()) co_return now.status();
    if (*now == value) co_return absl::OkStatus();
    if (Now() > deadline) co_return absl::DeadlineExceededError(absl::StrCat(name, " stays at ", *now));
    const absl::Status slept = co_await Sleep(absl::Milliseconds(10));
    if (!slept.ok()) co_return slept;
  }
}

}  // namespace tandem::kv
