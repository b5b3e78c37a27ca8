// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/program.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace tandem::testing {
namespace {

// The shape of a step: what follows the verb. s socket, l listener, h host, f family, a address, p port, n number,
// o option, d direction.
struct Shape {
  absl::string_view name;
  Verb verb;
  absl::string_view arguments;
};
constexpr std::array kShapes = {
    Shape{"open", Verb::kOpen, "shf"},
    Shape{"set", Verb::kSet, "son"},
    Shape{"get", Verb::kGet, "so"},
    Shape{"bind", Verb::kBind, "sap"},
    Shape{"listen", Verb::kListen, "sn"},
    Shape{"connect", Verb::kConnect, "sap"},
    Shape{"accept", Verb::kAccept, "sl"},
    Shape{"try_accept", Verb::kTryAccept, "sl"},
    Shape{"write", Verb::kWrite, "sn"},
    Shape{"try_write", Verb::kTryWrite, "sn"},
    Shape{"flood", Verb::kFlood, "s"},
    Shape{"read", Verb::kRead, "sn"},
    Shape{"try_read", Verb::kTryRead, "sn"},
    Shape{"peek", Verb::kPeek, "sn"},
    Shape{"shutdown", Verb::kShutdown, "sd"},
    Shape{"close", Verb::kClose, "s"},
    Shape{"abort", Verb::kAbort, "s"},
    Shape{"local", Verb::kLocal, "s"},
    Shape{"peer", Verb::kPeer, "s"},
    Shape{"wait", Verb::kWait, ""},
    Shape{"open_datagram", Verb::kOpenDatagram, "shf"},
    Shape{"send", Verb::kSend, "sn"},
    Shape{"send_to", Verb::kSendTo, "sapn"},
    Shape{"receive", Verb::kReceive, "sn"},
};

bool ParseIndex(absl::string_view text, absl::string_view prefix, int limit, int* index) {
  return absl::ConsumePrefix(&text, prefix) && !text.empty() && absl::ascii_isdigit(text[0]) &&
         absl::SimpleAtoi(text, index) && *index < limit;
}

bool ParsePlace(absl::string_view text, Place* place) {
  *place = Place();
  if (text == "any4") {
    place->kind = Place::Kind::kAny4;
    return true;
  }
  if (text == "any6") {
    place->kind = Place::Kind::kAny6;
    return true;
  }
  if (text == "lo6") {
    place->kind = Place::Kind::kLoopback6;
    return true;
  }
  if (absl::ConsumePrefix(&text, "mapped")) place->kind = Place::Kind::kMapped;
  return ParseIndex(text, "@", kHosts, &place->host);
}

std::string PlaceToString(const Place& place) {
  switch (place.kind) {
    case Place::Kind::kHost:
      return absl::StrCat("@", place.host);
    case Place::Kind::kMapped:
      return absl::StrCat("mapped@", place.host);
    case Place::Kind::kAny4:
      return "any4";
    case Place::Kind::kAny6:
      return "any6";
    case Place::Kind::kLoopback6:
      return "lo6";
  }
  return "";
}

bool ParseArgument(char kind, absl::string_view word, Step* step) {
  switch (kind) {
    case 's':
      return ParseIndex(word, "s", kSockets, &step->socket);
    case 'l':
      return ParseIndex(word, "s", kSockets, &step->listener);
    case 'h':
      return ParseIndex(word, "@", kHosts, &step->place.host);
    case 'f':
      step->ipv6 = word == "v6";
      return word == "v6" || word == "v4";
    case 'a':
      return ParsePlace(word, &step->place);
    case 'p':
      return ParseIndex(word, "p", kPorts, &step->port);
    case 'n':
      return absl::SimpleAtoi(word, &step->value);
    case 'd':
      step->option = std::string(word);
      return word == "read" || word == "write";
    case 'o':
      step->option = std::string(word);
      return !word.empty();
    default:
      return false;
  }
}

std::string ArgumentToString(char kind, const Step& step) {
  switch (kind) {
    case 's':
      return absl::StrCat("s", step.socket);
    case 'l':
      return absl::StrCat("s", step.listener);
    case 'h':
      return absl::StrCat("@", step.place.host);
    case 'f':
      return step.ipv6 ? "v6" : "v4";
    case 'a':
      return PlaceToString(step.place);
    case 'p':
      return absl::StrCat("p", step.port);
    case 'n':
      return absl::StrCat(step.value);
    default:
      return step.option;
  }
}

}  // namespace

absl::StatusOr<Step> ParseStep(absl::string_view line) {
  const auto invalid = [&] { return absl::InvalidArgumentError(absl::StrCat("not a step: \"", line, "\"")); };
  const std::pair<absl::string_view, absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits('?', 1));
  const std::vector<absl::string_view> words = absl::StrSplit(halves.first, ' ', absl::SkipEmpty());
  if (words.empty()) return invalid();
  const auto* shape = std::find_if(kShapes.begin(), kShapes.end(), [&](const Shape& s) { return s.name == words[0]; });
  if (shape == kShapes.end() || words.size() != shape->arguments.size() + 1) return invalid();
  Step step;
  step.verb = shape->verb;
  for (size_t i = 0; i < shape->arguments.size(); ++i) {
    if (!ParseArgument(shape->arguments[i], words[i + 1], &step)) return invalid();
  }
  const std::vector<absl::string_view> hint = absl::StrSplit(halves.second, ' ', absl::SkipEmpty());
  if (!hint.empty()) {
    step.hint.emplace();
    if (!absl::SimpleAtoi(hint[0], &step.hint->bytes)) return invalid();
    step.hint->waited = hint.size() == 2 && hint[1] == "waited";
    if (hint.size() > 2 || (hint.size() == 2 && !step.hint->waited)) return invalid();
  }
  return step;
}

absl::StatusOr<Program> ParseProgram(absl::string_view text) {
  Program program;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    if (absl::ConsumePrefix(&line, "=>")) {
      if (program.steps.empty()) return absl::InvalidArgumentError("a result before the first step");
      program.steps.back().expected = std::string(absl::StripAsciiWhitespace(line));
      continue;
    }
    absl::StatusOr<Step> step = ParseStep(line);
    if (!step.ok()) return step.status();
    program.steps.push_back(*std::move(step));
  }
  return program;
}

std::string StepToString(const Step& step) {
  const auto* shape = std::find_if(kShapes.begin(), kShapes.end(), [&](const Shape& s) { return s.verb == step.verb; });
  std::string text(shape->name);
  for (char kind : shape->arguments) absl::StrAppend(&text, " ", ArgumentToString(kind, step));
  if (step.hint.has_value()) absl::StrAppend(&text, " ? ", step.hint->bytes, step.hint->waited ? " waited" : "");
  return text;
}

std::string ProgramToString(const Program& program) {
  std::string text;
  for (Step step : program.steps) {
    step.hint.reset();
    absl::StrAppend(&text, StepToString(step), "\n");
    if (!step.expected.empty()) absl::StrAppend(&text, "  => ", step.expected, "\n");
  }
  return text;
}

}  // namespace tandem::testing
