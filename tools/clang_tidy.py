# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over the C++ sources, in parallel, and remembers what was clean.

A file is checked again only when it, a header of ours that it includes, the checks, the flags or a library's version
changed. What was clean is remembered in ${XDG_CACHE_HOME:-~/.cache}/tandem/clang-tidy.

Usage: clang_tidy.py [--quick] [FILE...]      all .cc files without files; ends with `N passed, N failed`
  --quick  the few checks that tests get, for all but the tests
"""

import concurrent.futures
import hashlib
import os
import re
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tandem", "clang-tidy")
TOOL = "clang-tidy-19"
# A folder with a link `tandem` to the checkout: what is ours is included as "tandem/...".
INCLUDE = os.path.join(CACHE, "include", hashlib.sha256(ROOT.encode()).hexdigest()[:12])
FLAGS = [
    "-xc++", "-std=c++20", "-Wall", "-Wextra", "-ffp-contract=off", "-pthread", "-I", INCLUDE,
    "-isystem", "third_party/src/abseil-cpp",
    "-isystem", "third_party/src/googletest/googletest/include",
    "-isystem", "third_party/src/googletest/googlemock/include",
    "-isystem", "third_party/src/benchmark/include",
    "-isystem", "third_party/src/liburing/src/include",
]
EXCLUDED = ("third_party/",)
# Tests look at what was moved from, signal themselves, and copy where it is simpler; and each check takes time in each of
# them, since it looks at all that GoogleTest includes. They get those that find what compilers and sanitizers do not.
FEW_CHECKS = ("--checks=-bugprone-*,-performance-*,bugprone-dangling-handle,bugprone-sizeof-expression,"
               "bugprone-suspicious-memset-usage,bugprone-unused-return-value")

_INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
_contents = {}


def contents(path):
    """Returns the bytes of a file of the checkout and the files of ours that it includes."""
    if path not in _contents:
        with open(os.path.join(ROOT, path), "rb") as stream:
            data = stream.read()
        headers = [header.decode()[len("tandem/"):] for header in _INCLUDE.findall(data) if header.startswith(b"tandem/")]
        _contents[path] = data, [header for header in headers if os.path.isfile(os.path.join(ROOT, header))]
    return _contents[path]


def key(path, common):
    """Returns a hash of all that the result of checking `path` depends on, but for the choice of checks."""
    seen, todo = set(), [path]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo += contents(current)[1]
    digest = hashlib.sha256(common)
    for current in [path] + sorted(seen):
        digest.update(current.encode() + b"\0" + hashlib.sha256(contents(current)[0]).digest())
    return digest.hexdigest()


def common_key():
    """Returns the part of the key that all files share."""
    parts = [subprocess.run([TOOL, "--version"], check=True, stdout=subprocess.PIPE).stdout, " ".join(FLAGS + [FEW_CHECKS]).replace(INCLUDE, "").encode()]
    with open(os.path.join(ROOT, ".clang-tidy"), "rb") as stream:
        parts.append(stream.read())
    sources = os.path.join(ROOT, "third_party", "src")
    for name in sorted(os.listdir(sources)):
        stamp = os.path.join(sources, name, ".tandem-sha256")
        if os.path.exists(stamp):
            with open(stamp, "rb") as stream:
                parts.append(name.encode() + stream.read())
    return b"\0".join(parts)


def check(path, common, few):
    """Returns the problems of `path` as text, empty if there are none, and whether the answer was remembered."""
    name = os.path.join(CACHE, key(path, common))
    remembered = name + ".few" if few else name
    if os.path.exists(remembered) or os.path.exists(name):
        return "", True
    checks = [FEW_CHECKS] if few else []
    run = subprocess.run([TOOL, "--quiet", *checks, path, "--", *FLAGS], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output = run.stdout.decode("utf-8", "replace")
    if run.returncode == 0 and "warning:" not in output and "error:" not in output:
        os.makedirs(CACHE, exist_ok=True)
        with open(remembered, "w") as stream:
            stream.write(path + "\n")
        return "", False
    return (output.replace(ROOT + "/", "").replace(INCLUDE + "/tandem/", "") or run.stderr.decode("utf-8", "replace")), False


def is_test(path):
    return path.endswith("_test.cc")


def sources():
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", "*.cc"],
        check=True, stdout=subprocess.PIPE).stdout.decode()
    return sorted(path for path in listed.split("\0")
                  if path and not path.startswith(EXCLUDED) and os.path.isfile(os.path.join(ROOT, path)))


def main():
    quick = "--quick" in sys.argv[1:]
    paths = [argument for argument in sys.argv[1:] if argument != "--quick"] or sources()
    if quick:
        paths = [path for path in paths if not is_test(path)]
    os.makedirs(INCLUDE, exist_ok=True)
    if not os.path.lexists(os.path.join(INCLUDE, "tandem")):
        os.symlink(ROOT, os.path.join(INCLUDE, "tandem"))
    common = common_key()
    failed, remembered, shown = 0, 0, set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for path, (output, known) in zip(paths, pool.map(lambda path: check(path, common, quick or is_test(path)), paths)):
            remembered += known
            if not output:
                continue
            failed += 1
            # A problem in a header shows up in every file that includes it; print it once.
            for block in re.split(r"(?m)^(?=\S+:\d+:\d+: (?:warning|error):)", output):
                if block.strip() and block not in shown:
                    shown.add(block)
                    print(block.rstrip())
            print("%s: clang-tidy failed" % path, flush=True)
    print("clang-tidy: %d files, %d of them unchanged since they were clean" % (len(paths), remembered))
    print("%d passed, %d failed" % (len(paths) - failed, failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
