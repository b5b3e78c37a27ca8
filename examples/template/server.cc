// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <iostream>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/log/initialize.h"
#include "counters.h"
#include "tandem/core/base/command_line.h"

ABSL_FLAG(uint16_t, port, 7000, "TCP port to listen on; 0 picks a free one");
ABSL_FLAG(std::string, bind, "127.0.0.1", "address to listen on; 0.0.0.0 or :: for all");

tandem::Task<absl::Status> Run() {
  const auto address = tandem::SocketAddress::ParseHost(absl::GetFlag(FLAGS_bind), absl::GetFlag(FLAGS_port));
  if (!address.ok()) co_return address.status();
  absl::StatusOr<tandem::TcpListener> listener = tandem::TcpListener::Listen(*address);
  if (!listener.ok()) co_return listener.status();
  std::cout << "listening on " << listener->LocalAddress() << std::endl;
  co_return co_await ServeCounters(*std::move(listener));
}

int main(int argc, char** argv) {
  tandem::ParseFlags(argc, argv, "A server of counters. SIGINT or SIGTERM stops it.", __FILE__);
  absl::InitializeLog();
  tandem::Runtime runtime;
  const absl::Status status = runtime.BlockOn(Run());
  if (absl::IsCancelled(status)) return 0;  // That is how a stop ends it.
  std::cerr << status.message() << "\n";
  return 1;
}
