#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A failing seed says in the terminal what led to its failure."""

import json
import os
import re
import signal
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "determinism"))
import sim_program

PROGRAM = sim_program.Program("testing/shrink/planted_program")
STORY = re.compile(r"^--- in words:\n(.*?)^--- what led to it:\n(.*?)^---$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^e(\d+) +(\d+\.\d{9})  (.*)$", re.MULTILINE)


class Story:
    """What is told of the first failure of a run."""

    def __init__(self, run):
        found = STORY.search(run.output)
        assert found is not None, run.output
        self.output = run.output
        self.sentences = found.group(1).splitlines()
        self.table = found.group(2)
        self.rows = [(int(number), float(time), text) for number, time, text in ROW.findall(self.table)]


class ExplainTest(unittest.TestCase):
    def explain(self, name, *flags):
        run = PROGRAM.run("--gtest_filter=Planted." + name, "--fail_fast", "--jobs=1", "--check_determinism=none",
                          "--shrink=200", *flags)
        self.assertEqual(run.exit_code, 1, run.output)
        story = Story(run)
        self.assertGreater(len(story.rows), 0, run.output)
        self.assertLessEqual(len(story.rows), 40, story.table)
        self.assertEqual(story.rows, sorted(story.rows), story.table)
        self.assertIn("FAILS: ", story.rows[-1][2])
        for line in story.table.splitlines():
            self.assertLessEqual(len(line), 160, line)
        return story

    def assertInOrder(self, story, *parts):
        """Each of `parts` is in a row of its own, in this order."""
        rows = iter(story.rows)
        for part in parts:
            self.assertTrue(any(part in text for _, _, text in rows), "%s\n%s" % (part, story.table))

    def test_a_fault(self):
        story = self.explain("ForgetsWhatFailed")
        self.assertTrue(any("client, from" in sentence and "100 %" in sentence for sentence in story.sentences),
                        story.sentences)
        self.assertInOrder(story, "connects socket 0 to server:7", "fault refuses", "> server: SYN", "< client: SYN",
                           "> client: RST", "< server: RST", "FAILS: Expected: (counter.added) <= (counter.sum)")
        self.assertIn("planted_program.cc:", story.table)

    def test_a_crash(self):
        story = self.explain("CrashesWhenStartedAgain")
        self.assertInOrder(story, "crashes", "starts again", "FAILS: Check failed: *starts < 2")

    def test_a_schedule(self):
        story = self.explain("LosesAWakeUp")
        # The task that sets the flag is held back, and that is all that the schedule decides.
        self.assertInOrder(story, "WaitOnce goes on", "FAILS: ")
        table, beside = story.table.split("--- beside it")
        self.assertNotIn("SetLater goes on", table)
        self.assertRegex(beside, r">>> .* times: WaitOnce goes on\n")
        self.assertIn("SetLater goes on", beside)

    def test_the_nearest_run_that_passes(self):
        run = PROGRAM.run("--gtest_filter=Planted.ForgetsWhatFailed", "--fail_fast", "--jobs=1",
                          "--check_determinism=none")
        beside = re.search(r"^--- beside it the nearest run that passes, (with.*):\n(.*?)^---$", run.output,
                           re.MULTILINE | re.DOTALL)
        self.assertIsNotNone(beside, run.output)
        # What made it fail, and not only that nobody looked at it.
        self.assertRegex(beside.group(1), "^without connect-refused ")
        rows = beside.group(2).splitlines()
        marked = [row for row in rows if row.startswith(">>>")]
        self.assertEqual(len(marked), 1, run.output)
        # Above it all is the same, and nothing from it on to the failure.
        self.assertTrue(all(" = " in row for row in rows[1:rows.index(marked[0])]), run.output)
        self.assertNotIn(" = ", marked[0])
        for row in rows:
            self.assertLessEqual(len(row), 150, row)

    def test_an_exception(self):
        story = self.explain("ThrowsWhenLarge")
        self.assertTrue(any('The knob "size" is ' in sentence for sentence in story.sentences), story.sentences)
        self.assertIn("FAILS: an exception left main of host host", story.rows[-1][2])

    def test_the_same_each_time(self):
        self.assertEqual(self.explain("ForgetsWhatFailed").table, self.explain("ForgetsWhatFailed").table)

    def test_the_folder(self):
        with tempfile.TemporaryDirectory() as outputs:
            story = self.explain("ForgetsWhatFailed", "--out=" + os.path.join(outputs, "a", "b"))
            [name] = os.listdir(os.path.join(outputs, "a", "b"))
            self.assertRegex(name, r"^Planted\.ForgetsWhatFailed-seed-\d+$")
            folder = os.path.join(outputs, "a", "b", name)
            self.assertIn("the whole of it: %s/timeline.html" % folder, story.output)
            self.assertLess(sum(os.path.getsize(os.path.join(folder, file)) for file in os.listdir(folder)), 10_000_000)
            with open(os.path.join(folder, "report.json")) as file:
                report = json.load(file)
            self.assertEqual(report["test"], "Planted.ForgetsWhatFailed")
            # The numbers of the table are those of the files.
            with open(os.path.join(folder, "trace.jsonl")) as file:
                events = {event["event"]: event for event in map(json.loads, file) if "event" in event}
            for number, _, _ in story.rows:
                self.assertIn(number, events)
            # And what failed fails again.
            again = PROGRAM.run("--scenario=" + os.path.join(folder, "scenario.txt"), "--report=false")
            self.assertEqual(again.exit_code, 1, again.output)
            self.assertIn("Expected: (counter.added) <= (counter.sum)", again.output)

    def test_to_stop_at_an_event(self):
        with tempfile.TemporaryDirectory() as outputs:
            story = self.explain("ForgetsWhatFailed", "--out=" + outputs)
            [name] = os.listdir(outputs)
            flags = ["--scenario=" + os.path.join(outputs, name, "scenario.txt"), "--here", "--report=false"]
            [connect] = [number for number, _, text in story.rows if "connects socket 0" in text][:1]
            stopped = PROGRAM.run(*flags, "--break_at=%d" % connect)
            self.assertEqual(stopped.exit_code, -signal.SIGTRAP, stopped.output)
            self.assertIn("*** SIGTRAP ***", stopped.output)
            self.assertIn("%.9f s of virtual time" % story.rows[[row[0] for row in story.rows].index(connect)][1],
                          stopped.output)
            self.assertRegex(stopped.output, r"    at testing/shrink/planted_program.cc:\d+ in ")
            # At the last event the check fails; behind it there is none.
            last = story.rows[-1][0]
            stopped = PROGRAM.run(*flags, "--break_at=%d" % last)
            self.assertEqual(stopped.exit_code, -signal.SIGTRAP)
            self.assertRegex(stopped.output, r"    at testing/\S+ in tandem::testing::TellFailureWitness")
            beyond = PROGRAM.run(*flags, "--break_at=%d" % (10 ** 9))
            self.assertEqual(beyond.exit_code, 1)
            self.assertIn("--break_at: the run has no event 1000000000, but ", beyond.output)
            self.assertEqual(PROGRAM.run(*flags[:1], "--break_at=1").exit_code, 2)

    def test_when_it_became_inevitable(self):
        program = sim_program.Program("testing/report/cause_program")
        flags = ["--fail_fast", "--jobs=2", "--check_determinism=none", "--shrink=0"]
        with tempfile.TemporaryDirectory() as outputs:
            run = program.run(*flags, "--cause=50", "--out=" + outputs)
            self.assertEqual(run.exit_code, 1, run.output)
            text = run.output.split("--- how likely it was", 1)[1].split("\n---", 1)[0]
            rows = re.findall(r"^e(\d+)(?:-e(\d+))? +\d+\.\d{9} +(\d+) %(.*)$", text, re.MULTILINE)
            [(first, last)] = [(int(first), int(last)) for first, last, _, mark in rows
                               if mark.startswith("  from here on inevitable  ")]
            [name] = os.listdir(outputs)
            with open(os.path.join(outputs, name, "trace.jsonl")) as file:
                events = [json.loads(line) for line in file]
            with open(os.path.join(outputs, name, "report.json")) as file:
                report = json.load(file)
        lost = [event["event"] for event in events if event.get("kind") == "packet_lost"]
        self.assertEqual(len(lost), 1, "the first seed that fails loses one datagram")
        self.assertLessEqual(first, lost[0])
        self.assertGreaterEqual(last, lost[0])
        self.assertEqual([(at["first"], at["last"]) for at in report["likelihood"]],
                         [(int(first), int(last or first)) for first, last, _, _ in rows])
        for at in report["likelihood"]:
            self.assertEqual(at["branches"], 50)
            self.assertTrue(at["failed"] < 25 if at["last"] < first else at["failed"] == 50, text)

    def test_the_history(self):
        with tempfile.TemporaryDirectory() as outputs:
            run = sim_program.Program("testing/report/history_program").run("--seeds=1", "--out=" + outputs)
            self.assertEqual(run.exit_code, 1, run.output)
            [name] = os.listdir(outputs)
            folder = os.path.join(outputs, name)
            with open(os.path.join(folder, "report.json")) as file:
                report = json.load(file)
            self.assertEqual(report["operations"], {"all": 4, "open": 1, "bad": 1})
            with open(os.path.join(folder, "history.jsonl")) as file:
                operations = [json.loads(line) for line in file]
            self.assertEqual([(one["client"], one.get("answer")) for one in operations],
                             [("eve", None), ("ann", ""), ("bob", "0")])
            self.assertEqual(operations[2]["returned_ns"] - operations[1]["returned_ns"], 1_000_000_000)
            with open(os.path.join(folder, "history-2.jsonl")) as file:
                self.assertEqual([json.loads(line)["outcome"] for line in file], ["failed"])
            # The file says what the test said.
            checked = sim_program.Program("testing/check_history").run(
                "--model=register", os.path.join(folder, "history.jsonl"))
            self.assertEqual(checked.exit_code, 1, checked.output)
            self.assertIn("bob: read(x) -> 0", checked.output)
            with open(os.path.join(folder, "timeline.html")) as file:
                self.assertIn('"read(x) -> 0"', file.read())

    def test_in_bazels_outputs(self):
        with tempfile.TemporaryDirectory() as outputs:
            run = PROGRAM.run("--fail_fast", "--check_determinism=none", "--shrink=0",
                              env=dict(sim_program.PLAIN_ENVIRONMENT, TEST_UNDECLARED_OUTPUTS_DIR=outputs))
            self.assertEqual(run.exit_code, 1, run.output)
            self.assertEqual(len(os.listdir(outputs)), 1, "--fail_fast ends the run with the first test that fails")

    def test_where_nothing_can_be_written(self):
        run = PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp", "--fail_fast", "--seeds=200", "--out=/proc/none")
        self.assertEqual(run.exit_code, 2)
        self.assertRegex(run.output, r"^--out=/proc/none: cannot be written: No such file or directory\n$")

    def test_a_single_seed(self):
        run = PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp", "--fail_fast", "--check_determinism=none", "--seeds=200")
        replayed = PROGRAM.replay(re.search(r"^replay: (.*)$", run.output, re.MULTILINE).group(1))
        self.assertEqual(replayed.exit_code, 1)
        self.assertIn("--- what led to it:\n", replayed.output)

    def test_on_demand_nothing(self):
        run = PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp", "--fail_fast", "--report=false", "--seeds=200")
        self.assertEqual(run.exit_code, 1)
        self.assertNotIn("what led to it", run.output)


if __name__ == "__main__":
    sim_program.main()
