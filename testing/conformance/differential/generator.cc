// SPDX-License-Identifier: Apache-2.0
//
// What is left out:
//
//   - More than kBytesPerSocket written without a flood: how much the buffers on the way hold differs. A flood fills
//     them all and empties them again.
//   - Small buffers on sockets that get connected, for the same reason.
//   - Connects to a port with two SO_REUSEPORT listeners: the kernel's hash chooses.
//   - Datagrams to port 0 (the interpreter makes no call), and IPv6 sockets that send to both families after a connect:
//     the kernel keeps one local address for each family then.
//   - Nagle's rule (no_delay 0 before writes): it changes only when bytes arrive.

#include "tandem/testing/conformance/differential/generator.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tandem/core/base/random.h"

namespace tandem::testing {
namespace {

constexpr int kStepsMax = 60;
constexpr int64_t kBytesPerSocket = 32 * 1024;

// What a socket is if all went well.
enum class Role : uint8_t { kFresh, kBound, kListener, kStream, kDatagram, kClosed };

struct Model {
  Role role = Role::kFresh;
  bool ipv6 = false;
  int host = 0;
  Place place;    // Where it is bound or connected to.
  int port = -1;  // Likewise; -1: nowhere.
  int64_t written = 0;
  bool connected = false;  // Of a datagram socket.
};

class Generator {
 public:
  Generator(uint64_t seed, uint64_t number)
      : random_(HashCombine(HashCombine(seed, HashName("differential program")), number)),
        hosts_(static_cast<int>(random_.Between(2, kHosts))),
        steps_max_(static_cast<size_t>(Percent(30) ? random_.Between(4, 15) : random_.Between(10, kStepsMax))),
        datagrams_(Percent(20)),
        shares_ports_(Percent(6)) {}

  Program Make() {
    if (Percent(85)) {
      if (datagrams_ && Percent(60)) {
        AddDatagramSocket();
        AddDatagramSocket();
      } else {
        AddListener();
        if (!shares_ports_) {
          AddConnection();
          if (Percent(80)) AddAccept(PickRole(Role::kListener));
        }
      }
    }
    while (program_.steps.size() < steps_max_) AddStep();
    program_.steps.resize(std::min(program_.steps.size(), static_cast<size_t>(kStepsMax)));
    return std::move(program_);
  }

 private:
  bool Percent(int chance) { return random_.Below(100) < static_cast<uint64_t>(chance); }
  int Below(size_t bound) { return static_cast<int>(random_.Below(bound)); }
  template <size_t kSize, typename T>
  T PickOf(const std::array<T, kSize>& values) {
    return values[random_.Below(kSize)];
  }

  Step& Add(Verb verb, int socket) {
    Step step;
    step.verb = verb;
    step.socket = socket;
    program_.steps.push_back(step);
    return program_.steps.back();
  }
  bool full() const { return models_.size() >= kSockets - 4; }

  // A socket with `role`, or any, or -1.
  int PickRole(Role role) {
    std::vector<int> candidates;
    for (size_t i = 0; i < models_.size(); ++i) {
      if (models_[i].role == role) candidates.push_back(static_cast<int>(i));
    }
    if (candidates.empty()) return -1;
    return candidates[random_.Below(candidates.size())];
  }
  // Now and then one that does not fit.
  int Pick(Role role) {
    if (!models_.empty() && Percent(4)) return Below(models_.size());
    return PickRole(role);
  }
  Model& At(int socket) { return models_[static_cast<size_t>(socket)]; }

  int AddOpen(bool ipv6, bool datagram = false) {
    const int socket = static_cast<int>(models_.size());
    models_.emplace_back();
    models_.back().ipv6 = ipv6;
    if (datagram) models_.back().role = Role::kDatagram;
    Step& step = Add(datagram ? Verb::kOpenDatagram : Verb::kOpen, socket);
    step.ipv6 = ipv6;
    step.place.host = models_.back().host = Below(static_cast<size_t>(hosts_));
    return socket;
  }

  int AddPort() { return ports_ < kPorts ? ports_++ : Below(kPorts); }

