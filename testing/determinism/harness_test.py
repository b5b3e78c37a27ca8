#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the harness says about simulations that fail, and that its replay lines keep their promise."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "testing", "determinism"))
import sim_program

BROKEN = sim_program.Program("testing/determinism/broken_program")
SHARING = sim_program.Program("testing/determinism/sharing_program")
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
        run = BROKEN.run("--gtest_filter=Broken." + name, "--seeds=%d" % SEEDS, "--shrink=0", "--report=false", *flags)
        self.assertEqual(run.exit_code, 1, run.output)
        self.assertEqual(list(run.failures), [BAD_SEED], run.output)
        self.assertIn("Broken.%s: %d seeds, 1 failed" % (name, SEEDS), run.output)
        return run.failures[BAD_SEED]

    def assert_lines(self, text, *patterns):
        """Checks that the patterns match in this order."""
        self.assertRegex(text, "(?s)" + ".*".join("(?:%s)" % pattern for pattern in patterns))

    def test_segfault(self):
        failure = self.run_case("Segfaults")
        self.assert_lines(failure.text, r"broken_program.cc:\d+ in .*WriteToNull|broken_program.cc:\d+:\d+",
                          r"at 1\.0\d+ s of virtual time, on host host", r"broken_program.cc:\d+ in .*AfterASecond")

    def test_failed_expectation_says_where_the_task_was(self):
        failure = self.run_case("FailsAnExpectationInATask")
        self.assert_lines(failure.message, r"broken_program.cc:\d+: .*1\n", r"s of virtual time, on host host",
                          r"at testing/determinism/broken_program.cc:\d+ in .*Expects",
                          r"at testing/determinism/broken_program.cc:\d+ in .*CallsExpects")

    def test_loop_without_await(self):
        failure = self.run_case("LoopsWithoutAwait", "--wall_limit_s=2")
        self.assertIn("no end after 2000 ms of real time", failure.message)
        if not is_built_with(b"tsan", BROKEN):  # ThreadSanitizer lets no signal into a loop.
            self.assertIn("LoopForever", failure.text)

    def test_lock_that_nobody_gives_back(self):
        failure = self.run_case("BlocksOnALock", "--wall_limit_s=2")
        if not is_built_with(b"tsan", BROKEN):  # ThreadSanitizer has a report of its own for this.
            # Without a filter of system calls it takes until the limit.
            self.assertRegex(failure.message, "a wait for another thread|it is blocked on a lock of the machine")
            self.assertRegex(failure.text, r"broken_program.cc:\d+ in .*LockTwice")

    def test_task_that_ignores_its_cancellation(self):
        failure = self.run_case("IgnoresItsCancellation")
        self.assert_lines(failure.message, "host host: a task ignores its cancellation",
                          "waits for: nothing: it ignores its cancellation",
                          r"at testing/determinism/broken_program.cc:\d+ in .*IgnoreCancellation")

    def test_circle_of_locks(self):
        failure = self.run_case("LocksInACircle")
        place = r"[^\n]*broken_program.cc:\d+ in [^\n]*LockBoth"
        self.assert_lines(failure.message, "stuck: host host has not ended", "a circle, in which each task waits for the next:",
                          r"task (\d+) waits for the lock of a mutex that was locked at" + place + r"[^\n]* by task (\d+)",
                          r"task \2 waits for the lock of a mutex that was locked at" + place + r"[^\n]* by task \1\n")

    def test_failed_check(self):
        failure = self.run_case("FailsACheck")
        self.assert_lines(failure.message, r"^testing/determinism/broken_program.cc:\d+: Check failed: 1 == 2 "
                          r"\(1 vs. 2\) as planned\n", r"SIGABRT")
        self.assertRegex(failure.text, r"broken_program.cc:\d+\] Check failed: 1 == 2 \(1 vs. 2\) as planned")

    def test_hosts_that_never_run(self):
        self.assertIn("the test has added hosts and never called world.Run...(): nothing has run",
                      self.run_case("NeverRuns").message)

    def test_abort_inside_libc_shows_who_called_it(self):
        if is_built_with(b"tsan", BROKEN):
            self.skipTest("ThreadSanitizer has a report of its own for this")
        self.assertIn("AfterASecond", self.run_case("FreesTwice").text)

    def test_exception_out_of_main(self):
        failure = self.run_case("ThrowsOutOfMain")
        self.assert_lines(failure.message, r"an exception left main of host host at \d+\.\d{9} s: nobody catches this",
                          r"last await at testing/determinism/broken_program.cc:\d+ in [^\n]*")

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
            failure.message, "stuck: host client has not ended, and nothing can happen any more after 0\.\d{9} s:",
            r"\nhost server \(10.0.0.1\): 2 task\(s\)",
            r"\n  task 1 of 2\n    waits for: a connection on 0.0.0.0:7" + place + "Serve",
            r"\n  task 2 of 2\n    waits for: input from 10.0.0.2:\d+" + place + "ReadAndSayNothing",
            r"\nhost client \(10.0.0.2\): 1 task\(s\)\n  task 1 of 1\n    waits for: input from 10.0.0.1:7" + place +
            r"Ask\([^\n]*" + place + "AskOnce")

    def test_livelock_names_what_ran(self):
        failure = self.run_case("Livelocks", "--report")
        self.assert_lines(failure.message, "livelock: 2000000 turns of host spinner, which always has something to do", "host spinner",
                          "waits for: its turn to run", r"broken_program.cc:\d+ in [^\n]*SpinPolitely")
        self.assertNotIn("bystander", failure.message)
        self.assertEqual(failure.message.count("livelock"), 1)
        # Of a run that is too long the end is recorded.
        self.assertRegex(failure.text, r"(?m)^e\d+ .* SpinPolitely goes on .* broken_program.cc:\d+$")

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
                         r"the traces part at line \d+:\n([^\n]* #\d+ [^\n]*\n)+"
                         r"run 1: +0\.1000\d+ +host [^\n]*#(\d+) [^\n]*\nrun 2: +0\.1000\d+ +host [^\n]*#\2 ")
        self.assert_lines(failure.message, r"run 1, in another pair of runs, at record \d+:\n +0\.1000\d+ +host [^\n]* arms ",
                          r"broken_program.cc:\d+ in .*SleepForProcess", r"s of virtual time, on host host",
                          r"\nrun 2, in another", r"broken_program.cc:\d+ in .*SleepForProcess")
        self.assertRegex(BROKEN.replay(failure.replay).failures[BAD_SEED].message, "two runs of the seed differ")

    def test_a_difference_that_has_not_reached_an_event_is_seen(self):
        failure = self.run_case("DrawsForTheProcess", "--check_determinism")
        self.assertIn("two runs of the seed differ between their events", failure.message)
        self.assert_lines(failure.message, r"run 1: +0\.100000000 +host [^\n]* draws +number 0 of a stream",
                          r"run 2: +0\.100000000 +host [^\n]* draws", r"run 1, in another pair of runs",
                          r"broken_program.cc:\d+ in .*DrawForProcess")

    def test_a_crash_elsewhere_is_a_difference(self):
        failure = self.run_case("CrashesForTheProcess", "--check_determinism")
        self.assertRegex(failure.message, r"two runs of the seed differ: digest [0-9a-f]{32} after \d+ events, ended by SIGABRT")
        self.assertIn("the traces part at line", failure.message)
        self.assertNotIn("two runs", self.run_case("FailsACheck", "--check_determinism").text)
        self.assertNotIn("two runs", self.run_case("Exits", "--check_determinism").text)

    def test_a_seed_of_twenty_runs_twice(self):
        flags = ("--gtest_filter=Broken.DependsOnTheProcess",)
        run = BROKEN.run(*flags, "--seeds=%d" % SEEDS)  # The bad seed is not the first.
        self.assertEqual(run.exit_code, 0, run.output)
        self.assertIn("%d seeds, 0 failed, 1 run twice" % SEEDS, run.output)
        run = BROKEN.run(*flags, "--seed_start=%d" % BAD_SEED, "--seeds=%d" % SEEDS)
        self.assertEqual(list(run.failures), [BAD_SEED], run.output)
        self.assertTrue(run.failures[BAD_SEED].replay.endswith(" --seed=%d --check_determinism" % BAD_SEED), run.output)
        for more in (["--seed_start=%d" % BAD_SEED, "--seeds=1", "--check_determinism=none"], ["--seed=%d" % BAD_SEED]):
            run = BROKEN.run(*flags, *more)
            self.assertEqual(run.exit_code, 0, run.output)
            self.assertNotIn("twice", run.output)

    def test_order_by_address_is_found_with_random_addresses(self):
        run = ONE_TEST.run("--seeds=4", "--check_determinism", "--aslr")
        self.assertEqual(run.exit_code, 1, run.output)
        failure = run.failures[min(run.failures)]
        self.assertRegex(failure.message, r"run 1: [^\n]*#(\d+) [^\n]*\nrun 2: [^\n]*#\1 ")
        self.assertTrue(failure.replay.endswith(" --check_determinism --aslr"), failure.replay)


