# SPDX-License-Identifier: Apache-2.0
"""Builds in several configurations side by side, for the scripts that compare them.

Each build has an output base of its own below OWN_CACHE, so that none throws another's away; they share Bazel's disk
cache. An output base belongs to one folder of sources: used for a second one, Bazel keeps links into the first.
"""

import hashlib
import os
import subprocess

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tandem")
# What only this checkout may use (.ci/run has the same rule).
OWN_CACHE = os.path.join(CACHE, "ob", hashlib.sha256(ROOT.encode()).hexdigest()[:12])


class BuildError(Exception):
    """A build that failed; the text is Bazel's output."""


class Build:
    """One configuration of one source tree."""

    def __init__(self, name, flags=(), source=ROOT):
        self.name = name
        self.flags = list(flags)
        self.source = source
        self.output_base = os.path.join(OWN_CACHE, name)
        self._bin = None

    def run(self, command, *arguments):
        """Runs a Bazel command with this build's flags; returns it ended, with what it printed."""
        os.makedirs(self.output_base, exist_ok=True)
        # The server goes away soon after, because each one holds hundreds of megabytes.
        line = ["bazel", "--output_base=" + self.output_base, "--max_idle_secs=15", command]
        line += ["--experimental_convenience_symlinks=ignore", "--noshow_progress", "--color=no", *self.flags, *arguments]
        return subprocess.run(line, cwd=self.source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)

    def bazel(self, command, *arguments):
        """As run(); returns its standard output."""
        run = self.run(command, *arguments)
        if run.returncode != 0:
            text = run.stderr.decode("utf-8", "replace") + run.stdout.decode("utf-8", "replace")
            raise BuildError("bazel %s failed in configuration %s:\n%s" % (command, self.name, text))
        return run.stdout.decode("utf-8", "replace")

    def build(self, *targets):
        self.bazel("build", *targets)

    def path(self, label):
        """Returns the file that the target `label` (//package:name) was built to."""
        if self._bin is None:
            self._bin = self.bazel("info", "bazel-bin").strip()
        return os.path.join(self._bin, *label.lstrip("/").split(":"))

    def execution_root(self):
        return self.bazel("info", "execution_root").strip()


def table(rows):
    """Returns rows of texts as lines with aligned columns."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
