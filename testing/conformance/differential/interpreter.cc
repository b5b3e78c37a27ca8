// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/interpreter.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/random.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/errors.h"

namespace tandem::testing {
namespace {

constexpr char kNotApplicable[] = "-";
// More than any buffers on the way hold.
constexpr size_t kFloodBytes = 16 << 20;

// Bytes `position`.. of the stream that is called `flow`.
std::string Pattern(uint64_t flow, uint64_t position, size_t size) {
  std::string data(size, '\0');
  uint64_t word = 0;
  for (size_t i = 0; i < size; ++i) {
    const uint64_t at = position + i;
    if (i == 0 || at % 8 == 0) word = HashCombine(flow, at / 8);
    data[i] = static_cast<char>(word >> (8 * (at % 8)));
  }
  return data;
}

std::string StatusText(const absl::Status& status) {
  if (status.ok()) return "ok";
  if (absl::IsDeadlineExceeded(status)) return "waited";
  CHECK(!absl::IsInternal(status)) << status;
  const int error = ErrnoOf(status);
  const char* name = error == 0 ? nullptr : strerrorname_np(error);
  return absl::StrCat(absl::StatusCodeToString(status.code()), " ", name == nullptr ? "-" : name);
}

template <typename T>
std::string ValueText(const absl::StatusOr<T>& value) {
  return value.ok() ? absl::StrCat(*value) : StatusText(value.status());
}

// An IPv4 address inside IPv6, without the wrapping.
SocketAddress Unmapped(const SocketAddress& address, bool* mapped) {
  *mapped = false;
  if (!address.is_ipv6()) return address;
  const std::array<uint8_t, 16>& bytes = address.bytes();
  if (!std::all_of(bytes.begin(), bytes.begin() + 10, [](uint8_t byte) { return byte == 0; })) return address;
  if (bytes[10] != 0xff || bytes[11] != 0xff) return address;
  *mapped = true;
  return SocketAddress::Ipv4({bytes[12], bytes[13], bytes[14], bytes[15]}, address.port());
}
SocketAddress Unmapped(const SocketAddress& address) {
  bool mapped = false;
  return Unmapped(address, &mapped);
}

SocketAddress Mapped(const SocketAddress& address) {
  const std::array<uint8_t, 16>& bytes = address.bytes();
  return SocketAddress::Ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, bytes[0], bytes[1], bytes[2], bytes[3]},
                             address.port());
}

}  // namespace

Interpreter::Interpreter(HostRunner& runner, const Patience& patience)
    : runner_(runner), patience_(patience), slots_(kSockets) {}

Interpreter::~Interpreter() {
  for (int i = 0; i < kSockets; ++i) {
    if (At(i).kind == Kind::kNone || At(i).kind == Kind::kGone) continue;
    Step step;
    step.verb = At(i).kind == Kind::kStream ? Verb::kAbort : Verb::kClose;
    step.socket = i;
    runner_.Run(At(i).host, [&] { return RunStep(step); });
  }
  // Handles that are left hold nothing open; they belong to their shards all the same.
  for (int i = 0; i < kSockets; ++i) {
    if (At(i).kind == Kind::kNone) continue;
    runner_.Run(At(i).host, [&]() -> Task<std::string> {
      At(i) = Slot();
      return Settle();
    });
  }
}

SocketAddress Interpreter::AddressFor(const Place& place, int port) {
  const uint16_t number = ports_[static_cast<size_t>(port)];
  switch (place.kind) {
    case Place::Kind::kHost:
      return runner_.AddressOf(place.host).WithPort(number);
    case Place::Kind::kMapped:
      return Mapped(runner_.AddressOf(place.host).WithPort(number));
    case Place::Kind::kAny4:
      return SocketAddress::AnyIpv4(number);
    case Place::Kind::kAny6:
      return SocketAddress::AnyIpv6(number);
    case Place::Kind::kLoopback6:
      return SocketAddress::LoopbackIpv6(number);
  }
  return SocketAddress();
}

int Interpreter::FindOwner(const SocketAddress& address, const SocketAddress& other) {
  for (int i = kSockets - 1; i >= 0; --i) {
    const Slot& slot = At(i);
    if (slot.local.family() == AddressFamily::kNone) continue;
    if (Unmapped(slot.local) != Unmapped(address)) continue;
    if (slot.remote.family() == AddressFamily::kNone || Unmapped(slot.remote) == Unmapped(other)) return i;
  }
  return -1;
}

