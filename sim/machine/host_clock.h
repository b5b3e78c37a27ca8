// SPDX-License-Identifier: Apache-2.0
//
// The clocks of a simulated machine, as functions of the time of the world.
//
// They agree with it until somebody sets them. The monotonic clock never goes back while the machine runs. A rate that
// is not the world's moves both clocks, as the slewing of a clock does, and what they have gained or lost by it stays.

#ifndef TANDEM_SIM_MACHINE_HOST_CLOCK_H_
#define TANDEM_SIM_MACHINE_HOST_CLOCK_H_

#include <cstdint>
#include <optional>

namespace tandem::sim {

class HostClock {
 public:
  // What the monotonic clock shows at `now_ns` of the world.
  int64_t MonotonicNs(int64_t now_ns) const { return now_ns + SlewNs(now_ns) + boot_offset_ns_; }
  // The first time of the world at which the monotonic clock shows `monotonic_ns` or more, if it goes on as now.
  int64_t TimeOf(int64_t monotonic_ns) const;
  // What the wall clock shows, counted from the wall-clock time of the world's beginning.
  int64_t WallNs(int64_t now_ns) const {
    wall_was_read_ = true;
    return frozen_wall_ns_.has_value() ? *frozen_wall_ns_ : RunningWallNs(now_ns);
  }
  bool wall_was_read() const { return wall_was_read_; }

  // The machine starts: the monotonic clock shows `monotonic_ns` now.
  void Boot(int64_t now_ns, int64_t monotonic_ns) { boot_offset_ns_ = monotonic_ns - now_ns - SlewNs(now_ns); }
  // From now on both clocks run fast by so many millionths; negative: slow. REQUIRES that it is between -1,000,000 and
  // 1,000,000.
  void SetRate(int64_t now_ns, int64_t millionths) {
    slewed_ns_ = SlewNs(now_ns);
    since_ns_ = now_ns;
    rate_ = millionths;
  }
  // How far the wall clock is off: by the test, and by a fault in addition.
  int64_t wall_offset_ns() const { return wall_offset_ns_; }
  void set_wall_offset_ns(int64_t offset_ns) { wall_offset_ns_ = offset_ns; }
  void set_fault_offset_ns(int64_t offset_ns) { fault_offset_ns_ = offset_ns; }
  // The wall clock stands still, or goes on where it would be otherwise.
  void SetFrozen(int64_t now_ns, bool frozen) {
    if (frozen == frozen_wall_ns_.has_value()) return;
    if (frozen) {
      frozen_wall_ns_ = RunningWallNs(now_ns);
    } else {
      frozen_wall_ns_.reset();
    }
  }

 private:
  static constexpr int64_t kMillion = 1'000'000;

  // What the clocks have gained by their rates.
  int64_t SlewNs(int64_t now_ns) const {
    if (rate_ == 0) return slewed_ns_;
    return slewed_ns_ + static_cast<int64_t>(static_cast<__int128>(now_ns - since_ns_) * rate_ / kMillion);
  }

  // While it does not stand still.
  int64_t RunningWallNs(int64_t now_ns) const { return now_ns + SlewNs(now_ns) + wall_offset_ns_ + fault_offset_ns_; }

  int64_t boot_offset_ns_ = 0;
  int64_t slewed_ns_ = 0;  // Until since_ns_.
  int64_t since_ns_ = 0;
  int64_t rate_ = 0;  // Millionths.
  int64_t wall_offset_ns_ = 0;
  int64_t fault_offset_ns_ = 0;
  std::optional<int64_t> frozen_wall_ns_;
  mutable bool wall_was_read_ = false;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_MACHINE_HOST_CLOCK_H_
