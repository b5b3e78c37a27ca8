#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How near --cause comes to what makes a broken program fail, of 15 mutants.

From several first seeds on it looks for a failing seed of each, has the harness shrink it and measure from where on the
failure was inevitable (50 branches a step), and prints a table. Ends with 1 when
  no seed of 20000 fails;
  what is left of the scenario fails in another way than the seed, or has more faults than were ever left of it;
  --cause names no step;
  of more than a fifth of the mutants it names, from most first seeds, one that is more than two steps from the planted one.

The planted step is an event of the run that fails, and was chosen by what the mutant breaks, before anything was measured:
  where a fault makes the broken program fail (it forgets what it had, or takes a part for the whole), the last fault
  of the shrunk scenario that begins before the failure: the remark that says so, or the stop of the host, which is the same
  moment. Without any line of that scenario the seed passes, so that the program needs this fault, and needs no other
  after it;
  where the broken program takes a late message for a timely one, that message: the last of its kind before the failure,
  where it is sent by the one who is wrong, or where it arrives at him.
A step is a row of the table that says what led to the failure, and all rows of the moment that --cause names are one
step. The distance is that between the rows, so next to each other is 1. A planted event that has no row counts as not found.
"""

import argparse
import bisect
import concurrent.futures
import json
import os
import re
import statistics
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "determinism"))
sys.path.insert(0, os.path.join(HERE, "..", "shrink"))
import sim_program
from planted_cases import TIME, Shrunk, nothing_to_look_at

# So far apart that two first seeds never find the same one.
START_DISTANCE = 1_000_000
SEEDS = 20_000
BRANCHES = 50
NEAR = 2
# Of so many of the mutants most attempts have to be near.
LEAST_NEAR = 0.8
BEGINS = "fault begins: "
ROW = re.compile(r"^e(\d+) +\d+\.\d{9}  .*$", re.MULTILINE)


def last_fault(events, failure):
    """The remark that the last fault begins, and what it does to hosts at the same moment."""
    begins = [event for event in events if event.get("text", "").startswith(BEGINS) and event["event"] < failure["event"]]
    if not begins:
        return []
    remark = begins[-1]
    stops = [event for event in events if event.get("kind") in ("host_crash", "host_pause") and
             event["time_ns"] == remark["time_ns"] and event["event"] > remark["event"]]
    return [remark, *stops[:1]]


def packets(events, kind, failure):
    """Those before the failure, with what they carry."""
    for event in events:
        if event.get("kind") == kind and event["event"] < failure["event"]:
            words = event.get("packet", {}).get("payload", "").split()
            if words:
                yield event, words


def late_release(events, failure):
    """A release of a token arrives when a later one has been granted."""
    granted = [(event["event"], int(words[1])) for event, words in packets(events, "packet_sent", failure)
               if event["host"] == "lock" and words[0] == "TOKEN"]
    late = [event for event, words in packets(events, "packet_delivered", failure)
            if event["host"] == "lock" and words[0] == "RELEASE" and
            any(number < event["event"] and token > int(words[1]) for number, token in granted)]
    return late[-1:]


def wrong_relay(events, failure):
    """A member sends on an answer, as one to another question, to the member that takes it for that."""
    sent = [event for event, words in packets(events, "packet_sent", failure)
            if words[0] == "ACK" and words[1] != words[3] and event["packet"].get("to") == failure["host"] and
            0 <= event["packet"].get("arrival_ns", -1) <= failure["time_ns"]]
    return sent[-1:]


def old_list(events, failure):
    """A list arrives at the member that believes it."""
    arrived = [event for event, words in packets(events, "packet_delivered", failure)
               if words[0] == "LIST" and event["host"] == failure["host"]]
    return arrived[-1:]


class Case:
    """A mutant and its planted step."""

    def __init__(self, name, planted, faults):
        self.path = "testing/mutants/" + name
        self.name = name.split("/")[1]
        self.planted = planted
        self.faults = faults  # That the shrunk scenario may have: the most that was seen from three first seeds.


CASES = (
    Case("dedup/no_epoch", last_fault, 1),
    Case("dedup/table_in_memory", last_fault, 2),
    Case("dedup/two_files", last_fault, 13),
    Case("echo/end_before_rest", last_fault, 3),
    Case("echo/short_write", last_fault, 1),
    Case("kv/drop_partial_read", last_fault, 1),
    Case("lease/release_without_token", late_release, 2),
    Case("lease/restart_forgets_lease", last_fault, 1),
    Case("lease/token_in_memory", last_fault, 3),
    Case("membership/list_overwrites", old_list, 1),
    Case("membership/relay_of_asker", wrong_relay, 2),
    Case("primary_backup/restart_unnoticed", last_fault, 1),
    Case("primary_backup/silent_backup_is_ignored", last_fault, 2),
    Case("two_phase/unknown_is_committed", last_fault, 2),
    Case("two_phase/vote_before_prepared", last_fault, 3),
)


def distance(rows, cause, planted):
    """How many rows lie between the events from cause[0] to cause[1] and `planted`, which has one; 0 if it is among them."""
    first, last = cause
    if planted < first:
        return bisect.bisect_left(rows, first) - rows.index(planted)
    if planted > last:
        return rows.index(planted) - (bisect.bisect_right(rows, last) - 1)
    return 0


def inevitable(likelihood):
    """The first of the steps from which on nine branches of ten fail, as InevitableFrom() says; None: there is none."""
    found = None
    for at in reversed(likelihood):
        if at["failed"] * 10 < (at["branches"] - at["otherwise"]) * 9 or at["failed"] * 5 < at["branches"]:
            break
        found = at
    return found


class Report:
    """What the folder of a failure says."""

    def __init__(self, outputs):
        (name, ) = os.listdir(outputs)
        with open(os.path.join(outputs, name, "report.json"), encoding="utf-8") as file:
            self.json = json.load(file)
        with open(os.path.join(outputs, name, "trace.jsonl"), encoding="utf-8") as file:
            self.events = [event for event in map(json.loads, file) if "event" in event]
        # The expectation, where there is one: other messages have values, which are other ones each time.
        expected = re.search(r":\d+: ((?:Expected|Value of): .*?)(?:, actual|\n|$)", self.json["message"])
        self.identity = (self.json["place"], expected and expected.group(1))


class Attempt:
    """A failing seed of a case, from a first seed on: what is left of its scenario, and which step --cause names."""

    def __init__(self, case, start):
        self.case, self.start = case, start
        self.problems = []
        self.distance = self.cause = self.planted = self.shrunk = None
        self.seconds_apart = self.branches = 0
        program = sim_program.Program(case.path)
        plain = ("--jobs=1", "--check_determinism=none")
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            shrunk, seed = os.path.join(folder, "shrunk"), os.path.join(folder, "seed")
            self.run = program.run("--fail_fast", "--seed_start=%d" % (start * START_DISTANCE + 1), "--seeds=%d" % SEEDS,
                                   "--cause=%d" % BRANCHES, "--out=" + shrunk, TIME, *plain)
            self.seconds = time.monotonic() - begin
            nothing = nothing_to_look_at(self.run, SEEDS)
            if nothing is not None:
                self.problems.append(nothing)
                return
            (self.seed, ) = self.run.failures
            self.shrunk = Shrunk(self.run)
            program.run("--seed=%d" % self.seed, "--shrink=0", "--out=" + seed, *plain)
            self.look_at(Report(shrunk), Report(seed))

    def look_at(self, report, of_seed):
        if report.identity != of_seed.identity:
            self.problems.append("fails by %s, and the seed by %s" % (report.identity, of_seed.identity))
        if len(self.shrunk.faults) > self.case.faults:
            self.problems.append("%d faults are left, not %d" % (len(self.shrunk.faults), self.case.faults))
        self.branches = sum(at["branches"] for at in report.json["likelihood"])
        table = self.run.output.split("--- what led to it:\n", 1)[1].split("\n---", 1)[0]
        rows = [int(number) for number in ROW.findall(table)]
        numbers = {event["event"]: event for event in report.events}
        failure = numbers[report.json["slice"][-1]]
        cause = inevitable(report.json["likelihood"])
        if cause is None:
            self.problems.append("--cause names no step")
        else:
            self.cause = numbers[cause["first"]]
        planted = self.case.planted(report.events, failure)
        if planted:
            self.planted = planted[0]
        in_rows = [event for event in planted if event["event"] in rows]
        if cause is not None and in_rows:
            self.distance, self.planted = min(
                ((distance(rows, (cause["first"], cause["last"]), event["event"]), event) for event in in_rows),
                key=lambda one: one[0])
        if self.cause and self.planted:
            self.seconds_apart = (self.cause["time_ns"] - self.planted["time_ns"]) / 1e9

    @property
    def near(self):
        return self.distance is not None and self.distance <= NEAR


def attempt_all(cases, starts, jobs):
    """Yields lists of what became of each case."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [[pool.submit(Attempt, case, start) for start in starts] for case in cases]
        for of_case in futures:
            yield [future.result() for future in of_case]


