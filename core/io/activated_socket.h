// SPDX-License-Identifier: Apache-2.0
//
// ActivatedSocket: a socket that this process was started with.

#ifndef TANDEM_CORE_IO_ACTIVATED_SOCKET_H_
#define TANDEM_CORE_IO_ACTIVATED_SOCKET_H_

#include <string>

#include "tandem/core/io/datagram.h"

namespace tandem {

struct ActivatedSocket {
  OwnedDescriptor descriptor;
  std::string name;  // FileDescriptorName= of the unit (systemd.socket(5)); "unknown" when whoever passed it gave none.
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_ACTIVATED_SOCKET_H_
