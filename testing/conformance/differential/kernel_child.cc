// SPDX-License-Identifier: Apache-2.0
//
// Runs programs on the kernel. Hosts are addresses of the loopback interface, in a network namespace of this process
// where it may make one: nobody else's ports and old connections are in the way. With --namespaces=NAME,NAME,... each
// host is one of these network namespaces (ip-netns(8)) instead.

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/create_reactor.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/testing/conformance/differential/child.h"
#include "tandem/testing/conformance/differential/interpreter.h"
#include "tandem/testing/conformance/differential/shard_runner.h"

namespace tandem::testing {
namespace {

// A call that takes longer is a hang: more than any Patience.
constexpr absl::Duration kHangs = absl::Seconds(60);

class KernelHosts final : public HostRunner {
 public:
  KernelHosts(Shard& shard, std::vector<int> namespaces) : shard_(shard), namespaces_(std::move(namespaces)) {}

  void set_network(std::array<uint8_t, 3> network) { network_ = network; }

  std::string Run(int host, absl::FunctionRef<Task<std::string>()> start) override {
    if (static_cast<size_t>(host) < namespaces_.size()) {
      PCHECK(setns(namespaces_[static_cast<size_t>(host)], CLONE_NEWNET) == 0);
    }
    std::optional<std::string> result;
    StartInto(&result, start());
    const Instant give_up = shard_.reactor().ReadClock() + kHangs;
    while (!result.has_value()) {
      CHECK(shard_.Turn(give_up));
      CHECK(shard_.now() < give_up) << "hangs\n" << shard_.DescribeTasks();
    }
    return *std::move(result);
  }

  SocketAddress AddressOf(int host) override {
    return SocketAddress::Ipv4({network_[0], network_[1], network_[2], static_cast<uint8_t>(host + 1)}, 0);
  }

 private:
  Shard& shard_;
  const std::vector<int> namespaces_;
  std::array<uint8_t, 3> network_{};
};

class KernelWorld final : public ChildWorld {
 public:
  explicit KernelWorld(std::vector<int> namespaces)
      : distant_(!namespaces.empty()), shard_(MakeReactor()), entered_(shard_), hosts_(shard_, std::move(namespaces)) {}

  HostRunner& HostsFor(std::array<uint8_t, 3> network) override {
    hosts_.set_network(network);
    return hosts_;
  }

  // The loopback interface delivers before the system call returns.
  Patience PatienceFor(bool quick) override {
    Patience patience;
    patience.settle = quick && !distant_ ? absl::Microseconds(50) : absl::Milliseconds(3);
    patience.brief = quick ? absl::Milliseconds(distant_ ? 10 : 2) : absl::Milliseconds(25);
    patience.long_ = absl::Seconds(10);
    patience.unhinted = absl::Milliseconds(40);
    return patience;
  }

 private:
  static std::unique_ptr<Reactor> MakeReactor() {
    auto reactor = CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(ReactorOptions());
    CHECK(reactor.ok()) << reactor.status();
    return *std::move(reactor);
  }

  const bool distant_;
  Shard shard_;
  Shard::Entered entered_;
  KernelHosts hosts_;
};

// True when this process has a network of its own now.
bool Isolate() {
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  PCHECK(socket >= 0);
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  PCHECK(ioctl(socket, SIOCSIFFLAGS, &request) == 0);
  close(socket);
  return true;
}

int Main(int argc, char** argv) {
  std::vector<int> namespaces;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (!absl::ConsumePrefix(&argument, "--namespaces=")) {
      std::fprintf(stderr, "unknown argument %s\n", argv[i]);
      return 2;
    }
    for (absl::string_view name : absl::StrSplit(argument, ',')) {
      const std::string path = absl::StrCat("/run/netns/", name);
      namespaces.push_back(open(path.c_str(), O_RDONLY | O_CLOEXEC));
      PCHECK(namespaces.back() >= 0) << path;
    }
  }
  // Without the right to, the programs run among everybody else's sockets, which is nearly as good.
  if (namespaces.empty()) (void)Isolate();
  KernelWorld world(std::move(namespaces));
  return ServePrograms(world);
}

}  // namespace
}  // namespace tandem::testing

int main(int argc, char** argv) { return tandem::testing::Main(argc, argv); }
