// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "echo.h"

tandem::Task<absl::Status> Run(std::string text) {
  const absl::StatusOr<tandem::SocketAddress> address = tandem::SocketAddress::Parse(text);
  if (!address.ok()) co_return address.status();
  absl::StatusOr<tandem::TcpListener> listener = tandem::TcpListener::Listen(*address);
  if (!listener.ok()) co_return listener.status();
  std::cout << "listening on " << listener->LocalAddress().ToString() << std::endl;
  co_return co_await Serve(*std::move(listener), Echo);
}

int main(int argc, char** argv) {
  tandem::Runtime runtime;
  const absl::Status status = runtime.BlockOn(Run(argc > 1 ? argv[1] : "127.0.0.1:7777"));
  if (!absl::IsCancelled(status)) std::cerr << status << "\n";  // SIGTERM and Ctrl-C cancel.
  return absl::IsCancelled(status) ? 0 : 1;
}
