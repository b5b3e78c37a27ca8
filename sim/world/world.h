// SPDX-License-Identifier: Apache-2.0
//
// The simulated world: a clock, a network and hosts, in one thread, that replay from a seed.
//
//   sim::World world(sim::WorldOptions().set_seed(7));
//   sim::Host& server = world.AddHost("server", [] { return Serve(); });
//   sim::Host& client = world.AddHost("client", [] { return Talk("server:6379"); });
//   world.Inject(sim::Faults::Network());
//   absl::Status status = world.RunUntilDone(client, absl::Minutes(10));
//
// Nothing happens between the calls of Run...(): they take the events in order, each at its virtual time. Same program,
// same seed: same events, same digest.
//
// One world at a time: it serves the clocks and the randomness of the whole process while it lives
// (sim/process/interpose/interpose.h).

#ifndef TANDEM_SIM_WORLD_WORLD_H_
#define TANDEM_SIM_WORLD_WORLD_H_

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/faults/workload.h"
#include "tandem/sim/network/names.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/process/isolation/isolation.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/random/decision_counts.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/schedule/step_counts.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/time/loop.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/fault_injector.h"
#include "tandem/sim/world/hand_offs.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/op.h"
#include "tandem/sim/world/process.h"
#include "tandem/sim/world/rehearsal.h"

namespace tandem::sim {

class WorldOptions {
 public:
  WorldOptions() {}

  uint64_t seed() const { return seed_; }
  WorldOptions& set_seed(uint64_t seed) {
    seed_ = seed;
    return *this;
  }
  // After so many events and turns of hosts the run ends as a livelock. The default is more than ten minutes of a
  // hundred busy connections need.
  uint64_t max_events() const { return max_events_; }
  WorldOptions& set_max_events(uint64_t count) {
    max_events_ = count;
    return *this;
  }
  // The order of ready tasks on every host. Without it the seed chooses.
  std::optional<ScheduleKind> schedule() const { return schedule_; }
  WorldOptions& set_schedule(ScheduleKind kind) {
    schedule_ = kind;
    return *this;
  }
  // Where the test injects faults that the seed draws, each host starts at a time of its own, up to this much later
  // than it was to. Below the latency of links, so that a server listens before the first packet of a client arrives.
  absl::Duration start_spread() const { return start_spread_; }
  WorldOptions& set_start_spread(absl::Duration spread) {
    start_spread_ = spread;
    return *this;
  }
  // The wall clock of each host is ahead by a time of its own, up to this; the seed draws it. The default is 0: all
  // agree.
  absl::Duration clock_spread() const { return clock_spread_; }
  WorldOptions& set_clock_spread(absl::Duration spread) {
    clock_spread_ = spread;
    return *this;
  }
  // Whether hand_offs() is kept, which costs a little with each step of a task.
  bool keeps_hand_offs() const { return keeps_hand_offs_; }
  WorldOptions& set_keeps_hand_offs(bool keeps) {
    keeps_hand_offs_ = keeps;
    return *this;
  }
  // What happens instead of what the test injects and the seed draws: see sim/faults/scenario.h. Null: what they say.
  // Must outlive the world.
  const Scenario* scenario() const { return scenario_; }
  WorldOptions& set_scenario(const Scenario* scenario) {
    scenario_ = scenario;
    return *this;
  }
  // Whether World::decisions() tells what chance has decided.
  bool counts_decisions() const { return counts_decisions_; }
  WorldOptions& set_counts_decisions(bool counts) {
    counts_decisions_ = counts;
    return *this;
  }
  // Whether the trace has details (sim/trace/trace.h).
  bool trace_details() const { return trace_details_; }
  WorldOptions& set_trace_details(bool details) {
    trace_details_ = details;
    return *this;
  }
  // Told of the turns of hosts, to look for global variables that connect them; null for none. Must outlive the world.
  Isolation* isolation() const { return isolation_; }
  WorldOptions& set_isolation(Isolation* isolation) {
    isolation_ = isolation;
    return *this;
  }
  // Sees every record of the trace; null for none. Must outlive the world.
  TraceSink* trace_sink() const { return trace_sink_; }
  WorldOptions& set_trace_sink(TraceSink* sink) {
    trace_sink_ = sink;
    return *this;
  }

