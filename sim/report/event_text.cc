// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/report/event_text.h"

#include <cstdlib>
#include <source_location>

#include "absl/strings/ascii.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/operation.h"
#include "tandem/core/io/source.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/udp/udp_socket.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr size_t kFirstBytes = 16;

Network& TheNetwork() { return World::Current()->network(); }
HostStack& TheStack(uint32_t host) { return World::Current()->hosts()[host]->stack(); }

// --- Addresses: by the names of hosts, IPv6 in brackets ---

void WriteNumeric(TextLine& line, const SocketAddress& address) {
  const auto& bytes = address.bytes();
  if (address.is_ipv4()) {
    for (size_t i = 0; i < 4; ++i) line << (i == 0 ? "" : ".") << int{bytes[i]};
    return;
  }
  bool skipped = false;  // "::", for the first zeros.
  for (size_t i = 0; i < 16; i += 2) {
    const auto group = static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
    if (group == 0 && !skipped && i > 0) {
      skipped = true;
      line << ":";
      while (i < 14 && bytes[i + 2] == 0 && bytes[i + 3] == 0) i += 2;
      continue;
    }
    if (i > 0) line << ":";
    line.Number(group, 16);
  }
}

void WriteAddress(TextLine& line, const SocketAddress& address) {
  const bool brackets = address.is_ipv6();
  if (brackets) line << "[";
  if (address.is_any()) {
    line << "*";
  } else if (address.is_loopback()) {
    line << "localhost";
  } else if (const NetworkHost* host = TheNetwork().FindHost(address)) {
    line << host->name();
  } else {
    WriteNumeric(line, address);
  }
  line << (brackets ? "]:" : ":") << int{address.port()};
}

void WriteEnds(TextLine& line, const SocketAddress& from, absl::string_view arrow, const SocketAddress& to) {
  WriteAddress(line, from);
  line << arrow;
  WriteAddress(line, to);
}

// "socket 4 (server:7 - client:49152)".
void WriteSocket(TextLine& line, uint32_t host, uint64_t number) {
  const auto id = static_cast<SocketId>(number);
  if (id == kNoSocket) {
    line << "a connection that the program does not have";
    return;
  }
  line << "socket " << id;
  SocketAddress local;
  SocketAddress remote;
  if (!EndsOf(host, id, &local, &remote)) return;
  line << " (";
  if (remote.family() == AddressFamily::kNone) {
    WriteAddress(line, local);
  } else {
    WriteEnds(line, local, " - ", remote);
  }
  line << ")";
}

// --- Results, bytes, packets ---

// "EAGAIN" for -11; the number where there is no name.
void WriteErrno(TextLine& line, int64_t error) {
  const char* const name = strerrorname_np(static_cast<int>(error));
  if (name == nullptr) {
    line << "errno " << error;
  } else {
    line << name;
  }
}

// ": ECONNREFUSED" for a call that failed with it; nothing for 0.
void WriteFailure(TextLine& line, uint64_t result) {
  const auto value = static_cast<int64_t>(result);
  if (value >= 0) return;
  line << ": ";
  WriteErrno(line, -value);
}

void WriteQuoted(TextLine& line, absl::string_view bytes) {
  line << "\"";
  for (const char c : bytes) {
    if (c == '\n') {
      line << "\\n";
    } else if (c == '\r') {
      line << "\\r";
    } else if (c == '"' || c == '\\') {
      line << "\\" << absl::string_view(&c, 1);
    } else if (absl::ascii_isprint(static_cast<unsigned char>(c))) {
      line << absl::string_view(&c, 1);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      line << (byte < 16 ? "\\x0" : "\\x");
      line.Number(uint32_t{byte}, 16);
    }
  }
  line << "\"";
}

// The first bytes, if there are any.
void WriteBytes(TextLine& line, absl::string_view bytes) {
  if (bytes.empty()) return;
  line << ": ";
  WriteQuoted(line, bytes.substr(0, kFirstBytes));
  if (bytes.size() > kFirstBytes) line << "...";
}

// Numbers of TCP count from the start of the connection, as long as the end that counts is there.
const TcpSocket* Living(const TcpSocket* socket, uint32_t generation) {
  return socket != nullptr && socket->generation() == generation ? socket : nullptr;
}

