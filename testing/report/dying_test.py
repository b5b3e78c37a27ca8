#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is told of a seed whose process dies without a word."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "determinism"))
import sim_program

PROGRAM = sim_program.Program("testing/report/dying_program")
CHECK_FILES = sim_program.runfile("testing/report/check_files.py")
SCHEMAS = os.path.dirname(sim_program.runfile("testing/report/report.schema.json"))
DRAWN = re.compile(r"^the scenario of this seed until its death, as --scenario=FILE takes it:\n((?:[a-z][\w-]* .*\n)+)",
                   re.MULTILINE)


# How a process dies, and what is said of that; AddressSanitizer exits at a SIGSEGV.
DEATHS = {
    "IsKilled": "ended by SIGKILL",
    "IsTerminated": "ended by SIGTERM",
    "ClosesAllDescriptors": "exited with status 1",
    "WritesToNull": "ended by SIGSEGV|exited with status 1",
    "FailsACheck": "Check failed: false connections are never refused",
    "Exits": "exited before the test's end",
    "IsKilledBehindTheRun": "ended by SIGKILL",
}


# Failures of other kinds, and what is shown where --break_at stops at them.
FAILURES = {
    "ThrowsAnInt": r"an exception left main of host host at 1\.0",
    "ExpectsTooMuch": r"in tandem::testing::TellFailureWitness",
    "FailsACheck": r"dying_program.cc:\d+ in ",
    "Exits": r"the program exited before the test's end",
    "ThrowsInAStep": r"an exception left the test at 1\.0\d+ s: in a step",
    "HasAnErrorInAStep": r"DATA_LOSS: .*in a step",
    "ChecksInTheEndOfTheWorld": r"dying_program.cc:\d+ in .*~ChecksInTheEnd",
    "ThrowsInTheEndOfTheWorld": r"an exception escaped a destructor, of what a task held whose host has ended: nobody",
    "ThrowsInACrash": r"an exception escaped a destructor, of what a task held whose host has ended: nobody",
}