 private:
  uint64_t seed_ = 1;
  uint64_t max_events_ = 10'000'000'000;
  std::optional<ScheduleKind> schedule_;
  absl::Duration start_spread_ = absl::Microseconds(20);
  absl::Duration clock_spread_ = absl::ZeroDuration();
  bool keeps_hand_offs_ = false;
  const Scenario* scenario_ = nullptr;
  Isolation* isolation_ = nullptr;
  bool trace_details_ = false;
  bool counts_decisions_ = false;
  TraceSink* trace_sink_ = nullptr;
};

class World : private ChoicesObserver {
 public:
  explicit World(const WorldOptions& options = WorldOptions());
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  // Crashes the hosts that still run: their tasks are destroyed, and what their destructors send goes nowhere.
  ~World();

  // The world that lives now, or null.
  static World* Current();

  uint64_t seed() const { return options_.seed(); }
  // Everything that the seed decides is drawn here.
  const Choices& choices() const { return choices_; }
  ScheduleKind schedule() const { return schedule_; }
  // The host whose turn it is; null between turns.
  const Host* running_host() const { return running_ == nullptr ? nullptr : &running_->host(); }
  // The time of the world, which is the monotonic clock of every host that no fault of the clocks hits. It begins at
  // Instant(), 0 s: what is shown of a run (LOG(), the trace, plans of faults, reports) counts from there.
  Instant Now() const { return Instant::FromNanoseconds(queue_.now_ns()); }
  // A stream of random numbers for the test's own use: depends on the seed, `name` and how often it was drawn.
  RandomStream& random(absl::string_view name);
  // A parameter of the test, or of what it runs, that each seed draws: between `low` and `high`, both included, each
  // power of two in distance from `low` as likely as the next. A scenario has it as a line, knob "batch size" 17, and
  // without that line it is `low`. A TANDEM_KNOB of this name then has this value, too. `name` has no '"', no " #" and
  // no end of a line in it. REQUIRES low <= high.
  int64_t Knob(absl::string_view name, int64_t low, int64_t high);
  // The operations of a random workload, without those that a line of the scenario leaves out: skip writer0 17. `what`
  // names the workload, and has no blanks, '/' and '#'.
  std::vector<Op> Ops(absl::string_view what, uint64_t count);
  // Whether step `n` of a random workload is to be left out, for loops of another form than Ops(). `what` has no
  // blanks and '#'.
  bool Skip(absl::string_view what, uint64_t n);
  // How many steps each workload has been asked for.
  const std::map<std::string, uint64_t>& workload_steps() const { return workload_steps_; }

  // --- Hosts ---

  // Adds a host; `main` starts when the world runs next, in the order of the calls, or a little later
  // (WorldOptions::start_spread()). `name` has letters, digits, '-' and '_', is none of from, to and at, and is new.
  // The reference stays valid as long as the world.
  Host& AddHost(absl::string_view name, HostMain main) { return Add(name, std::move(main), Role::kNone); }
  template <typename Other>
    requires(!std::convertible_to<Other, HostMain>)
  Host& AddHost(absl::string_view name, Other&&) {
    return AddHost(name, NotAMain<Other>());
  }
  // The same, with a role in RunClients().
  Host& AddServer(absl::string_view name, HostMain main) { return Add(name, std::move(main), Role::kServer); }
  template <typename Other>
    requires(!std::convertible_to<Other, HostMain>)
  Host& AddServer(absl::string_view name, Other&&) {
    return AddServer(name, NotAMain<Other>());
  }
  Host& AddClient(absl::string_view name, HostMain main) { return Add(name, std::move(main), Role::kClient); }
  template <typename Other>
    requires(!std::convertible_to<Other, HostMain>)
  Host& AddClient(absl::string_view name, Other&&) {
    return AddClient(name, NotAMain<Other>());
  }
  // Null when there is no host of this name.
  Host* FindHost(absl::string_view name);
  // Those whose name is `pattern`, in which '*' stands for any characters and '?' for one. CHECKs that there is one.
  std::vector<Host*> HostsLike(absl::string_view pattern) const;
  // In the order of AddHost().
  const std::vector<std::unique_ptr<Host>>& hosts() const { return hosts_; }

