#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles code that is wrong, and looks at what the compiler says.

Usage: compile_misuses.py SCRIPT SOURCE COMPILER FLAG...

SOURCE has misuses, each with its right form:

    #ifdef AWAITS_A_NAMED_TASK
    // error: a task is awaited once
    Task<int> Twice(Task<int> task) { co_return co_await task; }
    #else
    Task<int> Twice(Task<int> task) { co_return co_await std::move(task); }
    #endif

It is compiled once as it stands, which must succeed in silence, and once for each misuse with that one alone. The first
error or warning must then be of the kind and have the text that the comment says, the output must name a line of the
misuse, and have the text of each comment `note:`. A comment may be for one compiler: `// clang error: ...`,
`// gcc: silent` for what that one does not see. Includes outside of misuses are precompiled.

Writes SCRIPT, which prints what was found and whose last line is `N passed, N failed`.
"""

import concurrent.futures
import os
import re
import shlex
import subprocess
import sys
import tempfile


class Misuse:
    def __init__(self, name, line):
        self.name = name
        self.first = line  # Of its #ifdef.
        self.last = line
        self.expected = []  # (compiler or "", kind, text)


def parse(path, lines):
    """Returns the misuses of the file, and all lines that belong to any or to its right form."""
    misuses = []
    choices = set()
    current = None
    for number, line in enumerate(lines, 1):
        if match := re.match(r"#ifdef (\w+)$", line):
            current = Misuse(match.group(1), number)
            misuses.append(current)
            choices.add(number)
        elif current:
            choices.add(number)
            if line == "#endif":
                current = None
            elif line == "#else":
                current.last = number - 1
            elif match := re.match(r"// (?:(clang|gcc)(?:: | ))?(error: |warning: |note: |silent$)(.*)", line):
                current.expected.append((match.group(1) or "", match.group(2).rstrip(": "), match.group(3)))
    if not misuses:
        sys.exit("%s: no misuse in it" % path)
    return misuses, choices


def judge(misuse, compiler, source, output):
    """Returns what is wrong with the output, or None."""
    expected = [(kind, text) for only, kind, text in misuse.expected if only in ("", compiler)]
    found = [(kind, text) for kind, text in expected if kind != "note"]
    if len(found) != 1:
        return "the misuse does not say what %s is to say" % compiler
    kind, text = found[0]
    if kind == "silent":
        return "expected silence" if output else None
    first = re.search(r"^.*?\b(?:fatal )?(error|warning): (.*)$", output, re.MULTILINE)
    if not first:
        return "it compiles"
    if first.group(1) != kind or text not in first.group(2):
        return "expected first: %s: %s" % (kind, text)
    lines = {int(line) for line in re.findall(re.escape(source) + r":(\d+)", output)}
    if not any(misuse.first < line <= misuse.last for line in lines):
        return "expected a line of the misuse, which is at %d" % misuse.first
    for kind, text in expected:
        if kind == "note" and text not in output:
            return "expected: %s" % text
    return None


def main():
    script, source, *command = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        lines = file.read().splitlines()
    misuses, choices = parse(source, lines)
    version = subprocess.run([command[0], "--version"], stdout=subprocess.PIPE, check=True).stdout.decode()
    compiler = "clang" if "clang" in version else "gcc"
    # Warnings are those that everyone gets.
    command = [flag for flag in command if not re.match("-W(?!no-)", flag)] + ["-fdiagnostics-color=never"]

    with tempfile.TemporaryDirectory() as folder:
        prelude = os.path.join(folder, "prelude.h")
        with open(prelude, "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for number, line in enumerate(lines, 1)
                               if line.startswith("#include") and number not in choices))
        subprocess.run(command + ["-x", "c++-header", prelude, "-o", prelude + ".gch"], check=True)

        def compile_with(misuse):
            chosen = [line if number not in choices or not misuse or misuse.first < number <= misuse.last else ""
                      for number, line in enumerate(lines, 1)]
            file_name = os.path.join(folder, "%s.cc" % (misuse.name if misuse else "right"))
            with open(file_name, "w", encoding="utf-8") as file:
                file.write("\n".join(chosen) + "\n")
            done = subprocess.run(command + ["-include", prelude, "-fsyntax-only", file_name], check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            return done.stdout.decode("utf-8", "replace").replace(file_name, source)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            outputs = list(pool.map(compile_with, [None] + misuses))

    report = []
    failed = 0
    for misuse, output in zip([None] + misuses, outputs):
        name = misuse.name if misuse else "all is right"
        problem = judge(misuse, compiler, source, output) if misuse else output and "expected silence"
        if problem:
            failed += 1
            report += ["FAILED: %s: %s, and %s says:" % (name, problem, compiler)] + output.splitlines()[:40]
        else:
            report.append("ok: " + name)
    report.append("%d passed, %d failed" % (len(outputs) - failed, failed))
    with open(script, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nprintf '%%s\\n' %s\nexit %d\n" % (shlex.quote("\n".join(report)), failed != 0))
    os.chmod(script, 0o755)


if __name__ == "__main__":
    main()
