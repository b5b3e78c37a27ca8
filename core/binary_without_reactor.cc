// SPDX-License-Identifier: Apache-2.0
//
// A program without a world: it must fail to link, on a symbol whose name says what to add. tools/same_objects builds
// it.

#include "absl/status/status.h"
#include "tandem/core/async/task.h"
#include "tandem/core/runtime/runtime.h"

namespace {

tandem::Task<absl::Status> Main() { co_return absl::OkStatus(); }

}  // namespace

int main() {
  tandem::Runtime runtime;
  return runtime.BlockOn(Main()).ok() ? 0 : 1;
}