  // Turns "server:6379" into the IPv4 address of the host with this name, and a literal address into itself.
  //
  // Errors:
  //   kNotFound         There is no such host.
  //   kInvalidArgument  `text` has no port.
  absl::StatusOr<SocketAddress> Resolve(absl::string_view text);

  // --- Running ---

  // Runs until the main coroutine of `host` has returned and its process has drained; returns what main returned.
  //
  // Errors, beside those of main:
  //   kDeadlineExceeded    `limit` of virtual time passed first. The message lists what every task waits for.
  //   kFailedPrecondition  Nothing can happen any more; or nothing can reach a host that is waited for, whatever the
  //                        others do: its tasks wait for each other alone, without a timer, a socket or a signal. The
  //                        message lists what every task waits for, and the connections whose both ends wait to read.
  //   kAborted             A livelock: too many events, too many of them at one instant, or a host that yields for
  //                        ever. The message names the hosts that ran and their tasks.
  //   kInternal            A process did not drain within 10 s after main had returned. The message lists its tasks.
  absl::Status RunUntilDone(Host& host, absl::Duration limit);
  // Runs until `done()`, which is asked after each event and each turn of a host, or is true already. For what is not
  // the end of a host: a count that a test keeps, a state of a cluster. Errors: as RunUntilDone(), beside those of
  // main.
  absl::Status RunUntil(absl::FunctionRef<bool()> done, absl::Duration limit);
  // The same, with words for what it waits for, which an error repeats: RunUntil("a leader is elected", ...).
  absl::Status RunUntil(absl::string_view what, absl::FunctionRef<bool()> done, absl::Duration limit);
  // Runs until all clients have ended, each with OK; or until the first of them ends with an error, which is the
  // result, with its name. CHECKs that there are clients. Errors: as RunUntilDone().
  //
  // A server that ends with an error fails the run, this one or another, with its name and its status: but not when it
  // was told to stop, nor when its restart policy starts it again.
  absl::Status RunClients(absl::Duration limit);
  // Runs for `duration` of virtual time; the clock then shows its end. Errors: kAborted and kInternal as above.
  absl::Status RunFor(absl::Duration duration);
  // Runs until nothing can happen any more; tasks may be left waiting (see DescribeTasks()).
  //
  // Errors: kAborted and kInternal as above; kDeadlineExceeded when `limit` passes first.
  absl::Status RunUntilQuiescent(absl::Duration limit);

  // Calls `check` after each event and each turn of a host, as long as the world lives, for what must hold at all
  // times. Its first error ends the run: it is the result of Run...(), with the virtual time.
  void AfterEachStep(absl::AnyInvocable<absl::Status()> check) { checks_.push_back(std::move(check)); }
  // The second phase of a test, in which there are no faults any more and all must come right: ends everything that
  // was injected and everything that was done by name, starts again what was crashed or killed, and waits for `done()`
  // as RunUntil() does. What had ended by itself stays ended.
  absl::Status HealAndExpect(absl::Duration within, absl::string_view what, absl::FunctionRef<bool()> done);

  // Calls `function` at `instant`, or at once when it is past, between the turns of hosts.
  void At(Instant instant, absl::AnyInvocable<void()> function);
  void After(absl::Duration delay, absl::AnyInvocable<void()> function) { At(Now() + delay, std::move(function)); }

