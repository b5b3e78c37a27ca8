# SPDX-License-Identifier: Apache-2.0
"""The project's own rules about its files, checked by reading them.

Each rule is a function from a file, or from all files, to problems. tools/lint_source_test.py shows for each rule an
input that breaks it.

Usage: lint_source.py [ROOT]    prints `path:line: rule: what to do` for each problem, then `N passed, N failed` (files).
"""

import fnmatch
import os
import re
import subprocess
import sys

LICENCE = "SPDX-License-Identifier: Apache-2.0"


class File:
    """A text file. `code` is its text without comments and the contents of literals; line numbers are kept."""

    def __init__(self, path, text, executable=True):
        self.path = path
        self.executable = executable
        self.text = text
        self.top = path.split("/")[0]
        self.is_cpp = path.endswith((".h", ".cc"))
        self.is_test = bool(re.search(r"(_test|_probe|_benchmark)\.cc$|_for_test\.h$|/testdata/", path))
        self.code = blank_comments_and_literals(text) if self.is_cpp else text

    def matches(self, pattern, text=None):
        """Yields (line number, match) for each match of `pattern` in the code."""
        text = self.code if text is None else text
        for match in re.finditer(pattern, text, re.MULTILINE):
            yield text.count("\n", 0, match.start()) + 1, match


_COMMENT_OR_LITERAL = re.compile(
    r"""
    //[^\n]*
  | /\*.*?\*/
  | (?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)"
  | "(?:\\.|[^"\\\n])*"
  | (?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'
    """,
    re.DOTALL | re.VERBOSE,
)


def blank_comments_and_literals(text):
    """Replaces comments and the contents of literals by spaces, except the paths of #include lines."""

    def blank(match):
        value = match.group(0)
        if value.startswith('"') and re.search(r"#\s*include\s*$", text[: match.start()].rsplit("\n", 1)[-1]):
            return value
        return re.sub(r"[^\n]", " ", value)

    return _COMMENT_OR_LITERAL.sub(blank, text)


# --- Licence and layout ----------------------------------------------------------------------------------------------


def check_licence(file):
    if file.path != "LICENSE" and LICENCE not in "\n".join(file.text.split("\n")[:5]):
        yield 1, "licence", "the first lines lack '%s'" % LICENCE


def check_whitespace(file):
    if file.path.endswith((".patch", ".md")) or file.path == "LICENSE":
        return
    for line, _ in file.matches(r"[ \t]+$", file.text):
        yield line, "whitespace", "ends with a space"
    if file.text and not file.text.endswith("\n"):
        yield file.text.count("\n") + 1, "whitespace", "the last line does not end"


def check_executable(file):
    if file.text.startswith("#!") and not file.executable:
        yield 1, "executable", "names an interpreter and is not executable: chmod +x"


def check_guard(file):
    if not file.path.endswith(".h"):
        return
    guard = "TANDEM_" + re.sub(r"[^A-Z0-9]", "_", file.path.upper()) + "_"
    if not re.search(r"^#ifndef %s\n#define %s\n" % (guard, guard), file.text, re.MULTILINE):
        yield 1, "guard", "the include guard is not %s" % guard


def check_marks(file):
    if not file.is_cpp:
        return
    for line, match in file.matches(r"\b(TODO|FIXME)\b", file.text):
        yield line, "marks", "%s: finish it, or open an issue" % match.group(1)
    for line, match in file.matches(r"\bNOLINT(NEXTLINE|BEGIN)?\b(?!\([\w.,\- *]+\):? +\S)", file.text):
        yield line, "marks", "a NOLINT names its check and gives a reason: NOLINT(check): reason"


# --- Nothing nondeterministic in core and sim --------------------------------------------------------------------------

# Files that are the interface to the machine's clocks, randomness, threads and signals, and what proves that they
# work.
INTERFACE_FILES = ["sim/process/*", "core/crash/*"]

