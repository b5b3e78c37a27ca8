// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/differ.h"

#include <unistd.h>

#include <cstddef>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tandem/testing/conformance/differential/classes.h"

namespace tandem::testing {

Hint HintFromResult(absl::string_view result) {
  Hint hint;
  hint.waited = absl::StrContains(result, "waited");
  size_t digits = 0;
  while (digits < result.size() && absl::ascii_isdigit(result[digits])) ++digits;
  if (digits > 0) CHECK(absl::SimpleAtoi(result.substr(0, digits), &hint.bytes));
  return hint;
}

std::string Difference::ToString() const {
  const std::vector<std::string> sim_classes = Classify(program, sim.lines);
  const std::vector<std::string> kernel_classes = Classify(program, kernel.lines);
  std::string text;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    Step step = program.steps[i];
    step.hint.reset();
    absl::StrAppend(&text, StepToString(step), "\n");
    if (i < kernel.lines.size()) absl::StrAppend(&text, "  => ", kernel.lines[i], "\n");
    const bool equal = i < sim_classes.size() && i < kernel_classes.size() && sim_classes[i] == kernel_classes[i];
    if (!equal && i < sim.lines.size()) absl::StrAppend(&text, "  # the simulator: ", sim.lines[i], "\n");
  }
  if (!kernel.failure.empty()) absl::StrAppend(&text, "# the kernel's child ", kernel.failure, "\n");
  if (!sim.failure.empty()) absl::StrAppend(&text, "# the simulator's child ", sim.failure, "\n");
  return text;
}

std::string SiblingPath(absl::string_view name) {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  PCHECK(size > 0);
  const absl::string_view self(path, static_cast<size_t>(size));
  return absl::StrCat(self.substr(0, self.rfind('/') + 1), name);
}

Children ChildrenFor(const std::string& reactor, const std::string& namespaces) {
  Children children;
  children.name = reactor;
  children.sim = {SiblingPath("differential_sim")};
  // epoll does not read ahead; the simulator can do both.
  if (reactor == "epoll") children.sim.push_back("--no_read_ahead");
  children.kernel = {SiblingPath(absl::StrCat("differential_", reactor))};
  if (!namespaces.empty()) {
    children.sim.push_back("--distant");
    children.kernel.push_back(absl::StrCat("--namespaces=", namespaces));
    children.network = "10.77.0";
  }
  return children;
}

std::optional<Difference> Differ::CompareOnce(const Program& program, uint64_t number, bool quick) {
  Difference result;
  result.program = program;
  for (Step& step : result.program.steps) step.hint.reset();
  result.sim = sim_.Run(result.program, number, quick, network_);
  for (size_t i = 0; i < result.sim.lines.size(); ++i) {
    result.program.steps[i].hint = HintFromResult(result.sim.lines[i]);
  }
  result.kernel = kernel_.Run(result.program, number, quick, network_);
  if (result.sim.failure.empty() && result.kernel.failure.empty() &&
      Classify(program, result.sim.lines) == Classify(program, result.kernel.lines)) {
    return std::nullopt;
  }
  return result;
}

std::optional<Difference> Differ::Compare(const Program& program, uint64_t number) {
  std::optional<Difference> first = CompareOnce(program, number, /*quick=*/true);
  if (!first.has_value()) return std::nullopt;
  // A child that died or hung has said enough.
  if (!first->sim.failure.empty() || !first->kernel.failure.empty()) return first;
  sim_.Stop();
  kernel_.Stop();
  std::optional<Difference> second = CompareOnce(program, number, /*quick=*/false);
  if (!second.has_value()) ++unconfirmed_;
  return second;
}

}  // namespace tandem::testing
