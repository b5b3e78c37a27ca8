// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/world/world.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tandem/core/base/buggify.h"
#include "tandem/core/base/site.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/time/virtual_time.h"

namespace tandem::sim {
namespace {

World* current_world = nullptr;

ScheduleKind ScheduleOf(const WorldOptions& options) {
  if (options.scenario() != nullptr && !options.scenario()->schedule.empty()) {
    const std::optional<ScheduleKind> kind = ParseSchedule(options.scenario()->schedule);
    CHECK(kind.has_value()) << "there is no schedule " << options.scenario()->schedule;
    return *kind;
  }
  return options.schedule().value_or(ChooseSchedule(options.seed()));
}

// Words that stand behind the hosts of a scenario's line are none.
bool IsHostName(absl::string_view name) {
  if (name == "from" || name == "to" || name == "at") return false;
  return !name.empty() && std::all_of(name.begin(), name.end(),
                                      [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
}

// What `workload` says of these hosts: others come later, and nothing is drawn for them.
Workload Among(Workload workload, const std::vector<std::string>& hosts) {
  const auto is_one = [&](const std::string& name) {
    return std::find(hosts.begin(), hosts.end(), name) != hosts.end();
  };
  std::erase_if(workload.hosts, [&](const auto& host) { return !is_one(host.first); });
  std::erase_if(workload.links,
                [&](const auto& link) { return !is_one(link.first.first) || !is_one(link.first.second); });
  return workload;
}

}  // namespace

// Calls a function at a time and is gone.
class World::Callback final : public Event, public ListLink<CallbackTag> {
 public:
  explicit Callback(absl::AnyInvocable<void()> function) : function_(std::move(function)) {}

 private:
  void Run() override {
    Unlink();
    const std::unique_ptr<Callback> self(this);
    function_();
  }

  absl::AnyInvocable<void()> function_;
};

World::World(const WorldOptions& options)
    : options_(options),
      choices_(options.seed()),
      schedule_(ScheduleOf(options)),
      hooks_{
          this,          &World::RealtimeNs, &World::MonotonicNs, &World::OsRandom,
          &World::Sleep, &World::HostName,   &World::ProcessId,   options.trace_details() ? &World::Called : nullptr} {
  CHECK(current_world == nullptr) << "there is one world at a time";
  current_world = this;
  SetCrashContext(&WriteWhere);
  internal::site_visited = &OnVisit;
  internal::buggify_drawn = &OnBuggify;
  internal::knob_drawn = &OnKnob;
  EnterWorld(hooks_);
  trace_.set_sink(options_.trace_sink());
  if (options_.trace_details()) {
    trace_.set_detailed();
    tandem::internal::on_stream_draw = &World::OnStreamDraw;
  }
  if (options_.counts_decisions()) decisions_.emplace();
  if (decisions_.has_value() || trace_.detailed()) choices_.set_observer(*this);
  network_ = std::make_unique<Network>(queue_, trace_, choices_);
  injector_ = std::make_unique<FaultInjector>(*this);
  if (options_.scenario() == nullptr) return;
  for (const Calm& calm : options_.scenario()->calms) choices_.AddCalm(calm);
  drawn_.steps = options_.scenario()->steps;
  drawn_.failures = options_.scenario()->failures;
  drawn_.skips = options_.scenario()->skips;
  drawn_.branch = options_.scenario()->branch;
  if (drawn_.branch.has_value()) branch_event_ = drawn_.branch->event;
}

World::~World() {
  if (rehearsal_.has_value() && rehearsal_->is_copy()) rehearsal_->End(CountWork());
  injector_.reset();
  for (const std::unique_ptr<Host>& host : hosts_) {
    host->Abandon();
  }
  while (!callbacks_.empty()) {
    Callback& callback = callbacks_.PopFront();
    queue_.Cancel(callback);
    delete &callback;
  }
  hosts_.clear();
  network_.reset();
  tandem::internal::on_stream_draw = nullptr;
  LeaveWorld();
  SetCrashContext(nullptr);
  internal::site_visited = nullptr;
  internal::buggify_drawn = nullptr;
  internal::knob_drawn = nullptr;
  current_world = nullptr;
}

void World::WriteWhere(TextWriter write) {
  const World& self = *current_world;
  write("  at ");
  write(VirtualTimeText(self.queue_.now_ns()).view());
  write(" s of virtual time, ");
  if (self.running_ == nullptr) {
    write("outside of any host\n");
    return;
  }
  write("on host ");
  write(self.running_->name());
  write("\n");
}

void World::OnVisit(absl::string_view site) {
  const World& self = *current_world;
  if (self.running_ == nullptr || self.running_->stopped()) return;
  self.running_->host_.OnVisit(site);
}

bool World::OnBuggify(absl::string_view name) {
  const World& self = *current_world;
  if (!self.buggifies_ || self.running_ == nullptr || self.running_->stopped()) return false;
  return self.running_->host_.DrawBuggify(name);
}

int64_t World::OnKnob(absl::string_view name, int64_t value, int64_t low, int64_t high) {
  return current_world->ProgramKnob(name, value, low, high);
}

World* World::Current() { return current_world; }

void World::SetRunning(Process* process) {
  Isolation* const isolation = options_.isolation();
  if (isolation != nullptr) [[unlikely]] {
    if (process != nullptr) {
      isolation->BeginTurn();
    } else {
      isolation->EndTurn(running_->name());
    }
  }
  running_ = process;
}

void World::RecordDetail(TraceKind kind, uint64_t a, uint64_t b, uint64_t c) {
  trace_.RecordDetail(kind, queue_.now_ns(), running_ == nullptr ? kNoTraceHost : running_->host().index(), a, b, c);
}

void World::OnDraw(Choice what, Entity whom, uint64_t n, uint64_t part, uint64_t value) {
  if (decisions_.has_value()) decisions_->Note(what, whom, n, value);
  if (!trace_.detailed()) return;
  constexpr uint64_t kNumber = (uint64_t{1} << 52) - 1;  // It may be a hash.
  RecordDetail(TraceKind::kDraw, static_cast<uint64_t>(what) << 56 | part << 52 | (n & kNumber), whom.hash(), value);
}

void World::OnStreamDraw(uint64_t key, uint64_t n, uint64_t value) {
  current_world->RecordDetail(TraceKind::kStreamDraw, key, n, value);
}

void World::Called(void* world, int call) {
  static_cast<World*>(world)->RecordDetail(TraceKind::kCall, static_cast<uint64_t>(call));
}

RandomStream& World::random(absl::string_view name) {
  const uint64_t key = choices_.Draw(Choice::kTest, Entity::Of(name), 0);
  return streams_.emplace(std::string(name), RandomStream(key)).first->second;
}

// --- Hosts ---

Host& World::Add(absl::string_view name, HostMain main, Role role) {
  CHECK(IsHostName(name)) << "not a name for a host: \"" << name << "\"";
  CHECK(FindHost(name) == nullptr) << "there is a host " << name << " already";
  const auto index = static_cast<uint32_t>(hosts_.size());
  hosts_.push_back(std::unique_ptr<Host>(new Host(*this, std::string(name), index, std::move(main), role)));
  if (role == Role::kClient) ++clients_;
  Host& host = *hosts_.back();
  for (const OperationFailure& failure : drawn_.failures) {
    if (failure.host == name && !has_branched_) host.stack().AddFailingOperations({failure.number, failure.and_after});
  }
  injector_->OnHostAdded(host);
  if (!waiting_faults_.empty() && !has_branched_) InjectWaitingFaults();
  return host;
}

Host* World::FindHost(absl::string_view name) {
  for (const std::unique_ptr<Host>& host : hosts_) {
    if (host->name() == name) return host.get();
  }
  return nullptr;
}

std::vector<std::string> World::HostNames() const {
  std::vector<std::string> names;
  names.reserve(hosts_.size());
  for (const std::unique_ptr<Host>& host : hosts_) names.push_back(host->name());
  return names;
}

absl::StatusOr<SocketAddress> World::Resolve(absl::string_view text) {
  const size_t colon = text.rfind(':');
  const absl::string_view name = text.substr(0, colon);
  if (colon == absl::string_view::npos || !IsHostName(name)) return SocketAddress::Parse(text);
  uint32_t port = 0;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &port) || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": expected a port from 0 to 65535 after the colon"));
  }
  return HostAddress(name, static_cast<uint16_t>(port));
}

