#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every weakening applies to the sources as they are, the page has a row for each, and the table is made right."""

import os
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
# The checkout, behind the link to the test's data.
HERE = os.path.dirname(os.path.realpath(os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "testing",
                                                     "weakenings", "weakenings.py")))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import weakenings as w

PATCH = """# SPDX-License-Identifier: Apache-2.0
#
# Promise: a clock goes
#   on.
# From: sim/clock.cc: "Clock goes on"
# Weakened: it does not.
--- a/sim/clock.cc
+++ b/sim/clock.cc
@@ -2,4 +2,4 @@
 // on and on.
 int Clock() {
-  return 1;
+  return 0;
 }
"""
CLOCK = "// The Clock goes\n// on and on.\nint Clock() {\n  return 1;\n}\n"


class Checkout(unittest.TestCase):
    """What is there."""

    def test_each_patch_applies_and_its_promise_is_made(self):
        found = w.all_weakenings(ROOT)
        self.assertGreaterEqual(len(found), 12)
        for weakening in found:
            with self.subTest(weakening.name), tempfile.TemporaryDirectory() as folder:
                weakening.check_source(ROOT)
                for path in weakening.files:
                    os.makedirs(os.path.join(folder, os.path.dirname(path)), exist_ok=True)
                    shutil.copy(os.path.join(ROOT, path), os.path.join(folder, path))
                weakening.apply(folder)

    def test_the_page_has_a_row_for_each(self):
        with open(os.path.join(ROOT, w.PAGE), encoding="utf-8") as page:
            self.assertEqual(list(w.page_problems(page.read(), w.all_weakenings(ROOT))), [])


class Patches(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.mkdir(os.path.join(self.folder, "sim"))
        self.write("sim/clock.cc", CLOCK)

    def write(self, path, text):
        full = os.path.join(self.folder, path)
        with open(full, "w", encoding="utf-8") as stream:
            stream.write(text)
        return full

    def weakening(self, text):
        return w.Weakening(self.write("clock_stands.patch", text))

    def test_what_a_patch_says(self):
        weakening = self.weakening(PATCH)
        self.assertEqual((weakening.name, weakening.promise, weakening.weakened, weakening.files),
                         ("clock_stands", "a clock goes on", "it does not", ["sim/clock.cc"]))
        weakening.check_source(self.folder)
        weakening.apply(self.folder)
        with open(os.path.join(self.folder, "sim/clock.cc"), encoding="utf-8") as stream:
            self.assertEqual(stream.read(), CLOCK.replace("1", "0"))

    def test_what_a_patch_has_to_say(self):
        for line in ("# Promise: a clock goes\n#   on.\n", "# Weakened: it does not.\n", "+++ b/sim/clock.cc\n",
                     '# From: sim/clock.cc: "Clock goes on"\n', ': "Clock goes on"'):
            with self.subTest(line), self.assertRaises(w.PatchError):
                self.weakening(PATCH.replace(line, ""))
        with self.assertRaises(w.PatchError):  # The promise stands before the diff.
            self.weakening(PATCH.replace("# Promise", "# Note") + "# Promise: a clock goes on.\n")

    def test_the_promise_stands_where_it_says(self):
        for change in (("Clock goes on", "Clock stands"), ("From: sim/clock.cc", "From: sim/time.cc")):
            with self.subTest(change), self.assertRaises(w.PatchError):
                self.weakening(PATCH.replace(*change)).check_source(self.folder)

    def test_a_patch_fits_line_by_line(self):
        for change in (("1", "2"), ("int Clock", "int Time")):
            self.write("sim/clock.cc", CLOCK.replace(*change))
            with self.subTest(change), self.assertRaisesRegex(w.PatchError, "clock_stands does not apply"):
                self.weakening(PATCH).apply(self.folder)


class Verdicts(unittest.TestCase):

    def test_the_suite_of_a_test(self):
        self.assertEqual(w.suite_of("//examples/kv:kv_sim_test"), "kv")
        self.assertEqual(w.suite_of("//sim/tcp:tcp_loss_test"), "sim")
        for stranger in ("//sim/tcpdump:tcp_test", "//examples/kv:kv_test"):
            with self.subTest(stranger), self.assertRaises(ValueError):
                w.suite_of(stranger)

    def test_of_several_tests_the_worst_counts(self):
        statuses = {"//sim/tcp:a": "PASSED", "//sim/machine:b": "PASSED", "//examples/kv:kv_sim_test": "PASSED"}
        for b, verdict in (("PASSED", w.UNNOTICED), ("TIMEOUT", w.HANGS), ("FAILED", w.CAUGHT)):
            self.assertEqual(w.verdicts({**statuses, "//sim/machine:b": b}, ["sim", "kv"]),
                             {"sim": verdict, "kv": w.UNNOTICED})
        self.assertEqual(w.verdicts({"//sim/tcp:a": "TIMEOUT", "//sim/machine:b": "FAILED"}, ["sim"]), {"sim": w.CAUGHT})

    def test_a_test_that_was_not_run_is_no_verdict(self):
        for statuses in ({}, {"//sim/tcp:a": "PASSED", "//sim/machine:b": "NO_STATUS"}):
            with self.subTest(statuses), self.assertRaises(ValueError):
                w.verdicts(statuses, ["sim"])


class Table(unittest.TestCase):

    def setUp(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "clock_stands.patch")
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(PATCH)
            self.weakening = w.Weakening(path)

    def page(self, row):
        return "# A page\n" + w.PAGE_BEGIN + w.header(w.SUITES) + "\n" + row + w.PAGE_END + "The end.\n"

    def test_the_page(self):
        cells = [w.UNNOTICED] * len(w.SUITES)
        cells[1] = w.CAUGHT
        row = w.row(self.weakening, cells) + "\n"
        self.assertEqual(list(w.page_problems(self.page(row), [self.weakening])), [])
        for page, words in (
                ("# A page\n", "no part"),
                (self.page(""), "not those of the patches"),
                (self.page(row + row), "not those of the patches"),
                (self.page(row.replace("clock_", "time_")), "not those of the patches"),
                (self.page(row.replace("goes on", "goes")), "otherwise than the patch"),
                (self.page(row.replace("it does not", "it stops")), "otherwise than the patch"),
                (self.page(row.replace(w.CAUGHT, "perhaps")), "does not print"),
                (self.page(row.replace(w.CAUGHT + " | ", "")), "does not print"),
                (self.page(row.replace(w.CAUGHT, w.HANGS)), "no suite notices it"),
                (self.page(row).replace("| sim |", "| simulation |"), "does not begin with the columns")):
            with self.subTest(words):
                self.assertRegex("\n".join(w.page_problems(page, [self.weakening])), words)


if __name__ == "__main__":
    program = unittest.main(exit=False)
    result = program.result
    failed = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - failed, failed), flush=True)
    sys.exit(1 if failed or result.testsRun == 0 else 0)