class Isolation(unittest.TestCase):
    """--check_isolation: global variables that connect hosts are named."""

    def setUp(self):
        if is_built_with(b"asan", SHARING) or is_built_with(b"tsan", SHARING):
            run = SHARING.run("--gtest_filter=Sharing.NamespaceScope", "--seeds=1", "--check_isolation")
            self.assertIn("a sanitizer has global variables of its own", run.output)
            self.skipTest("a sanitizer has global variables of its own")

    def failure_of(self, name):
        run = SHARING.run("--gtest_filter=Sharing." + name, "--seeds=3", "--check_isolation")
        self.assertEqual(sorted(run.failures), [1, 2, 3], run.output)
        return run.failures[1]

    def test_two_hosts_that_write_a_variable(self):
        for name, variable in (("NamespaceScope", "shop::orders"), ("AnonymousNamespace", "shop::(anonymous namespace)::refunds"),
                               ("FunctionStatic", "shop::(anonymous namespace)::CountCalls()::calls"), ("StaticMember", "shop::Basket::count"),
                               ("ThreadLocal", "shop::visits"), ("InBlockingWork", "shop::orders")):
            failure = self.failure_of(name)
            self.assertEqual(failure.message.count("the global variable"), 1, failure.message)
            self.assertRegex(failure.message, r"hosts (a and b|b and a) have both written the global variable %s: hosts share" %
                             re.escape(variable))
            self.assertTrue(failure.replay.endswith(" --seed=1 --check_isolation"), failure.replay)

    def test_what_survives_a_crash(self):
        self.assertIn("the global variable shop::orders keeps what host a wrote to it, though the host has crashed",
                      self.failure_of("SurvivesACrash").message)

    def test_clean_programs_pass(self):
        run = SHARING.run("--gtest_filter=Sharing.Clean*", "--seeds=3", "--check_isolation")
        self.assertEqual(run.exit_code, 0, run.output)
        run = SHARING.run("--seeds=3")  # Nobody looks.
        self.assertEqual(run.exit_code, 0, run.output)