# Single files that may use a single rule's words, each with the reason.
ALLOWED = {
    # (pattern of the path, rule): reason
    ("core/async/frame_pool_test.cc", "thread"): "shows what becomes of a frame that another thread made",
    ("core/runtime/post_test.cc", "thread"): "shows what a call of Post() on another thread holds",
    ("core/sync/own_shard_test.cc", "thread"): "shows what a thread without a shard is told",
    ("sim/process/interpose/random.cc", "floating point"): "serves drand48(), whose numbers are floating point",
    ("sim/world/tests/world_test.cc", "clock"): "shows that a world serves the interposed clocks",
    ("sim/plain/plain_reactor_test.cc", "clock"): "shows that a plain main's world serves the interposed clocks",
    ("sim/plain/plain_reactor_test.cc", "sleep"): "shows that blocking work may sleep in a plain main's world",
    ("sim/world/rehearsal.cc", "thread"): "a copy of the process rehearses the run",
    ("sim/world/tests/offload_test.cc", "clock"): "shows that blocking work sees the time of its host",
    ("sim/world/tests/offload_test.cc", "sleep"): "shows that blocking work may sleep",
}

# A rule, what breaks it, what to do instead. Where a name has one meaning only, the name is enough, so that an alias or a
# pointer to the function counts as well; `time`, `clock`, `random` and `sleep` are looked for as calls.
FORBIDDEN = [
    (
        "clock",
        r"\bstd::chrono\b|\b\w+_clock\b(?=::now)|\babsl::(?:Now|GetCurrentTimeNanos)\b"
        r"|(?<![\w.>])(?:std::|::)?time\s*\(\s*(?:nullptr|NULL|0|&)|(?:\bstd|(?<![\w>]))::(?:time|clock)\s*\("
        r"|\b(?:gettimeofday|clock_gettime|clock_getres|timespec_get|ftime)\b|\b\w*rdtscp?\b|\b__builtin_readcyclecounter\b",
        "time comes from Now() and WallNow()",
    ),
    (
        "sleep",
        # A plain `sleep(` only where a statement begins: a member's initializer looks the same.
        r"\b(?:usleep|nanosleep|clock_nanosleep)\b|(?:^|[;{})=])\s*(?:::)?sleep\s*\("
        r"|\babsl::SleepFor\b|\bstd::this_thread::sleep\w*",
        "wait with co_await Sleep(duration)",
    ),
    (
        "thread",
        r"\bstd::(?:j?thread|this_thread|async|future|promise|packaged_task|call_once|once_flag|execution)\b"
        r"|\bstd::(?:\w*mutex|condition_variable\w*|lock_guard|unique_lock|scoped_lock|shared_lock|barrier|latch"
        r"|counting_semaphore|binary_semaphore)\b|\babsl::(?:Mutex\w*|\w*MutexLock|CondVar|Notification|BlockingCounter|Barrier)\b"
        r"|\bpthread_\w+|\b(?:thrd|mtx|cnd)_\w+\s*\(|\bsched_yield\b|(?<![\w.>:])(?:::)?v?fork\s*\(",
        "one shard is one thread; use the coroutine-aware locks and Post()",
    ),
    (
        "random",
        r"\bstd::(?:random_device|mt19937\w*|minstd_rand\w*|\w+_engine|knuth_b|\w+_distribution|rand|(?:ranges::)?(?:shuffle|sample)"
        r"|random_shuffle)\b|(?<![\w.>:])(?:::)?(?:rand|random)\s*\(\s*\)|\b_rd(?:rand|seed)\w+"
        r"|\b(?:srand|rand_r|srandom|[delmn]rand48|arc4random\w*|getrandom|getentropy)\b|\babsl::(?:InsecureBitGen|BitGen\w*|SharedBitGen)\b",
        "random numbers come from the current host, with a domain",
    ),
    (
        "hash order",
        r"\bstd::unordered_\w+|\babsl::(?:flat|node)_hash_(?:map|set)\b|\b(?:std::hash|absl::Hash|absl::HashOf)\b",
        "a hash and the order of a hash table change from run to run; use a sorted container",
    ),
    (
        "pointer order",
        # A container or a comparison whose first argument is a pointer, or begins with one.
        r"\b(?:std::(?:(?:multi)?(?:map|set)|priority_queue|less|greater)|absl::btree_\w+)\s*<\s*(?:std::(?:pair|tuple)\s*<\s*)?"
        r"(?:std::(?:unique|shared)_ptr\b|(?:const\s+)?[\w:]+(?:<[^<>]*>)?(?:\s+const)?\s*\*)|\bu?intptr_t\b",
        "orders by address, which differs from run to run",
    ),
    (
        "alias",
        r"\busing\s+namespace\s+(?:std|absl)\b|\bnamespace\s+\w+\s*=\s*(?:::)?(?:std|absl)\b|\bsyscall\s*\(|\basm\b|\b__asm__\b",
        "hides what is called from these rules",
    ),
]