void WriteSegment(TextLine& line, const Packet& packet) {
  absl::string_view comma = "";
  const auto next = [&]() -> TextLine& {
    line << comma;
    comma = ", ";
    return line;
  };
  if (packet.has(Packet::kReset)) next() << "RST";
  if (packet.has(Packet::kSyn)) next() << "SYN";
  if (packet.has(Packet::kFin)) next() << "FIN";
  if (packet.has(Packet::kProbe)) next() << "probe";
  if (packet.size > 0) {
    next() << packet.size << (packet.size == 1 ? " byte" : " bytes");
    const TcpSocket* const sender = Living(packet.sender, packet.sender_generation);
    if (sender != nullptr) line << " at " << packet.sequence - sender->first_sequence() - 1;
  }
  if (packet.has(Packet::kAck) && !packet.has(Packet::kReset)) {
    next() << "ACK";
    const TcpSocket* const receiver = Living(packet.receiver, packet.receiver_generation);
    if (receiver != nullptr && !packet.has(Packet::kSyn)) {
      line << " " << packet.acknowledgement - receiver->first_sequence() - 1;
    }
    line << ", window " << packet.window;
  }
}

// "client:49152 > server:7 #3 SYN".
void WritePacket(TextLine& line, const Packet& packet, uint32_t ordinal) {
  WriteEnds(line, packet.source, " > ", packet.destination);
  line << " #" << ordinal << " ";
  switch (packet.protocol) {
    case Packet::kTcp:
      WriteSegment(line, packet);
      break;
    case Packet::kUdp:
      line << "datagram, " << packet.size << (packet.size == 1 ? " byte" : " bytes");
      break;
    case Packet::kUnreachable:
      line << "port unreachable";
      break;
  }
}

void WriteFate(TextLine& line, const PacketFate& fate) {
  if (fate.dropped) {
    line << "; lost: " << WhyLost(fate.reason);
    return;
  }
  line << "; arrives ";
  line.Time(fate.arrival_ns);
  if (fate.reordered) line << ", may be overtaken";
  if (fate.duplicate_arrival_ns.has_value()) {
    line << ", and again ";
    line.Time(*fate.duplicate_arrival_ns);
  }
}

// --- Names ---

absl::string_view OperationName(uint64_t kind) {
  switch (static_cast<OperationKind>(kind)) {
    case OperationKind::kConnect:
      return "connect";
    case OperationKind::kSend:
      return "send";
    case OperationKind::kClose:
      return "close";
    case OperationKind::kSendFile:
      return "send of a file";
    case OperationKind::kSendDatagrams:
      return "send of datagrams";
    case OperationKind::kRunBlocking:
      return "blocking work";
    case OperationKind::kResolve:
      return "lookup";
    case OperationKind::kAwaitReadable:
    case OperationKind::kAwaitWritable:
      return "wait for a descriptor";
  }
  return "";
}

absl::string_view InputName(uint64_t kind) {
  switch (static_cast<Source::Kind>(kind)) {
    case Source::Kind::kAccept:
      return "connections";
    case Source::Kind::kReceive:
      return "bytes";
    case Source::Kind::kReceiveDatagrams:
      return "datagrams";
  }
  return "";
}

absl::string_view OptionName(uint64_t option) {
  switch (static_cast<SocketOption>(option)) {
    case SocketOption::kNoDelay:
      return "no-delay";
    case SocketOption::kReceiveBufferSize:
      return "receive-buffer-size";
    case SocketOption::kSendBufferSize:
      return "send-buffer-size";
    case SocketOption::kReuseAddress:
      return "reuse-address";
    case SocketOption::kReusePort:
      return "reuse-port";
    case SocketOption::kIpv6Only:
      return "ipv6-only";
    case SocketOption::kLinger:
      return "linger";
    case SocketOption::kError:
      return "error";
    case SocketOption::kKeepAlive:
      return "keep-alive";
    case SocketOption::kKeepAliveIdle:
      return "keep-alive-idle";
    case SocketOption::kKeepAliveInterval:
      return "keep-alive-interval";
    case SocketOption::kKeepAliveCount:
      return "keep-alive-count";
    case SocketOption::kUserTimeout:
      return "user-timeout";
    case SocketOption::kQuickAck:
      return "quick-ack";
    case SocketOption::kTrafficClass:
      return "traffic-class";
    case SocketOption::kTimeToLive:
      return "time-to-live";
    case SocketOption::kBroadcast:
      return "broadcast";
    case SocketOption::kMulticastTimeToLive:
      return "multicast-time-to-live";
    case SocketOption::kMulticastLoop:
      return "multicast-loop";
    case SocketOption::kMulticastInterface:
      return "multicast-interface";
    case SocketOption::kPacketInfo:
      return "packet-info";
  }
  return "";
}

