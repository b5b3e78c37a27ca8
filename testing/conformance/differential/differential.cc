// SPDX-License-Identifier: Apache-2.0
//
// Differential fuzzing of the simulator against the kernel; see kHelp.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tandem/testing/conformance/differential/differ.h"
#include "tandem/testing/conformance/differential/generator.h"
#include "tandem/testing/conformance/differential/minimiser.h"
#include "tandem/testing/conformance/differential/namespaces.h"
#include "tandem/testing/conformance/differential/program.h"

namespace tandem::testing {
namespace {

constexpr char kHelp[] =
    R"(Runs random socket programs in the simulator and on the kernel, and compares every result.

  --programs=N        how many programs (1000)
  --seed=S            which programs (1)
  --first=N           the number of the first one (0)
  --reactor=NAME      uring, epoll, or both: the kernel's reactor (both)
  --jobs=N            how many at the same time (2)
  --namespaces        hosts in network namespaces of their own, joined by a bridge: needs root and ip(8). Otherwise
                      hosts are addresses of the loopback interface
  --program=FILE      runs the program in FILE instead, and prints its results. /dev/stdin: standard input
  --show              prints the programs instead of running them
  --reports=N         how many differences are shown and made small (10)
  --help

A difference is shown as a program with the kernel's results ("=>") and the simulator's where they differ. In this form
it can be run again with --program, and kept as a test in regressions/. The last line is "programs N divergences D";
the exit code is 1 when D > 0.
)";

struct Flags {
  uint64_t programs = 1000;
  uint64_t seed = 1;
  uint64_t first = 0;
  std::string reactor = "both";
  int jobs = 2;
  bool namespaces = false;
  bool show = false;
  std::string program;
  uint64_t reports = 10;
};

// Nothing: exit with code 2.
std::optional<Flags> ParseFlags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (argument == "--help") {
      std::fputs(kHelp, stdout);
      std::exit(0);
    }
    bool good = false;
    if (absl::ConsumePrefix(&argument, "--programs=")) {
      good = absl::SimpleAtoi(argument, &flags.programs);
    } else if (absl::ConsumePrefix(&argument, "--seed=")) {
      good = absl::SimpleAtoi(argument, &flags.seed);
    } else if (absl::ConsumePrefix(&argument, "--first=")) {
      good = absl::SimpleAtoi(argument, &flags.first);
    } else if (absl::ConsumePrefix(&argument, "--reports=")) {
      good = absl::SimpleAtoi(argument, &flags.reports);
    } else if (absl::ConsumePrefix(&argument, "--jobs=")) {
      good = absl::SimpleAtoi(argument, &flags.jobs) && flags.jobs > 0 && flags.jobs <= 64;
    } else if (absl::ConsumePrefix(&argument, "--reactor=")) {
      flags.reactor = std::string(argument);
      good = argument == "uring" || argument == "epoll" || argument == "both";
    } else if (absl::ConsumePrefix(&argument, "--program=")) {
      flags.program = std::string(argument);
      good = !argument.empty();
    } else if (argument == "--namespaces") {
      good = flags.namespaces = true;
    } else if (argument == "--show") {
      good = flags.show = true;
    }
    if (!good) {
      std::fprintf(stderr, "%s: see --help\n", argv[i]);
      return std::nullopt;
    }
  }
  return flags;
}

class Fuzzer {
 public:
  Fuzzer(const Flags& flags, std::vector<Children> worlds, uint64_t shift)
      : flags_(flags), worlds_(std::move(worlds)), shift_(shift) {}

  uint64_t Run() {
    std::vector<std::thread> threads;
    threads.reserve(static_cast<size_t>(flags_.jobs));
    for (int i = 0; i < flags_.jobs; ++i) threads.emplace_back([this] { Work(); });
    for (std::thread& thread : threads) thread.join();
    std::fprintf(stderr, "differences that only a quick run showed: %llu\n",
                 static_cast<unsigned long long>(unconfirmed_.load()));
    return divergences_;
  }

 private:
  static constexpr int kMinimiserTries = 250;

  void Work() {
    std::vector<std::unique_ptr<Differ>> differs;
    differs.reserve(worlds_.size());
    for (const Children& children : worlds_) differs.push_back(std::make_unique<Differ>(children));
    for (;;) {
      const uint64_t index = next_++;
      if (index >= flags_.programs) break;
      const uint64_t number = flags_.first + index;
      const Program program = GenerateProgram(flags_.seed, number);
      for (const std::unique_ptr<Differ>& differ : differs) {
        if (std::optional<Difference> difference = differ->Compare(program, number + shift_)) {
          Report(*differ, number, *difference);
        }
      }
      ShowProgress();
    }
    for (const std::unique_ptr<Differ>& differ : differs) unconfirmed_ += differ->unconfirmed();
  }

