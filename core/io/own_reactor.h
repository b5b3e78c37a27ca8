// SPDX-License-Identifier: Apache-2.0
//
// OwnReactor: how the state of a socket holds on to its reactor.

#ifndef TANDEM_CORE_IO_OWN_REACTOR_H_
#define TANDEM_CORE_IO_OWN_REACTOR_H_

namespace tandem {

class Reactor;

// The reactor that an object was made on, for calls from there: a socket that is used on another shard would otherwise
// reach whatever has its number there. Who calls the reactor includes reactor.h.
class OwnReactor {
 public:
  OwnReactor();
  Reactor* operator->() const;

 private:
  Reactor* const reactor_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_OWN_REACTOR_H_