  // --- Faults ---

  // Draws a plan for the hosts that were added so far, and when those of them start that have not, and carries it out.
  // Times count from the start of the world. In
  // a simulation test the rest of the test is rehearsed first, and the plan is aimed at what it does.
  void Inject(const Faults& faults);
  // Carries out `plan`. CHECKs that it names hosts that exist.
  void Inject(const FaultPlan& plan);
  // The operation `number`, from 1, of this host fails with an error that the kernel has for it; with `and_after`, so
  // do all that come after it. Operations are counted over all runs of the host's program; see operations(). The host
  // may be added later. For sweeps over all operations: testing/sim_sweep.h.
  void FailOperation(absl::string_view host, uint64_t number, bool and_after = false);
  // How many operations that can fail this host has begun.
  uint64_t operations(absl::string_view host);
  // Everything that was injected: print it with a failure.
  const FaultPlan& fault_plan() const { return injector_->plan(); }
  // How often the entry `index` of fault_plan() has hit.
  uint64_t fault_hits(size_t index) const { return injector_->hits(index); }
  // The kinds that Inject() could have drawn.
  const Faults& asked_faults() const { return asked_; }
  // All that can be taken away from this run.
  Scenario scenario() const;
  // With WorldOptions::set_counts_decisions(): what chance has decided so far that is not calm.
  std::vector<DecisionCount> decisions() const {
    return decisions_.has_value() ? decisions_->Get() : std::vector<DecisionCount>();
  }
  // A line of the options' scenario about a host that has not been added so far; empty: there is none.
  std::string LineOfUnknownHost();

  // The other lines of the options' scenario that have had no effect so far: faults that have hit nothing, operations
  // and steps of workloads that nobody has come to, calm lines by which nothing was decided, knobs that are not there,
  // wall clocks that nobody has read, and what another line says already.
  std::vector<std::string> LinesWithoutEffect();

  // --- By name, at once. ---
  //
  // Each name may be a pattern, as for HostsLike(), and CHECKs that it is the name of a host. These concern the hosts
  // that there are, not those that are added later, and neither end nor are ended by what is injected.

  // Nothing passes between a host of `left` and one of `right`, in either direction.
  void Partition(const std::vector<std::string>& left, const std::vector<std::string>& right);
  // Nothing passes from a host of `from` to one of `to`.
  void PartitionOneWay(const std::vector<std::string>& from, const std::vector<std::string>& to);
  // Nothing passes between these hosts and all others.
  void Isolate(absl::string_view name);
  // What arrives from now on between these hosts, in either direction, waits for Release() and then arrives in this
  // order: also what is on its way.
  void Hold(absl::string_view name, absl::string_view other);
  void Release(absl::string_view name, absl::string_view other);
  // Ends all of that, on all links; what was held arrives.
  void Heal();
  // As the functions of Host, for each.
  void CrashAll(absl::string_view pattern);
  void KillAll(absl::string_view pattern);
  void RestartAll(absl::string_view pattern, absl::Duration delay = absl::ZeroDuration());

  // --- What happened ---

  // What every task of every host waits for.
  std::string DescribeTasks() const;
  // What the hosts and links have done so far.
  Workload CountWork();
  // For the harness, which has seen a test fail and wants no more: the next step of the world, or the call that lets
  // time pass when it is told so within one, throws RunEnded.
  void EndRun() { run_is_to_end_ = true; }
  struct RunEnded {};
  // The livelock or the process that did not drain, which ended the run; OK when there was none.
  const absl::Status& failure() const { return failure_; }
  // Which tasks have followed each other, if the options say so.
  const HandOffs& hand_offs() const { return hand_offs_; }
  // Events and turns of hosts so far.
  uint64_t events() const { return queue_.executed() + turns_; }
  TraceDigest digest() const { return trace_.digest(); }
  // With the details, which there are as the options say.
  bool trace_details() const { return options_.trace_details(); }
  TraceDigest fine_digest() const { return trace_.fine_digest(); }

