// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/option_calls.h"

#include "absl/strings/str_cat.h"
#include "tandem/core/io/reactor.h"

namespace tandem::internal {

absl::Status CheckRange(int64_t value, int64_t min, int64_t max, absl::string_view name) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", value, " is not in ", min, "..", max));
}

int SetReactorOption(const OwnReactor& reactor, SocketId id, SocketOption option, int value) {
  return reactor->SetOption(id, option, value);
}

int GetReactorOption(const OwnReactor& reactor, SocketId id, SocketOption option, int* value) {
  return reactor->GetOption(id, option, value);
}

}  // namespace tandem::internal
