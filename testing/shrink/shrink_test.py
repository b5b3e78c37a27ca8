#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The harness makes the scenarios of planted bugs as small as they are known to be.

From two first seeds of each; //testing/shrink:shrink_all does it from twenty.
"""

import json
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import planted_cases
from planted_cases import TIME, Shrunk
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "determinism"))
import sim_program

PROGRAM = sim_program.Program(planted_cases.PROGRAM_PATH)
SAME_FAILURE = sim_program.Program("testing/shrink/same_failure_program")
STARTS = 2


class PlantedTest(unittest.TestCase):
    """Has a test for each planted bug."""

    rows = []

    @classmethod
    def tearDownClass(cls):
        print("\n".join([planted_cases.HEAD, *cls.rows]), flush=True)

    def look_at(self, case):
        (attempts, ) = planted_cases.attempt_all(PROGRAM, [case], range(STARTS), jobs=1)
        self.rows.append(planted_cases.row(attempts))
        for attempt in attempts:
            self.assertEqual(attempt.problems, [], attempt.run.output)
            self.assertLessEqual(attempt.shrunk.runs, case.runs)


for planted_case in planted_cases.CASES:
    setattr(PlantedTest, "test_" + planted_case.name, lambda self, case=planted_case: self.look_at(case))


class ShrinkTest(unittest.TestCase):
    def test_there_are_twenty_planted_bugs_and_the_program_has_no_other(self):
        listed = PROGRAM.run("--gtest_list_tests")
        names = [line.strip() for line in listed.output.splitlines() if line.startswith("  ")]
        self.assertCountEqual(names, [case.name for case in planted_cases.CASES])
        self.assertGreaterEqual(len(names), 20)

    def test_a_failure_is_pinned_and_runs_as_a_regression(self):
        with tempfile.TemporaryDirectory() as folder:
            pinned = os.path.join(folder, "a.scenario")
            run = PROGRAM.run("--gtest_filter=Planted.ThrowsWhenLarge", "--fail_fast", "--jobs=1",
                              "--check_determinism=none", "--pin=" + pinned, TIME)
            self.assertIn("written to " + pinned, run.output)
            with open(pinned, encoding="utf-8") as file:
                text = file.read()
            self.assertEqual(text.split("\n", 1)[1], Shrunk(run).text)
            self.assertRegex(text, "^# an exception left main of host host")
            again = PROGRAM.run("--gtest_filter=Planted.ThrowsWhenLarge", "--regression=" + pinned, "--seeds=1")
            self.assertIn("the regression " + pinned, again.output)
            self.assertEqual(again.exit_code, 1)
            away = PROGRAM.run("--gtest_filter=Planted.ThrowsWhenLarge", "--scenario=" + pinned,
                               "--pin=" + os.path.join(pinned, "a"))
            self.assertIn("cannot be written: Not a directory", away.output)
            self.assertEqual(away.exit_code, 2)
            over = PROGRAM.run("--gtest_filter=Planted.ThrowsWhenLarge", "--scenario=" + pinned, "--pin=" + pinned)
            self.assertEqual(over.output, "--pin=%s: it is there already: remove it, or give another name\n" % pinned)
            self.assertEqual(over.exit_code, 2)
            with open(pinned, encoding="utf-8") as file:
                self.assertEqual(file.read(), text)
            made = os.path.join(folder, "made", "a.scenario")
            PROGRAM.run("--gtest_filter=Planted.ThrowsWhenLarge", "--scenario=" + pinned, "--pin=" + made)
            self.assertTrue(os.path.exists(made))

    def test_the_first_test_that_fails_is_pinned(self):
        with tempfile.TemporaryDirectory() as folder:
            pinned = os.path.join(folder, "a.scenario")
            run = PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp:Planted.ThrowsWhenLarge", "--seeds=20", "--jobs=1",
                              "--check_determinism=none", "--pin=" + pinned, TIME)
            self.assertEqual(run.output.count("written to " + pinned + "\n"), 1, run.output)
            self.assertEqual(run.output.count("it has the failure of another test"), 1, run.output)
            with open(pinned, encoding="utf-8") as file:
                self.assertIn("test Planted.LosesAWakeUp\n", file.read())

    def test_without_time_it_is_left_as_it_is(self):
        run = PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp", "--fail_fast", "--shrink=0")
        self.assertNotIn("this much of its scenario", run.output)

    def test_another_caller_of_the_same_check_is_another_failure(self):
        run = SAME_FAILURE.run("--gtest_filter=*.OneCheckOfTwoCallers", "--fail_fast", "--jobs=1",
                               "--check_determinism=none", TIME)
        with tempfile.NamedTemporaryFile("w", suffix=".scenario") as file:
            file.write(Shrunk(run).text)
            file.flush()
            again = SAME_FAILURE.run("--gtest_filter=*.OneCheckOfTwoCallers", "--scenario=" + file.name)
        self.assertIn("in Task<void> tandem::(anonymous namespace)::CheckThatNoneWasRefused", run.output)
        self.assertIn("CheckThatNoneWasRefused", again.output)
        self.assertIn("another failure on the way: ", run.output)

    def test_another_expectation_on_the_same_line_is_another_failure(self):
        run = SAME_FAILURE.run("--gtest_filter=*.TwoOnOneLine", "--fail_fast", "--jobs=1", "--check_determinism=none",
                               TIME)
        with tempfile.NamedTemporaryFile("w", suffix=".scenario") as file:
            file.write(Shrunk(run).text)
            file.flush()
            again = SAME_FAILURE.run("--gtest_filter=*.TwoOnOneLine", "--scenario=" + file.name, "--report=false")
        self.assertRegex(run.output, r"failed: \S+:\d+: Expected equality of these values:\n  refused\n")
        self.assertRegex(again.output, r"failed: \S+:\d+: Expected equality of these values:\n  refused\n")
        self.assertRegex(run.output, r"another failure on the way: \S+:\d+: \(done\) > \(kOps / 2\)")

    def test_what_comes_behind_the_failure_is_not_run_again(self):
        with tempfile.TemporaryDirectory() as folder:
            run = SAME_FAILURE.run("--gtest_filter=*.GoesOnForLong", "--seeds=1", "--out=" + folder, TIME)
            (name, ) = os.listdir(folder)
            with open(os.path.join(folder, name, "trace.jsonl"), encoding="utf-8") as file:
                events = [event for event in map(json.loads, file) if "event" in event]
        self.assertEqual(run.exit_code, 1, run.output)
        self.assertEqual(events[-1]["time_ns"], 1000000000)
        self.assertLess(len(events), 100)

    def test_a_single_seed_is_shrunk_on_demand(self):
        run = PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp", "--fail_fast", "--jobs=1", "--check_determinism=none")
        (seed, ) = run.failures
        self.assertNotIn("this much of", PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp", "--seed=%d" % seed).output)
        again = PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp", "--seed=%d" % seed, TIME)
        self.assertEqual(Shrunk(again).text, Shrunk(run).text)


if __name__ == "__main__":
    sim_program.main()