def brief(event):
    if event is None:
        return "-"
    if "packet" in event:
        payload = event["packet"].get("payload", "").split() or ["a packet"]
        verb = "sends" if event.get("kind") == "packet_sent" else "gets"
        text = "%s %s" % (verb, payload[0] if payload[0].isupper() else "%d bytes" % event["packet"]["size"])
    elif event["source"] == "failure":
        text = "fails"
    elif event["source"] == "trace":
        text = event.get("verb") or event["kind"]
    else:
        text = " ".join(event["text"].removeprefix(BEGINS).split()[:2])
    return " ".join(filter(None, [event.get("host", ""), text]))


HEAD = """| mutant | planted step | named by `--cause` | steps between | s between | faults left | runs to shrink | branches | s |
|---|---|---|--:|--:|--:|--:|--:|--:|"""


def row(attempts):
    """A line of the table: of each attempt, one after the other."""
    def of_each(text):
        return ", ".join(map(text, attempts))

    return "| `%s` | %s | %s | %s | %s | %s | %s | %s | %s |" % (
        attempts[0].case.name,
        of_each(lambda one: brief(one.planted)),
        of_each(lambda one: brief(one.cause)),
        of_each(lambda one: "-" if one.distance is None else str(one.distance)),
        of_each(lambda one: "%.4g" % abs(one.seconds_apart) if one.cause and one.planted else "-"),
        of_each(lambda one: "-" if one.shrunk is None else str(len(one.shrunk.faults))),
        of_each(lambda one: "-" if one.shrunk is None else str(one.shrunk.runs)),
        of_each(lambda one: str(one.branches)),
        of_each(lambda one: "%.0f" % one.seconds))


