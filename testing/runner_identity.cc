// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_identity.h"

#include <cstddef>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_protocol.h"

namespace tandem::testing {

std::string WhatFailed(const SeedOutcome& outcome) {
  if (outcome.stopped) return "no end";
  const bool fatal = absl::EndsWith(outcome.place, kFatalPlace);
  if (!outcome.place.empty() && !fatal) return outcome.place;
  if (outcome.ended) return outcome.message.substr(0, outcome.message.find('\n'));
  // A crash: the innermost places of its report.
  constexpr int kPlaces = 3;
  std::string what = fatal ? outcome.place : outcome.death;
  size_t at = outcome.output.find("*** SIG");
  for (int i = 0; i < kPlaces && at != std::string::npos; ++i) {
    at = outcome.output.find("\n    at ", at);
    if (at == std::string::npos) break;
    ++at;
    absl::StrAppend(&what, "\n", outcome.output.substr(at, outcome.output.find('\n', at) - at));
  }
  return what;
}

}  // namespace tandem::testing
