// SPDX-License-Identifier: Apache-2.0
//
// VisitSite: names a place in a program at which a test may let something happen.
//
//   co_await log.Append(entry);
//   VisitSite("commit.before_reply");
//   co_await stream.WriteAll(reply);
//
// A simulation counts the visits of each host, and a fault may wait for one of them:
//
//   crash server at visit 3 of "commit.before_reply" for 2s
//
// Where there is no simulation, a visit is a look at a pointer that is null.

#ifndef TANDEM_CORE_BASE_SITE_H_
#define TANDEM_CORE_BASE_SITE_H_

#include "absl/strings/string_view.h"

namespace tandem {
namespace internal {

// Set by a simulated world while it exists, before and after which one thread runs; null elsewhere.
inline void (*site_visited)(absl::string_view name) = nullptr;

}  // namespace internal

// `name` has neither blanks nor '"' nor '#' (a simulated world CHECKs that), and is the same at each visit. In the
// simulator the call may end the process of its host: what the process has called before is out, nothing after that is.
inline void VisitSite(absl::string_view name) {
  if (internal::site_visited != nullptr) [[unlikely]] {
    internal::site_visited(name);
  }
}

}  // namespace tandem

#endif  // TANDEM_CORE_BASE_SITE_H_