class Replay(unittest.TestCase):
    """The command of a replay line does what the failed seed did."""

    def check_replay(self, seed, failure, digest):
        again = BROKEN.replay(failure.replay, "--print_digest")
        self.assertEqual(again.exit_code, 1, again.output)
        self.assertEqual(list(again.failures), [seed], again.output)
        # Of most failures there is but the line that says most.
        place, _, said = failure.message.strip().partition(": ")
        self.assertTrue(again.failures[seed].message.startswith(place), failure.message)
        self.assertIn(said, again.failures[seed].message)
        self.assertEqual(again.failures[seed].replay, failure.replay)
        self.assertEqual(again.digests, {seed: digest})
        self.assertIn("[sim] seed %d\n" % seed, again.output)
        return again

    def test_reproduces_failed_expectations(self):
        run = BROKEN.run("--gtest_filter=Broken.LosesReplies", "--seeds=40", "--keep_going", "--print_digest", "--shrink=0")
        self.assertEqual(run.exit_code, 1)
        self.assertGreater(len(run.failures), 4)
        self.assertLess(len(run.failures), 40)
        self.assertGreater(len({run.digests[seed] for seed in run.failures}), len(run.failures) // 2)
        for seed, failure in run.failures.items():
            again = self.check_replay(seed, failure, run.digests[seed])
            self.assertRegex(again.output, r"the scenario of this seed until its end, .*:\nseed \d+\ntest Broken\.LosesReplies\nschedule \w+.*\n\w+")
        # All is said about the smallest alone: the same message and the same output many times hide what differs.
        smallest = min(run.failures)
        self.assertIn("the scenario of this seed", run.failures[smallest].text)
        brief = [seed for seed, failure in run.failures.items() if failure.text.count("\n") == 1]
        self.assertEqual(sorted(brief + [smallest]), sorted(run.failures))

    def test_no_faults_are_shown_where_a_seed_fails_without(self):
        run = BROKEN.run("--gtest_filter=Broken.FailsWhateverTheNetworkDoes", "--seeds=40", "--keep_going")
        self.assertEqual(len(run.failures), 40)
        self.assertNotIn("the scenario of this seed", run.output)
        self.assertEqual(len([seed for seed in run.failures if run.failures[seed].text.count("\n") > 1]), 1)
        for failure in run.failures.values():
            self.assertIn("whatever the network does", failure.text)
        alone = [BROKEN.replay(run.failures[seed].replay).output for seed in sorted(run.failures)[:8]]
        self.assertTrue(any("the scenario of this seed" in output for output in alone))

    def test_faults_that_had_nothing_to_hit_are_not_shown(self):
        datagrams_and_lookups = r"(?m)^(duplicate|reorder|lookup-failed|lookup-slow) "
        run = BROKEN.run("--gtest_filter=Broken.LosesReplies", "--seeds=40")
        for failure in list(run.failures.values())[:5]:
            self.assertNotRegex(BROKEN.replay(failure.replay).output, datagrams_and_lookups)
        run = BROKEN.run("--gtest_filter=Broken.SendsDatagrams", "--seed=1")
        self.assertEqual(len(set(re.findall(datagrams_and_lookups, run.output))), 4, run.output)
        self.assertNotIn("\nreset ", run.output)
        self.assertIn("# 1 more have hit nothing", run.output)

    def test_a_fault_asked_for_by_name_that_could_hit_nothing_fails_the_run(self):
        run = BROKEN.run("--gtest_filter=Broken.AsksForAFaultOfNothing", "--seeds=120")
        self.assertEqual(run.exit_code, 1, run.output)
        self.assertIn("faults that were asked for have hit nothing: duplicate\n", run.output)
        run = BROKEN.run("--gtest_filter=Broken.AsksForAFamilyOfFaults", "--seeds=120")
        self.assertRegex(run.output, r"\[sim\]   loss +\d+ entries, hit in [1-9]")
        self.assertNotRegex(run.output, r"hit nothing: .*(duplicate|reorder|lookup)")

    def test_a_screen_of_faults_and_all_of_them_for_one_seed(self):
        run = BROKEN.run("--gtest_filter=Broken.HasManyFaults", "--seeds=2", "--shrink=0")
        smallest = min(run.failures)
        faults = run.failures[smallest].text.split("the scenario of this seed", 1)[1].split("\n---\n", 1)[0]
        self.assertLess(len(faults.splitlines()), 27)
        more = re.search(r"\.\.\. and (\d+) more", faults)
        self.assertTrue(more, faults)
        again = BROKEN.replay(run.failures[smallest].replay)
        all_faults = again.output.split("the scenario of this seed", 1)[1].split("\n\n", 1)[0]
        self.assertEqual(len(all_faults.splitlines()), len(faults.splitlines()) - 1 + int(more.group(1)))

    def test_fail_fast_stops_at_the_first(self):
        run = BROKEN.run("--gtest_filter=Broken.LosesReplies", "--seeds=40", "--fail_fast", "--jobs=1")
        self.assertEqual(len(run.failures), 1, run.output)
        self.assertRegex(run.output, r"seeds?, 1 failed; \d+ not run after 1 failure,")

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


class Scenario(unittest.TestCase):
    """--scenario: what a failing seed prints is run instead of what it draws."""

    def scenario_of(self, run, seed):
        text = run.failures[seed].text if seed in run.failures else run.output
        return text.split("as --scenario=FILE takes it:\n", 1)[1].split("\n\n", 1)[0].split("\n---", 1)[0]

    def run_scenario(self, text, *flags):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text + "\n")
            file.flush()
            return BROKEN.run("--gtest_filter=Broken.LosesReplies", "--scenario=" + file.name, *flags)

    def failing(self):
        """Seeds and their scenarios."""
        run = BROKEN.run("--gtest_filter=Broken.LosesReplies", "--seeds=40", "--keep_going")
        for seed in sorted(run.failures):
            again = BROKEN.replay(run.failures[seed].replay)
            yield seed, again.output.split("as --scenario=FILE takes it:\n", 1)[1].split("\n\n", 1)[0]

    def test_what_a_failure_prints_fails_again(self):
        schedules = set()
        for seed, scenario in self.failing():
            run = self.run_scenario(scenario)
            self.assertEqual(run.exit_code, 1, run.output)
            self.assertIn("[sim] seed %d\n" % seed, run.output)
            schedules.add(re.search(r"(?m)^schedule (.*)", scenario).group(1))
        self.assertTrue(any(re.fullmatch(r"pct steps \d+ of \d+ tasks \d+", text) for text in schedules), schedules)

    def test_without_its_faults_it_passes(self):
        seed, _ = next(self.failing())
        self.assertEqual(self.run_scenario("seed %d\nschedule fifo" % seed).exit_code, 0)

    def test_hosts_that_there_are_not(self):
        seed, scenario = next(self.failing())
        run = self.run_scenario("seed %d\nstart n1 after 0.001s\nclock n2 ahead 1s\nfail n3 at operation 3" % seed)
        self.assertEqual(run.exit_code, 2, run.output)
        self.assertIn("the scenario has a line about a host that the test has not added: start n1\n"
                      "it has added: server, client\n", run.output)
        self.assertNotIn("the scenario has a line", self.run_scenario(scenario).output)

    def test_wrong_files(self):
        for text, message in [("crush a from 0s to 1s", "no such kind of fault"), ("schedule fifo", "no seed line")]:
            run = self.run_scenario(text)
            self.assertEqual(run.exit_code, 2)
            self.assertIn(message, run.output)
        run = BROKEN.run("--scenario=/does/not/exist")
        self.assertEqual(run.exit_code, 2)
        self.assertIn("cannot be read", run.output)
        run = BROKEN.run("--scenario=/dev/zero")
        self.assertEqual(run.exit_code, 2)
        self.assertIn("has more than 64 MiB", run.output)


