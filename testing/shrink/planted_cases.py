#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The planted bugs, what is the least that each needs, and what the harness leaves of a failing seed's scenario.

Run by itself it looks for a failing seed of each from several first seeds on, and prints a table. Ends with 1 when
  no seed of a hundred fails;
  more is left than the least (of operations, than three more), or less;
  it takes more than 500 runs, or is not finished by then;
  what is left fails in another way than the seed.
"""

import argparse
import concurrent.futures
import itertools
import os
import re
import statistics
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "determinism"))
import sim_program

PROGRAM_PATH = "testing/shrink/planted_program"
SHRUNK = re.compile(r"^--- this much of its scenario fails in the same way, after (\d+) runs?(.*?), as text for "
                    r"--scenario=FILE:\n(.*?)^---$", re.MULTILINE | re.DOTALL)
# Seconds, more than the machine needs: the budget is one of runs.
TIME = "--shrink=200"
# So far apart that two first seeds never find the same one.
START_DISTANCE = 1000
SEEDS = 100
RUNS = 500
# More operations than needed that may be left, and more often that a task is held back.
SPARE_OPERATIONS = 3
SPARE_HOLDS = 10
SPARE_DECISIONS = 3
# The decisions that can be calm: what else IsFate() of sim/random/choices.h says.
FATES = 25
OTHER_LINES = ("seed", "test", "schedule", "start", "clock", "knob", "fail", "calm", "skip")

STOP = "(?:crash|kill) "
CUT = "(?:partition|partition-one-way|clog) "


class Case:
    """A planted bug and the least that it needs."""

    def __init__(self, name, needs, runs, faults=(), operations=None, schedule=False, starts=0, clocks=0, knobs=0, fails=0,
                 fates=0, holds=None, decisions=None):
        self.name = name
        self.needs = needs  # In words.
        self.runs = runs  # At most, from the first seeds of shrink_test.
        self.faults = faults  # A pattern for each.
        self.operations = operations  # (how many there are, how many are needed); None: it has none.
        self.schedule = schedule
        self.starts, self.clocks, self.knobs, self.fails, self.fates = starts, clocks, knobs, fails, fates
        self.holds = holds  # How often a task must be held back; None: it does not say.
        self.decisions = decisions  # The kind of which single decisions may be left to chance, and how many; None: any.


CASES = (
    Case("CrashesWhenStartedAgain", "a crash or a kill", 40, faults=(STOP, )),
    Case("ForgetsWhatFailed", "a fault, an operation", 80, faults=("", ), operations=(30, 1)),
    Case("LosesBothCopies", "two faults of different hosts", 80, faults=(STOP + ".*left", "(?:pause|late-timers) .*right")),
    Case("AnswersBeforeItIsCopied", "a partition and a crash while it holds, an operation", 190, faults=(CUT, STOP),
         operations=(30, 1)),
    Case("TearsARecord", "a crash at a certain call, an operation", 150, faults=(STOP + ".* at call ", ), operations=(30, 1)),
    Case("IgnoresAFailedCall", "a call that fails, an operation", 60, fails=1, operations=(30, 1)),
    Case("IsAskedFromTheFuture", "a clock, an operation", 25, clocks=1, operations=(30, 1)),
    Case("StartsTheOtherWayRound", "two starts", 20, starts=2),
    Case("TakesAGapForNothing", "a lost datagram and one behind it", 120, faults=("", ), operations=(30, 2)),
    Case("TakesANumberTwice", "a datagram that comes twice", 120, faults=("(?:segment-)?duplicate ", ), operations=(30, 1)),
    Case("BelievesInOrder", "a datagram and one that overtakes it", 220, faults=("", ), operations=(30, 2), fates=1),
    Case("SendsHalfOfItAgain", "a reset during a large write", 150, faults=("(?:reset|half-open|accept-aborted) ", ), operations=(30, 1)),
    Case("ReadsAPart", "a short read or write, an operation", 150, faults=("short-(?:reads|writes) ", ), operations=(30, 1),
         fates=1),
    Case("LosesAWakeUp", "a schedule", 20, schedule=True),
    Case("LosesAWakeUpInACrowd", "a schedule that holds one task of seven back", 20, schedule=True, holds=1),
    Case("LosesAWakeUpAfterAFailure", "a schedule, a fault, an operation", 190, faults=("", ), schedule=True,
         operations=(30, 1), holds=1),
    Case("ThrowsWhenLarge", "a knob", 10, knobs=1),
    Case("HasNoRoomForIt", "a knob, an operation", 30, knobs=1, operations=(30, 1)),
    Case("FailsAfterThreeStages", "three operations in this order", 40, operations=(30, 3)),
    Case("ForgetsWhatIsOpen", "two operations and a crash between them", 220, faults=(STOP, ), operations=(30, 2)),
    Case("WritesAfterItsLease", "a pause", 60, faults=("pause ", )),
    Case("MissesOneOfManyAtOnce", "a lost datagram among 200 that are sent at once", 100, faults=("loss ", ), fates=1,
         decisions=("loss", 1)),
    Case("LosesAnAddition", "a hand-off among 1,000", 100, schedule=True, holds=1, decisions=("schedule", 1)),
    Case("CountsWhatFailed", "a fault and two operations; with less, another bug shows", 80, faults=("", ),
         operations=(30, 2)),
)


class Shrunk:
    """What is left of the scenario of the first failure of a run."""

    def __init__(self, run):
        found = SHRUNK.search(run.output)
        assert found is not None, run.output
        self.runs = int(found.group(1))
        self.finished = found.group(2) == ""
        self.text = found.group(3)
        lines = [re.sub(r" +# .*", "", line) for line in self.text.splitlines()]  # Without remarks.
        self.faults = [line for line in lines if line.split()[0] not in OTHER_LINES]
        self.of = lambda word: [line for line in lines if line.split()[0] == word]
        # Those of which some are calm and others not are left.
        calmed = {kind for line in self.of("calm") for kind in line.split()[1].split(",") if line.endswith(" *")}
        self.fates = 0 if "*" in calmed else FATES - len(calmed)

    def decisions(self, kind):
        """How many decisions of this kind are left to chance, of all flows or tasks; None: nobody knows."""
        calm = {}
        free = set()
        for line in self.of("calm"):
            words = re.fullmatch(r"calm (\S+) (\S+)(?: but (\S+))?(?: from (\d+))?(?: to (\d+))?", line)
            if words is None or words.group(1) != kind:
                continue
            _, whom, but, begin, end = words.groups()
            if but is None:
                calm.setdefault(whom, []).append((int(begin or 0), None if end is None else int(end)))
            else:
                free = set(but.split(","))
        # Without a word about the others there are none, or they are free.
        free = free or set(calm)
        if len(free) != 1 and "*" in free:
            return None
        counts = [self._left(calm.get(whom, []) + (calm.get("*", []) if whom != "*" else [])) for whom in free]
        return None if not counts or None in counts else sum(counts)

    @staticmethod
    def _left(ranges):
        """How many numbers are in none of `ranges`; None: no end."""
        end = min((begin for begin, to in ranges if to is None), default=None)
        if end is None:
            return None
        return sum(1 for n in range(end) if not any(begin <= n < to for begin, to in ranges if to is not None))

    def steps(self, count):
        """How many of `count` operations are left."""
        left = set(range(count))
        for line in self.of("skip"):
            numbers = [int(number) for number in re.findall(r"\d+", line.split(" ", 2)[2])]
            left -= set(range(numbers[0], numbers[1] if len(numbers) == 2 else numbers[0] + 1))
        return len(left)


def identity(run):
    """What went wrong, by what the planted bugs say themselves."""
    (failure, ) = run.failures.values()
    for pattern in (r"bug: [^;\n]*", r"planted_program\.cc:\d+\] Check failed", r"an exception left[^:]*main of host host"):
        found = re.search(pattern, run.output)
        if found is not None:
            return found.group(0)
    found = re.search(r"planted_program\.cc:\d+", failure.message)
    return failure.message if found is None else found.group(0)


def nothing_to_look_at(run, seeds):
    """Why `run`, of so many seeds, tells nothing; None: one has failed and was shrunk."""
    if run.exit_code != 1 or len(run.failures) != 1:
        return "no seed of %d fails" % seeds
    return "nothing was shrunk" if SHRUNK.search(run.output) is None else None


class Attempt:
    """A failing seed of a case, from a first seed on, what is left of its scenario, and what is wrong about that."""

    def __init__(self, program, case, start, *flags):
        self.case, self.start = case, start
        self.problems = []
        self.shrunk = None
        self.holds = None
        self.other_identity = False
        begin = time.monotonic()
        only = "--gtest_filter=Planted." + case.name
        self.run = program.run(only, "--fail_fast", "--jobs=1", "--check_determinism=none", "--report=false",
                               "--seed_start=%d" % (start * START_DISTANCE + 1), "--seeds=%d" % SEEDS, TIME, *flags)
        self.seconds = time.monotonic() - begin
        nothing = nothing_to_look_at(self.run, SEEDS)
        if nothing is not None:
            self.problems.append(nothing)
            return
        self.shrunk = Shrunk(self.run)
        with tempfile.NamedTemporaryFile("w", suffix=".scenario") as file:
            file.write(self.shrunk.text)
            file.flush()
            self.again = program.run(only, "--scenario=" + file.name, "--report=false")
        if self.again.exit_code != 1 or identity(self.again) != identity(self.run):
            self.other_identity = True
            self.problems.append("what is left does not fail in the same way")
        self.look_at_what_is_left()

    def look_at_what_is_left(self):
        case, shrunk = self.case, self.shrunk
        self.expect(shrunk.finished, "not finished")
        self.expect(shrunk.runs <= RUNS, "%d runs" % shrunk.runs)
        orders = itertools.permutations(shrunk.faults) if len(shrunk.faults) == len(case.faults) else ()
        self.expect(any(all(map(re.match, case.faults, order)) for order in orders), "other faults")
        self.expect((shrunk.of("schedule") != ["schedule fifo"]) == case.schedule, "another schedule")
        for word, count in (("start", case.starts), ("clock", case.clocks), ("knob", case.knobs), ("fail", case.fails)):
            self.expect(len(shrunk.of(word)) == count, "%d lines `%s`, not %d" % (len(shrunk.of(word)), word, count))
        self.expect(shrunk.fates <= case.fates, "%d kinds of chance, at most %d" % (shrunk.fates, case.fates))
        if case.decisions is not None:
            kind, count = case.decisions
            self.expect(shrunk.decisions(kind) in range(1, count + SPARE_DECISIONS + 1),
                        "%s decisions of %s, not %d" % (shrunk.decisions(kind), kind, count))
        self.operations = 0
        if case.operations is not None:
            count, least = case.operations
            self.operations = shrunk.steps(count)
            self.expect(least <= self.operations <= least + SPARE_OPERATIONS,
                        "%d operations, not %d" % (self.operations, least))
        holds = re.search(r"held back: (\d+)", self.again.output)
        self.holds = None if holds is None else int(holds.group(1))
        if case.holds is not None:
            self.expect(holds is not None, "it does not say how often a task was held back")
            self.expect(self.holds is None or self.holds <= case.holds + SPARE_HOLDS,
                        "held back %s times, not %d" % (self.holds, case.holds))

    def expect(self, holds, problem):
        if not holds:
            self.problems.append(problem)


def attempt_all(program, cases, starts, jobs):
    """Yields lists of what became of each case."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [[pool.submit(Attempt, program, case, start) for start in starts] for case in cases]
        for of_case in futures:
            yield [future.result() for future in of_case]