std::string Interpreter::PortName(const SocketAddress& address, const SocketAddress& other, int self) {
  if (address.port() == 0) return "0";
  for (size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i] == address.port()) return absl::StrCat("p", i);
  }
  int owner = At(self).local == address ? self : FindOwner(address, other);
  if (owner < 0) {
    // Bound to any address.
    for (int i = 0; i < kSockets && owner < 0; ++i) {
      if (At(i).local.port() == address.port()) owner = i;
    }
  }
  return owner < 0 ? "port(?)" : absl::StrCat("port(s", owner, ")");
}

std::string Interpreter::Describe(const SocketAddress& address, const SocketAddress& other, int self) {
  bool mapped = false;
  const SocketAddress plain = Unmapped(address, &mapped);
  std::string place = "?";
  if (plain.is_any()) {
    place = plain.is_ipv4() ? "any4" : "any6";
  } else if (plain.is_ipv6()) {
    place = plain.is_loopback() ? "lo6" : plain.HostToString();
  } else if (plain.WithPort(0) == SocketAddress::LoopbackIpv4(0)) {
    place = "lo4";
  } else {
    for (int host = 0; host < kHosts; ++host) {
      if (plain.WithPort(0) == runner_.AddressOf(host).WithPort(0)) place = absl::StrCat("@", host);
    }
  }
  return absl::StrCat(mapped ? "mapped" : "", place, " ", PortName(address, other, self));
}

Instant Interpreter::DeadlineFor(const Step& step, uint64_t bytes) const {
  if (!step.hint.has_value()) return Now() + patience_.unhinted;
  const bool enough = step.hint->waited && bytes >= static_cast<uint64_t>(step.hint->bytes);
  return Now() + (enough ? patience_.brief : patience_.long_);
}

const char* Interpreter::Check(Slot& slot, const std::string& data, uint64_t position) const {
  if (data.empty() || slot.peer < 0) return "";
  return data == Pattern(static_cast<uint64_t>(slot.peer), position, data.size()) ? "" : " corrupt";
}

std::string Interpreter::Run(const Step& step) {
  int host = At(step.socket).host;
  const bool makes = step.verb == Verb::kOpen || step.verb == Verb::kOpenDatagram || step.verb == Verb::kAccept ||
                     step.verb == Verb::kTryAccept;
  if (makes) {
    if (At(step.socket).kind != Kind::kNone) return kNotApplicable;
    host = step.verb == Verb::kAccept || step.verb == Verb::kTryAccept ? At(step.listener).host : step.place.host;
    At(step.socket).host = host;
  }
  std::string text = runner_.Run(host, [&] { return RunStep(step); });
  if (step.verb == Verb::kFlood && text == "filled") {
    const int peer = At(step.socket).peer;
    text += runner_.Run(At(peer).host, [&] { return Drain(step); });
  }
  runner_.Run(host, [&] { return Settle(); });
  return text;
}

Task<std::string> Interpreter::Settle() {
  absl::Status status = co_await Sleep(patience_.settle);
  co_return StatusText(status);
}

Task<std::string> Interpreter::RunStep(Step step) {
  switch (step.verb) {
    case Verb::kOpen:
    case Verb::kOpenDatagram:
      return Open(std::move(step));
    case Verb::kConnect:
      return Connect(std::move(step));
    case Verb::kAccept:
      return Accept(std::move(step));
    case Verb::kTryAccept:
      return TryAccept(std::move(step));
    case Verb::kWrite:
    case Verb::kTryWrite:
      return Write(std::move(step));
    case Verb::kFlood:
      return Fill(std::move(step));
    case Verb::kRead:
      return Read(std::move(step));
    case Verb::kTryRead:
      return TryRead(std::move(step));
    case Verb::kPeek:
      return Peek(std::move(step));
    case Verb::kShutdown:
      return Shutdown(std::move(step));
    case Verb::kClose:
      return Close(std::move(step));
    case Verb::kAbort:
      return Abort(std::move(step));
    case Verb::kSend:
    case Verb::kSendTo:
      return Send(std::move(step));
    case Verb::kReceive:
      return Receive(std::move(step));
    case Verb::kWait:
      return Settle();
    case Verb::kSet:
    case Verb::kGet:
    case Verb::kBind:
    case Verb::kListen:
    case Verb::kLocal:
    case Verb::kPeer:
      break;
  }
  return Immediate(std::move(step));
}

