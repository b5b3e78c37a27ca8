# SPDX-License-Identifier: Apache-2.0
"""The weakenings of the simulated world: what their patches say, the suites that should notice, and the table of both.

A patch begins with comments: the paragraphs `# Promise: ...`, what the world promises; `# From: FILE: "words"`, where
it does, in words that stand there; and `# Weakened: ...`, what it does instead. The rest is a diff with paths from the
top of the checkout.
"""

import glob
import os
import re
import subprocess

# The columns of the table: the tests of each suite, as Bazel's patterns.
SUITES = {
    "conformance": [
        "//testing/conformance:async_test_sim",
        "//testing/conformance:socket_conformance_test_sim",
    ],
    "races": [
        "//testing/conformance:one_completion_sim_test",
        "//testing/conformance:socket_race_sim_test",
    ],
    "sim": [
        "//sim/machine/...",
        "//sim/tcp/...",
        "//sim/world/tests:by_name_test",
        "//sim/world/tests:crash_test",
        "//sim/world/tests:fault_injector_test",
        "//sim/world/tests:world_faults_test",
        "//sim/world/tests:world_test",
    ],
    "differential": ["//testing/conformance/differential:differential_test"],
    "kv": ["//examples/kv:kv_sim_test"],
    "clusters": [
        "//testing/mutants/dedup:dedup_test",
        "//testing/mutants/echo:echo_test",
    ],
}

# What a suite makes of a weakening. A suite that does not end has not said that anything is wrong.
CAUGHT, HANGS, UNNOTICED = "caught", "hangs", "-"

PAGE = os.path.join("docs", "testing_tandem.md")
PAGE_BEGIN = "<!-- begin: printed by tools/mutate -->\n"
PAGE_END = "<!-- end -->\n"


class PatchError(Exception):
    """What is wrong with a patch."""


class Weakening:
    """One patch: the promise that it breaks, where that stands, what the world does instead, and the files."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.splitext(os.path.basename(path))[0]
        with open(path, encoding="utf-8") as stream:
            head, _, diff = stream.read().partition("\n--- a/")
        self.promise = self._paragraph(head, "Promise").rstrip(".")
        self.weakened = self._paragraph(head, "Weakened").rstrip(".")
        source = re.fullmatch(r'(\S+): "(.+)"', self._paragraph(head, "From"))
        if not source:
            raise PatchError('%s: `# From:` is not FILE: "words"' % self.name)
        self.source, self.words = source.groups()
        self.files = re.findall(r"^\+\+\+ b/(\S+)", diff, re.MULTILINE)
        if not self.files:
            raise PatchError("%s: no line `+++ b/PATH`" % self.name)

    def _paragraph(self, head, word):
        found = re.search(r"^# %s: (.*(?:\n#   .*)*)" % word, head, re.MULTILINE)
        if not found:
            raise PatchError("%s: no line `# %s: ...` before the diff" % (self.name, word))
        return re.sub(r"\s*\n#\s*", " ", found.group(1)).strip()

    def check_source(self, root):
        """Raises PatchError unless the promise stands where the patch says."""
        try:
            with open(os.path.join(root, self.source), encoding="utf-8") as stream:
                text = stream.read()
        except OSError as error:
            raise PatchError("%s: %s" % (self.name, error)) from error
        # A sentence may go on in the next line of a comment.
        if self.words not in re.sub(r"\s+", " ", re.sub(r"\n *//", "\n", text)):
            raise PatchError('%s: %s does not say "%s"' % (self.name, self.source, self.words))

    def apply(self, folder):
        """Changes the files below `folder`. Raises PatchError unless all of the patch fits, line by line."""
        run = subprocess.run(["patch", "--force", "--fuzz=0", "--no-backup-if-mismatch", "--reject-file=-", "-p1", "-i",
                              self.path], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        if run.returncode != 0:
            raise PatchError("%s does not apply: make it anew\n%s" % (self.name, run.stdout.decode("utf-8", "replace")))


def all_weakenings(root):
    """Those of the checkout at `root`, by name."""
    return [Weakening(path) for path in sorted(glob.glob(os.path.join(root, "testing", "weakenings", "*.patch")))]


def suite_of(test):
    """The suite that the test with this label belongs to."""
    for name, patterns in SUITES.items():
        for pattern in patterns:
            package = pattern.removesuffix("/...")
            if test == pattern or (package != pattern and re.match(re.escape(package) + "[:/]", test)):
                return name
    raise ValueError("%s belongs to no suite" % test)


def verdicts(statuses, suites):
    """{suite: verdict}, from {test: status} in Bazel's words."""
    found = {}
    for name in suites:
        own = {status for test, status in statuses.items() if suite_of(test) == name}
        if not own or own - {"PASSED", "FAILED", "TIMEOUT"}:
            raise ValueError("the tests of %s ended with %s" % (name, ", ".join(sorted(own)) or "nothing"))
        found[name] = CAUGHT if "FAILED" in own else HANGS if "TIMEOUT" in own else UNNOTICED
    return found


# --- The table -------------------------------------------------------------------------------------------------------


def header(suites):
    cells = ["weakening", "the world promises", "weakened", *suites]
    return "| %s |\n|%s" % (" | ".join(cells), "---|" * len(cells))


def row(weakening, cells):
    return "| %s |" % " | ".join(["`%s`" % weakening.name, weakening.promise, weakening.weakened, *cells])


def page_problems(page, weakenings):
    """Yields what does not fit between the table of a page and the patches."""
    _, begin, rest = page.partition(PAGE_BEGIN)
    table, end, _ = rest.partition(PAGE_END)
    if not begin or not end:
        yield "there is no part between %s and %s" % (PAGE_BEGIN.strip(), PAGE_END.strip())
        return
    lines = table.strip().split("\n")
    if "\n".join(lines[:2]) != header(SUITES):
        yield "the table does not begin with the columns\n" + header(SUITES)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    names = [weakening.name for weakening in weakenings]
    if [cells[0].strip("`") for cells in rows] != names:
        yield "the rows are not those of the patches, in their order: %s" % ", ".join(names)
        return
    for weakening, cells in zip(weakenings, rows):
        if cells[1:3] != [weakening.promise, weakening.weakened]:
            yield "%s: the table says otherwise than the patch:\n%s" % (weakening.name, row(weakening, cells[3:]))
        if len(cells[3:]) != len(SUITES) or set(cells[3:]) - {CAUGHT, HANGS, UNNOTICED}:
            yield "%s: the table has something that tools/mutate does not print: %s" % (weakening.name, cells[3:])
        elif CAUGHT not in cells[3:]:
            yield "%s: no suite notices it" % weakening.name
