# SPDX-License-Identifier: Apache-2.0
"""The commands of a page: reads them, says which lack a marker, and runs them as a reader would.

A block of commands is fenced as `sh`, and the comment on the line above it says what becomes of it:

    <!-- run -->                        it is run, and has to succeed
    <!-- run: fails -->                 it is run, and has to fail
    <!-- run: in the checkout -->       it is run in Tandem's checkout; elsewhere in the page's own folder
    <!-- run: in the background -->     it goes on, as in a terminal of its own, until the page ends
    <!-- not run: REASON -->            it is not run, and why

The blocks of a page are run in order, by one shell with `set -e`, in an empty folder outside of the checkout, which
`$TANDEM` names. A `text` block below `<!-- prints -->` has to be in what the last block before it printed, line by
line; `...` stands for any part of a line, and alone for any number of lines. Below `<!-- prints: in any order -->` each
line has to be there.
"""

import glob
import os
import re
import select
import shutil
import signal
import subprocess
import time

OPTIONS = {"fails", "in the checkout", "in the background"}
# The first words of what looks like a command, in blocks that are indented instead of fenced.
_COMMAND = re.compile(r"(?:\$ |bazel[- ]|git |cd |export |sudo |apt-get |gdb |docker |podman |cmake |dnf |redis-|\./|\.ci/|tools/|bench/|examples/kv/)")


class PageError(Exception):
    """What is wrong with a page; the text begins with its line. `output` is what the commands there printed."""

    def __init__(self, line, text, output=""):
        super().__init__("%d: %s" % (line, text))
        self.output = output


class Block:
    """Commands that are to be run. `line` is that of the fence; `prints` is what they have to print, or None."""

    def __init__(self, line, code, options):
        self.line = line
        self.code = code
        self.options = options
        self.prints = None
        self.in_any_order = False

    def is_printed(self, output):
        """Whether `output` has what the block has to print."""
        parts = self.prints.strip("\n").split("\n") if self.in_any_order else [self.prints]
        return all(occurs(part, output) for part in parts)

    def first_missing(self, output):
        """The first line that `output` has not, after those before it unless the order does not matter."""
        lines = self.prints.strip("\n").split("\n")
        for i, line in enumerate(lines):
            if not occurs(line if self.in_any_order else "\n".join(lines[: i + 1]), output):
                return line
        return lines[-1]


def parse(text):
    """Returns the blocks of a page that are to be run, in order. Raises PageError for a block without its marker."""
    blocks = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        fence = re.match(r"(`{3,})(.*)$", lines[at])
        if re.match(r"\s+`{3,}|\s*~{3,}", lines[at]):
            raise PageError(at + 1, "a block begins with ``` at the start of a line")
        if not fence:
            indented = re.match(r"(?: {4}|\t)\s*(\S.*)", lines[at])
            if indented and _COMMAND.match(indented.group(1)) and _begins_indented(lines, at):
                raise PageError(at + 1, "a command in an indented block: fence it as sh")
            at += 1
            continue
        end = at + 1
        while end < len(lines) and lines[end] != fence.group(1):
            end += 1
        if end == len(lines):
            raise PageError(at + 1, "the block does not end")
        _add(blocks, at + 1, fence.group(2), lines[at - 1] if at > 0 else "", lines[at + 1 : end])
        at = end + 1
    for block in blocks:
        if "in the background" in block.options and block.prints is None:
            raise PageError(block.line, "what runs in the background needs what it prints, which shows that it is there")
    return blocks


def _begins_indented(lines, at):
    """Whether the line is in an indented block, and not in a list's item."""
    while at > 0 and re.match(r" {4}|\t", lines[at]):
        at -= 1
    return lines[at].strip() == ""