// What does not wait.
Task<std::string> Interpreter::Immediate(Step step) {
  switch (step.verb) {
    case Verb::kSet:
      co_return Set(step);
    case Verb::kGet:
      co_return Get(step);
    case Verb::kBind:
      co_return Bind(step);
    case Verb::kListen:
      co_return Listen(step);
    case Verb::kLocal:
      co_return Local(step);
    default:
      co_return Peer(step);
  }
}

Task<std::string> Interpreter::Open(Step step) {
  Slot& slot = At(step.socket);
  const AddressFamily family = step.ipv6 ? AddressFamily::kIpv6 : AddressFamily::kIpv4;
  if (step.verb == Verb::kOpen) {
    absl::StatusOr<TcpSocket> socket = TcpSocket::Open(family);
    if (!socket.ok()) co_return StatusText(socket.status());
    slot.socket = *std::move(socket);
    slot.kind = Kind::kSocket;
  } else {
    absl::StatusOr<UdpSocket> socket = UdpSocket::Open(family);
    if (!socket.ok()) co_return StatusText(socket.status());
    slot.datagram = *std::move(socket);
    slot.kind = Kind::kDatagram;
  }
  co_return "ok";
}

std::string Interpreter::Bind(const Step& step) {
  Slot& slot = At(step.socket);
  const SocketAddress address = AddressFor(step.place, step.port);
  absl::Status status;
  absl::StatusOr<SocketAddress> local;
  if (slot.kind == Kind::kSocket) {
    status = slot.socket.Bind(address);
    local = slot.socket.LocalAddress();
  } else if (slot.kind == Kind::kDatagram) {
    status = slot.datagram.BindTo(address);
    local = slot.datagram.LocalAddress();
    if (local.ok() && local->port() != 0) slot.local = *local;
  } else {
    return kNotApplicable;
  }
  if (status.ok() && local.ok() && address.port() == 0) ports_[static_cast<size_t>(step.port)] = local->port();
  return StatusText(status);
}

std::string Interpreter::Listen(const Step& step) {
  Slot& slot = At(step.socket);
  if (slot.kind != Kind::kSocket) return kNotApplicable;
  slot.kind = Kind::kGone;
  const ListenOptions options = ListenOptions().set_backlog(static_cast<int>(step.value));
  absl::StatusOr<TcpListener> listener = std::move(slot.socket).Listen(options);
  if (!listener.ok()) return StatusText(listener.status());
  slot.listener = *std::move(listener);
  slot.kind = Kind::kListener;
  slot.local = slot.listener.LocalAddress();
  return "ok";
}

void Interpreter::Connected(int index) {
  Slot& slot = At(index);
  if (const absl::StatusOr<SocketAddress> local = slot.stream.LocalAddress(); local.ok()) slot.local = *local;
  slot.remote = slot.stream.PeerAddress();
}

Task<std::string> Interpreter::Connect(Step step) {
  Slot& slot = At(step.socket);
  const SocketAddress address = AddressFor(step.place, step.port);
  if (slot.kind == Kind::kDatagram) {
    if (address.port() == 0) co_return kNotApplicable;
    const absl::Status status = slot.datagram.Connect(address);
    if (const absl::StatusOr<SocketAddress> local = slot.datagram.LocalAddress(); local.ok()) slot.local = *local;
    co_return StatusText(status);
  }
  if (slot.kind != Kind::kSocket) co_return kNotApplicable;
  slot.kind = Kind::kGone;
  const Instant deadline = DeadlineFor(step, 0);
  absl::StatusOr<TcpStream> stream = co_await std::move(slot.socket).Connect(address).By(deadline);
  if (!stream.ok()) co_return StatusText(stream.status());
  slot.stream = *std::move(stream);
  slot.kind = Kind::kStream;
  Connected(step.socket);
  if (slot.local == slot.remote) slot.peer = step.socket;
  co_return "ok";
}