class Log(unittest.TestCase):
    """LOG() of a host: when, where and who."""

    LINE = r"^%s 0\.500000000 host/Talks broken_program\.cc:\d+\] %s$"

    def run_log(self, *flags):
        return BROKEN.run("--gtest_filter=Broken.Logs", "--seed=%d" % BAD_SEED, "--report=false", *flags).output

    def test_a_line_has_the_virtual_time_the_host_and_the_task(self):
        output = self.run_log()
        self.assertRegex(output, "(?m)" + self.LINE % ("I", "for your information"))
        self.assertRegex(output, "(?m)" + self.LINE % ("W", "be careful"))
        self.assertNotIn("in detail", output)
        self.assertNotIn("2030", output)

    def test_the_log_of_the_failing_seed_is_shown(self):
        run = BROKEN.run("--gtest_filter=Broken.Logs", "--seeds=%d" % SEEDS)
        self.assertEqual(len(re.findall(self.LINE % ("I", "for your information"), run.output, re.MULTILINE)), 1)

    def test_abseils_flags(self):
        output = self.run_log("--stderrthreshold=1")
        self.assertNotIn("for your information", output)
        self.assertIn("be careful", output)
        self.assertNotIn("for your information", self.run_log("--minloglevel=1"))
        self.assertRegex(self.run_log("--v=2"), "(?m)" + self.LINE % ("I", "in detail"))


