// SPDX-License-Identifier: Apache-2.0
//
// What calls that wait for a ConnectionPool cost everybody else on the shard: many of them ask, as a server's
// connections would, a batch a turn; later all of them are served. Beside them a ticker of 1 ms notes its longest gap.
//
// Prints one JSON line. A gap is told twice: in real time, which has what other processes take from this one in it, and
// in processor time of this thread, which has not. The pool's connections are numbers: no kernel takes part.

#include <time.h>

#include <algorithm>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tandem/bench/flags.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/net/connection_pool.h"
#include "tandem/core/runtime/runtime.h"
#include "tandem/core/sync/ticker.h"

namespace tandem::bench {
namespace {

using Pool = ConnectionPool<int>;

struct Settings {
  int64_t waiters = 1'000'000;
  int64_t hosts = 1;
  int64_t connections = 1;
  int64_t batch = 500;
};

int64_t CpuTime() {
  timespec time = {};
  CHECK_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
  return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec;
}

// The longest time between two ticks.
class Gaps {
 public:
  void Reset() {
    longest_ = absl::ZeroDuration();
    longest_cpu_ns_ = 0;
  }
  void Tick() {
    const Instant now = Now();
    const int64_t cpu_ns = CpuTime();
    if (ticked_) {
      longest_ = std::max(longest_, now - last_);
      longest_cpu_ns_ = std::max(longest_cpu_ns_, cpu_ns - last_cpu_ns_);
    }
    ticked_ = true;
    last_ = now;
    last_cpu_ns_ = cpu_ns;
  }
  double longest_ms() const { return absl::ToDoubleMilliseconds(longest_); }
  double longest_cpu_ms() const { return static_cast<double>(longest_cpu_ns_) * 1e-6; }

 private:
  bool ticked_ = false;
  Instant last_;
  int64_t last_cpu_ns_ = 0;
  absl::Duration longest_;
  int64_t longest_cpu_ns_ = 0;
};

// What the tasks share.
struct Run {
  explicit Run(const Settings& settings)
      : settings(settings),
        pool(&Connect, PoolOptions()
                           .set_max_per_host(static_cast<size_t>(settings.connections))
                           .set_max_total(static_cast<size_t>(settings.hosts * settings.connections))) {}

  static Task<absl::StatusOr<int>> Connect(std::string) { co_return 0; }

  const Settings settings;
  Pool pool;
  Gaps gaps;
  int64_t served = 0;
};

std::string HostName(int64_t number) { return absl::StrCat("host-", number); }

Task<absl::Status> TickForEver(Run* run) {
  Ticker ticker(absl::Milliseconds(1));
  for (;;) {
    const absl::StatusOr<Instant> tick = co_await ticker.Next();
    if (!tick.ok()) co_return tick.status();
    run->gaps.Tick();
  }
}

Task<void> Use(Run* run, int64_t host) {
  absl::StatusOr<Pool::Lease> lease = co_await run->pool.Acquire(HostName(host));
  CHECK_OK(lease.status());
  lease->ReturnToPool();
  ++run->served;
}

// Ends when all who wait were served.
Task<absl::Status> Ask(Run* run) {
  const Settings& settings = run->settings;
  std::vector<Pool::Lease> held;
  for (int64_t i = 0; i < settings.hosts * settings.connections; ++i) {
    absl::StatusOr<Pool::Lease> lease = co_await run->pool.Acquire(HostName(i % settings.hosts));
    if (!lease.ok()) co_return lease.status();
    held.push_back(*std::move(lease));
  }
  absl::Status status = co_await Sleep(absl::Milliseconds(10));  // The ticker ticks.
  if (!status.ok()) co_return status;

  run->gaps.Reset();
  int64_t cpu_ns = CpuTime();
  for (int64_t asked = 0; asked < settings.waiters; ++asked) {
    Spawn(&Use, run, asked % settings.hosts);
    if (asked % settings.batch != 0) continue;
    status = co_await Yield();
    if (!status.ok()) co_return status;
  }
  while (run->pool.statistics().waiting < static_cast<size_t>(settings.waiters)) {
    status = co_await Sleep(absl::Milliseconds(1));
    if (!status.ok()) co_return status;
  }
  const auto waiters = static_cast<double>(settings.waiters);
  std::printf("{\"waiters\": %" PRId64 ", \"hosts\": %" PRId64 ", \"connections\": %" PRId64
              ", \"acquire_gap_ms\": %.2f, \"acquire_gap_cpu_ms\": %.2f, \"acquire_cpu_ns\": %.0f",
              settings.waiters, settings.hosts, settings.connections, run->gaps.longest_ms(),
              run->gaps.longest_cpu_ms(), static_cast<double>(CpuTime() - cpu_ns) / waiters);

  run->gaps.Reset();
  cpu_ns = CpuTime();
  for (Pool::Lease& lease : held) lease.ReturnToPool();
  while (run->served < settings.waiters) {
    status = co_await Sleep(absl::Milliseconds(1));
    if (!status.ok()) co_return status;
  }
  std::printf(", \"drain_gap_ms\": %.2f, \"drain_gap_cpu_ms\": %.2f, \"drain_cpu_ns\": %.0f}\n", run->gaps.longest_ms(),
              run->gaps.longest_cpu_ms(), static_cast<double>(CpuTime() - cpu_ns) / waiters);
  co_return absl::OkStatus();
}

Task<absl::Status> Main(Settings settings) {
  Run run(settings);
  auto [ticked, asked] = co_await WhenAny(TickForEver(&run), Ask(&run));
  co_return asked.value_or(absl::CancelledError());
}

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) {
  tandem::bench::Settings settings;
  tandem::bench::Flags flags("Calls that wait for a connection pool, beside a 1 ms ticker; prints one JSON line.");
  flags.Add("waiters", &settings.waiters, 1, 1'000'000, "calls that wait at once");
  flags.Add("hosts", &settings.hosts, 1, 100'000, "hosts that they want connections to");
  flags.Add("connections", &settings.connections, 1, 1000, "the limit for one host");
  flags.Add("batch", &settings.batch, 1, 1'000'000, "calls that are begun in one turn");
  flags.Parse(argc, argv);
  tandem::Runtime runtime;
  const absl::Status status = runtime.BlockOn(tandem::bench::Main(settings));
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
