# SPDX-License-Identifier: Apache-2.0
"""Runs the binary of a sim_test and reads what it prints; for tests of the harness from outside."""

import os
import re
import shlex
import subprocess
import sys
import unittest

# Nothing of the machine, and nothing of the test that runs this.
PLAIN_ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def runfile(path):
    """Returns where Bazel has put a file of `data`, by its path in the workspace."""
    return os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], path)


class Failure:
    """One failed seed as it was reported: why, what it printed, and the command that runs it again."""

    def __init__(self, text):
        self.text, self.replay = text.rsplit("replay: ", 1)
        self.message = re.split("^--- (?:what it printed|this much of|in words|what led to it)", self.text, maxsplit=1,
                                flags=re.MULTILINE)[0]


class Finished:
    """A run that has ended."""

    def __init__(self, exit_code, output):
        self.exit_code = exit_code
        self.output = output
        # {seed: digest}, and the seeds in the order in which they were printed.
        lines = re.findall(r"^seed (\d+) digest ([0-9a-f]{32})$", output, re.MULTILINE)
        self.seeds = [int(seed) for seed, _ in lines]
        self.digests = {int(seed): digest for seed, digest in lines}
        reports = re.findall(r"^seed (\d+) failed: (.*?^replay: [^\n]*)$", output, re.MULTILINE | re.DOTALL)
        self.failures = {int(seed): Failure(text) for seed, text in reports}
        self.fixed_addresses = "ASLR on" not in output


class Program:
    """The binary of a sim_test."""

    def __init__(self, path):
        self.path = runfile(path)

    def run(self, *flags, env=None, cwd=None, argv0=None, before_exec=None, limit_s=800):
        """Runs it and waits for its end. `env` replaces the whole environment."""
        run = subprocess.run(
            [argv0 or self.path, *flags], executable=self.path, cwd=cwd, preexec_fn=before_exec,
            env=PLAIN_ENVIRONMENT if env is None else env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=limit_s)
        return Finished(run.returncode, run.stdout.decode("utf-8", "replace"))

    def replay(self, command, *more_flags):
        """Runs a replay line; of one with Bazel, what Bazel would run."""
        words = shlex.split(command)
        if words[0] != "bazel":
            assert words[0] == self.path, command
            return self.run(*words[1:], *more_flags)
        assert words[1] == "test" and words[2].startswith("//"), command
        env, flags = dict(PLAIN_ENVIRONMENT, TEST_TARGET=words[2]), []
        for word in words[3:]:
            name, value = word.split("=", 1)
            if name == "--test_arg":
                flags.append(value)
            elif name == "--test_filter":
                env["TESTBRIDGE_TEST_ONLY"] = value
            else:
                assert name == "--config", command
        return self.run(*flags, *more_flags, env=env)


def main():
    """Runs the tests of the calling module and ends the process; the last line is `N passed, N failed`."""
    program = unittest.main(verbosity=2, exit=False)
    result = program.result
    failed = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - failed - len(result.skipped), failed), flush=True)
    sys.exit(1 if failed or result.testsRun == 0 else 0)
