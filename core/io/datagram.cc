// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/datagram.h"

#include "tandem/core/io/reactor.h"

namespace tandem {

void OwnedDescriptor::Reset() {
  if (descriptor_ >= 0) Reactor::Current().CloseDescriptor(std::exchange(descriptor_, -1));
}

}  // namespace tandem
