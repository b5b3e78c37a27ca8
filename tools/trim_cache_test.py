# SPDX-License-Identifier: Apache-2.0
"""What tools/trim_cache removes, and what it leaves."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parent / "trim_cache"


class TrimCacheTest(unittest.TestCase):
    def setUp(self):
        self.cache = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR")))
        self.addCleanup(shutil.rmtree, self.cache)

    def file(self, name, kib, used):
        path = self.cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (kib << 10))
        os.utime(path, (used, used))
        return path

    def run_tool(self, *arguments, cache=True, **variables):
        command = [str(TOOL), *(["--cache=%s" % self.cache] if cache else []), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})

    def test_removes_what_was_used_longest_ago(self):
        oldest = self.file("bazel/cas/a", 512, used=1000)
        newest = self.file("bazel/cas/b", 512, used=3000)
        middle = self.file("bazel/ac/c", 512, used=2000)
        result = self.run_tool("--limit_gib=%f" % (1200 / (1 << 20)))
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertFalse(oldest.exists())
        self.assertTrue(middle.exists())
        self.assertTrue(newest.exists())
        self.assertIn("disk cache", result.stdout)

    def test_binaries_go_before_what_they_are_made_of(self):
        objects = [self.file("bazel/cas/object%d" % i, 256, used=1000) for i in range(8)]
        binary = self.file("bazel/cas/binary", 3072, used=3000)
        self.run_tool("--limit_gib=%f" % (2100 / (1 << 20)))
        self.assertFalse(binary.exists())
        self.assertTrue(all(path.exists() for path in objects))

    def test_leaves_a_small_cache_alone(self):
        only = self.file("bazel/cas/a", 512, used=1000)
        result = self.run_tool("--limit_gib=1")
        self.assertEqual((0, ""), (result.returncode, result.stdout))
        self.assertTrue(only.exists())

    def test_a_read_is_a_use(self):
        read = self.file("bazel/cas/a", 512, used=1000)
        os.utime(read, (3000, 1000))
        written = self.file("bazel/cas/b", 512, used=2000)
        self.run_tool("--limit_gib=%f" % (700 / (1 << 20)))
        self.assertTrue(read.exists())
        self.assertFalse(written.exists())

    def test_removes_output_bases_of_checkouts_that_are_gone(self):
        here = self.file("ob/123/ci-asan/DO_NOT_BUILD_HERE", 0, used=1000)
        here.write_text(str(self.cache))
        gone = self.file("ob/456/ci-asan/DO_NOT_BUILD_HERE", 0, used=1000)
        gone.write_text(str(self.cache / "gone"))
        locked = self.file("ob/456/ci-asan/execroot/out", 1, used=1000)
        locked.parent.chmod(0o500)
        result = self.run_tool()
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertTrue(here.exists())
        self.assertFalse(gone.parent.exists())

    def test_the_disk_cache_is_where_bazelrc_says_and_output_bases_where_the_variable_says(self):
        home, other = self.cache / "home", self.cache / "other"
        cached = self.file("home/.cache/tandem/bazel/cas/a", 512, used=1000)
        gone = self.file("other/tandem/ob/456/ci-asan/DO_NOT_BUILD_HERE", 0, used=1000)
        gone.write_text(str(self.cache / "gone"))
        result = self.run_tool("--limit_gib=0", cache=False, HOME=str(home), XDG_CACHE_HOME=str(other))
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertFalse(cached.exists())
        self.assertFalse(gone.parent.exists())

    def test_no_cache_is_no_error(self):
        result = subprocess.run([str(TOOL), "--cache=%s" % (self.cache / "none")], capture_output=True, text=True,
                                check=False)
        self.assertEqual((0, "", ""), (result.returncode, result.stdout, result.stderr))

    def test_bad_limits(self):
        kept = self.file("bazel/cas/a", 1, used=1000)
        for limit in ("-1", "x", "nan", "inf"):
            result = self.run_tool("--limit_gib=" + limit)
            self.assertEqual(2, result.returncode, limit)
            self.assertIn("--limit_gib", result.stderr)
        self.assertTrue(kept.exists())


if __name__ == "__main__":
    unittest.main()