  Network& network() { return *network_; }
  // What Resolve() of core/net/resolver.h asks: hosts by their names, and whatever a test puts into it.
  NameTable& names() { return network_->names(); }
  EventQueue& queue() { return queue_; }
  Trace& trace() { return trace_; }

 private:
  friend class Host;
  friend class Process;

  // More than this many events at one instant are a livelock. A large cluster may well have ten thousand packets at one
  // instant.
  static constexpr uint64_t kEventsAtOneInstantMax = 100'000;

  struct CallbackTag;
  class Callback;

  // A program calls VisitSite(), TANDEM_BUGGIFY() and TANDEM_KNOB().
  static void OnVisit(absl::string_view site);
  static bool OnBuggify(absl::string_view name);
  static int64_t OnKnob(absl::string_view name, int64_t value, int64_t low, int64_t high);
  // For the report of a crash: the time and the host that runs.
  static void WriteWhere(TextWriter write);

  // Says in words why `Other` is not the main of a host.
  template <typename Other>
  static HostMain NotAMain() {
    using Main = std::remove_cvref_t<Other>;
    static_assert(
        !internal::IsTask<Main>::value,
        "AddHost() takes the function that makes the task, since each restart calls it: [] { return Main(); }");
    static_assert(
        internal::IsTask<Main>::value,
        "the main of a host is a function without parameters that can be copied and returns Task<absl::Status>");
    return HostMain();
  }

  Host& Add(absl::string_view name, HostMain main, Role role);
  std::vector<std::string> HostNames() const;
  std::vector<Host*> HostsLikeAny(const std::vector<std::string>& patterns) const;
  // Calls `change` for each pair of different hosts, one of `from` and one of `to`.
  void ForEachLink(const std::vector<Host*>& from, const std::vector<Host*>& to,
                   void (Network::*change)(NetworkHost& from, NetworkHost& to));
  void InjectScenario();
  std::vector<std::string> CalmLinesWithoutEffect();
  void InjectWaitingFaults();
  // By how much the scenario moves the start of a new host, and the seed or the scenario its wall clock.
  absl::Duration StartOf(const Host& host);
  absl::Duration DrawClock(const Host& host);
  // That of the program, which is `value` unless the seed or the scenario says otherwise.
  int64_t ProgramKnob(absl::string_view name, int64_t value, int64_t low, int64_t high);
  // Moves the starts of the hosts that have not started.
  void SpreadStarts();
  // Aims the schedules of processes that start from now on.
  void AimSchedule(const Workload& workload);
  // A task of `process` goes on.
  void OnStep(Process& process);
  bool watches_steps() const {
    return counts_steps_ || options_.keeps_hand_offs() || trace_.has_sink() || trace_.detailed();
  }
  // Whether the test looks at the world after each single turn, or a branch may begin there.
  bool looks_after_turns() const { return asks_after_turns_ || !checks_.empty() || events() >= branch_event_; }
  // Runs until `done()`, a failure, or until nothing is left before or at `until_ns`.
  void Run(int64_t until_ns, absl::FunctionRef<bool()> done);
  // Runs until `done()`; `what` says what has not happened where the result is an error.
  absl::Status RunUntilTrue(absl::FunctionRef<bool()> done, absl::Duration limit, absl::string_view what);
  // The same, where `done()` is the test's and sees each turn.
  absl::Status RunUntilTestSays(absl::FunctionRef<bool()> done, absl::Duration limit, absl::string_view what);
  void RunChecks();
  // Counts a turn of `process`; false when the world has failed and nothing may run any more.
  bool CountTurn(const Process& process);
  // Fails when too much has happened in next to no time.
  void LookForLivelock() {
    if (queue_.executed_at_this_instant() > kEventsAtOneInstantMax || events() >= options_.max_events()) [[unlikely]] {
      FailWithTooManyEvents();
    }
  }
  // Whether a Run...() waits for the end of `host`.
  bool awaits(const Host& host) const {
    return &host == awaited_ || (awaits_clients_ && host.role() == Role::kClient && !host.status().has_value());
  }
  // `host`, which is awaited, will never do anything by itself again. So it stays, unless the test or a fault does
  // something.
  void OnStuck(const Host& host);
  std::string DescribeConnections() const;
  // The moment of the scenario's branch has come.
  void Branch();
  void FailWithTooManyEvents();
  void FailAsLivelock(absl::string_view what);
  void Fail(absl::Status status);
  bool failed() const { return !failure_.ok(); }

