#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the files of a report's folder as other programs read them.

Usage: check_files.py FOLDER SCHEMAS    prints each problem, then `events: N` and exits with 1 if there was one.
"""

import collections
import json
import os
import re
import sys

try:
    import jsonschema
except ImportError:
    sys.exit("python3-jsonschema is not installed: run tools/setup")

problems = []


def problem(*words):
    problems.append(words)
    print(*words)


def unique(pairs):
    """A JSON object, none of whose keys comes twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice: %s" % pairs)
    return found


def parse(text):
    return json.loads(text, object_pairs_hook=unique)


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8", newline="") as file:
        return file.read()


def check_schema(validator, what, value):
    for error in validator.iter_errors(value):
        problem(what, error.message[:300], list(error.absolute_path))


def check_trace_json(text):
    """The rules of the trace event format, as Perfetto reads it. Returns the events of the run."""
    trace = parse(text)
    events, order, begun, names, slices = set(), [], {}, set(), collections.defaultdict(list)
    flows = collections.defaultdict(list)
    for event in trace["traceEvents"]:
        thread = (event["pid"], event["tid"])
        phase = event["ph"]
        if phase == "M":
            names.add((event["name"], *(thread if event["name"].startswith("thread") else thread[:1])))
            continue
        if ("process_name", event["pid"]) not in names:
            problem("trace.json: a process without a name:", event)
        if phase == "X":
            if ("thread_name", *thread) not in names:
                problem("trace.json: a thread without a name:", event)
            begin = round(event["ts"] * 1000)
            slices[thread].append((begin, begin + round(event["dur"] * 1000)))
            if "event" in event.get("args", {}):
                events.add(event["args"]["event"])
                order.append((event["args"]["event"], begin))
        elif phase == "b":
            begun[(event["cat"], event["id"])] = event["ts"]
        elif phase == "e":
            if begun.pop((event["cat"], event["id"]), float("inf")) > event["ts"]:
                problem("trace.json: ends before it begins:", event)
        elif phase in "sf":
            flows[event["id"]].append((phase, thread, round(event["ts"] * 1000)))
        else:
            problem("trace.json: an unknown phase:", event)
    for key in begun:
        problem("trace.json: never ends:", key)
    for (first, begin), (second, next_begin) in zip(order, order[1:]):
        if first >= second or begin >= next_begin:
            problem("trace.json: events are not in their order:", first, second)
    starts = {thread: {begin for begin, _ in parts} for thread, parts in slices.items()}
    for thread, parts in slices.items():
        parts.sort()
        for (_, end), (begin, _) in zip(parts, parts[1:]):
            if begin < end:
                problem("trace.json: slices of a thread overlap:", thread, begin)
    for number, ends in flows.items():
        if [phase for phase, _, _ in ends] != ["s", "f"] or ends[0][2] >= ends[1][2]:
            problem("trace.json: an arrow needs two ends, one behind the other:", number, ends)
        for _, thread, time in ends:
            if time not in starts.get(thread, ()):
                problem("trace.json: an arrow without a slice:", number, thread, time)
    return events


def main():
    folder, schemas = sys.argv[1:]
    line_schema, report_schema = (parse(read(schemas, name)) for name in ("trace_line.schema.json", "report.schema.json"))
    for schema in (line_schema, report_schema):
        jsonschema.Draft7Validator.check_schema(schema)
    line_validator = jsonschema.Draft7Validator(line_schema)

    report = parse(read(folder, "report.json"))
    check_schema(jsonschema.Draft7Validator(report_schema), "report.json", report)
    if sorted(report["files"] + ["report.json"]) != sorted(os.listdir(folder)):
        problem("report.json: not the files of the folder:", report["files"], os.listdir(folder))

    traced, next_number = set(), 0
    for line in read(folder, "trace.jsonl").split("\n")[:-1]:
        value = parse(line)
        check_schema(line_validator, "trace.jsonl: " + line[:100], value)
        gap = value.get("left_out", {"first": value.get("event"), "last": value.get("event")})
        if gap["first"] != next_number:
            problem("trace.jsonl: neither there nor left out:", next_number)
        next_number = gap["last"] + 1
        if "event" in value:
            traced.add(value["event"])
    if next_number != report["events"]["all"]:
        problem("trace.jsonl: ends too early:", next_number)
    left_out = {e for gap in report["events"]["left_out"] for e in range(gap["first"], gap["last"] + 1)}
    if traced | left_out != set(range(next_number)) or traced & left_out:
        problem("report.json: other events are left out than in trace.jsonl")

    timeline = re.findall(r"^e(\d+) +([*-]) ", read(folder, "timeline.txt"), re.MULTILINE)
    if {int(number) for number, _ in timeline} != traced:
        problem("timeline.txt: other events than in trace.jsonl")
    if [int(number) for number, mark in timeline if mark == "*"] != [e for e in report["slice"] if e in traced]:
        problem("timeline.txt: another slice than in report.json")
    if check_trace_json(read(folder, "trace.json")) != traced:
        problem("trace.json: other events than in trace.jsonl")
    if not {int(number) for number in re.findall(r"^e(\d+) ", read(folder, "log.txt"), re.MULTILINE)} <= traced:
        problem("log.txt: other events than in trace.jsonl")

    operations = 0
    for name in [name for name in report["files"] if name.startswith("history")]:
        number = 0
        for line in read(folder, name).split("\n")[:-1]:
            gap = parse(line).get("left_out", {"first": number, "last": number})
            if gap["first"] != number:
                problem(name + ": neither there nor left out:", number)
            number = gap["last"] + 1
        operations += number
    if operations != report["operations"]["all"]:
        problem("history.jsonl: operations are missing:", operations)

    print("events: %d" % len(traced))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