// The names of the new connection's ends.
std::string Interpreter::Adopt(const Step& step, TcpStream stream) {
  Slot& slot = At(step.socket);
  slot.stream = std::move(stream);
  slot.kind = Kind::kStream;
  const SocketAddress peer = slot.stream.PeerAddress();
  const absl::StatusOr<SocketAddress> local = slot.stream.LocalAddress();
  if (!local.ok()) return StatusText(local.status());
  const int owner = FindOwner(peer, *local);
  const std::string text =
      absl::StrCat("ok, ", Describe(*local, peer, step.socket), " from ", Describe(peer, *local, step.socket));
  slot.local = *local;
  slot.remote = peer;
  slot.peer = owner;
  if (owner >= 0) At(owner).peer = step.socket;
  return text;
}

Task<std::string> Interpreter::Accept(Step step) {
  Slot& listener = At(step.listener);
  if (listener.kind != Kind::kListener) co_return kNotApplicable;
  const Instant deadline = DeadlineFor(step, 0);
  absl::StatusOr<TcpStream> stream = co_await listener.listener.Accept().By(deadline);
  if (!stream.ok()) co_return StatusText(stream.status());
  co_return Adopt(step, *std::move(stream));
}

Task<std::string> Interpreter::TryAccept(Step step) {
  Slot& listener = At(step.listener);
  if (listener.kind != Kind::kListener) co_return kNotApplicable;
  const Instant deadline = DeadlineFor(step, 0);
  for (;;) {
    absl::StatusOr<std::optional<TcpStream>> stream = listener.listener.TryAccept();
    if (!stream.ok()) co_return StatusText(stream.status());
    if (stream->has_value()) co_return Adopt(step, **std::move(stream));
    if (Now() >= deadline) co_return "none, waited";
    absl::Status slept = co_await Sleep(patience_.settle);
    if (!slept.ok()) co_return StatusText(slept);
  }
}

Task<std::string> Interpreter::Write(Step step) {
  Slot& slot = At(step.socket);
  if (slot.kind != Kind::kStream) co_return kNotApplicable;
  const std::string data = Pattern(static_cast<uint64_t>(step.socket), slot.written, static_cast<size_t>(step.value));
  if (step.verb == Verb::kTryWrite) {
    absl::StatusOr<std::optional<size_t>> count = slot.stream.TryWrite(data);
    if (!count.ok()) co_return absl::StrCat("0 ", StatusText(count.status()));
    if (!count->has_value()) co_return "none";
    slot.written += **count;
    co_return absl::StrCat(**count, " ok");
  }
  const Instant deadline = DeadlineFor(step, 0);
  IoResult result = co_await slot.stream.WriteAll(data).By(deadline);
  slot.written += result.bytes;
  slot.stream.AcceptPartial();
  co_return absl::StrCat(result.bytes, " ", StatusText(result.status));
}

// The first half of a flood: as much as goes.
Task<std::string> Interpreter::Fill(Step step) {
  Slot& slot = At(step.socket);
  if (slot.kind != Kind::kStream || slot.peer < 0) co_return kNotApplicable;
  const Slot& peer = At(slot.peer);
  if (peer.kind != Kind::kStream || peer.read_shutdown || peer.closed) co_return kNotApplicable;
  const std::string data = Pattern(static_cast<uint64_t>(step.socket), slot.written, kFloodBytes);
  const Instant deadline = Now() + patience_.unhinted;
  IoResult result = co_await slot.stream.WriteAll(data).By(deadline);
  slot.written += result.bytes;
  slot.stream.AcceptPartial();
  if (absl::IsDeadlineExceeded(result.status)) co_return "filled";
  co_return StatusText(result.status);
}

// The second half: reads all that was written at the other end.
Task<std::string> Interpreter::Drain(Step step) {
  const Slot& writer = At(step.socket);
  Slot& slot = At(writer.peer);
  std::string chunk(256 * 1024, '\0');
  while (slot.read < writer.written) {
    const Instant deadline = Now() + patience_.long_;
    const size_t size = std::min<uint64_t>(chunk.size(), writer.written - slot.read);
    absl::StatusOr<size_t> count = co_await slot.stream.Read(absl::MakeSpan(chunk.data(), size)).By(deadline);
    if (!count.ok()) co_return absl::StrCat(", ", StatusText(count.status()));
    if (*count == 0) co_return ", end";
    const std::string data = chunk.substr(0, *count);
    if (*Check(slot, data, slot.read) != 0) co_return ", corrupt";
    slot.read += *count;
  }
  co_return ", all read";
}