  // The interposed clocks and randomness.
  static int64_t RealtimeNs(void* world);
  static int64_t MonotonicNs(void* world);
  static uint64_t OsRandom(void* world);
  static bool Sleep(void* world, int64_t ns);
  static const char* HostName(void* world);
  static int ProcessId(void* world);

  // `process` runs from now on; null: the one that ran does so no longer.
  void SetRunning(Process* process);

  // Details of the trace.
  void RecordDetail(TraceKind kind, uint64_t a, uint64_t b = 0, uint64_t c = 0);
  void OnDraw(Choice what, Entity whom, uint64_t n, uint64_t part, uint64_t value) override;
  static void OnStreamDraw(uint64_t key, uint64_t n, uint64_t value);
  static void Called(void* world, int call);

  const WorldOptions options_;
  Choices choices_;
  std::optional<DecisionCounts> decisions_;
  const ScheduleKind schedule_;
  const WorldHooks hooks_;
  EventQueue queue_;
  Loop loop_{queue_};
  Trace trace_;
  std::unique_ptr<Network> network_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::unique_ptr<FaultInjector> injector_;
  uint64_t branch_event_ = std::numeric_limits<uint64_t>::max();
  bool has_branched_ = false;
  std::optional<Rehearsal> rehearsal_;
  Instant rehearsal_end_;  // In the copy.
  Faults asked_ = Faults::None();
  bool scenario_injected_ = false;
  bool buggifies_ = false;                          // The test injects what the seed draws.
  std::vector<FaultEntry> waiting_faults_;          // Of the scenario, about hosts that are not there yet.
  IntrusiveList<Callback, CallbackTag> callbacks_;  // Owned.
  std::map<std::string, RandomStream> streams_;
  Scenario drawn_;  // What the seed or the scenario has decided so far; of faults and calm lines, nothing.
  std::map<std::string, uint64_t> workload_steps_;
  StepCounts steps_;
  bool counts_steps_ = false;
  HandOffs hand_offs_;
  Process* running_ = nullptr;  // Whose turn it is, or whose blocking work runs.
  bool working_ = false;        // Blocking work runs...
  int64_t slept_ns_ = 0;        // ...and has slept for so long, which its clocks show.
  uint64_t turns_ = 0;
  std::vector<absl::AnyInvocable<absl::Status()>> checks_;
  bool asks_after_turns_ = false;  // RunUntil() asks the test.
  const Host* awaited_ = nullptr;  // By RunUntilDone().
  bool awaits_clients_ = false;    // RunClients() does.
  const Host* stuck_ = nullptr;    // The first that is awaited and never ends.
  size_t clients_ = 0;
  size_t clients_done_ = 0;              // Have ended with OK.
  const Host* failed_client_ = nullptr;  // The first that has ended with an error.
  uint64_t os_random_n_ = 0;             // Draws outside of any host.
  absl::Status failure_;
  bool run_is_to_end_ = false;
};

// The address of the host `name` of the current world, for programs and tests that run in it. "server:6379" in one
// argument: World::Current()->Resolve().
//
// Errors: kNotFound: there is no such host, or no world.
absl::StatusOr<SocketAddress> HostAddress(absl::string_view name, uint16_t port);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_WORLD_H_