absl::string_view ShutdownName(uint64_t how) {
  switch (static_cast<ShutdownHow>(how)) {
    case ShutdownHow::kRead:
      return "reading";
    case ShutdownHow::kWrite:
      return "writing";
    case ShutdownHow::kBoth:
      return "reading and writing";
  }
  return "";
}

// Of a socket that is about to connect.
void WriteConnect(TextLine& line, const TraceRecord& record) {
  const auto id = static_cast<SocketId>(record.a);
  HostStack& stack = TheStack(record.host);
  line << "socket " << id << " to ";
  SocketAddress peer;
  if (const TcpSocket* stream = stack.Find(id)) {
    peer = stream->name().remote;
  } else {
    stack.PeerAddress(id, &peer);
  }
  if (peer.family() == AddressFamily::kNone || peer.port() != record.b) {
    line << "port " << record.b;  // It was refused before it had a peer.
  } else {
    WriteAddress(line, peer);
  }
}

// --- The columns ---

}  // namespace

absl::string_view PayloadOf(const Packet& packet) {
  if (packet.payload == nullptr) return "";
  return absl::string_view(packet.payload->memory + packet.payload->begin, packet.size);
}

absl::string_view WhyLost(DropReason reason) {
  switch (reason) {
    case DropReason::kLoss:
      return "the link loses it";
    case DropReason::kQueueFull:
      return "the queue of the link is full";
    case DropReason::kBlocked:
    case DropReason::kBlockedOnArrival:
      return "a partition";
    case DropReason::kHostDown:
      return "the machine is down";
    case DropReason::kConnectFault:
      return "a fault leaves this connect without an answer";
    case DropReason::kTooLarge:
      return "a fault lets no packet of this size through";
    case DropReason::kCorrupted:
      return "its checksum is wrong";
  }
  return "";
}

void WriteHost(TextLine& line, uint32_t host, absl::string_view none) {
  line << (host == kNoTraceHost ? none : TheNetwork().host(host).name());
}

void WriteTaskName(TextLine& line) {
  if (!Executor::HasCurrent() || Executor::Current().running_task() == nullptr) return;
  line << TaskName(*Executor::Current().running_task());
}

void WriteTaskPlace(TextLine& line) {
  if (!Executor::HasCurrent() || Executor::Current().running_task() == nullptr) return;
  const std::source_location* const place = PlaceInProgram(Executor::Current().running_coroutine());
  if (place == nullptr) return;
  const absl::string_view file = place->file_name();
  line << file.substr(file.rfind('/') + 1) << ":" << place->line();  // npos + 1 is 0.
}

SocketId SocketOf(const TraceRecord& r) {
  switch (r.kind) {
    case TraceKind::kOpen:
    case TraceKind::kBind:
    case TraceKind::kListen:
    case TraceKind::kConnect:
    case TraceKind::kConnected:
    case TraceKind::kSend:
    case TraceKind::kReceive:
    case TraceKind::kReceiveEnd:
    case TraceKind::kShutdown:
    case TraceKind::kClose:
    case TraceKind::kSocketOption:
    case TraceKind::kSocketError:
    case TraceKind::kRetransmit:
    case TraceKind::kConnectFault:
    case TraceKind::kResetFault:
    case TraceKind::kDatagramDropped:
    case TraceKind::kMembership:
      return static_cast<SocketId>(r.a);
    case TraceKind::kAccept:
    case TraceKind::kSubmit:
    case TraceKind::kComplete:
    case TraceKind::kCancel:
    case TraceKind::kArm:
    case TraceKind::kDisarm:
      return static_cast<SocketId>(r.b);
    default:
      return kNoSocket;
  }
}