Task<std::string> Interpreter::Read(Step step) {
  Slot& slot = At(step.socket);
  if (slot.kind != Kind::kStream) co_return kNotApplicable;
  std::string data(static_cast<size_t>(step.value), '\0');
  size_t bytes = 0;
  std::string end = "ok";
  do {
    const Instant deadline = DeadlineFor(step, bytes);
    absl::StatusOr<size_t> count =
        co_await slot.stream.Read(absl::MakeSpan(data.data() + bytes, data.size() - bytes)).By(deadline);
    if (!count.ok()) {
      end = StatusText(count.status());
      break;
    }
    if (*count == 0) {
      end = "end";
      break;
    }
    bytes += *count;
  } while (bytes < data.size());
  data.resize(bytes);
  const char* corrupt = Check(slot, data, slot.read);
  slot.read += bytes;
  co_return absl::StrCat(bytes, " ", end, corrupt);
}

Task<std::string> Interpreter::TryRead(Step step) {
  Slot& slot = At(step.socket);
  if (slot.kind != Kind::kStream) co_return kNotApplicable;
  std::string data(static_cast<size_t>(step.value), '\0');
  size_t bytes = 0;
  std::string end = "ok";
  Instant deadline = DeadlineFor(step, bytes);
  do {
    absl::StatusOr<std::optional<size_t>> count =
        slot.stream.TryRead(absl::MakeSpan(data.data() + bytes, data.size() - bytes));
    if (!count.ok()) {
      end = StatusText(count.status());
      break;
    }
    if (!count->has_value()) {
      if (Now() >= deadline) {
        end = "waited";
        break;
      }
      absl::Status slept = co_await Sleep(patience_.settle);
      if (!slept.ok()) co_return StatusText(slept);
      continue;
    }
    if (**count == 0) {
      end = "end";
      break;
    }
    bytes += **count;
    deadline = DeadlineFor(step, bytes);
  } while (bytes < data.size());
  data.resize(bytes);
  const char* corrupt = Check(slot, data, slot.read);
  slot.read += bytes;
  co_return absl::StrCat(bytes, " ", end, corrupt);
}

// How much of what is there a Peek() shows is not promised.
Task<std::string> Interpreter::Peek(Step step) {
  Slot& slot = At(step.socket);
  if (slot.kind != Kind::kStream) co_return kNotApplicable;
  std::string data(static_cast<size_t>(step.value), '\0');
  const Instant deadline = DeadlineFor(step, 0);
  absl::StatusOr<size_t> count = co_await slot.stream.Peek(absl::MakeSpan(data)).By(deadline);
  if (!count.ok()) co_return StatusText(count.status());
  if (*count == 0) co_return "end";
  data.resize(*count);
  co_return absl::StrCat("some", Check(slot, data, slot.read));
}

Task<std::string> Interpreter::Shutdown(Step step) {
  Slot& slot = At(step.socket);
  if (slot.kind != Kind::kStream) co_return kNotApplicable;
  if (step.option == "read") {
    slot.read_shutdown = true;
    co_return StatusText(slot.stream.ShutdownRead());
  }
  absl::Status status = co_await slot.stream.ShutdownWrite();
  co_return StatusText(status);
}

Task<std::string> Interpreter::Close(Step step) {
  Slot& slot = At(step.socket);
  absl::Status status;
  switch (slot.kind) {
    case Kind::kNone:
      co_return kNotApplicable;
    case Kind::kGone:
      co_return "closed";
    case Kind::kSocket:
      slot.socket = TcpSocket();
      break;
    case Kind::kListener:
      status = co_await slot.listener.Close();
      break;
    case Kind::kStream:
      // It stays: calls after the close have results too.
      slot.closed = true;
      status = co_await slot.stream.Close();
      co_return StatusText(status);
    case Kind::kDatagram:
      status = co_await slot.datagram.Close();
      break;
  }
  slot.kind = Kind::kGone;
  co_return StatusText(status);
}

