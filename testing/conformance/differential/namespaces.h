// SPDX-License-Identifier: Apache-2.0
//
// Network namespaces for the hosts of a program: one for each, with the addresses 10.77.0.1 and so on, joined by a
// bridge in a namespace of its own. They are named after this process and removed with this object.

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_NAMESPACES_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_NAMESPACES_H_

#include <string>
#include <vector>

namespace tandem::testing {

class Namespaces {
 public:
  Namespaces();
  ~Namespaces();
  Namespaces(const Namespaces&) = delete;
  Namespaces& operator=(const Namespaces&) = delete;

  // False when something was refused.
  bool ok() const { return ok_; }
  // Of the hosts, for ip-netns(8).
  const std::vector<std::string>& names() const { return names_; }

 private:
  bool Make();

  const std::string bridge_;
  std::vector<std::string> names_;
  bool ok_ = false;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_NAMESPACES_H_
