// SPDX-License-Identifier: Apache-2.0
#ifndef TANDEM_EXAMPLES_TEMPLATE_ECHO_H_
#define TANDEM_EXAMPLES_TEMPLATE_ECHO_H_
#include "tandem/tandem.h"

// Sends back what a connection sends, until a minute passes without any.
tandem::Task<void> Echo(tandem::TcpStream stream);
// Sends `text` to `server`, and returns whether it came back.
tandem::Task<absl::StatusOr<bool>> Ask(std::string server, std::string text);
#endif  // TANDEM_EXAMPLES_TEMPLATE_ECHO_H_