def _add(blocks, line, language, above, code):
    marker = re.fullmatch(r"<!-- (run|not run|prints)(?:: (.*\S))? -->", above)
    kind, detail = marker.groups() if marker else (None, None)
    if language == "":
        raise PageError(line, "the block does not say what it is: sh, text, cpp, python, ...")
    if language in ("bash", "console", "shell", "shell-session", "zsh"):
        raise PageError(line, "commands are a block of sh")
    if language == "sh":
        if kind == "not run":
            if not detail:
                raise PageError(line, "say why it is not run: <!-- not run: REASON -->")
            return
        if kind != "run":
            raise PageError(line, "the line above says <!-- run --> or <!-- not run: REASON -->")
        options = set(re.split(", ", detail)) if detail else set()
        if options - OPTIONS:
            raise PageError(line, "unknown: %s; known: %s" % (", ".join(sorted(options - OPTIONS)), ", ".join(sorted(OPTIONS))))
        if {"fails", "in the background"} <= options:
            raise PageError(line, "what is in the background cannot be expected to fail")
        blocks.append(Block(line, "\n".join(code), options))
    elif kind == "prints":
        if language != "text":
            raise PageError(line, "what is printed is a block of text")
        if not blocks or blocks[-1].prints is not None:
            raise PageError(line, "no block of commands before it that prints this")
        if detail not in (None, "in any order"):
            raise PageError(line, "<!-- prints --> has no more to say than: in any order")
        blocks[-1].prints = "\n".join(code)
        blocks[-1].in_any_order = detail is not None
    elif kind:
        raise PageError(line, "<!-- %s --> is for blocks of sh" % kind)


def occurs(expected, output):
    """Whether the lines of `expected` are in `output`, in one piece."""
    pattern = ""
    for line in expected.strip("\n").split("\n"):
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += "[^\n]*".join(re.escape(part) for part in line.rstrip().split("...")) + "[ \t\r]*\n"
    return re.search("^" + pattern, output.rstrip("\n") + "\n", re.MULTILINE) is not None


# --- Running -----------------------------------------------------------------------------------------------------------