Task<std::string> Interpreter::Abort(Step step) {
  Slot& slot = At(step.socket);
  if (slot.kind != Kind::kStream) co_return kNotApplicable;
  slot.closed = true;
  slot.stream.Abort();
  absl::Status status = co_await slot.stream.Close();
  co_return StatusText(status);
}

std::string Interpreter::Local(const Step& step) {
  Slot& slot = At(step.socket);
  absl::StatusOr<SocketAddress> local;
  if (slot.kind == Kind::kSocket) {
    local = slot.socket.LocalAddress();
  } else if (slot.kind == Kind::kListener) {
    local = slot.listener.LocalAddress();
  } else if (slot.kind == Kind::kStream) {
    local = slot.stream.LocalAddress();
  } else if (slot.kind == Kind::kDatagram) {
    local = slot.datagram.LocalAddress();
  } else {
    return kNotApplicable;
  }
  return local.ok() ? Describe(*local, slot.remote, step.socket) : StatusText(local.status());
}

std::string Interpreter::Peer(const Step& step) {
  Slot& slot = At(step.socket);
  absl::StatusOr<SocketAddress> peer;
  if (slot.kind == Kind::kStream) {
    peer = slot.stream.PeerAddress();
  } else if (slot.kind == Kind::kDatagram) {
    peer = slot.datagram.PeerAddress();
  } else {
    return kNotApplicable;
  }
  return peer.ok() ? Describe(*peer, slot.local, step.socket) : StatusText(peer.status());
}

// --- Datagrams ---

Task<std::string> Interpreter::Send(Step step) {
  Slot& slot = At(step.socket);
  if (slot.kind != Kind::kDatagram) co_return kNotApplicable;
  const uint64_t flow = HashCombine(static_cast<uint64_t>(step.socket), ++slot.datagrams);
  const std::string data = Pattern(flow, 0, static_cast<size_t>(step.value));
  const Instant deadline = DeadlineFor(step, 0);
  const SocketAddress address = AddressFor(step.place, step.port);
  absl::Status status;
  if (step.verb == Verb::kSendTo) {
    if (address.port() == 0) co_return kNotApplicable;
    status = co_await slot.datagram.SendTo(data, address).By(deadline);
  } else {
    status = co_await slot.datagram.Send(data).By(deadline);
  }
  if (const absl::StatusOr<SocketAddress> local = slot.datagram.LocalAddress(); local.ok()) slot.local = *local;
  co_return absl::StrCat(status.ok() ? data.size() : 0, " ", StatusText(status));
}

Task<std::string> Interpreter::Receive(Step step) {
  Slot& slot = At(step.socket);
  if (slot.kind != Kind::kDatagram) co_return kNotApplicable;
  std::string data(static_cast<size_t>(step.value), '\0');
  const Instant deadline = DeadlineFor(step, 0);
  absl::StatusOr<ReceivedDatagram> received = co_await slot.datagram.ReceiveFrom(absl::MakeSpan(data)).By(deadline);
  if (!received.ok()) co_return absl::StrCat("0 ", StatusText(received.status()));
  data.resize(received->size);
  co_return absl::StrCat(received->size, " ok from ", Describe(received->source, slot.local, step.socket),
                         received->truncated ? " truncated" : "", " hash ", HashName(data) % 10000);
}

// --- Options ---