  // A place that suits the family, mostly.
  Place PlaceFor(bool ipv6, bool to_bind, int host = -1) {
    Place place;
    place.host = host >= 0 && Percent(90) ? host : Below(static_cast<size_t>(hosts_));
    if (Percent(2)) ipv6 = !ipv6;
    if (ipv6) {
      const int kind = Below(10);
      place.kind = kind < 4 ? Place::Kind::kAny6 : kind < 8 ? Place::Kind::kLoopback6 : Place::Kind::kMapped;
    } else if (Percent(to_bind ? 25 : 4)) {
      place.kind = Place::Kind::kAny4;
    }
    return place;
  }

  void AddSet(int socket, absl::string_view option, int64_t value) {
    Step& step = Add(Verb::kSet, socket);
    step.option = std::string(option);
    step.value = value;
  }

  void AddBind(int socket, const Place& place, int port) {
    Step& step = Add(Verb::kBind, socket);
    step.place = place;
    step.port = port;
    Model& model = At(socket);
    if (model.role == Role::kFresh) model.role = Role::kBound;
    model.place = place;
    model.port = port;
  }

  void AddListen(int socket) {
    Step& step = Add(Verb::kListen, socket);
    step.value = Percent(30) ? random_.Between(0, 2) : 16;
    if (At(socket).role == Role::kBound || At(socket).role == Role::kFresh) At(socket).role = Role::kListener;
  }

  void AddListener() {
    const int old = models_.empty() ? -1 : Below(models_.size());
    const bool ipv6 = Percent(20);
    const int socket = AddOpen(ipv6);
    if (Percent(shares_ports_ ? 80 : 0)) AddSet(socket, "reuse_port", 1);
    if (Percent(60)) AddSet(socket, "reuse_address", Percent(85) ? 1 : 0);
    if (ipv6 && Percent(25)) AddSet(socket, "ipv6_only", 1);
    // A port that was in use, or is.
    if (old >= 0 && At(old).port >= 0 && Percent(45)) {
      Place place = At(old).place;
      if (At(old).ipv6 != ipv6 || Percent(15)) place = PlaceFor(ipv6, true);
      AddBind(socket, place, At(old).port);
    } else if (!Percent(5)) {
      AddBind(socket, PlaceFor(ipv6, true, At(socket).host), AddPort());
    }
    AddListen(socket);
  }

  // Where a client reaches `model`.
  Place PlaceToReach(const Model& model, bool* ipv6) {
    Place place = model.place;
    *ipv6 = model.ipv6;
    switch (place.kind) {
      case Place::Kind::kHost:
        if (Percent(8)) {
          place.kind = Place::Kind::kMapped;
          *ipv6 = true;
        }
        break;
      case Place::Kind::kMapped:
        if (Percent(60)) {
          place.kind = Place::Kind::kHost;
          *ipv6 = false;
        }
        break;
      case Place::Kind::kAny4:
        if (Percent(85)) place.kind = Place::Kind::kHost;
        place.host = Below(static_cast<size_t>(hosts_));
        break;
      case Place::Kind::kAny6:
        place.host = Below(static_cast<size_t>(hosts_));
        if (Percent(40)) {
          place.kind = Place::Kind::kHost;
          *ipv6 = false;
        } else if (Percent(70)) {
          place.kind = Place::Kind::kLoopback6;
        } else if (Percent(60)) {
          place.kind = Place::Kind::kMapped;
        }
        break;
      case Place::Kind::kLoopback6:
        break;
    }
    return place;
  }