def span(numbers):
    return "%d to %d" % (min(numbers), max(numbers)) if min(numbers) != max(numbers) else "%d" % numbers[0]


def row(attempts):
    """A line of the table."""
    case = attempts[0].case
    known = [attempt for attempt in attempts if attempt.shrunk is not None]
    good = sum(not attempt.problems for attempt in attempts)
    if not known:
        return "| `%s` | %s | %d of %d | | | | | |" % (case.name, case.needs, good, len(attempts))
    runs = [attempt.shrunk.runs for attempt in known]
    holds = "" if case.holds is None else span([attempt.holds for attempt in known if attempt.holds is not None])
    operations = "" if case.operations is None else span([attempt.operations for attempt in known])
    return "| `%s` | %s | %d of %d | %s | %s | %s | %d, %g, %d | %.1f |" % (
        case.name, case.needs, good, len(attempts), span([len(attempt.shrunk.faults) for attempt in known]), operations, holds,
        min(runs), statistics.median(runs), max(runs), max(attempt.seconds for attempt in known))


HEAD = """| case | the least that it needs | reached | faults | operations | holds | runs: least, median, most | s, most |
|---|---|--:|--:|--:|--:|--:|--:|"""


def main():
    description, more = __doc__.split("\n", 1)
    parser = argparse.ArgumentParser(description=description, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=20, metavar="N", help="first seeds of each case (default %(default)s)")
    parser.add_argument("--cases", metavar="NAME,...", help="these only")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="so many at once (default %(default)s)")
    arguments = parser.parse_args()
    names = arguments.cases.split(",") if arguments.cases else [case.name for case in CASES]
    cases = [case for case in CASES if case.name in names]
    if len(cases) != len(names):
        parser.error("--cases: there are " + ", ".join(case.name for case in CASES))

    program = sim_program.Program(PROGRAM_PATH)
    print(HEAD, flush=True)
    everything = []
    for attempts in attempt_all(program, cases, range(arguments.starts), arguments.jobs):
        print(row(attempts), flush=True)
        everything += attempts
    print()
    for attempt in everything:
        if attempt.problems:
            print("%s from seed %d on: %s" % (attempt.case.name, attempt.start * START_DISTANCE + 1, "; ".join(attempt.problems)))
            if attempt.shrunk is not None:
                print(attempt.shrunk.text)
    known = [attempt for attempt in everything if attempt.shrunk is not None]
    wrong = [attempt for attempt in everything if attempt.problems]
    print("%d of %d are as small as they are known to be; the median has %g faults; %d of %d shrinks end in another identity" % (
        len(everything) - len(wrong), len(everything), statistics.median(len(attempt.shrunk.faults) for attempt in known),
        sum(attempt.other_identity for attempt in known), len(known)))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