bool EndsOf(uint32_t host, SocketId id, SocketAddress* local, SocketAddress* remote) {
  HostStack& stack = TheStack(host);
  *local = SocketAddress();
  *remote = SocketAddress();
  if (const TcpSocket* stream = stack.Find(id)) {
    *local = stream->name().local;
    *remote = stream->name().remote;
    if (stream->state() == TcpState::kClosed || stream->state() == TcpState::kListen) *remote = SocketAddress();
  } else if (stack.FindDatagrams(id) != nullptr) {
    stack.LocalAddress(id, local);
    if (stack.PeerAddress(id, remote) != 0) *remote = SocketAddress();
  }
  return local->port() != 0;
}

bool IsDetail(TraceKind kind) {
  return kind == TraceKind::kTaskReady || kind == TraceKind::kTaskResume || kind == TraceKind::kTimer ||
         kind == TraceKind::kDraw || kind == TraceKind::kStreamDraw || kind == TraceKind::kCall;
}

namespace {

// False for what is known by its numbers alone.
bool WriteDetail(TextLine& line, const TraceRecord& r) {
  switch (r.kind) {
    case TraceKind::kTaskReady:
      line << "wakes a task";
      return true;
    case TraceKind::kTaskResume:
      line << "resumes";
      return true;
    case TraceKind::kTimer:
      (line << (r.b == 0 ? "arms" : "is due")).At(kRestColumn) << (r.b == 0 ? "a timer until " : "a timer for ");
      line.Time(static_cast<int64_t>(r.a));
      return true;
    case TraceKind::kDraw:
      (line << "draws").At(kRestColumn) << ChoiceName(static_cast<Choice>(r.a >> 56));
      return true;
    case TraceKind::kStreamDraw:
      (line << "draws").At(kRestColumn) << "number " << r.b << " of a stream";
      return true;
    case TraceKind::kCall:
      (line << "calls").At(kRestColumn) << InterposedCallName(static_cast<int>(r.a));
      return true;
    default:
      return false;
  }
}

}  // namespace

