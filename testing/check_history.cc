// SPDX-License-Identifier: Apache-2.0
//
// Checks histories in files: kHelp says how.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tandem/testing/history.h"
#include "tandem/testing/history_readers.h"
#include "tandem/testing/linearizability.h"
#include "tandem/testing/linearizability_models.h"

namespace tandem::testing {
namespace {

constexpr char kHelp[] = R"(check_history --model=MODEL [--steps_max=N] FILE...

Says of each FILE whether its history is linearizable, and of one that is not, why.

  --model=register   read, write, cas: a Jepsen log, or history.jsonl
  --model=kv         get, put, append, delete, cas: Porcupine's key-value files, or history.jsonl
  --model=counter    add, get, add_and_get: history.jsonl
  --model=queue      enqueue, dequeue: history.jsonl
  --model=lock       acquire, try_acquire, release: history.jsonl
  --steps_max=N      gives up on an object after so many steps; default 2000000

Exits with 0 when all are linearizable, with 1 when one is not, and with 2 when it is not known: a file cannot be read, or
the search gave up.
)";

using Operations = std::vector<History::Operation>;
using Verdict = Linearizability::Verdict;

absl::StatusOr<Operations> ReadHistory(const std::string& path, absl::string_view model) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file.is_open() || !(text << file.rdbuf())) return absl::NotFoundError("cannot be read, or is empty");
  if (absl::StartsWith(text.str(), "{\"")) return ReadJsonLines(text.str());
  if (model == "register") return ReadJepsenLog(text.str());
  if (model == "kv") return ReadPorcupineKv(text.str());
  return absl::InvalidArgumentError("line 1: not an operation as history.jsonl has it");
}

template <typename Model>
absl::StatusOr<Linearizability> CheckWith(const Operations& operations, const Model& model,
                                          const LinearizabilityLimits& limits) {
  for (const History::Operation& operation : operations) {
    if (absl::Status known = model.Knows(operation); !known.ok()) return known;
  }
  return SearchLinearization(operations, model, limits);
}

absl::StatusOr<Linearizability> Check(const Operations& operations, absl::string_view model,
                                      const LinearizabilityLimits& limits) {
  if (model == "register") return CheckWith(operations, Register(), limits);
  if (model == "kv") return CheckWith(operations, KeyValue(), limits);
  if (model == "counter") return CheckWith(operations, Counter(), limits);
  if (model == "queue") return CheckWith(operations, Queue(), limits);
  return CheckWith(operations, Lock(), limits);
}

// Prints what became of a file; returns the exit code for it.
int CheckFile(const std::string& path, absl::string_view model, const LinearizabilityLimits& limits) {
  const absl::StatusOr<Operations> operations = ReadHistory(path, model);
  const absl::StatusOr<Linearizability> checked =
      operations.ok() ? Check(*operations, model, limits) : operations.status();
  if (!checked.ok()) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), std::string(checked.status().message()).c_str());
    return 2;
  }
  const absl::string_view verdict = checked->verdict == Verdict::kLinearizable      ? "linearizable"
                                    : checked->verdict == Verdict::kNotLinearizable ? "not linearizable"
                                                                                    : "gave up";
  std::printf("%s: %s (%zu operations, %llu steps)\n", path.c_str(), std::string(verdict).c_str(), operations->size(),
              static_cast<unsigned long long>(checked->steps));
  if (checked->window) std::printf("%s", checked->window->ToString().c_str());
  return checked->verdict == Verdict::kLinearizable ? 0 : checked->verdict == Verdict::kNotLinearizable ? 1 : 2;
}

int Refuse(absl::string_view what) {
  std::fprintf(stderr, "check_history: %s; see --help\n", std::string(what).c_str());
  return 2;
}

int Main(const std::vector<absl::string_view>& arguments) {
  std::string model;
  LinearizabilityLimits limits;
  std::vector<std::string> paths;
  for (absl::string_view argument : arguments) {
    if (argument == "--help") return std::fputs(kHelp, stdout) < 0 ? 2 : 0;
    if (absl::ConsumePrefix(&argument, "--model=")) {
      model = argument;
      continue;
    }
    if (absl::ConsumePrefix(&argument, "--steps_max=")) {
      if (!absl::SimpleAtoi(argument, &limits.steps_max)) return Refuse("--steps_max is no number");
      continue;
    }
    if (absl::StartsWith(argument, "--")) return Refuse(absl::StrCat("unknown flag ", argument));
    paths.emplace_back(argument);
  }
  if (model != "register" && model != "kv" && model != "counter" && model != "queue" && model != "lock") {
    return Refuse("--model is one of register, kv, counter, queue, lock");
  }
  if (paths.empty()) return Refuse("no file");
  int exit_code = 0;
  for (const std::string& path : paths) {
    // One that is not linearizable is a result, whatever is not known of others.
    const int of_file = CheckFile(path, model, limits);
    if (of_file != 0 && exit_code != 1) exit_code = of_file;
  }
  return exit_code;
}

}  // namespace
}  // namespace tandem::testing

int main(int argc, char** argv) { return tandem::testing::Main(std::vector<absl::string_view>(argv + 1, argv + argc)); }