absl::StatusOr<SocketAddress> HostAddress(absl::string_view name, uint16_t port) {
  if (World::Current() == nullptr) return absl::NotFoundError(absl::StrCat("no world to find host ", name, " in"));
  Host* host = World::Current()->FindHost(name);
  if (host == nullptr) return absl::NotFoundError(absl::StrCat("no host is called ", name));
  return host->address(port);
}

void World::At(Instant instant, absl::AnyInvocable<void()> function) {
  auto* callback = new Callback(std::move(function));
  callbacks_.PushBack(*callback);
  queue_.Schedule(*callback, instant.nanoseconds());
}

std::string World::DescribeTasks() const {
  std::string text;
  for (const std::unique_ptr<Host>& host : hosts_) text += host->DescribeTasks();
  return text + DescribeConnections();
}

// Those in which each end waits for the other to say something.
std::string World::DescribeConnections() const {
  struct End {
    const Host* host;
    SocketId socket;
  };
  std::map<std::pair<std::string, std::string>, End> readers;  // By the addresses, the peer's first.
  std::string text;
  for (const std::unique_ptr<Host>& host : hosts_) {
    if (!host->alive()) continue;
    for (const SimReactor::Reader& reader : host->process_->reactor_->Readers()) {
      const std::string local = reader.local.ToString();
      const std::string peer = reader.peer.ToString();
      const auto other = readers.find({local, peer});
      if (other == readers.end()) {
        readers.emplace(std::pair(peer, local), End{host.get(), reader.socket});
        continue;
      }
      absl::StrAppend(&text, text.empty() ? "connections whose both ends wait to read:\n" : "", "  socket ",
                      other->second.socket, " of ", other->second.host->name(), " (", peer, ") and socket ",
                      reader.socket, " of ", host->name(), " (", local, ")\n");
    }
  }
  return text;
}