class Trace(unittest.TestCase):
    """--trace: what happened, for people."""

    def test_plan_log_trace_and_reports_have_one_time(self):
        output = BROKEN.run("--gtest_filter=Broken.TellsTheTime", "--seed=1", "--trace=-").output
        self.assertRegex(output, r"(?m)^ +0\.750000000  -  +fault begins: pause other from 0\.75s to 2s$")
        self.assertRegex(output, r"(?m)^ +0\.750000000  host +LogAtThreeQuarters broken_program\.cc:\d+ +resumes$")
        self.assertRegex(output, r"(?m)^I 0\.750000000 host/LogAtThreeQuarters .*three quarters of a second$")
        self.assertRegex(output, r"(?m)^the scenario of this seed until its end, 0\.750000000 s, .*:\nseed 1\ntest Broken\.\w+\nschedule \w+\npause other from 0\.75s to 2s  # hit 1 time$")
        self.assertRegex(output, r"(?m)^  at 0\.750000000 s of virtual time, outside of any host$")

    def test_a_message_from_its_write_to_its_read(self):
        output = BROKEN.run("--gtest_filter=Broken.Deadlocks", "--seed=3", "--trace=-").output
        port = re.search(r"server:7 - client:(\d+)", output).group(1)
        time = r"(?m)^ +0\.\d{9}  "
        question = r"client:%s > server:7 #2 8 bytes at 0, ACK 0, window 65536" % port
        ends = r"\((server:7 - client:%s|client:%s - server:7)\)" % (port, port)
        self.assertRegex(output, time + r"client +AskOnce broken_program.cc:\d+ +writes +8 bytes to socket 0 " + ends + "$")
        sent = re.search(time + r"client +AskOnce broken_program.cc:\d+ +sends +%s; arrives ([0-9.]+): \"question\"$" % question,
                         output)
        self.assertTrue(sent, output)
        self.assertRegex(output, r"(?m)^ +%s  server +gets +%s: \"question\"$" % (sent.group(1), question))
        self.assertRegex(output, r"(?m)^ +%s  server +reads +8 bytes from socket 1 %s: \"question\"$" % (sent.group(1), ends))
        self.assertRegex(output, r"(?m)^ +%s  server +ReadAndSayNothing broken_program.cc:\d+ +resumes$" % sent.group(1))

    def test_is_the_same_each_time_and_changes_no_digest(self):
        flags = ["--gtest_filter=Broken.LosesReplies", "--seed=2", "--print_digest"]
        with tempfile.TemporaryDirectory() as folder:
            traces = []
            for i in range(2):
                path = os.path.join(folder, "trace%d" % i)
                run = BROKEN.run(*flags, "--trace=" + path)
                self.assertEqual(run.digests, BROKEN.run(*flags).digests)
                with open(path) as file:
                    traces.append(file.read())
        self.assertEqual(*traces)
        self.assertGreater(traces[0].count("\n"), 100)


