// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/handle.h"

#include "absl/log/log.h"

namespace tandem::internal {

void DieOfEmptyHandle(absl::string_view type) {
  LOG(FATAL) << "an empty " << type << " was called: it was moved from, or never had anything";
}

}  // namespace tandem::internal