// --- Faults ---

void World::Inject(const Faults& faults) {
  CHECK(running_ == nullptr) << "a task injects faults: use a FaultPlan";
  CHECK(!hosts_.empty() || faults.IsEmpty()) << "Inject() draws faults of the hosts that are there: add them before";
  for (const std::string& name : faults.HostNames()) {
    CHECK(FindHost(name) != nullptr) << "Inject(): no host is called " << name
                                     << "; there are: " << absl::StrJoin(HostNames(), ", ");
  }
  if (!faults.IsEmpty()) buggifies_ = true;
  if (options_.scenario() != nullptr) return InjectScenario();
  if (!faults.IsEmpty()) SpreadStarts();
  if (!rehearsal_.has_value() && Rehearsal::allowed()) {
    rehearsal_.emplace();
    LeaveWorld();  // It takes a process, and that one is the machine's.
    rehearsal_->Begin();
    EnterWorld(hooks_);
  }
  if (rehearsal_.has_value() && rehearsal_->is_copy()) {
    // A test may wait, in a loop, for a fault to hit: that never comes here.
    constexpr absl::Duration kEnough = absl::Hours(1);
    rehearsal_end_ = std::max({rehearsal_end_, Now() + kEnough, Instant() + faults.end() + kEnough});
    trace_.set_sink(nullptr);
    counts_steps_ = UsesStepTotals(schedule_);
    return;
  }
  const Workload* const workload =
      rehearsal_.has_value() && rehearsal_->workload().has_value() ? &*rehearsal_->workload() : nullptr;
  if (workload != nullptr) AimSchedule(*workload);
  const Faults asked = workload == nullptr ? faults : faults.Applicable(Among(*workload, HostNames()));
  for (size_t i = 0; i < kFaultKindCount; ++i) {
    const auto kind = static_cast<FaultKind>(i);
    if (asked.Has(kind) || faults.Names(kind)) asked_.With(kind);
  }
  injector_->Inject(faults.Generate(choices_, HostNames(), workload));
}

void World::Inject(const FaultPlan& plan) {
  if (options_.scenario() != nullptr) return InjectScenario();
  injector_->Inject(plan);
}

void World::InjectScenario() {
  if (std::exchange(scenario_injected_, true)) return;
  waiting_faults_ = options_.scenario()->faults.entries();
  InjectWaitingFaults();
}

