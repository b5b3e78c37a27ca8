// SPDX-License-Identifier: Apache-2.0
//
// What the errors of accept(2) mean for a listener.

#ifndef TANDEM_POSIX_ACCEPT_ERRORS_H_
#define TANDEM_POSIX_ACCEPT_ERRORS_H_

#include <cerrno>

namespace tandem::posix {

// No descriptor number or no memory is free: accept again later.
inline bool IsShortage(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS; }

// Errors that belong to one connection, not to the listener (accept(2), "Error handling"): accept again.
inline bool ConcernsOneConnection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EPERM:  // A firewall rule.
    case EINTR:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_ACCEPT_ERRORS_H_
