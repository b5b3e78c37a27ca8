#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every planted leak is caught, and in the way in which it should be."""

import os
import signal
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
FOLDER = os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "testing", "leaks")
sys.path.insert(0, FOLDER)
import leaks

PROGRAM = os.path.join(FOLDER, "leak_program")
PLAIN = os.path.join(FOLDER, "plain_program")


class Leaks(unittest.TestCase):

    def test_all_are_caught(self):
        found = leaks.run(PROGRAM, os.environ["TEST_TMPDIR"])
        print(leaks.table(found), flush=True)
        for leak in found:
            with self.subTest(leak.name):
                self.assertEqual(leak.caught, leaks.expected(leak.name), leak.said)
        self.assertGreaterEqual(len(found), 24)
        self.assertGreaterEqual(sum(leak.caught == leaks.NAME for leak in found), 22)
        self.assertEqual([name for name in os.listdir(os.environ["TEST_TMPDIR"]) if name.startswith("seed-")], [])

    def test_what_is_not_caught_is_said(self):
        self.assertEqual(leaks.read("Fork", True, "").caught, leaks.NOTHING)
        self.assertEqual(leaks.read("Hostname", False, "Expected equality").caught, leaks.NOTHING)
        self.assertEqual(leaks.read("Hostname", True, "").caught, leaks.SERVED)
        self.assertEqual(leaks.read("HashOrder", True, "").caught, leaks.NOTHING)


class PlainMain(unittest.TestCase):
    """System calls by an instruction of the program, in a process with a main() of its own."""

    def run_plain(self, what, **variables):
        run = subprocess.run([PLAIN, what], env=dict(PATH="/usr/bin:/bin", **variables), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        return run.returncode, run.stdout.decode("utf-8", "replace")

    @unittest.skipIf(leaks.is_sanitized(PLAIN), "a sanitizer's runtime makes system calls of its own")
    def test_trap_holds_within_the_world_alone(self):
        code, output = self.run_plain("inside")
        self.assertEqual(code, -signal.SIGABRT, output)
        self.assertIn("in the world: main\n", output)
        self.assertIn("the system call socket was called in a simulated world: ", output)
        self.assertRegex(output, r"plain_program.cc:\d+ in .*SocketByInstruction")
        code, output = self.run_plain("after")
        self.assertEqual(code, 0, output)
        self.assertIn("behind it: %s, a thread ran\n" % os.uname().nodename, output)

    @unittest.skipIf(leaks.is_sanitized(PLAIN), "a sanitizer's runtime makes system calls of its own")
    def test_starting_another_program_behind_the_trap_is_refused_by_name(self):
        code, output = self.run_plain("program")
        self.assertEqual(code, -signal.SIGABRT, output)
        self.assertIn("system() was called after a simulated world", output)

    def test_without_a_trap_the_machine_answers(self):
        for what in ("inside", "after", "program"):
            code, output = self.run_plain(what, TANDEM_TRAP="0")
            self.assertEqual(code, 0, output)
            self.assertIn("in the world: %s\n" % os.uname().nodename, output)


if __name__ == "__main__":
    program = unittest.main(exit=False)
    result = program.result
    failed = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - failed - len(result.skipped), failed), flush=True)
    sys.exit(1 if failed or result.testsRun == 0 else 0)