// Those whose hosts are all there: a test may add hosts, and inject faults of theirs, at any time.
void World::InjectWaitingFaults() {
  FaultPlan plan;
  std::erase_if(waiting_faults_, [&](const FaultEntry& entry) {
    if (!injector_->UnknownHost(entry).empty()) return false;
    plan.Add(entry);
    return true;
  });
  if (!plan.entries().empty()) injector_->Inject(plan);
}

std::string World::LineOfUnknownHost() {
  if (!waiting_faults_.empty()) return waiting_faults_.front().ToString();
  if (options_.scenario() == nullptr) return "";
  for (const auto& [host, time] : options_.scenario()->starts) {
    if (FindHost(host) == nullptr) return absl::StrCat("start ", host);
  }
  for (const auto& [host, time] : options_.scenario()->clocks) {
    if (FindHost(host) == nullptr) return absl::StrCat("clock ", host);
  }
  for (const OperationFailure& failure : options_.scenario()->failures) {
    if (FindHost(failure.host) == nullptr) return failure.ToString();
  }
  return "";
}

// A line may be about several kinds: as long as one of them was decided by it, it matters. What is calm for all, of a
// kind that was never decided, is no mistake.
std::vector<std::string> World::CalmLinesWithoutEffect() {
  const std::vector<Calm>& calms = options_.scenario()->calms;  // The first of choices_.calms(), in their order.
  std::vector<std::string> lines;
  const auto add = [&lines](std::vector<Calm> line) {
    Scenario scenario;
    scenario.calms = std::move(line);
    for (const absl::string_view text : absl::StrSplit(scenario.ToString(), '\n', absl::SkipEmpty())) {
      lines.emplace_back(text);
    }
  };
  const auto has_unknown_host = [this](const Calm& calm) {
    const std::vector<absl::string_view> paths = absl::StrSplit(calm.but, ',', absl::SkipEmpty());
    return std::any_of(paths.begin(), paths.end(),
                       [this](absl::string_view path) { return FindHost(path.substr(0, path.find('/'))) == nullptr; });
  };
  for (size_t i = 0; i < calms.size();) {
    const Calm& first = calms[i];
    std::vector<Calm> line;
    std::vector<Calm> said_before;
    bool matters = false;
    for (; i < calms.size() && calms[i].whom == first.whom && calms[i].from == first.from && calms[i].to == first.to &&
           calms[i].but == first.but;
         ++i) {
      if (!IsFate(calms[i].what) || calms[i].what == Choice::kBuggify) continue;
      const bool again = std::any_of(calms.data(), calms.data() + i,
                                     [&](const Calm& other) { return other.what == calms[i].what && other.IsOfAll(); });
      (again ? said_before : line).push_back(calms[i]);
      matters = matters || (!again && (first.whom == "*" ? !has_unknown_host(first) : choices_.WasUsed(i)));
    }
    if (!matters) add(std::move(line));
    add(std::move(said_before));
  }
  return lines;
}

std::vector<std::string> World::LinesWithoutEffect() {
  std::vector<std::string> lines;
  if (options_.scenario() == nullptr) return lines;
  const Scenario& scenario = *options_.scenario();
  for (size_t i = 0; i < fault_plan().entries().size(); ++i) {
    if (fault_hits(i) == 0) lines.push_back(fault_plan().entries()[i].ToString());
  }
  for (const FaultEntry& over : injector_->over().entries()) lines.push_back(over.ToString());
  for (const OperationFailure& failure : scenario.failures) {
    const Host* const host = FindHost(failure.host);
    if (host != nullptr && operations(failure.host) < failure.number) lines.push_back(failure.ToString());
  }
  for (const auto& [name, ahead] : scenario.clocks) {
    Host* const host = FindHost(name);
    if (host == nullptr || host->stack().clock().wall_was_read()) continue;
    Scenario line;
    line.clocks[name] = ahead;
    lines.push_back(std::string(absl::StripSuffix(line.ToString(), "\n")));
  }
  const std::vector<std::string> calms = CalmLinesWithoutEffect();
  lines.insert(lines.end(), calms.begin(), calms.end());
  for (size_t i = 0; i < scenario.skips.size(); ++i) {
    const sim::Skip& skip = scenario.skips[i];
    const auto steps = workload_steps_.find(skip.what);
    const bool nobody_comes = steps == workload_steps_.end() || steps->second <= skip.from;
    const bool again = std::any_of(scenario.skips.data(), scenario.skips.data() + i, [&skip](const sim::Skip& other) {
      return other.what == skip.what && other.from <= skip.from && skip.to <= other.to;
    });
    if (nobody_comes || again) lines.push_back(skip.ToString());
  }
  for (const auto& [name, value] : scenario.knobs) {
    if (!drawn_.knobs.contains(name)) lines.push_back(absl::StrCat("knob \"", name, "\" ", value));
  }
  if (scenario.branch.has_value() && events() < scenario.branch->event) lines.push_back(scenario.branch->ToString());
  return lines;
}