def allowed(file, rule):
    if any(fnmatch.fnmatch(file.path, pattern) for pattern in INTERFACE_FILES):
        return True
    return any(fnmatch.fnmatch(file.path, pattern) and rule == r for pattern, r in ALLOWED)


def check_forbidden_calls(file):
    if file.top not in ("core", "sim") or not file.is_cpp:
        return
    for rule, pattern, advice in FORBIDDEN:
        if allowed(file, rule):
            continue
        for line, match in file.matches(pattern):
            yield line, rule, "'%s': %s" % (match.group(0).strip(), advice)


def check_floating_point(file):
    if file.top in ("core", "sim") and file.is_cpp and not file.is_test and (file.path, "floating point") not in ALLOWED:
        for line, match in file.matches(r"\b(?:float|double)\b|(?<![\w.])(?!0[xX])(?:\d[\d']*\.\d*|\.\d+|\d+[eE][-+]?\d)"):
            yield line, "floating point", "'%s': what decides is an integer, the same under every compiler" % match.group(0)


# --- The direction of arrows -------------------------------------------------------------------------------------------

# What the files of a folder may include of the others. A test may use testing as well.
MAY_INCLUDE = {
    "core": {"core"},
    "sim": {"core", "sim"},
    "posix": {"core", "posix"},
    "uring": {"core", "posix", "uring"},
    "testing": {"core", "sim", "testing"},
    "examples": {"core", "examples"},
}
FOLDERS = {"core", "sim", "posix", "uring", "testing", "examples", "bench", "docs", "tools"}

OS_HEADER = re.compile(
    r"^(?:sys|netinet|net|arpa|linux|asm|bits|liburing)/|^(?:unistd|pthread|fcntl|poll|signal|netdb|sched|dirent|dlfcn"
    r"|execinfo|ucontext|semaphore|termios|ifaddrs|time|resolv|spawn|syslog|pwd|grp|liburing)\.h$"
)
STANDARD_HEADER_FORBIDDEN = {"thread", "mutex", "shared_mutex", "condition_variable", "future", "random", "barrier",
                             "latch", "semaphore", "stop_token", "cmath", "unordered_map", "unordered_set", "chrono", "ctime",
                             "execution", "threads.h", "x86intrin.h", "immintrin.h"}
ABSEIL_HEADER_FORBIDDEN = re.compile(r"^absl/(?:random|synchronization|hash)/|^absl/time/clock\.h$|^absl/container/\w+_hash_")
# The simulator may look at its own process and speak to its harness, but not at the network or at the machine's clock.
SIM_OS_HEADER = re.compile(r"^(?:netinet|net|arpa|linux|liburing)/|^sys/(?:socket|epoll|eventfd|timerfd|time|un)\.h$"
                           r"|^(?:pthread|netdb|poll|liburing|time)\.h$")