bool WriteEvent(TextLine& line, const TraceRecord& r, const TraceAbout& about) {
  if (IsDetail(r.kind)) return WriteDetail(line, r);
  const auto verb = [&line](absl::string_view text) -> TextLine& { return (line << text).At(kRestColumn); };
  const auto socket = [&line, &r](uint64_t id) { WriteSocket(line, r.host, id); };
  const auto ordinal = static_cast<uint32_t>(r.a);
  switch (r.kind) {
    case TraceKind::kPacketSent:
      verb("sends");
      if (about.packet == nullptr) return true;
      WritePacket(line, *about.packet, ordinal);
      if (about.fate != nullptr) WriteFate(line, *about.fate);
      WriteBytes(line, PayloadOf(*about.packet));
      return true;
    case TraceKind::kPacketDelivered:
      verb("gets");
      if (about.packet == nullptr) return true;
      WritePacket(line, *about.packet, ordinal);
      WriteBytes(line, PayloadOf(*about.packet));
      return true;
    case TraceKind::kPacketLost: {
      const auto reason = static_cast<DropReason>(r.b);
      const bool told = reason != DropReason::kBlockedOnArrival && reason != DropReason::kHostDown &&
                        reason != DropReason::kConnectFault;
      if (told || about.packet == nullptr) return false;
      verb("lost");
      WritePacket(line, *about.packet, ordinal);
      line << ": " << WhyLost(reason);
      return true;
    }
    case TraceKind::kPacketUnreachable:
      verb("sends");
      if (about.packet == nullptr) return true;
      WriteEnds(line, about.packet->source, " > ", about.packet->destination);
      line << "; lost: nobody has this address";
      return true;
    case TraceKind::kConditions:
      verb("link") << "to ";
      WriteHost(line, static_cast<uint32_t>(r.a), "all");
      line << ": median latency ";
      line.Time(static_cast<int64_t>(r.b));
      if (r.c != 0) line << ", " << r.c << " bytes/s";
      return true;
    case TraceKind::kBlock:
      verb("link") << "to ";
      WriteHost(line, static_cast<uint32_t>(r.a));
      line << (r.b == 2 ? ": what arrives is held" : r.b != 0 ? ": nothing passes" : ": open again");
      return true;
    case TraceKind::kOpen:
      verb("opens") << (r.b != 0 ? "datagram " : "");
      socket(r.a);
      return true;
    case TraceKind::kBind:
      verb("binds");
      socket(r.a);
      WriteFailure(line, r.c);
      return true;
    case TraceKind::kListen:
      verb("listens");
      socket(r.a);
      line << ", backlog " << static_cast<int64_t>(r.b);
      WriteFailure(line, r.c);
      return true;
    case TraceKind::kConnect:
      verb("connects");
      WriteConnect(line, r);
      WriteFailure(line, r.c);
      return true;
    case TraceKind::kConnected:
      verb("connected");
      socket(r.a);
      if (r.b != 0) line << ": ";
      if (r.b != 0) WriteErrno(line, static_cast<int64_t>(r.b));
      return true;
    case TraceKind::kAccept:
      verb("accepts");
      socket(r.b);
      line << " on ";
      socket(r.a);
      return true;
    case TraceKind::kSend:
      verb("writes");
      if (static_cast<int64_t>(r.b) >= 0) line << static_cast<int64_t>(r.b) << (r.b == 1 ? " byte to " : " bytes to ");
      socket(r.a);
      WriteFailure(line, r.b);
      return true;
    case TraceKind::kReceive:
      verb("reads") << r.b << (r.b == 1 ? " byte from " : " bytes from ");
      socket(r.a);
      WriteBytes(line, about.bytes);
      return true;
    case TraceKind::kReceiveEnd:
      switch (static_cast<SourceEnd>(r.b)) {
        case SourceEnd::kEndOfStream:
          verb("end") << "of the stream on ";
          socket(r.a);
          return true;
        case SourceEnd::kError:
          verb("error") << "on ";
          socket(r.a);
          line << ": ";
          WriteErrno(line, static_cast<int64_t>(r.c));
          return true;
        case SourceEnd::kBudget:
        case SourceEnd::kDisarmed:
          return false;
      }
      return false;
    case TraceKind::kShutdown:
      verb("shuts") << ShutdownName(r.b) << " of ";
      socket(r.a);
      WriteFailure(line, r.c);
      return true;
    case TraceKind::kClose:
      verb("closes");
      socket(r.a);
      return true;
    case TraceKind::kSocketOption:
      verb("sets") << OptionName(r.b) << " = " << static_cast<int64_t>(r.c) << " on ";
      socket(r.a);
      return true;
    case TraceKind::kSocketError:
      verb("over");
      socket(r.a);
      if (r.b != 0) line << ": ";
      if (r.b != 0) WriteErrno(line, static_cast<int64_t>(r.b));
      return true;
    case TraceKind::kRetransmit:
      verb("again") << "what follows, of ";
      socket(r.a);
      if (r.c != 0) line << ": no answer came in time, try " << r.c;
      return true;
    case TraceKind::kConnectFault:
      verb("fault") << (r.b == 1 ? "refuses" : "leaves without an answer") << " the connect of ";
      socket(r.a);
      return true;
    case TraceKind::kResetFault:
      verb("fault") << "resets ";
      socket(r.a);
      return true;
    case TraceKind::kDatagramDropped:
      verb("lost") << "a datagram of " << r.b << " bytes: the receive buffer is full, of ";
      socket(r.a);
      return true;
    case TraceKind::kMembership:
      verb((r.b & 1) != 0 ? "joins" : "leaves") << "a group on interface " << (r.b >> 1) << " by ";
      socket(r.a);
      WriteFailure(line, r.c);
      return true;
    case TraceKind::kCancel:
      verb("cancels") << OperationName(r.a);
      if (static_cast<SocketId>(r.b) != kNoSocket) line << " on ";
      if (static_cast<SocketId>(r.b) != kNoSocket) socket(r.b);
      return true;
    case TraceKind::kComplete:
      // Successes show by what they have done.
      if (static_cast<int64_t>(r.c) >= 0) return false;
      verb("fails") << OperationName(r.a);
      if (static_cast<SocketId>(r.b) != kNoSocket) line << " on ";
      if (static_cast<SocketId>(r.b) != kNoSocket) socket(r.b);
      WriteFailure(line, r.c);
      return true;
    case TraceKind::kSignal:
      verb("signal") << r.a;
      return true;
    case TraceKind::kWork:
      verb("work") << "#" << r.a << (r.b == 0 ? " is called" : r.b == 1 ? " waits for a thread" : " has a thread");
      if (r.b == 2) line << ", done at ";
      if (r.b == 2) line.Time(static_cast<int64_t>(r.c));
      return true;
    case TraceKind::kLookup:
      verb("looks up");
      WriteQuoted(line, about.bytes);
      line << "; answer at ";
      line.Time(static_cast<int64_t>(r.c));
      return true;
    case TraceKind::kLookedUp:
      verb("looked up");
      WriteQuoted(line, about.bytes);
      if (r.b != 0) line << ": ";
      if (r.b != 0) WriteErrno(line, static_cast<int64_t>(r.b));
      return true;
    case TraceKind::kVisit:
      verb("visits");
      WriteQuoted(line, about.bytes);
      line << "; number " << r.b;
      return true;
    case TraceKind::kBuggify:
      verb("buggify");
      WriteQuoted(line, about.bytes);
      line << "; visit " << r.b;
      return true;
    case TraceKind::kHostStart:
      verb("starts") << (r.a == 0 ? "with the addresses" : "again, with the addresses");
      for (const SocketAddress& address : TheNetwork().host(r.host).addresses()) WriteNumeric(line << " ", address);
      return true;
    case TraceKind::kHostCrash:
      verb(r.a == 0 ? "crashes" : "is killed");
      return true;
    case TraceKind::kHostExit:
      verb("ends") << (r.a == 0 ? "main returned OK" : "main returned an error");
      return true;
    case TraceKind::kHostPause:
      verb("pauses") << "until ";
      line.Time(static_cast<int64_t>(r.a));
      return true;
    case TraceKind::kClockStep:
      verb("clock") << "of the wall is off by ";
      if (static_cast<int64_t>(r.a) < 0) line << "-";
      line.Time(std::abs(static_cast<int64_t>(r.a))) << " s";
      return true;
    case TraceKind::kUser:
      verb("user") << r.a << " " << r.b << " " << r.c;
      return true;
    case TraceKind::kFault:     // A note tells.
    case TraceKind::kHostTurn:  // The tasks that are resumed tell.
    case TraceKind::kAbandon:   // The crash, or the end of the world, tells.
    case TraceKind::kSubmit:    // What it does tells.
    case TraceKind::kArm:       // Who waits for input does not do anything.
    case TraceKind::kDisarm:
    case TraceKind::kSubmitDead:
    case TraceKind::kNone:
    case TraceKind::kTaskReady:  // The details.
    case TraceKind::kTaskResume:
    case TraceKind::kTimer:
    case TraceKind::kDraw:
    case TraceKind::kStreamDraw:
    case TraceKind::kCall:
      return false;
  }
  return false;
}

