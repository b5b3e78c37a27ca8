#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the harness says about simulations that fail, and that its replay lines keep their promise."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "testing", "determinism"))
import sim_program

BROKEN = sim_program.Program("testing/determinism/broken_program")
ONE_TEST = sim_program.Program("testing/determinism/hash_order_program")

SEEDS = 8
BAD_SEED = 3


def is_built_with(sanitizer, program):
    with open(program.path, "rb") as file:
        return b"__%s_init" % sanitizer in file.read()


class OneBadSeed(unittest.TestCase):
    """Each case of broken_program costs one seed; the others pass."""

    def run_case(self, name, *flags):
        """Returns the failure of the bad seed."""
        run = BROKEN.run("--gtest_filter=Broken." + name, "--seeds=%d" % SEEDS, *flags)
        self.assertEqual(run.exit_code, 1, run.output)
        self.assertEqual(list(run.failures), [BAD_SEED], run.output)
        self.assertIn("Broken.%s: %d seeds, 1 failed" % (name, SEEDS), run.output)
        return run.failures[BAD_SEED]

    def assert_lines(self, text, *patterns):
        """Checks that the patterns match in this order."""
        self.assertRegex(text, "(?s)" + ".*".join(patterns))

    def test_segfault(self):
        failure = self.run_case("Segfaults")
        # ThreadSanitizer shows the innermost function only.
        callers = [] if is_built_with(b"tsan", BROKEN) else ["AfterASecond"]
        self.assert_lines(failure.text, "WriteToNull", *callers)

    def test_loop_without_await(self):
        failure = self.run_case("LoopsWithoutAwait", "--wall_limit_s=2")
        self.assertIn("no end after 2000 ms of real time", failure.message)
        if not is_built_with(b"tsan", BROKEN):  # ThreadSanitizer lets no signal into a loop.
            self.assertIn("LoopForever", failure.text)

    def test_failed_check(self):
        failure = self.run_case("FailsACheck")
        self.assertIn("SIGABRT", failure.message)
        self.assertRegex(failure.text, r"broken_program.cc:\d+\] Check failed: 1 == 2 \(1 vs. 2\) as planned")

    def test_abort_inside_libc_shows_who_called_it(self):
        if is_built_with(b"tsan", BROKEN):
            self.skipTest("ThreadSanitizer has a report of its own for this")
        self.assertIn("AfterASecond", self.run_case("FreesTwice").text)

    def test_exception_out_of_main(self):
        failure = self.run_case("ThrowsOutOfMain")
        self.assertIn("an exception left main of host host: nobody catches this", failure.message)

    def test_exception_out_of_spawned_task(self):
        failure = self.run_case("ThrowsOutOfSpawnedTask")
        self.assertIn("SIGABRT", failure.message)
        self.assert_lines(failure.text, "an exception escaped a spawned task: nobody catches this",
                          r"last await at testing/determinism/broken_program.cc:\d+ in .*ThrowLater")

    def test_exit(self):
        self.assertIn("exited before the test's end", self.run_case("Exits").message)

    def test_leak(self):
        if not is_built_with(b"asan", BROKEN):
            self.skipTest("needs AddressSanitizer")
        failure = self.run_case("Leaks")
        self.assertIn("memory leaked", failure.message)
        self.assert_lines(failure.text, "Direct leak of 1000 byte", "broken_program.cc")

    def test_deadlock_names_hosts_tasks_and_places(self):
        failure = self.run_case("Deadlocks")
        place = r"\n    at testing/determinism/broken_program.cc:\d+ in [^\n]*"
        self.assert_lines(
            failure.message, "stuck: host client has not ended, and nothing can happen any more after [0-9.]+ms:",
            r"\nhost server \(10.0.0.1\): 2 task\(s\)",
            r"\n  task 1 of 2\n    waits for: a connection on 0.0.0.0:7" + place + "Serve",
            r"\n  task 2 of 2\n    waits for: input from 10.0.0.2:\d+" + place + "ReadAndSayNothing",
            r"\nhost client \(10.0.0.2\): 1 task\(s\)\n  task 1 of 1\n    waits for: input from 10.0.0.1:7" + place +
            r"Ask\([^\n]*" + place + "AskOnce")

    def test_livelock_names_what_ran(self):
        failure = self.run_case("Livelocks")
        self.assert_lines(failure.message, "livelock: 100000 events and turns of hosts, and next to no time has passed", "host spinner",
                          "waits for: its turn to run", r"broken_program.cc:\d+ in [^\n]*SpinPolitely")
        self.assertNotIn("bystander", failure.message)
        self.assertEqual(failure.message.count("livelock"), 1)

    def test_too_many_events(self):
        # Far below what 100,000 events at one instant need: the other limit.
        failure = self.run_case("Livelocks", "--max_events=1000")
        self.assertIn("livelock: 1000 events (max_events)", failure.message)
        self.assertIn(" --max_events=1000", failure.replay)

    def test_nondeterminism_shows_the_first_record_that_differs(self):
        failure = self.run_case("DependsOnTheProcess", "--check_determinism")
        self.assertIn("two runs of the seed differ", failure.message)
        # The first two records are equal: the start, and the turn that falls asleep.
        self.assertRegex(failure.message,
                         r"the traces part at line \d+:\n#0 [^\n]*\n(#\d+ [^\n]*\n)+"
                         r"run 1: #(\d+) t=1\.1000\d+ [^\n]*\nrun 2: #\2 t=1\.1000\d+ ")
        self.assertRegex(BROKEN.replay(failure.replay).failures[BAD_SEED].message, "two runs of the seed differ")

    def test_nondeterminism_is_not_seen_without_being_looked_for(self):
        run = BROKEN.run("--gtest_filter=Broken.DependsOnTheProcess", "--seeds=%d" % SEEDS)
        self.assertEqual(run.exit_code, 0, run.output)

    def test_order_by_address_is_found_with_random_addresses(self):
        run = ONE_TEST.run("--seeds=4", "--check_determinism", "--aslr")
        self.assertEqual(run.exit_code, 1, run.output)
        failure = run.failures[min(run.failures)]
        self.assertRegex(failure.message, r"run 1: #(\d+) [^\n]*\nrun 2: #\1 ")
        self.assertTrue(failure.replay.endswith(" --check_determinism --aslr"), failure.replay)


