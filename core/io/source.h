// SPDX-License-Identifier: Apache-2.0
//
// Source: a stream of items from a socket at a reactor (reactor.h). It is armed, any number of items come, and each
// arming has exactly one end.

#ifndef TANDEM_CORE_IO_SOURCE_H_
#define TANDEM_CORE_IO_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/log/check.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/socket_options.h"

namespace tandem {

class Reactor;

// Why an arming ended.
enum class SourceEnd : uint8_t {
  kEndOfStream,  // The peer closed its sending half. Nothing will follow.
  kBudget,       // The budget is used up.
  kDisarmed,     // Disarm() was called.
  kError,        // The errno says why.
};

// A stream of items from one socket.
class Source {
 public:
  enum class State : uint8_t { kDisarmed, kArmed, kDisarming };
  enum class Kind : uint8_t { kAccept, kReceive, kReceiveDatagrams };

  explicit Source(Kind kind) : kind_(kind) {}
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  Kind kind() const { return kind_; }
  State state() const { return state_; }
  // Armed, or on the way to the end of an arming: OnEnd() is still to come.
  bool armed() const { return state_ != State::kDisarmed; }

  // The arguments of Arm().
  SocketId socket = kNoSocket;
  // kReceive: how many bytes may be delivered before the arming ends with kBudget; a real reactor may overshoot by
  // what it had in its completion queue. kReceiveDatagrams: how many datagrams, exactly; but those that the kernel has
  // coalesced (UDP_GRO) come together. Positive.
  size_t budget = 0;
  // kReceive on a Unix stream socket: deliver descriptors that come with the bytes (OnDescriptors()). Without it they
  // are closed, as read(2) does.
  bool wants_descriptors = false;

  // For the reactor alone while armed.
  uint32_t reactor_slot = 0;
  size_t delivered = 0;

 protected:
  virtual ~Source() { CHECK(!armed()) << "a source was destroyed while the reactor still had it"; }

  // kAccept: a connection was accepted and now belongs to the callee.
  virtual void OnAccepted(SocketId accepted) { CHECK(false) << "not an accept source: " << accepted; }
  // kReceive: bytes arrived. Never empty.
  virtual void OnReceived(Buffer) { CHECK(false) << "not a receive source"; }
  // kReceive with wants_descriptors: these came with the bytes of the OnReceived() that follows.
  virtual void OnDescriptors(std::vector<OwnedDescriptor>) { CHECK(false) << "not a source of descriptors"; }
  // kReceiveDatagrams: a datagram arrived. May be empty. An error that the kernel reports between datagrams (ICMP, on
  // a connected socket) ends the arming with kError and takes nothing with it: arming anew goes on.
  virtual void OnDatagram(Datagram) { CHECK(false) << "not a datagram source"; }
  // The one end of an arming; `error` is positive for kError, else 0. The source is disarmed again when this is called
  // and may be armed anew or destroyed from here. Shortage of buffers (ENOBUFS) and of descriptors (EMFILE, ENFILE,
  // ENOMEM) does not end an arming: reactors back off, keep serving and resume by themselves.
  virtual void OnEnd(SourceEnd end, int error) = 0;
  // The host crashed; drop what was kept for the end. May destroy the source.
  virtual void OnAbandon() = 0;

 private:
  friend class Reactor;
  const Kind kind_;
  State state_ = State::kDisarmed;
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_SOURCE_H_