  void AddConnection() {
    if (shares_ports_) return;
    int target = Percent(92) ? PickRole(Role::kListener) : models_.empty() ? -1 : Below(models_.size());
    Place place;
    bool ipv6 = false;
    int port = Below(kPorts);
    if (target >= 0 && At(target).port >= 0) {
      place = PlaceToReach(At(target), &ipv6);
      port = At(target).port;
    } else {
      place = PlaceFor(ipv6, false);
      target = -1;
    }
    int socket = Percent(15) ? PickRole(Role::kFresh) : Percent(10) ? PickRole(Role::kBound) : -1;
    if (socket < 0 || At(socket).ipv6 != ipv6) {
      socket = AddOpen(ipv6);
      if (Percent(12)) {
        if (Percent(60)) AddSet(socket, "reuse_address", 1);
        const int old = Below(models_.size());
        const bool again = Percent(40) && At(old).port >= 0;
        const int local_port = again ? At(old).port : AddPort();
        Place local = PlaceFor(ipv6, true, At(socket).host);
        if (again && At(old).ipv6 == ipv6) local = At(old).place;
        AddBind(socket, local, local_port);
      }
    }
    Step& step = Add(Verb::kConnect, socket);
    step.place = place;
    step.port = port;
    Model& model = At(socket);
    if (model.role == Role::kFresh || model.role == Role::kBound) model.role = Role::kStream;
  }

  void AddAccept(int listener) {
    if (listener < 0) return;
    const int socket = static_cast<int>(models_.size());
    models_.emplace_back();
    Model& model = models_.back();
    model.role = Role::kStream;
    model.ipv6 = At(listener).ipv6;
    model.port = At(listener).port;
    model.place = At(listener).place;
    Step& step = Add(Percent(12) ? Verb::kTryAccept : Verb::kAccept, socket);
    step.listener = listener;
  }

  int64_t Size() {
    const int kind = Below(10);
    if (kind < 1) return 0;
    if (kind < 5) return random_.Between(1, 20);
    if (kind < 9) return random_.Between(1, 2000);
    return random_.Between(1, 12000);
  }

  void AddWrite(int socket) {
    if (socket < 0) return;
    const int64_t size = std::min(Size(), kBytesPerSocket - At(socket).written);
    At(socket).written += size;
    Add(Percent(15) ? Verb::kTryWrite : Verb::kWrite, socket).value = size;
  }

  void AddRead(int socket) {
    if (socket < 0) return;
    const Verb verb = Percent(75) ? Verb::kRead : Percent(60) ? Verb::kTryRead : Verb::kPeek;
    Add(verb, socket).value = Percent(60) ? Size() : 40000;
  }

  void AddOption(int socket) {
    if (socket < 0) return;
    struct Choice {
      absl::string_view name;
      int64_t low;
      int64_t high;
    };
    static constexpr std::array kChoices = {
        Choice{"reuse_address", 0, 1},
        Choice{"ipv6_only", 0, 1},
        Choice{"linger", -1, 1},
        Choice{"keep_alive", 0, 130},
        Choice{"user_timeout", -1, 5000},
        Choice{"traffic_class", -1, 256},
        Choice{"ttl", 0, 256},
        Choice{"no_delay", 1, 1},
        Choice{"receive_buffer_size", 65536, 212992},
        Choice{"send_buffer_size", 65536, 212992},
    };
    const Choice choice = PickOf(kChoices);
    if (choice.name == "ipv6_only" && !At(socket).ipv6) return;
    if (Percent(70)) AddSet(socket, choice.name, random_.Between(choice.low, choice.high));
    if (Percent(50)) Add(Verb::kGet, socket).option = std::string(choice.name);
  }

  // Buffers of any size, and their bounds, on a socket that is not used for anything else.
  void AddBufferSize() {
    const int socket = AddOpen(Percent(20));
    const absl::string_view name = Percent(50) ? "receive_buffer_size" : "send_buffer_size";
    AddSet(socket, name, random_.Between(0, 212992));
    Add(Verb::kGet, socket).option = std::string(name);
    Add(Verb::kClose, socket);
    At(socket).role = Role::kClosed;
  }

  void AddDatagramSocket() {
    const bool ipv6 = Percent(20);
    const int socket = AddOpen(ipv6, /*datagram=*/true);
    if (Percent(15)) AddSet(socket, "reuse_address", 1);
    const int old = Below(models_.size());
    if (Percent(10)) return;
    if (At(old).port >= 0 && Percent(25)) {
      AddBind(socket, At(old).ipv6 == ipv6 ? At(old).place : PlaceFor(ipv6, true), At(old).port);
    } else {
      AddBind(socket, PlaceFor(ipv6, true, At(socket).host), AddPort());
    }
  }

