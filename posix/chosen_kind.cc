// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/chosen_kind.h"

#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem::posix {

absl::StatusOr<ReactorKind> ChosenKind(const ReactorOptions& options) {
  if (options.kind() != ReactorKind::kAuto) return options.kind();
  const char* const name = std::getenv("TANDEM_REACTOR");
  if (name == nullptr || absl::string_view(name).empty()) return ReactorKind::kAuto;
  absl::StatusOr<ReactorKind> kind = ParseReactorKind(name);
  if (!kind.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("environment variable TANDEM_REACTOR: ", kind.status().message()));
  }
  return kind;
}

}  // namespace tandem::posix