def main():
    description, more = __doc__.split("\n", 1)
    parser = argparse.ArgumentParser(description=description, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, metavar="N", help="first seeds of each mutant (default %(default)s)")
    parser.add_argument("--cases", metavar="NAME,...", help="these only")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at once (default %(default)s)")
    parser.add_argument("--show", action="store_true", help="show what the runs print that are not near")
    arguments = parser.parse_args()
    names = arguments.cases.split(",") if arguments.cases else [case.name for case in CASES]
    cases = [case for case in CASES if case.name in names]
    if len(cases) != len(names):
        parser.error("--cases: there are " + ", ".join(case.name for case in CASES))

    print(HEAD, flush=True)
    everything = []
    for attempts in attempt_all(cases, range(arguments.starts), arguments.jobs):
        print(row(attempts), flush=True)
        for attempt in attempts:
            if arguments.show and not attempt.near:
                print(attempt.run.output[attempt.run.output.find("--- this much"):].split("\n[sim]", 1)[0], file=sys.stderr, flush=True)
        everything.append(attempts)
    print()
    wrong = 0
    for attempts in everything:
        for attempt in attempts:
            if attempt.problems:
                wrong += 1
                print("%s from seed %d on: %s" % (attempt.case.name, attempt.start * START_DISTANCE + 1,
                                                  "; ".join(attempt.problems)))
    near = sum(attempt.near for attempts in everything for attempt in attempts)
    all_near = sum(all(attempt.near for attempt in attempts) for attempts in everything)
    most_near = sum(2 * sum(attempt.near for attempt in attempts) > len(attempts) for attempts in everything)
    count = sum(map(len, everything))
    print("%d of %d within %d steps; of %d mutants %d from each first seed, %d from most" % (
        near, count, NEAR, len(cases), all_near, most_near))
    sys.exit(1 if wrong or most_near < LEAST_NEAR * len(cases) else 0)


if __name__ == "__main__":
    main()
