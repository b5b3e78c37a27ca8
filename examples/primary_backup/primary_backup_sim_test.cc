// SPDX-License-Identifier: Apache-2.0
//
// The view service, three replicas and three clients, while network, machines and clocks fail. Afterwards what the
// clients saw must be the history of one register, and somebody who comes then must be served.

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tandem/examples/cluster/memory_disk.h"
#include "tandem/examples/primary_backup/primary_backup.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/op.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/history.h"
#include "tandem/testing/linearizability.h"
#include "tandem/testing/linearizability_models.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace primary_backup {
namespace {

using namespace tandem;
using tandem::testing::CheckLinearizable;
using tandem::testing::History;

std::vector<std::string> Replicas() { return {"one:7500", "two:7500", "three:7500"}; }

TcpListener Listen() { return *TcpListener::Listen(SocketAddress::AnyIpv4(7500)); }

struct Record {
  History history{Now};
  int writes = 0;
};

Task<absl::Status> Write(Record* record, std::string who, Client* client) {
  const std::string value = absl::StrCat(who, ++record->writes);  // No other write has it.
  History::Call call = record->history.Invoke(who, "register", "write", value);
  const absl::Status written = co_await client->Write(value);
  if (written.ok()) call.Return();
  if (absl::IsAborted(written)) call.Fail();
  co_return written;  // After any other error the call stays open.
}

Task<absl::Status> Read(Record* record, std::string who, Client* client) {
  History::Call call = record->history.Invoke(who, "register", "read");
  const absl::StatusOr<std::string> value = co_await client->Read();
  if (value.ok()) call.Return(*value);
  co_return value.status();
}

Task<absl::Status> RunClient(Record* record, std::string who, std::vector<sim::Op> ops) {
  Client client(Replicas());
  for (const sim::Op& op : ops) {
    if (op.Draw("writes", 2) == 0) {
      (void)co_await Write(record, who, &client);
    } else {
      (void)co_await Read(record, who, &client);
    }
    co_await Pause(absl::Milliseconds(op.Draw("pause", 300)));
  }
  co_return absl::OkStatus();
}

// One who comes when all is well goes on until he is served.
Task<absl::Status> RunLateClient(Record* record, bool* served) {
  Client client(Replicas());
  while (!*served) {
    absl::Status status = co_await Write(record, "late", &client);
    if (status.ok()) status = co_await Read(record, "late", &client);
    *served = status.ok();
    co_await Pause(absl::Milliseconds(100));
  }
  co_return absl::OkStatus();
}

SIM_TEST(PrimaryBackup, IsOneRegister) {
  examples::MemoryDisk disk_of_views;
  std::map<std::string, examples::MemoryDisk> disks;
  world.AddServer("views", [&] { return ServeViews(Listen(), &disk_of_views); });
  for (const std::string& id : Replicas()) {
    const std::string name = id.substr(0, id.find(':'));
    world.AddServer(name, [&, id] { return ServeReplica(Listen(), id, "views:7500", &disks[id]); });
  }
  Record record;
  for (std::string name : {"ann", "bob", "eve"}) {
    world.AddClient(name, [&, name, ops = world.Ops(name, 50)] { return RunClient(&record, name, ops); });
  }
  world.Inject(sim::Faults::All()
                   .With(sim::FaultKind::kTerminate)
                   .With(sim::FaultKind::kClockFast)
                   .With(sim::FaultKind::kClockSlow)
                   .With(sim::FaultKind::kBootOffset)
                   .During(absl::ZeroDuration(), absl::Seconds(15)));
  EXPECT_OK(world.RunClients(absl::Minutes(5)));

  bool served = false;
  world.AddHost("late", [&] { return RunLateClient(&record, &served); });
  EXPECT_OK(world.HealAndExpect(absl::Seconds(30), "somebody is served", [&] { return served; }));
  EXPECT_OK(CheckLinearizable(record.history.operations(), tandem::testing::Register("")));
}

}  // namespace
}  // namespace primary_backup