class Replay(unittest.TestCase):
    """The command of a replay line does what the failed seed did."""

    def check_replay(self, seed, failure, digest):
        again = BROKEN.replay(failure.replay, "--print_digest")
        self.assertEqual(again.exit_code, 1, again.output)
        self.assertEqual(list(again.failures), [seed], again.output)
        self.assertEqual(again.failures[seed].message, failure.message)
        self.assertEqual(again.failures[seed].replay, failure.replay)
        self.assertEqual(again.digests, {seed: digest})
        self.assertIn("[sim] seed %d\n" % seed, again.output)
        return again

    def test_reproduces_failed_expectations(self):
        run = BROKEN.run("--gtest_filter=Broken.LosesReplies", "--seeds=40", "--keep_going", "--print_digest")
        self.assertEqual(run.exit_code, 1)
        self.assertGreater(len(run.failures), 4)
        self.assertLess(len(run.failures), 40)
        self.assertGreater(len({failure.message for failure in run.failures.values()}), len(run.failures) // 2)
        for seed, failure in run.failures.items():
            again = self.check_replay(seed, failure, run.digests[seed])
            faults = failure.text.split("the faults of this seed:\n", 1)[1].split("\n---\n", 1)[0]
            self.assertIn(faults, again.output)

    def test_with_bazel_has_the_test_and_its_arguments(self):
        env = dict(sim_program.PLAIN_ENVIRONMENT, TEST_TARGET="//testing/determinism:broken_program",
                   TESTBRIDGE_TEST_ONLY="Broken.Deadlocks")
        run = BROKEN.run("--seeds=%d" % SEEDS, "--print_digest", "--max_events=5000", env=env)
        failure = run.failures[BAD_SEED]
        self.assertTrue(failure.replay.startswith("bazel test //testing/determinism:broken_program "), failure.replay)
        self.assertTrue(
            failure.replay.endswith(
                " --test_filter=Broken.Deadlocks --test_arg=--seed=%d --test_arg=--max_events=5000" % BAD_SEED),
            failure.replay)
        self.check_replay(BAD_SEED, failure, run.digests[BAD_SEED])

    def test_names_no_test_where_there_is_only_one(self):
        run = ONE_TEST.run("--seed=1", "--max_events=10")
        self.assertEqual(run.failures[1].replay, ONE_TEST.path + " --seed=1 --max_events=10")

    def test_every_failed_test_has_its_own_line(self):
        run = BROKEN.run("--gtest_filter=Broken.Deadlocks:Broken.Exits", "--seeds=%d" % SEEDS)
        self.assertIn("--gtest_filter=Broken.Deadlocks --seed=%d\n" % BAD_SEED, run.output)
        self.assertIn("--gtest_filter=Broken.Exits --seed=%d\n" % BAD_SEED, run.output)


class Flags(unittest.TestCase):

    def test_unknown_flag_gives_the_list(self):
        run = BROKEN.run("--sedes=3")
        self.assertEqual(run.exit_code, 2)
        self.assertIn("unknown flag --sedes=3", run.output)
        for flag in ("--seed=S", "--seeds=N", "--seed_start=S", "--max_events=N", "--check_determinism",
                     "--print_digest", "--trace=FILE", "--wall_limit_s=S", "--keep_going", "--aslr"):
            self.assertIn("\n  %s " % flag, run.output)

    def test_trace_shows_each_record_with_its_digest(self):
        run = ONE_TEST.run("--seed=2", "--trace=-", "--print_digest")
        records = [line for line in run.output.splitlines() if line.startswith("#0 ") or " digest=" in line]
        self.assertRegex(records[0], r"^#0 t=1\.000000000 host=0 host_start ")
        self.assertTrue(records[-1].endswith(" digest=" + run.digests[2]), records[-1])


if __name__ == "__main__":
    sim_program.main()
