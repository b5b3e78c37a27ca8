# SPDX-License-Identifier: Apache-2.0
"""Runs leak_program and says what became of each planted leak."""

import ctypes
import functools
import mmap
import os
import re
import signal
import subprocess
import sys

# What catches a leak: its own call ends the seed by name, the world answers instead of the machine, or the digests of two
# runs differ that the harness has disturbed.
NAME, SERVED, DIGEST, NOTHING = "at the call, by name", "served by the world", "by the digest of twins", "NOT CAUGHT"

EXPECTED = {
    SERVED: ["Hostname", "Uname", "ProcessId", "ThreadIdByNumber", "Processors", "ProcessorThatRuns", "Memory",
             "SystemClock", "ProcessorTime", "RandomDevice", "SeedlessGenerator", "SeedlessGenerator48", "FileOfASeed",
             "CallersVariable", "UnnamedFile", "FileMask", "OpenFiles"],
    DIGEST: ["TimeZone", "RandomBytesOfTheProgram", "Language", "UninitializedHeap", "UninitializedStack", "HeapAddress",
             "HashOrder", "RelativePath", "NameOfTheFolder"],
}

# A sanitizer's runtime makes system calls of its own, so there is no filter, and it has its own way with memory.
NOT_UNDER_SANITIZERS = ["ClockByInstruction", "TimeStampCounter", "RandomnessByInstruction", "SocketByInstruction",
                        "FileByInstruction", "UninitializedHeap", "UninitializedStack", "HeapAddress"]


class Leak:
    """One leak: its name, what caught it, and what was said."""

    def __init__(self, name, caught, said):
        self.name, self.caught, self.said = name, caught, said


@functools.lru_cache
def machine_guards_its_counter():
    """Whether reading the time stamp counter is a fault where prctl(PR_SET_TSC) asks for it: some virtual machines answer
    that they do and then do not."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\x0f\x31\xc3")  # rdtsc; ret
        read_counter = ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
        pr_set_tsc, pr_tsc_sigsegv = 26, 2
        ctypes.CDLL(None).prctl(pr_set_tsc, pr_tsc_sigsegv, 0, 0, 0)
        read_counter()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def expected(name):
    if name == "TimeStampCounter" and not machine_guards_its_counter():
        return DIGEST
    return next((caught for caught, names in EXPECTED.items() if name in names), NAME)


def is_sanitized(program):
    with open(program, "rb") as file:
        content = file.read()
    return b"__asan_init" in content or b"__tsan_init" in content or b"__ubsan_on_report" in content and \
        b"__ubsan_handle_type_mismatch" in content


def read(name, passed, text):
    """Judges what the harness printed about one leak."""
    named = re.search(r"(?:^|\] )([^\n\]]* was called in a simulated world: [^\n]*)", text, re.MULTILINE)
    if named:
        return Leak(name, NAME, named.group(1))
    differ = re.search(r"two runs of the seed differ: [^\n]*", text)
    if differ:
        return Leak(name, DIGEST, differ.group(0))
    if passed and expected(name) == SERVED:  # The program itself has looked at the value.
        return Leak(name, SERVED, "")
    return Leak(name, NOTHING, "" if passed else text.strip().split("\n")[-1])


def run(program, folder):
    """Runs all leaks, each with two seeds and each seed twice. `folder` becomes TEST_TMPDIR."""
    flags = ["--gtest_filter=Leaks.*", "--seeds=2", "--check_determinism", "--portable", "--shrink=0"]
    if is_sanitized(program):
        flags[0] += "-" + ":".join("Leaks." + name for name in NOT_UNDER_SANITIZERS)
    with open(os.path.join(folder, "leak_here"), "w", encoding="utf-8"):
        pass
    environment = {"PATH": "/usr/bin:/bin", "TEST_TMPDIR": folder, "LEAK_OUTSIDE": "1"}
    ended = subprocess.run([program, *flags], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    output = ended.stdout.decode("utf-8", "replace")
    found = re.findall(r"^\[ RUN      \] Leaks\.(\w+)\n(.*?)^\[ *(OK|FAILED) +\] Leaks\.\1", output,
                       re.MULTILINE | re.DOTALL)
    if not found:
        sys.exit("the program says nothing of leaks:\n" + output)
    return [read(name, verdict == "OK", text) for name, text, verdict in found]


def table(leaks):
    """Returns the lines to print."""
    lines = ["%-24s %-22s %s" % ("leak", "caught", "what it said")]
    lines += ["%-24s %-22s %s" % (leak.name, leak.caught, leak.said[:160]) for leak in leaks]
    counts = ["%d %s" % (sum(leak.caught == kind for leak in leaks), kind) for kind in (NAME, SERVED, DIGEST, NOTHING)]
    return "\n".join(lines + ["%d leaks: %s" % (len(leaks), ", ".join(counts))])