std::string Interpreter::Set(const Step& step) {
  Slot& slot = At(step.socket);
  const bool on = step.value > 0;
  const int number = static_cast<int>(step.value);
  slot.buffer_set |= absl::EndsWith(step.option, "_buffer_size");
  const auto set_common = [&](auto& socket) -> std::string {
    if (step.option == "no_delay") return StatusText(socket.set_no_delay(on));
    if (step.option == "quick_ack") return StatusText(socket.set_quick_ack(on));
    if (step.option == "linger") {
      std::optional<absl::Duration> linger;
      if (number >= 0) linger = absl::Seconds(number);
      return StatusText(socket.set_linger(linger));
    }
    if (step.option == "keep_alive") {
      std::optional<KeepAlive> keep_alive;
      if (on) {
        keep_alive.emplace();
        keep_alive->set_idle(absl::Seconds(number)).set_interval(absl::Seconds(number + 1)).set_count(number);
      }
      return StatusText(socket.set_keep_alive(keep_alive));
    }
    if (step.option == "user_timeout") return StatusText(socket.set_user_timeout(absl::Milliseconds(number)));
    if (step.option == "traffic_class") return StatusText(socket.set_traffic_class(number));
    if (step.option == "ttl") return StatusText(socket.set_time_to_live(number));
    if (step.option == "receive_buffer_size") {
      return StatusText(socket.set_receive_buffer_size(static_cast<size_t>(step.value)));
    }
    if (step.option == "send_buffer_size") {
      return StatusText(socket.set_send_buffer_size(static_cast<size_t>(step.value)));
    }
    return kNotApplicable;
  };
  if (slot.kind == Kind::kSocket) {
    if (step.option == "reuse_address") return StatusText(slot.socket.set_reuse_address(on));
    if (step.option == "reuse_port") return StatusText(slot.socket.set_reuse_port(on));
    if (step.option == "ipv6_only") return StatusText(slot.socket.set_ipv6_only(on));
    return set_common(slot.socket);
  }
  if (slot.kind == Kind::kStream) return set_common(slot.stream);
  if (slot.kind == Kind::kDatagram) {
    if (step.option == "reuse_address") return StatusText(slot.datagram.set_reuse_address(on));
    if (step.option == "ipv6_only") return StatusText(slot.datagram.set_ipv6_only(on));
    if (step.option == "ttl") return StatusText(slot.datagram.set_time_to_live(number));
    if (step.option == "traffic_class") return StatusText(slot.datagram.set_traffic_class(number));
    if (step.option == "broadcast") return StatusText(slot.datagram.set_broadcast(on));
  }
  return kNotApplicable;
}

std::string Interpreter::Get(const Step& step) {
  Slot& slot = At(step.socket);
  if (absl::EndsWith(step.option, "_buffer_size") && !slot.buffer_set) return kNotApplicable;
  const auto get_common = [&](auto& socket) -> std::string {
    if (step.option == "no_delay") return ValueText(socket.no_delay());
    if (step.option == "linger") {
      const auto linger = socket.linger();
      if (!linger.ok()) return StatusText(linger.status());
      return linger->has_value() ? absl::FormatDuration(**linger) : "off";
    }
    if (step.option == "keep_alive") {
      const auto keep_alive = socket.keep_alive();
      if (!keep_alive.ok()) return StatusText(keep_alive.status());
      if (!keep_alive->has_value()) return "off";
      return absl::StrCat(absl::FormatDuration((*keep_alive)->idle()), " ",
                          absl::FormatDuration((*keep_alive)->interval()), " ", (*keep_alive)->count());
    }
    if (step.option == "user_timeout") {
      const auto timeout = socket.user_timeout();
      return timeout.ok() ? absl::FormatDuration(*timeout) : StatusText(timeout.status());
    }
    if (step.option == "traffic_class") return ValueText(socket.traffic_class());
    if (step.option == "ttl") return ValueText(socket.time_to_live());
    if (step.option == "receive_buffer_size") return ValueText(socket.receive_buffer_size());
    if (step.option == "send_buffer_size") return ValueText(socket.send_buffer_size());
    return kNotApplicable;
  };
  if (slot.kind == Kind::kSocket) {
    if (step.option == "reuse_address") return ValueText(slot.socket.reuse_address());
    if (step.option == "reuse_port") return ValueText(slot.socket.reuse_port());
    if (step.option == "ipv6_only") return ValueText(slot.socket.ipv6_only());
    return get_common(slot.socket);
  }
  if (slot.kind == Kind::kStream) return get_common(slot.stream);
  if (slot.kind == Kind::kDatagram) {
    if (step.option == "reuse_address") return ValueText(slot.datagram.reuse_address());
    if (step.option == "ipv6_only") return ValueText(slot.datagram.ipv6_only());
    if (step.option == "ttl") return ValueText(slot.datagram.time_to_live());
    if (step.option == "traffic_class") return ValueText(slot.datagram.traffic_class());
    if (step.option == "broadcast") return ValueText(slot.datagram.broadcast());
  }
  return kNotApplicable;
}

}  // namespace tandem::testing