class Runner:
    """Runs pages. Bazel's workspaces in the pages' folders share what was built; the checkout keeps what it has.

    `work` is an empty folder for all files, `checkout` what $TANDEM says, `cache` the folder of Bazel's disk cache.
    """

    def __init__(self, work, checkout, cache, limit_s):
        self.work = work
        self.checkout = checkout
        self.limit_s = limit_s
        self.folder = os.path.join(work, "page")
        self.environment = dict(os.environ, TANDEM=checkout, PATH=os.path.join(work, "bin") + ":" + os.environ["PATH"])
        self._write_bazel(cache)

    def _write_bazel(self, cache):
        """Puts a `bazel` in front of the installed one: with the disk cache, and for a log."""
        os.mkdir(os.path.join(self.work, "bin"))
        with open(os.path.join(self.work, "bazelrc"), "w") as stream:
            stream.write("startup --max_idle_secs=15\nbuild --noshow_progress --color=no --disk_cache=%s\n" % cache)
        with open(os.path.join(self.work, "bazelrc.checkout"), "w") as stream:
            stream.write("build --noshow_progress --color=no\n")
        path = os.path.join(self.work, "bin", "bazel")
        with open(path, "w") as stream:
            stream.write(
                "#!/bin/bash\n"
                'case "$(pwd -P)/" in\n'
                '  %(checkout)s/*) exec "%(bazel)s" --bazelrc="%(work)s/bazelrc.checkout" "$@" ;;\n'
                '  *) exec "%(bazel)s" --output_user_root="%(work)s/bazel" --bazelrc="%(work)s/bazelrc" "$@" ;;\n'
                "esac\n" % {"checkout": os.path.realpath(self.checkout), "work": self.work, "bazel": shutil.which("bazel")})
        os.chmod(path, 0o755)

    def run(self, name, blocks):
        """Runs the blocks of the page `name`. Raises PageError at the first that fails."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        links = self._links()
        status, status_end = os.pipe()
        shell = subprocess.Popen(["bash", "--noprofile", "--norc"], cwd=self.folder, env=self.environment, stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, pass_fds=[status_end],
                                 start_new_session=True)
        os.close(status_end)  # The shell's own copy has the same number.
        try:
            self._tell(shell, "status=%d; set -eE" % status_end)
            for index, block in enumerate(blocks):
                self._run_block(shell, status, name, index, block)
            for index, block in enumerate(blocks):
                code = read(self._base(name, index) + ".ended").strip() if "in the background" in block.options else ""
                # What the page has ended by a signal is above.
                if code and 0 < int(code) < 128:
                    raise PageError(block.line, "failed", read(self._base(name, index) + ".output"))
        finally:
            os.close(status)
            self._end(shell)
            # Another output base would take them for folders full of packages.
            for link in self._links() - links:
                os.unlink(link)

    @staticmethod
    def _end(shell):
        """Ends the shell and what the page left running: Bazel stops a build when it is asked to, and not when it is killed."""
        shell.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 5
            try:
                os.killpg(shell.pid, number)
                while time.monotonic() < deadline:
                    shell.poll()
                    os.killpg(shell.pid, 0)
                    time.sleep(0.05)
            except ProcessLookupError:  # All are gone.
                break
        shell.wait()

    def _links(self):
        """Returns Bazel's links in the checkout."""
        return {path for path in glob.glob(os.path.join(self.checkout, "bazel-*")) if os.path.islink(path)}

    @staticmethod
    def _tell(shell, text):
        shell.stdin.write((text + "\n").encode())
        shell.stdin.flush()

    def _base(self, name, index):
        """Returns the path of the commands of a block; what belongs to them has an ending more."""
        return os.path.join(self.work, "%s.%d" % (name.replace("/", "."), index))

    def _run_block(self, shell, status, name, index, block):
        base = self._base(name, index)
        with open(base, "w") as stream:
            # So that the shell's line numbers are the page's. The last line shows that it came to its end.
            stream.write("\n" * block.line + block.code + "\nblock_at_end=%d\n" % index)
        syntax = subprocess.run(["bash", "-n", base], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if syntax.returncode != 0:
            raise PageError(block.line, "not a command of the shell", syntax.stdout)
        output = base + ".output"
        where = "cd %s;" % _quote(self.checkout) if "in the checkout" in block.options else ":;"
        here = "cd %s >/dev/null;" % '"$OLDPWD"' if "in the checkout" in block.options else ":;"
        source = "set -eEo pipefail; trap 'echo \"line $LINENO: exit status $?\"' ERR; source %s" % _quote(base)
        whole = "[[ $block_at_end == %d ]]" % index
        redirected = "</dev/null >%s 2>&1" % _quote(output)
        if "in the background" in block.options:
            command = "(%s trap 'echo $? >%s' EXIT; %s) %s & echo 0 >&$status" % (where, _quote(base + ".ended"), source, redirected)
        elif "fails" in block.options:
            command = "set +e; (%s %s) %s; echo $? >&$status; set -e" % (where, source, redirected)
        else:
            command = "%s { %s; %s; } %s; trap - ERR; %s echo 0 >&$status" % (where, source, whole, redirected, here)
        deadline = time.monotonic() + self.limit_s
        self._tell(shell, command)
        # What the page left running may keep the pipe open, so its end is not how a shell that has ended shows.
        while not select.select([status], [], [], 0.1)[0] and shell.poll() is None:
            if time.monotonic() > deadline:
                raise PageError(block.line, "has not ended after %d s" % self.limit_s, read(output))
        answer = os.read(status, 100).decode().strip() if select.select([status], [], [], 0)[0] else ""
        if "fails" in block.options:
            if answer == "0":
                raise PageError(block.line, "was expected to fail", read(output))
            if answer in ("126", "127"):
                raise PageError(block.line, "was expected to fail, and has a command that is not there", read(output))
        elif answer != "0":
            raise PageError(block.line, "failed", read(output))
        if block.prints is None:
            return
        if "in the background" in block.options:
            while not block.is_printed(read(output)) and not os.path.exists(base + ".ended") and time.monotonic() < deadline:
                time.sleep(0.1)
        if not block.is_printed(read(output)):
            printed = read(output)
            missing = "not found in %d lines, from this one on: %s" % (printed.count("\n"), block.first_missing(printed))
            raise PageError(block.line, "did not print what the page says:\n%s\n%s" % (block.prints, missing), printed)


def _quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