def check_includes(file):
    if not file.is_cpp or file.top not in FOLDERS:
        return
    interface = any(fnmatch.fnmatch(file.path, pattern) for pattern in INTERFACE_FILES)
    may = MAY_INCLUDE.get(file.top, FOLDERS) | ({"testing", "sim"} - ({"sim"} if file.top in ("core", "uring", "posix") else set())
                                   if file.is_test else set())
    for line, match in file.matches(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]'):
        bracket, header = match.groups()
        folder = header.split("/")[0]
        if folder in FOLDERS or header == "tandem.h":
            yield line, "prefix", 'what is ours is included as "tandem/%s": a user may have a %s too' % (header, header)
        if header.startswith("tandem/") and bracket == "<":
            yield line, "prefix", "what is ours is included with quotes: <%s>" % header
        folder = (header.split("/") + [""])[1] if header.startswith("tandem/") else ""
        if folder in FOLDERS and folder not in may:
            yield line, "arrows", "%s does not include %s: arrows point to core" % (file.top, header)
        if interface or file.is_test:
            continue
        if file.top == "core" and OS_HEADER.search(header):
            yield line, "OS header", "core knows no operating system: <%s>" % header
        if file.top == "sim" and SIM_OS_HEADER.search(header):
            yield line, "OS header", "sim does not touch the machine's network, clock or threads: <%s>" % header
        if file.top in ("core", "sim") and (header in STANDARD_HEADER_FORBIDDEN or ABSEIL_HEADER_FORBIDDEN.search(header)):
            yield line, "OS header", "<%s> has nothing that %s may use" % (header, file.top)


# --- Every source belongs to a target ----------------------------------------------------------------------------------


def check_targets(files):
    build_files = {}
    for file in files:
        if os.path.basename(file.path) in ("BUILD", "BUILD.bazel"):
            build_files[os.path.dirname(file.path)] = re.sub(r"#[^\n]*", "", file.text)
    for file in files:
        if not file.is_cpp:
            continue
        package = os.path.dirname(file.path)
        while package and package not in build_files:
            package = os.path.dirname(package)
        if package not in build_files:
            yield file, 1, "target", "no BUILD file above it"
            continue
        name = os.path.relpath(file.path, package or ".")
        text = build_files[package]
        # A test of sim_unit_test() and its like is named and its source is not.
        if '"%s"' % name in text or (name.endswith("_test.cc") and '"%s"' % name[:-len(".cc")] in text):
            continue
        globs = re.findall(r'"([^"\n]*\*[^"\n]*)"', " ".join(re.findall(r"glob\(\s*\[(.*?)\]", text, re.DOTALL)))
        if not any(fnmatch.fnmatch(name, pattern) for pattern in globs):
            yield file, 1, "target", "belongs to no target of //%s" % package


def check_loads(file):
    """Bazel 9 has the rules of languages no more built in than the project's own."""
    if not file.path.endswith((".bazel", ".BUILD", ".bzl")) or file.path.startswith("third_party/rules_"):
        return
    loaded = " ".join(re.findall(r"^load\([^)]*\)", file.text, re.MULTILINE))
    for line, match in file.matches(r"^ *(native\.)?((?:cc|sh|py|java|proto)_\w+)\("):
        if match.group(1) or '"%s"' % match.group(2) not in loaded:
            yield line, "load", "%s is not loaded, from @rules_cc//cc:defs.bzl or the like" % match.group(2)


# --- Documents speak of what is there ----------------------------------------------------------------------------------

_LINK = r"\]\(([^)#\s]+)[^)\s]*\)"
_PATH = r"(?<![\w/.:-])((?:core|sim|uring|posix|testing|bench|examples|docs|third_party|tools|\.ci)/[\w./-]*\w)(?![\w*<{])"
_LABEL = r"(?<![\w:/])//((?:[\w-]+/)*[\w-]+)?(?::([\w.-]*\w)|(/?\.\.\.))?"
_TEST_NAME = r"`(?:\w+:)?([A-Z]\w+)\.([A-Z]\w+|\*)`"
_QUOTED = re.compile(r"^<!-- from: (\S+) -->\n```\w+\n(.*?\n)```$", re.MULTILINE | re.DOTALL)


