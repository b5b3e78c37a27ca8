// SPDX-License-Identifier: Apache-2.0
//
// ListenOptions: how a socket listens, TCP or Unix.

#ifndef TANDEM_CORE_NET_LISTEN_OPTIONS_H_
#define TANDEM_CORE_NET_LISTEN_OPTIONS_H_

namespace tandem {

// For TcpListener::Listen(), UnixListener::Listen() and TcpSocket::Listen(). The backlog is for all of
// them; the rest is what TcpListener::Listen() sets before it binds, and the others ignore it: Unix sockets know none
// of it, and a TcpSocket has setters of these names for the time before its Bind().
class ListenOptions {
 public:
  ListenOptions() {}

  // How many connections may wait until they are accepted; the kernel caps the value at net.core.somaxconn, and takes
  // that for a negative one (listen(2)).
  int backlog() const { return backlog_; }
  ListenOptions& set_backlog(int backlog) {
    backlog_ = backlog;
    return *this;
  }
  // SO_REUSEADDR (socket(7)): a restarted server gets its port back while old connections are in TIME_WAIT. Default on.
  bool reuse_address() const { return reuse_address_; }
  ListenOptions& set_reuse_address(bool on) {
    reuse_address_ = on;
    return *this;
  }
  // SO_REUSEPORT (socket(7)): several listeners share the port, and the kernel spreads the connections.
  bool reuse_port() const { return reuse_port_; }
  ListenOptions& set_reuse_port(bool on) {
    reuse_port_ = on;
    return *this;
  }
  // IPV6_V6ONLY (ipv6(7)): off lets [::] serve IPv4 as well, whose peers then have addresses such as
  // [::ffff:192.0.2.1]. Default off, whatever the system's default; ignored for IPv4.
  bool ipv6_only() const { return ipv6_only_; }
  ListenOptions& set_ipv6_only(bool on) {
    ipv6_only_ = on;
    return *this;
  }

 private:
  int backlog_ = 4096;
  bool reuse_address_ = true;
  bool reuse_port_ = false;
  bool ipv6_only_ = false;
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_LISTEN_OPTIONS_H_
