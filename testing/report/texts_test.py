#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is hard to show, is shown: much text, bytes that are no text, many hosts, none."""

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

PROGRAM = sim_program.Program("testing/report/texts_program")
TABLE = re.compile(r"^--- what led to it:\n(.*?)^---", re.MULTILINE | re.DOTALL)
FLAGS = ["--seeds=1", "--jobs=1", "--check_determinism=none"]


class TextsTest(unittest.TestCase):
    def fail_once(self, name, *flags):
        run = PROGRAM.run("--gtest_filter=Texts." + name, *FLAGS, *flags)
        self.assertEqual(run.exit_code, 1, run.output[:10_000])
        self.assertEqual(list(run.failures), [1], run.output[:10_000])
        return run

    def table(self, name):
        run = self.fail_once(name)
        return TABLE.search(run.output).group(1)

    def test_a_long_value(self):
        with tempfile.TemporaryDirectory() as outputs:
            run = self.fail_once("LongValue", "--out=" + outputs)
            self.assertRegex(run.failures[1].message,
                             r"there is no value \(value=v{4096}\.\.\. \(2995904 bytes more\)\)\n")
            folder = os.path.join(outputs, "Texts.LongValue-seed-1")
            with open(os.path.join(folder, "trace.jsonl")) as file:
                [failure] = [event for event in map(json.loads, file) if event.get("source") == "failure"]
            self.assertIn("(2995904 bytes more)", failure["text"])
            self.assertLess(sum(os.path.getsize(os.path.join(folder, file)) for file in os.listdir(folder)), 500_000)

    def test_a_long_message(self):
        run = self.fail_once("LongMessage", "--shrink=0", "--report=false")
        message = run.failures[1].message
        self.assertTrue(re.search(r"it begins so: m{16370}\.\.\. \(49983630 bytes more\)\n  at 1\.000000000 s", message),
                        message[:100] + message[-1000:])
        self.assertNotIn("exited before the test's end", message)

    def test_what_failed_in_a_row(self):
        last = [self.table(name).splitlines()[-1] for name in ("Stuck", "ACondition", "BeforeAnything")]
        self.assertRegex(last[0], r"^e\d+ +0\.000000000  \* FAILS: FAILED_PRECONDITION: stuck: host client has not ended, ")
        self.assertRegex(last[1], r"  \* FAILS: Value of: failed == 0 \|\| failed > 10, actual: false  +texts_program\.cc:")
        self.assertRegex(last[2], r"^e0  0\.000000000  \* FAILS: there is no host  +texts_program\.cc:\d+$")

    def test_no_column_has_what_is_of_no_host(self):
        head, *rows = self.table("Stuck").splitlines()
        column = head.index("server")
        self.assertEqual(rows[-1].index("* FAILS"), column - 2)
        self.assertTrue(any(row[column:].startswith("starts with") for row in rows), rows)

    def test_many_hosts(self):
        _, head, *rows = self.table("ManyHosts").splitlines()
        self.assertLessEqual(max(map(len, [head] + rows)), 300)
        columns = head.split()[1:-1]
        self.assertEqual(len(columns), 8, head)
        self.assertEqual(len(set(columns)), 8, head)
        self.assertRegex(columns[0], r"^a-very-\S*\.\.\.\S*-\d+$")
        self.assertRegex("\n".join(rows), r"  \[a-very-long-host-name-whose-end-tells-it-apart-\d+\] ends main")

    def test_bytes_that_are_no_text(self):
        with tempfile.TemporaryDirectory() as outputs:
            run = self.fail_once("Bytes", "--out=" + outputs)
            shown = r"rings \x07 and paints \x1b[31m, \xff is no character, \u00e4 is one\x0d" "\n\tand more\n"
            self.assertIn(shown.replace("\\u00e4", "\u00e4"), run.failures[1].message)
            self.assertIn(r"] before\x00behind\x1b[31m\xff red" "\n", run.output)
            for byte in set(run.output) - {"\n", "\t"}:
                self.assertTrue(byte.isprintable() and byte != "\ufffd", repr(byte))
            with open(os.path.join(outputs, "Texts.Bytes-seed-1", "report.json")) as file:
                self.assertIn("\a and paints \x1b[31m", json.load(file)["message"])

    def test_a_trace_for_which_there_is_no_room(self):
        for flags in (["--trace=/dev/full"], ["--trace=/dev/full", "--here"]):
            run = PROGRAM.run("--gtest_filter=Texts.Passes", "--seed=1", *flags)
            self.assertEqual(run.exit_code, 2, run.output)
            self.assertIn("--trace=/dev/full: the trace is cut off, it cannot be written: No space left on device\n",
                          run.output)
        self.assertEqual(PROGRAM.run("--gtest_filter=Texts.Passes", "--seed=1", "--trace=/dev/null").exit_code, 0)

    def test_a_scenario_of_a_test_that_is_left_out(self):
        with tempfile.NamedTemporaryFile("w", suffix=".scenario") as scenario:
            scenario.write("seed 1\ntest Texts.ACondition\n")
            scenario.flush()
            run = PROGRAM.run("--gtest_filter=Texts.Passes", "--scenario=" + scenario.name)
            self.assertEqual(run.exit_code, 2, run.output)
            self.assertIn("it is of Texts.ACondition, which has not run: --gtest_filter=Texts.Passes leaves it out\n",
                          run.output)
            for name in ("Texts.ACondition", "*"):
                run = PROGRAM.run("--gtest_filter=" + name, "--scenario=" + scenario.name)
                self.assertEqual(run.exit_code, 1, run.output)

    def test_a_scenario_of_a_host_that_is_not_there(self):
        with tempfile.NamedTemporaryFile("w", suffix=".scenario") as scenario:
            scenario.write("seed 1\ntest Texts.Passes\ncrash hsot from 1s to 2s\n")
            scenario.flush()
            for flags in ([], ["--here"]):
                run = PROGRAM.run("--scenario=" + scenario.name, *flags)
                self.assertEqual(run.exit_code, 2, run.output)
                self.assertIn("the test has not added: crash hsot from 1s to 2s\nit has added: host\n", run.output)
                self.assertIn("--scenario=%s: it has a host that the test has not\n" % scenario.name, run.output)

    def test_a_stop_while_it_is_explained(self):
        with tempfile.TemporaryDirectory() as outputs:
            command = [PROGRAM.path, "--gtest_filter=Texts.LongLog", *FLAGS, "--shrink=0", "--out=" + outputs]
            with subprocess.Popen(command, env=sim_program.PLAIN_ENVIRONMENT, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True) as running:
                # What is known is said before it looks into it.
                lines = []
                while not lines or not lines[-1].startswith("[sim] replay: "):
                    lines.append(running.stdout.readline())
                    self.assertNotEqual(lines[-1], "", lines)
                self.assertRegex(lines[-2], r"^\[sim\] Texts\.LongLog: looks into seed 1: "
                                            r"testing/report/texts_program\.cc:\d+: it has logged much\n$")
                running.send_signal(signal.SIGTERM)
                output = running.communicate()[0]
            self.assertEqual(running.returncode, 128 + signal.SIGTERM, output[:10_000])
            end = sim_program.Finished(running.returncode, output)
            self.assertIn("it has logged much\n", end.failures[1].message)
            self.assertIn("not shrunk or explained to the end: stopped by SIGTERM\n", end.failures[1].text)
            self.assertEqual(os.listdir(os.path.join(outputs, "Texts.LongLog-seed-1")), ["scenario.txt"])


if __name__ == "__main__":
    sim_program.main()
