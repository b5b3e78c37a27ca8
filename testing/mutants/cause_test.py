#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--cause names the step that makes a mutant fail, of a few; //testing/mutants:cause_all looks at all, from several seeds."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import cause_cases
from cause_cases import Attempt, CASES, distance, inevitable
import sim_program

cause_cases.BRANCHES = 20


class MutantsTest(unittest.TestCase):
    def look_at(self, name):
        (case, ) = [case for case in CASES if case.name == name]
        attempt = Attempt(case, 0)
        print(cause_cases.row([attempt]), flush=True)
        self.assertEqual(attempt.problems, [], attempt.run.output)
        self.assertTrue(attempt.near, attempt.run.output)
        return attempt

    def test_what_a_server_forgets(self):
        attempt = self.look_at("table_in_memory")
        # The failure is seen at the end of the run, and the way back from it does not lead there.
        self.assertLess(attempt.cause["time_ns"], 5e9)
        self.assertIn("  from here on inevitable", attempt.run.output)

    def test_what_a_client_forgets(self):
        self.look_at("no_epoch")


class CountingTest(unittest.TestCase):
    def test_distances_are_of_rows(self):
        rows = [2, 5, 7, 9, 12]
        self.assertEqual([distance(rows, (7, 9), planted) for planted in rows], [2, 1, 0, 0, 1])
        # A moment without a row of its own lies between two.
        self.assertEqual([distance(rows, (8, 8), planted) for planted in rows], [3, 2, 1, 1, 2])

    def test_inevitable_is_what_fails_from_then_on(self):
        likelihood = [{"failed": failed, "branches": 50, "otherwise": 0} for failed in (50, 44, 45, 50)]
        self.assertIs(inevitable(likelihood), likelihood[2])
        self.assertIsNone(inevitable(likelihood[:2]))
        self.assertIsNone(inevitable([]))

    def test_there_are_fifteen_of_all_suites(self):
        self.assertEqual(len(CASES), 15)
        self.assertEqual({case.path.split("/")[2] for case in CASES},
                         {"dedup", "echo", "kv", "lease", "membership", "primary_backup", "two_phase"})


if __name__ == "__main__":
    sim_program.main()