def check_documents(files):
    """A link, path, label, --config or test that a document names and that does not exist; code below the comment
    `from: PATH` that is not in that file word for word."""
    texts = {file.path: file.text for file in files}
    folders = {folder for path in texts for folder in parents(path)}
    code = "\n".join(file.code for file in files if file.path.endswith(".cc"))
    tests = set(re.findall(r"\b[A-Z_]*TEST[A-Z_]*\(\s*(\w+),\s*(\w+)\s*\)", code))
    suites = {suite for suite, _ in tests}
    configs = set(re.findall(r"^build:(\w+)", texts.get(".bazelrc", ""), re.MULTILINE))

    # A label may be one of the project to copy, too.
    workspaces = {""} | {os.path.dirname(path) for path in texts if os.path.basename(path) == "WORKSPACE"}

    def is_target(package, name):
        if name and os.path.join(package, name) in texts:
            return True
        for build_file in (os.path.join(package, "BUILD.bazel"), os.path.join(package, "BUILD")):
            text = texts.get(build_file, "")
            if name is None or '"%s"' % name in text or '"%s"' % re.sub("_(sim|uring|epoll)$", "", name) in text:
                return bool(text)
        return False

    for file in files:
        if not file.path.endswith(".md"):
            continue
        for line, match in file.matches(_LINK):
            path = os.path.normpath(os.path.join(os.path.dirname(file.path), match.group(1)))
            if "://" not in match.group(1) and path not in texts and path not in folders:
                yield file, line, "document", "the link to %s leads nowhere" % match.group(1)
        for line, match in file.matches(_PATH):
            if match.group(1) not in texts and match.group(1) not in folders:
                yield file, line, "document", "there is no %s" % match.group(1)
        for line, match in file.matches(_LABEL):
            package, name, below = match.groups()
            known = (package or "") in folders | {""} if below else any(
                is_target(os.path.join(workspace, package or ""), None if name == "all" else name) for workspace in workspaces)
            if (package or name) and not known:
                yield file, line, "document", "there is no target %s" % match.group(0)
        for line, match in file.matches(r"--config=(\w+)"):
            if match.group(1) not in configs:
                yield file, line, "document", ".bazelrc has no %s" % match.group(0)
        for match in _QUOTED.finditer(file.text):
            if match.group(2) not in texts.get(match.group(1), ""):
                line = file.text.count("\n", 0, match.start()) + 1
                yield file, line, "document", "%s does not have this code" % match.group(1)
        for line, match in file.matches(_TEST_NAME):
            if match.groups() not in tests and not (match.group(2) == "*" and match.group(1) in suites):
                yield file, line, "document", "there is no test %s.%s" % match.groups()


def check_index(files):
    """Each page of docs is in the index, docs/README.md."""
    texts = {file.path: file.text for file in files}
    for file in files:
        if re.fullmatch(r"docs/[\w-]+\.md", file.path) and file.path != "docs/README.md":
            if "](%s)" % os.path.basename(file.path) not in texts.get("docs/README.md", ""):
                yield file, 1, "index", "docs/README.md has no link to it"


def parents(path):
    """Yields the folders that `path` is in."""
    while "/" in path:
        path = path.rsplit("/", 1)[0]
        yield path


FILE_CHECKS = [check_licence, check_executable, check_whitespace, check_guard, check_marks, check_forbidden_calls, check_floating_point,
               check_includes, check_loads]
TREE_CHECKS = [check_targets, check_documents, check_index]


def problems(files):
    """Yields (path, line, rule, text), sorted."""
    found = []
    for file in files:
        for check in FILE_CHECKS:
            found += [(file.path,) + problem for problem in check(file)]
    for check in TREE_CHECKS:
        found += [(problem[0].path,) + problem[1:] for problem in check(files)]
    return sorted(set(found))


def read_tree(root):
    """Reads the text files of the checkout at `root`, tracked or new."""
    listed = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
        check=True, stdout=subprocess.PIPE).stdout.decode()
    files = []
    for path in sorted(filter(None, listed.split("\0"))):
        full = os.path.join(root, path)
        if os.path.islink(full) or not os.path.isfile(full):
            continue
        with open(full, "rb") as stream:
            data = stream.read()
        if b"\0" not in data:
            files.append(File(path, data.decode("utf-8", "replace"), os.access(full, os.X_OK)))
    return files


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.realpath(__file__)), "..")
    try:
        files = read_tree(root)
    except subprocess.CalledProcessError:
        sys.exit("lint_source.py: git cannot list the files of this checkout.")
    found = problems(files)
    for path, line, rule, text in found:
        print("%s:%d: %s: %s" % (path, line, rule, text))
    bad = len({path for path, _, _, _ in found})
    print("%d passed, %d failed" % (len(files) - bad, bad))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
