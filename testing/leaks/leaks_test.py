#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every planted leak is caught, and in the way in which it should be."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
FOLDER = os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "testing", "leaks")
sys.path.insert(0, FOLDER)
import leaks

PROGRAM = os.path.join(FOLDER, "leak_program")


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


if __name__ == "__main__":
    program = unittest.main(exit=False)
    result = program.result
    failed = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - failed, failed), flush=True)
    sys.exit(1 if failed or result.testsRun == 0 else 0)