class Debugger(unittest.TestCase):

    def test_stops_in_a_failing_seed(self):
        run = subprocess.run(
            ["gdb", "-nx", "-q", "-batch", "-ex", "break WriteToNull", "-ex", "run", "-ex", "backtrace 2", "--args",
             BROKEN.path, "--gtest_filter=Broken.Segfaults", "--seed=%d" % BAD_SEED, "--here"],
            env=sim_program.PLAIN_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=120, text=True)
        self.assertRegex(run.stdout, r"(?s)Breakpoint 1, .*WriteToNull.*broken_program\.cc:\d+")
        self.assertRegex(run.stdout, r"#1 .*AfterASecond.*broken_program\.cc:\d+")

    def test_an_exit_here_is_a_failure(self):
        run = BROKEN.run("--gtest_filter=Broken.Exits", "--seed=%d" % BAD_SEED, "--here")
        self.assertEqual(run.exit_code, 1)
        self.assertIn("exited before the test's end", run.output)

    def test_here_fails_as_a_seed_does(self):
        flags = ["--gtest_filter=Broken.FailsAnExpectationInATask", "--seed=%d" % BAD_SEED, "--print_digest"]
        here, child = BROKEN.run(*flags, "--here"), BROKEN.run(*flags)
        self.assertEqual(here.exit_code, 1)
        self.assertEqual(here.digests, child.digests)
        self.assertRegex(here.output, r"broken_program.cc:\d+: Failure")
        self.assertRegex(here.output, r"at testing/determinism/broken_program.cc:\d+ in .*CallsExpects")