class DyingTest(unittest.TestCase):
    def first_failure(self, name, *flags):
        """Runs the test until a seed of it fails."""
        run = PROGRAM.run("--gtest_filter=Dying." + name, "--fail_fast", "--jobs=1", "--check_determinism=none", *flags)
        self.assertEqual(run.exit_code, 1, run.output)
        self.assertEqual(len(run.failures), 1, run.output)
        return run

    def look_at(self, name, says):
        """Its scenario is known without being shrunk, also of the seed alone, and fails again."""
        run = self.first_failure(name, "--shrink=0", "--report=false")
        ((seed, failure), ) = run.failures.items()
        self.assertRegex(failure.message, says)
        self.assertIsNotNone(DRAWN.search(run.output), run.output)
        with tempfile.TemporaryDirectory() as outputs:
            alone = PROGRAM.run("--gtest_filter=Dying." + name, "--seed=%d" % seed, "--out=" + outputs)
            drawn = DRAWN.search(alone.output)
            self.assertIsNotNone(drawn, alone.output)
            folder = os.path.join(outputs, "Dying.%s-seed-%d" % (name, seed))
            with open(os.path.join(folder, "scenario.txt")) as file:
                self.assertIn(drawn.group(1), file.read())
            with open(os.path.join(folder, "report.json")) as file:
                report = json.load(file)
            self.assertIn(drawn.group(1), report["scenario"])
            self.assertIn("seed %d\n" % seed, report["scenario"])
            self.assertNotEqual(report["sentences"], "")
            # As it was drawn, it fails again.
            again = PROGRAM.run("--scenario=" + os.path.join(folder, "scenario.txt"), "--report=false")
            self.assertEqual(again.exit_code, 1, again.output)
            self.assertRegex(again.output, says)

    def test_one_that_is_killed_is_shrunk(self):
        run = self.first_failure("IsKilled", "--shrink=200")
        shrunk = re.search(r"^--- this much of its scenario fails in the same way.*?:\n(.*?)^---$", run.output,
                           re.MULTILINE | re.DOTALL).group(1)
        self.assertRegex(shrunk, r"(?m)^[\w-]+ (server|client|\*).*# needed")
        self.assertNotIn("of this seed until its death", run.output)

    def test_an_event_of_a_report_is_reached_by_its_number(self):
        """The failure, whatever it is, and nothing behind the last event."""
        for name, where in FAILURES.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as outputs:
                run = PROGRAM.run("--gtest_filter=Failing." + name, "--seeds=1", "--shrink=0", "--out=" + outputs)
                self.assertEqual(run.exit_code, 1, run.output)
                folder = os.path.join(outputs, "Failing.%s-seed-1" % name)
                with open(os.path.join(folder, "report.json")) as file:
                    failure = json.load(file)["slice"][-1]
                with open(os.path.join(folder, "trace.jsonl")) as file:
                    last = [json.loads(line) for line in file][-1]["event"]
                flags = ["--gtest_filter=Failing." + name, "--scenario=" + os.path.join(folder, "scenario.txt"),
                         "--here"]
                stopped = PROGRAM.run(*flags, "--break_at=%d" % failure)
                self.assertEqual(stopped.exit_code, -signal.SIGTRAP, stopped.output)
                self.assertRegex(stopped.output, where)
                if name not in ("ThrowsAnInt", "ExpectsTooMuch", "ThrowsInAStep", "HasAnErrorInAStep"):
                    continue  # It does not come to the end of the run.
                for beyond in (last + 1, last + 1000):
                    run = PROGRAM.run(*flags, "--break_at=%d" % beyond)
                    self.assertEqual(run.exit_code, 1, run.output)
                    self.assertIn("--break_at: the run has no event %d, but %d, from 0" % (beyond, last + 1), run.output)

    def test_a_crash_behind_the_run_is_told_at_its_time_and_of_no_host(self):
        with tempfile.TemporaryDirectory() as outputs:
            run = PROGRAM.run("--gtest_filter=Dying.CrashesBehindTheRun", "--seeds=1", "--shrink=0", "--out=" + outputs)
            self.assertEqual(run.exit_code, 1, run.output)
            folder = os.path.join(outputs, "Dying.CrashesBehindTheRun-seed-1")
            with open(os.path.join(folder, "report.json")) as file:
                report = json.load(file)
            with open(os.path.join(folder, "trace.jsonl")) as file:
                failure = [json.loads(line) for line in file][-1]
            self.assertEqual(failure["event"], report["slice"][-1])
            self.assertNotIn("host", failure)
            self.assertGreaterEqual(failure["time_ns"], 60_000_000_000)
            if "ended by SIGSEGV" in run.output:  # AddressSanitizer has a report of its own.
                self.assertRegex(report["place"], r"dying_program\.cc:\d+$")
                self.assertRegex(run.output, r"(?m)^e\d+ +\d\d+\.\d+ +\* FAILS: ended by SIGSEGV.*dying_program\.cc:\d+$")

    def test_a_failure_before_any_event_has_a_folder(self):
        for name in ("IsKilledBeforeAnyEvent", "ExitsBeforeAnyEvent", "ThrowsBeforeAnyEvent"):
            with self.subTest(name), tempfile.TemporaryDirectory() as outputs:
                run = PROGRAM.run("--gtest_filter=Dying." + name, "--seeds=1", "--out=" + outputs)
                self.assertEqual(run.exit_code, 1, run.output)
                folder = os.path.join(outputs, "Dying.%s-seed-1" % name)
                checked = subprocess.run([sys.executable, CHECK_FILES, folder, SCHEMAS], capture_output=True, text=True)
                self.assertEqual((checked.returncode, checked.stdout), (0, "events: 1\n"), checked.stderr)

    def test_what_is_logged_in_the_end_has_its_time(self):
        run = PROGRAM.run("--gtest_filter=Failing.ChecksInTheEndOfTheWorld", "--seed=1", "--stderrthreshold=0",
                          "--report=false")
        self.assertRegex(run.output, r"(?m)^I 1\.000000000 host\S* dying_program.cc:\d+\] it goes$")
        self.assertRegex(run.output, r"(?m)^F 1\.000000000 host\S* dying_program.cc:\d+\] Check failed: false it must not be")
        self.assertNotRegex(run.output, r"(?m)^F\d{4} ")

    def test_before_any_event(self):
        run = self.first_failure("IsKilledBeforeAnyEvent", "--shrink=0", "--report=false")
        self.assertRegex(DRAWN.search(run.output).group(1),
                         r"^seed 1\ntest Dying.IsKilledBeforeAnyEvent\nschedule \w+\n$")


for death, said in DEATHS.items():
    setattr(DyingTest, "test_" + death, lambda self, name=death, says=said: self.look_at(name, says))


if __name__ == "__main__":
    sim_program.main()