  void AddDatagramStep() {
    const int socket = PickRole(Role::kDatagram);
    const int kind = Below(100);
    if (socket < 0 || kind < 8) return AddDatagramSocket();
    const int other = PickRole(Role::kDatagram);
    bool ipv6 = At(socket).ipv6;
    Place place = At(other).port >= 0 ? PlaceToReach(At(other), &ipv6) : PlaceFor(ipv6, false);
    const int port = At(other).port >= 0 ? At(other).port : Below(kPorts);
    if (kind < 20) {
      if (At(socket).ipv6 && At(socket).connected) return;
      At(socket).connected = true;
      Step& step = Add(Verb::kConnect, socket);
      step.place = place;
      step.port = port;
    } else if (kind < 45) {
      if (At(socket).ipv6 && At(socket).connected) return;
      Step& step = Add(Verb::kSendTo, socket);
      step.place = place;
      step.port = port;
      step.value = Size();
    } else if (kind < 60) {
      Add(Verb::kSend, socket).value = Size();
    } else if (kind < 90) {
      Add(Verb::kReceive, socket).value = Percent(80) ? 20000 : Size();
    } else if (kind < 93) {
      Add(Verb::kLocal, socket);
    } else if (kind < 95) {
      Add(Verb::kPeer, socket);
    } else {
      Add(Verb::kClose, socket);
      At(socket).role = Role::kClosed;
    }
  }

  void AddStep() {
    if (full()) {
      Add(Verb::kWait, 0);
      return;
    }
    if (datagrams_ && Percent(50)) return AddDatagramStep();
    const int kind = Below(100);
    if (kind < 8) return AddListener();
    if (kind < 20) return AddConnection();
    if (kind < 32) return AddAccept(Pick(Role::kListener));
    if (kind < 50) return AddWrite(Pick(Role::kStream));
    if (kind < 70) return AddRead(Pick(Role::kStream));
    if (kind < 77) return AddShutdown(Pick(Role::kStream));
    if (kind < 84) return AddEnd(Verb::kClose, Pick(Percent(80) ? Role::kStream : Role::kListener));
    if (kind < 88) return AddEnd(Verb::kAbort, Pick(Role::kStream));
    if (kind < 92) return AddOption(models_.empty() ? -1 : Below(models_.size()));
    if (kind < 93) return AddBufferSize();
    if (kind < 94) {
      const int socket = PickRole(Role::kStream);
      if (socket >= 0 && Percent(30)) {
        Add(Verb::kFlood, socket);
      } else {
        Add(Verb::kWait, 0);
      }
      return;
    }
    if (kind < 96) {
      if (const int socket = models_.empty() ? -1 : Below(models_.size()); socket >= 0) {
        Add(Percent(50) ? Verb::kLocal : Verb::kPeer, socket);
      }
      return;
    }
    if (kind < 98) {
      const bool ipv6 = Percent(20);
      const int socket = AddOpen(ipv6);
      if (Percent(50)) AddBind(socket, PlaceFor(ipv6, true, At(socket).host), AddPort());
      return;
    }
    if (const int socket = Pick(Role::kBound); socket >= 0) AddListen(socket);
  }

  void AddShutdown(int socket) {
    if (socket < 0) return;
    Add(Verb::kShutdown, socket).option = Percent(75) ? "write" : "read";
  }

  void AddEnd(Verb verb, int socket) {
    if (socket < 0) return;
    Add(verb, socket);
    // What comes after the end is tried too, now and then.
    if (Percent(90)) At(socket).role = Role::kClosed;
  }

  RandomStream random_;
  const int hosts_;
  const size_t steps_max_;
  const bool datagrams_;
  const bool shares_ports_;
  int ports_ = 0;
  std::vector<Model> models_;
  Program program_;
};

}  // namespace

Program GenerateProgram(uint64_t seed, uint64_t number) { return Generator(seed, number).Make(); }

}  // namespace tandem::testing