class Flags(unittest.TestCase):

    def test_fail_fast_ends_the_run(self):
        run = BROKEN.run("--gtest_filter=Broken.Deadlocks:Broken.Exits", "--seeds=%d" % SEEDS, "--fail_fast")
        self.assertEqual(run.exit_code, 1)
        self.assertEqual(run.output.count("\nreplay: "), 1, run.output)

    def test_unknown_flag_gives_the_list(self):
        run = BROKEN.run("--sedes=3")
        self.assertEqual(run.exit_code, 2)
        self.assertIn("unknown flag --sedes=3", run.output)
        for flag in ("--fail_fast", "--here", "--stderrthreshold=N", "--minloglevel=N", "--v=N", "--seed=S", "--seeds=N", "--seed_start=S", "--max_events=N", "--check_determinism=SEEDS", "--shrink=S", "--pin=FILE", "--report", "--out=FOLDER",
                     "--print_digest", "--trace=FILE", "--wall_limit_s=S", "--keep_going", "--aslr"):
            self.assertIn("\n  %s " % flag, run.output)

    def test_flags_that_exclude_each_other(self):
        for flags, words in ((["--here"], "--here needs --seed"), (["--fail_fast", "--keep_going"], "exclude each other"),
                             (["--seed=1", "--here", "--check_determinism"], "exclude each other"),
                             (["--seed=1", "--here", "--pin=a"], "exclude each other"),
                             (["--seed=1", "--here", "--shrink=1"], "exclude each other"),
                             (["--seed=1", "--here", "--out=a"], "exclude each other"),
                             (["--out=a", "--report=false"], "exclude each other"),
                             (["--seed=1", "--seeds=2"], "--seed and --seeds exclude each other"),
                             (["--seed=1", "--seed_start=2"], "--seed and --seed_start exclude each other"),
                             (["--stderrthreshold=4"], "a whole number from 0 to 3")):
            run = BROKEN.run(*flags)
            self.assertEqual(run.exit_code, 2)
            self.assertIn(words, run.output)


if __name__ == "__main__":
    sim_program.main()