Scenario World::scenario() const {
  Scenario scenario = drawn_;
  scenario.seed = seed();
  scenario.schedule = std::string(ScheduleName(schedule_));
  scenario.faults = fault_plan();
  scenario.calms = choices_.calms();
  return scenario;
}

Workload World::CountWork() {
  Workload workload;
  workload.end_ns = queue_.now_ns();
  workload.steps = steps_.totals();
  for (size_t from = 0; from < network_->host_count(); ++from) {
    const NetworkHost& host = network_->host(from);
    const HostCounts& counts = host.counts();
    workload.hosts[host.name()] = {.calls = counts.calls,
                                   .connects = counts.connects,
                                   .lookups = counts.lookups,
                                   .works = counts.works,
                                   .accepts = counts.accepts,
                                   .changed_lookups = counts.changed_lookups,
                                   .timers = counts.timers,
                                   .visits = {}};
    for (size_t to = 0; to < network_->host_count(); ++to) {
      if (from == to) continue;
      const Link* link = host.FindLink(network_->host(to));
      if (link == nullptr || link->sent() == 0) continue;
      workload.links[{host.name(), network_->host(to).name()}] = {link->sent(), link->datagrams_sent(),
                                                                  link->largest_sent()};
    }
  }
  for (const std::unique_ptr<Host>& host : hosts_) {
    workload.hosts[host->name()].visits.insert(host->visits().begin(), host->visits().end());
  }
  return workload;
}

// --- The interposed clocks and randomness ---

int64_t World::RealtimeNs(void* world) {
  const World& self = *static_cast<World*>(world);
  const int64_t now_ns = self.queue_.now_ns();
  const int64_t wall_ns = self.running_ != nullptr ? self.running_->stack_.clock().WallNs(now_ns) : now_ns;
  return kEpochRealtimeNs + wall_ns + self.slept_ns_;
}

int64_t World::MonotonicNs(void* world) {
  const World& self = *static_cast<World*>(world);
  const int64_t now_ns = self.queue_.now_ns();
  return (self.running_ != nullptr ? self.running_->stack_.clock().MonotonicNs(now_ns) : now_ns) + self.slept_ns_;
}

bool World::Sleep(void* world, int64_t ns) {
  World& self = *static_cast<World*>(world);
  if (self.working_) self.slept_ns_ += ns;
  return self.working_;
}

const char* World::HostName(void* world) {
  const World& self = *static_cast<World*>(world);
  return self.running_ != nullptr ? self.running_->name().c_str() : "test";
}

// One number for each process that ever runs: hosts are told apart, and a process from the one before it.
int World::ProcessId(void* world) {
  constexpr int kFirst = 1000;
  constexpr int kHosts = 10'000;
  constexpr int kRuns = 100'000;
  const World& self = *static_cast<World*>(world);
  if (self.running_ == nullptr) return kFirst - 1;
  return kFirst + static_cast<int>(self.running_->host().index() % kHosts) +
         kHosts * static_cast<int>(self.running_->run() % kRuns);
}

uint64_t World::OsRandom(void* world) {
  World& self = *static_cast<World*>(world);
  if (self.running_ != nullptr) return self.running_->DrawOsRandom();
  return self.choices_.Draw(Choice::kOsRandom, Entity(), self.os_random_n_++);
}

}  // namespace tandem::sim