  void Report(Differ& differ, uint64_t number, const Difference& difference) {
    const uint64_t ordinal = ++divergences_;
    std::string text =
        absl::StrCat("divergence ", ordinal, ": program ", number, " of seed ", flags_.seed, ", ", differ.name(), "\n");
    if (ordinal <= flags_.reports) {
      // In a loopback network that no earlier run has touched.
      uint64_t tries = 0;
      const Program small = Minimise(
          difference.program,
          [&](const Program& less) {
            return differ.CompareOnce(less, number + shift_ + ++tries * 250, /*quick=*/false).has_value();
          },
          kMinimiserTries);
      const std::optional<Difference> again =
          differ.CompareOnce(small, number + shift_ + ++tries * 250, /*quick=*/false);
      absl::StrAppend(&text, difference.ToString(), "# made small:\n",
                      again.has_value() ? again->ToString() : "# (it is gone)\n");
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
  }

  void ShowProgress() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++done_;
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_ < std::chrono::seconds(10)) return;
    shown_ = now;
    std::fprintf(stderr, "%llu of %llu programs, %llu divergences\n", static_cast<unsigned long long>(done_),
                 static_cast<unsigned long long>(flags_.programs),
                 static_cast<unsigned long long>(divergences_.load()));
  }

  const Flags flags_;
  const std::vector<Children> worlds_;
  const uint64_t shift_;  // Moves the addresses away from those of another run on this machine.
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> divergences_{0};
  std::atomic<uint64_t> unconfirmed_{0};
  std::mutex mutex_;
  uint64_t done_ = 0;
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
};

// Returns the exit code.
int RunFile(const std::string& path, const std::vector<Children>& worlds, uint64_t shift) {
  std::ifstream file(path);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    return 2;
  }
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const absl::StatusOr<Program> program = ParseProgram(text);
  if (!program.ok()) {
    std::fprintf(stderr, "%s\n", std::string(program.status().message()).c_str());
    return 2;
  }
  uint64_t divergences = 0;
  for (const Children& children : worlds) {
    Differ differ(children);
    const std::optional<Difference> difference = differ.CompareOnce(*program, shift, /*quick=*/false);
    std::printf("# %s: %s\n", children.name.c_str(), difference.has_value() ? "differs" : "as the simulator");
    if (difference.has_value()) {
      ++divergences;
      std::printf("%s", difference->ToString().c_str());
      continue;
    }
    ChildProcess sim(children.sim);
    Difference same;
    same.program = *program;
    same.sim = same.kernel = sim.Run(*program, shift, /*quick=*/false, children.network);
    std::printf("%s", same.ToString().c_str());
  }
  std::printf("programs 1 divergences %llu\n", static_cast<unsigned long long>(divergences));
  return divergences > 0 ? 1 : 0;
}

int Main(int argc, char** argv) {
  const std::optional<Flags> flags = ParseFlags(argc, argv);
  if (!flags.has_value()) return 2;
  if (flags->show) {
    for (uint64_t i = 0; i < flags->programs; ++i) {
      const uint64_t number = flags->first + i;
      std::printf("# program %llu of seed %llu\n%s\n", static_cast<unsigned long long>(number),
                  static_cast<unsigned long long>(flags->seed),
                  ProgramToString(GenerateProgram(flags->seed, number)).c_str());
    }
    return 0;
  }
  // A child that dies is a result.
  signal(SIGPIPE, SIG_IGN);
  std::optional<Namespaces> namespaces;
  if (flags->namespaces) {
    namespaces.emplace();
    if (!namespaces->ok()) {
      std::fprintf(stderr, "cannot make network namespaces: that needs root and ip(8)\n");
      return 2;
    }
  }
  std::vector<Children> worlds;
  for (const char* reactor : {"uring", "epoll"}) {
    if (flags->reactor != "both" && flags->reactor != reactor) continue;
    if (access(SiblingPath(absl::StrCat("differential_", reactor)).c_str(), X_OK) != 0) continue;
    worlds.push_back(
        ChildrenFor(reactor, namespaces.has_value() ? absl::StrJoin(namespaces->names(), ",") : std::string()));
  }
  if (worlds.empty()) {
    std::fprintf(stderr, "no child for --reactor=%s beside %s\n", flags->reactor.c_str(), argv[0]);
    return 2;
  }
  const uint64_t shift = static_cast<uint64_t>(getpid()) * 7919 % 60000;
  if (!flags->program.empty()) return RunFile(flags->program, worlds, shift);
  Flags limited = *flags;
  // Two programs in the same namespaces would meet.
  if (flags->namespaces) limited.jobs = 1;
  Fuzzer fuzzer(limited, std::move(worlds), shift);
  const uint64_t divergences = fuzzer.Run();
  std::printf("programs %llu divergences %llu\n", static_cast<unsigned long long>(flags->programs),
              static_cast<unsigned long long>(divergences));
  return divergences > 0 ? 1 : 0;
}

}  // namespace
}  // namespace tandem::testing

int main(int argc, char** argv) { return tandem::testing::Main(argc, argv); }
