// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/namespaces.h"

#include <unistd.h>

#include <cstddef>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "tandem/testing/conformance/differential/program.h"

namespace tandem::testing {
namespace {

bool Ip(const std::string& arguments) { return std::system(absl::StrCat("ip ", arguments).c_str()) == 0; }

}  // namespace

Namespaces::Namespaces() : bridge_(absl::StrCat("tandem", getpid(), "bridge")) {
  for (int i = 0; i < kHosts; ++i) names_.push_back(absl::StrCat("tandem", getpid(), "host", i));
  ok_ = Make();
}

bool Namespaces::Make() {
  if (!Ip(absl::StrCat("netns add ", bridge_)) || !Ip(absl::StrCat("-n ", bridge_, " link add br0 type bridge")) ||
      !Ip(absl::StrCat("-n ", bridge_, " link set br0 up"))) {
    return false;
  }
  for (size_t i = 0; i < names_.size(); ++i) {
    const std::string& host = names_[i];
    // Errors for datagrams to closed ports come one a second otherwise.
    const std::string unlimited = " sh -c 'echo 0 > /proc/sys/net/ipv4/icmp_ratelimit'";
    if (!Ip(absl::StrCat("netns add ", host)) ||
        !Ip(absl::StrCat("link add port", i, " netns ", bridge_, " type veth peer name eth0 netns ", host)) ||
        !Ip(absl::StrCat("-n ", bridge_, " link set port", i, " master br0 up")) ||
        !Ip(absl::StrCat("-n ", host, " addr add 10.77.0.", i + 1, "/24 dev eth0")) ||
        !Ip(absl::StrCat("-n ", host, " link set eth0 up")) || !Ip(absl::StrCat("-n ", host, " link set lo up")) ||
        !Ip(absl::StrCat("netns exec ", host, unlimited))) {
      return false;
    }
  }
  return true;
}

Namespaces::~Namespaces() {
  for (const std::string& host : names_) (void)Ip(absl::StrCat("netns del ", host));
  (void)Ip(absl::StrCat("netns del ", bridge_));
}

}  // namespace tandem::testing