void WriteSilentEvent(TextLine& line, const TraceRecord& r) {
  const auto of_socket = [&line, &r](uint64_t id) {
    if (static_cast<SocketId>(id) == kNoSocket) return;
    line << " of ";
    WriteSocket(line, r.host, id);
  };
  switch (r.kind) {
    case TraceKind::kSubmit:
      line << "submits a " << OperationName(r.a);
      of_socket(r.b);
      return;
    case TraceKind::kComplete:
      line << "has done a " << OperationName(r.a);
      of_socket(r.b);
      return;
    case TraceKind::kArm:
      line << "waits for " << InputName(r.a);
      of_socket(r.b);
      return;
    case TraceKind::kDisarm:
      line << "waits no longer for " << InputName(r.a);
      of_socket(r.b);
      return;
    case TraceKind::kReceiveEnd:
      line << "has no more to read for now";
      of_socket(r.a);
      return;
    case TraceKind::kAbandon:
      line << "leaves " << r.a << (r.a == 1 ? " operation and " : " operations and ") << r.b
           << (r.b == 1 ? " wait for input" : " waits for input") << " without an end";
      return;
    case TraceKind::kSubmitDead:
      line << "asks for " << (r.a == 0 ? "an operation" : "input") << " after its end";
      return;
    case TraceKind::kHostTurn:
      line << "has its turn " << r.a;
      return;
    case TraceKind::kPacketLost:
      line << "does not get it: " << WhyLost(static_cast<DropReason>(r.b));
      return;
    case TraceKind::kFault:
      line << "a fault begins";
      return;
    default:
      line << TraceKindName(r.kind);
  }
}

}  // namespace tandem::sim
