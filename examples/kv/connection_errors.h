// SPDX-License-Identifier: Apache-2.0
//
// Errors that end a connection and answer no request, without the leading '-' and the line end.

#ifndef TANDEM_EXAMPLES_KV_CONNECTION_ERRORS_H_
#define TANDEM_EXAMPLES_KV_CONNECTION_ERRORS_H_

namespace tandem::kv {

// To a connection beyond max_clients.
inline constexpr char kMaxClientsError[] = "ERR max number of clients reached";

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_CONNECTION_ERRORS_H_
