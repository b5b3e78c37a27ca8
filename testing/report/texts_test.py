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
