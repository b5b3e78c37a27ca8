#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The harness makes the scenarios of planted bugs as small as they are known to be."""

import os
import re
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "determinism"))
import sim_program

PROGRAM = sim_program.Program("testing/shrink/planted_program")
SHRUNK = re.compile(r"^--- this much of its scenario fails in the same way, after (\d+) runs?(.*?), as text for "
                    r"--scenario=FILE:\n(.*?)^---$", re.MULTILINE | re.DOTALL)
# More than the machine needs: the budget is one of runs.
TIME = "--shrink=200"
# From so many first seeds on each bug is looked for.
STARTS = 5


class Shrunk:
    """What is left of the scenario of the first failure of a run."""

    def __init__(self, run):
        found = SHRUNK.search(run.output)
        assert found is not None, run.output
        self.runs = int(found.group(1))
        self.finished = found.group(2) == ""
        self.text = found.group(3)
        lines = self.text.splitlines()
        words = ("seed", "test", "schedule", "start", "clock", "knob", "fail", "calm", "skip")
        self.faults = [line for line in lines if line.split()[0] not in words]
        self.of = lambda word: [line for line in lines if line.split()[0] == word]

    def steps(self, count):
        """How many of `count` operations are left."""
        left = set(range(count))
        for line in self.of("skip"):
            numbers = [int(number) for number in re.findall(r"\d+", line)]
            left -= set(range(numbers[0], numbers[1] if len(numbers) == 2 else numbers[0] + 1))
        return len(left)


class ShrinkTest(unittest.TestCase):
    def shrink(self, name, *flags):
        """Looks for a failing seed of `name` from several seeds on; yields what is left of each."""
        for start in range(STARTS):
            run = PROGRAM.run("--gtest_filter=Planted." + name, "--fail_fast", "--jobs=1", "--check_determinism=none",
                              "--seed_start=%d" % (start * 1000 + 1), "--seeds=100", TIME, *flags)
            self.assertEqual(run.exit_code, 1, run.output)
            shrunk = Shrunk(run)
            self.assertTrue(shrunk.finished, run.output)
            self.assertFailsTheSame(name, shrunk, run)
            yield shrunk

    def assertFailsTheSame(self, name, shrunk, run):
        """What is printed is what fails."""
        with tempfile.NamedTemporaryFile("w", suffix=".scenario") as file:
            file.write(shrunk.text)
            file.flush()
            again = PROGRAM.run("--gtest_filter=Planted." + name, "--scenario=" + file.name)
        self.assertEqual(again.exit_code, 1, shrunk.text)
        self.assertEqual(self.place(again), self.place(run))

    def place(self, run):
        (failure, ) = run.failures.values()
        crash = re.search(r"planted_program\.cc:\d+\] Check failed", run.output)
        if crash is not None:
            return crash.group(0)
        return re.search(r"planted_program\.cc:\d+|an exception left[^:]*main of host host", failure.message).group(0)

    def test_one_fault_and_one_operation(self):
        for shrunk in self.shrink("ForgetsWhatFailed"):
            self.assertEqual(len(shrunk.faults), 1, shrunk.text)
            self.assertEqual(shrunk.steps(30), 1, shrunk.text)
            self.assertEqual(shrunk.of("schedule"), ["schedule fifo"])
            self.assertLessEqual(shrunk.runs, 120)

    def test_one_restart_of_a_program_that_crashes(self):
        for shrunk in self.shrink("CrashesWhenStartedAgain"):
            self.assertEqual(len(shrunk.faults), 1, shrunk.text)
            self.assertIn(shrunk.faults[0].split()[0], ("crash", "kill"))
            self.assertEqual(shrunk.of("start"), [], shrunk.text)
            self.assertEqual(shrunk.of("calm"), ["calm * *"], shrunk.text)
            self.assertLessEqual(shrunk.runs, 60)

    def test_a_schedule(self):
        for shrunk in self.shrink("LosesAWakeUp"):
            self.assertEqual(shrunk.faults, [], shrunk.text)
            self.assertNotEqual(shrunk.of("schedule"), ["schedule fifo"])
            self.assertLessEqual(shrunk.runs, 20)

    def test_a_knob(self):
        for shrunk in self.shrink("ThrowsWhenLarge"):
            self.assertEqual(shrunk.faults, [], shrunk.text)
            self.assertEqual(len(shrunk.of("knob")), 1, shrunk.text)
            self.assertIn('knob "size"', shrunk.text)
            self.assertLessEqual(shrunk.runs, 20)

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
            self.assertIn("cannot be written", away.output)
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

    def test_a_single_seed_is_shrunk_on_demand(self):
        run = PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp", "--fail_fast", "--jobs=1", "--check_determinism=none")
        (seed, ) = run.failures
        self.assertNotIn("this much of", PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp", "--seed=%d" % seed).output)
        again = PROGRAM.run("--gtest_filter=Planted.LosesAWakeUp", "--seed=%d" % seed, TIME)
        self.assertEqual(Shrunk(again).text, Shrunk(run).text)


if __name__ == "__main__":
    sim_program.main()
