#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/gdb_tasks.py lists the tasks of cores: of the key-value server, and of programs that crash.

gdb runs the programs and writes the cores, so that neither the machine's core_pattern nor its rules about who may trace
whom matter.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"])
# Ends what hangs; no measure of anything.
LIMIT_S = 240
TASKS = 200


def runfile(path):
    return os.path.join(ROOT, path)


def place(path, text):
    """Returns "path:line" of the one line of a source that has `text` in it."""
    with open(runfile(path)) as file:
        lines = [number for number, line in enumerate(file, 1) if text in line]
    assert len(lines) == 1, "%s has %d lines with: %s" % (path, len(lines), text)
    return "%s:%d" % (path, lines[0])


def gdb(*arguments):
    """Returns the words of a command of gdb's that changes nothing on this machine and asks nobody."""
    return ["gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off", *arguments]


def environment():
    """None of the test's, but for what a sanitizer needs."""
    names = [name for name in os.environ if name.endswith("SAN_OPTIONS")]
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **{name: os.environ[name] for name in names}}


def run(*arguments):
    finished = subprocess.run(gdb(*arguments), env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LIMIT_S)
    return finished.stdout.decode("utf-8", "replace")


def read_core(program, core, *commands):
    words = [word for command in commands for word in ("-ex", command)]
    return run("-x", runfile("tools/gdb_tasks.py"), *words, program, core)


def listing(text):
    """Returns what `tandem tasks` has printed, without what gdb says before."""
    return text[re.search(r"(?m)^.*: \d+ task\(s\)", text).start():]


class Paragraph:
    """What a report says of one task, and of those like it."""

    def __init__(self, text):
        lines = text.splitlines()
        self.head = lines[0]
        self.waits_for = lines[1].removeprefix("    waits for: ")
        self.awaits = lines[2:]

    def places(self):
        return [re.match(r"    at (\S+:\d+) in ", line).group(1) for line in self.awaits]


def paragraphs(text):
    found = re.findall(r"(?m)^  (task \d+ of \d+.*\n    waits for: .*\n(?:    .*\n)*)", text)
    return [Paragraph(paragraph) for paragraph in found]


class Server:
    """The key-value server under gdb, which writes a core when the server aborts."""

    def __init__(self, core):
        self._gdb = subprocess.Popen(
            gdb("-ex", "handle SIGQUIT SIGTERM nostop noprint pass", "-ex", "starti", "-ex",
                "python print('process %d.' % gdb.selected_inferior().pid, flush=True)", "-ex", "continue", "-ex",
                "generate-core-file " + core, "-ex", "kill", "--args", runfile("examples/kv/server"), "--port=0"),
            env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._limit = threading.Timer(LIMIT_S, self._gdb.kill)
        self._limit.start()
        self._output = ""
        self._process = int(self.wait_for(r"process (\d+)\."))
        self.port = int(self.wait_for(r"listening on 127\.0\.0\.1:(\d+)\n"))

    def wait_for(self, pattern):
        """Reads until a line has the pattern, and returns its group."""
        while True:
            line = self._gdb.stdout.readline().decode("utf-8", "replace")
            if not line:
                raise AssertionError("no %s in: %s" % (pattern, self._output))
            self._output += line
            found = re.search(pattern, line)
            if found:
                return found.group(1)

    def kill(self, number):
        os.kill(self._process, number)

    def end(self):
        """Returns all that the server and gdb have printed."""
        self._output += self._gdb.stdout.read().decode("utf-8", "replace")
        return self._output

    def destroy(self):
        self._limit.cancel()
        self._gdb.kill()
        self._gdb.wait()
        self._gdb.stdout.close()


class Test(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"])
        self.addCleanup(shutil.rmtree, self.folder)
        self.core = os.path.join(self.folder, "core")

    def assert_no_python(self, text):
        for word in ("Traceback", "Python Exception", "Error occurred in Python", "Error while executing Python"):
            self.assertNotIn(word, text)


class KvServer(Test):

    def test_core_lists_what_sigquit_does(self):
        server = Server(self.core)
        self.addCleanup(server.destroy)
        for _ in range(3):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S)
            self.addCleanup(client.close)
            client.sendall(b"PING\r\n")
            self.assertEqual(client.recv(100), b"+PONG\r\n")
        # A client may have its reply before the task that has written it goes on.
        all_wait = False
        while not all_wait:
            server.kill(signal.SIGQUIT)
            all_wait = server.wait_for(r"^  task 4 of 6(.*)$") == ", and 2 more like it"
            server.wait_for(r"(    at examples/kv/connection\.cc)")
        server.kill(signal.SIGABRT)
        output = server.end()
        self.assertTrue(os.path.exists(self.core), output)
        core = read_core(runfile("examples/kv/server"), self.core, "tandem tasks", "tandem task 6")
        self.assert_no_python(core)

        self.assertTrue(listing(core).startswith("main: 6 task(s)\n"), core)
        lived, listed = paragraphs(output[output.rindex("SIGQUIT: 6"):]), paragraphs(listing(core))
        self.assertEqual([(each.head, each.awaits) for each in listed], [(each.head, each.awaits) for each in lived])
        serve = place("examples/kv/server.cc", "co_await WithTaskGroup(body)")
        main = place("examples/kv/main.cc", "co_await kv::Serve(")
        self.assertEqual(listed[0].places()[1:3], [serve, main])
        self.assertEqual(listed[1].places()[0], place("examples/kv/server.cc", "co_await listener.Accept()"))
        idle = place("examples/kv/server.cc", "co_await settings_changed_.Wait().By(due)")
        self.assertEqual(listed[2].places(), [idle])
        receive = place("examples/kv/connection.cc", "chunk = co_await self.stream_.Receive()")
        self.assertEqual(listed[3].places(), [receive])
        self.assertIn("Connection::Serve", listed[3].awaits[0])
        self.assertEqual(listed[3].head, "task 4 of 6, and 2 more like it")
        calls = ["internal::TaskSet::JoinOperation", "AcceptOperation<TcpStream>", "Event::WaitOperation",
                 "ReceiveOperation"]
        self.assertEqual([each.waits_for for each in listed], calls)

        self.assertRegex(core, r"(?m)^task 6 of 6 of main, path [0-9a-f]{16}, resumed \d+ time\(s\)\n"
                         r"  waits for: ReceiveOperation at 0x[0-9a-f]+\n"
                         r"  at examples/kv/connection\.cc:\d+ in .*\n    frame 0x[0-9a-f]+, promise 0x[0-9a-f]+\n"
                         r"  at the first frame of a task\n    frame 0x[0-9a-f]+, promise 0x[0-9a-f]+\n")

    def test_core_cut_short_or_of_another_program_is_named(self):
        server = Server(self.core)
        self.addCleanup(server.destroy)
        server.kill(signal.SIGABRT)
        server.end()
        text = read_core(runfile("testing/debugger/tasks_program"), self.core, "tandem tasks")
        self.assert_no_python(text)
        self.assertIn("belongs to another program than this", text)
        size = os.path.getsize(self.core)
        said = ""
        for part in (7, 5, 3, 1, 0):
            with open(self.core, "r+b") as file:
                file.truncate(size * part // 8)
            text = read_core(runfile("examples/kv/server"), self.core, "tandem tasks", "tandem task 1")
            self.assert_no_python(text)
            said += text
        self.assertRegex(said, "cannot be read|cannot be used|is damaged|There is no")


class Crash(Test):

    def crash(self, program, *arguments, commands=()):
        """Runs a program up to its abort(), and leaves a core."""
        words = [word for command in ("run", "generate-core-file " + self.core, *commands) for word in ("-ex", command)]
        output = run("-x", runfile("tools/gdb_tasks.py"), *words, "--args", runfile(program), *arguments)
        self.assertIn("SIGABRT", output)
        return output

    def test_every_kind_of_task(self):
        self.crash("testing/debugger/tasks_program", str(TASKS))
        core = read_core(runfile("testing/debugger/tasks_program"), self.core, "tandem tasks")
        self.assert_no_python(core)

        def at(comment):
            return place("testing/debugger/tasks_program.cc", comment)

        count = TASKS + 6
        listed = paragraphs(listing(core))
        sleep = at("// Of SleepLong().")
        expected = [
            ("task 1 of %d" % count, "TimedOperation<absl::Status>", [sleep, at("// Of Main().")]),
            ("task 2 of %d, and %d more like it" % (count, TASKS - 1), "TimedOperation<absl::Status>",
             [sleep, at("// Of Wait().")]),
            ("task %d of %d" % (TASKS + 4, count), "Mutex::LockOperation", [at("// Of WaitForLock().")]),
            ("task %d of %d" % (TASKS + 5, count), "nothing: it runs", [at("// Of Crash().")]),
            ("task %d of %d" % (TASKS + 6, count), "its turn to run", []),
        ]
        plain = listed[:2] + listed[4:]
        self.assertEqual([(each.head, each.waits_for, each.places()) for each in plain], expected, core)
        self.assertRegex(plain[1].awaits[1], r" in .*::Wait(\(\))?$")  # Without (): by g++.

        deep = "\n".join(listed[2].awaits)
        self.assertRegex(deep, r"^    at %s in .*\n    at %s in .*\n    at %s in .*\n    \.\.\. and 9 times more$" % (
            re.escape(sleep), re.escape(at("// Of Descend(), at the bottom.")), re.escape(at("// Of Descend()."))))
        # A sleep, 51 and 51 coroutines, of which 64 are shown.
        self.assertEqual(len(listed[3].awaits), 65)
        self.assertEqual(listed[3].awaits[-1], "    ... and 39 more")

    def test_each_host_of_a_simulation(self):
        self.crash("testing/debugger/hosts_program", "--gtest_filter=Hosts.Crash", "--seed=1", "--here")
        core = read_core(runfile("testing/debugger/hosts_program"), self.core, "tandem tasks", "tandem task 2.1")
        self.assert_no_python(core)
        accept = re.escape(place("testing/debugger/hosts_program.cc", "// Of AcceptOne()."))
        sleep = re.escape(place("testing/debugger/hosts_program.cc", "// Of CrashAfterASecond()."))
        self.assertRegex(core, r"(?m)^executor \d, server: \d task\(s\)\n(?:  .*\n)*?"
                         r"  task \d of \d\n    waits for: AcceptOperation<TcpStream>\n    at %s in .*\n" % accept)
        self.assertRegex(core, r"(?m)^executor \d, client: \d task\(s\)\n(?:  .*\n)*?"
                         r"  task \d of \d\n    waits for: nothing: it runs\n    at %s in .*\n" % sleep)
        self.assertRegex(core, r"(?m)^task 1 of \d of \w+, path ")

    def test_damaged_memory_is_named(self):
        output = self.crash("testing/debugger/tasks_program", "50",
                            commands=["source " + runfile("testing/debugger/damage_tasks.py")])
        self.assert_no_python(output)
        said = dict(re.findall(r"(?ms)^--- ([^\n]*)\n(.*?)--- end$", output))
        self.assertRegex(output, r"\n\d+ damages were drawn\n")
        self.assertEqual([name for name in said if name.startswith("drawn")], [])
        whole = said["nothing"]
        self.assertEqual(said["nothing again"], whole)
        self.assertTrue(whole.startswith("main: 56 task(s)\n"), whole)

        for name in ("a link to nowhere", "a link of zero", "a link to something else", "a circle"):
            text = said[name]
            self.assertRegex(text, r"\n  The list of tasks is damaged behind task 10: .*\.\n"
                             r"  Backwards it is whole\.\n$")
            self.assertEqual(paragraphs(text)[-1].head, "task 56 of 56")
            self.assertEqual([each.awaits for each in paragraphs(text)], [each.awaits for each in paragraphs(whole)])
        text = said["two broken links"]
        self.assertIn("Backwards it is damaged behind 42 task(s): memory at 0x", text)
        self.assertTrue(text.endswith("  4 task(s) of 56 cannot be found.\n"), text)
        self.assertIn("task 2 of 56, and 45 more like it", text)
        self.assertRegex(said["two broken links, one task"],
                         r"^error: There is no task 12 of 56\. The list of tasks is damaged")
        self.assertRegex(said["no list"], r"^main: 56 task\(s\)\n  The list of tasks is damaged from its start: .*\n"
                         r"  Backwards .*\n  56 task\(s\) of 56 cannot be found\.\n  The task that runs, .*\n$")

        for name in ("a lost coroutine", "a coroutine of another task", "a coroutine that says so",
                     "a place nowhere"):
            self.assertRegex(said[name], r"\n  task 10 of 56\n    waits for: \?\n"
                             r"    \(its innermost awaits are lost: .*\)\n")
            self.assertIn("task 2 of 56, and 48 more like it", said[name])
        # It is the tenth of a group that the second stands for.
        self.assertEqual(said["a call nowhere"], whole)
        self.assertEqual(said["a call of no class"], whole)
        self.assertIn("The executor says that it has %d task(s)" % (1 << 60), said["a wrong number of tasks"])
        self.assertRegex(said["a running task that is none"], r"The task that runs, 0x[0-9a-f]+, is none of these\.\n$")
        self.assertTrue(said["no name"].startswith("?: 56 task(s)\n"))
        self.assertRegex(said["an executor that is none"], r"\nThe list of executors is damaged: .*\.\n$")
        self.assertEqual(said["no executor"], "There is no executor: the runtime has not begun, or has ended.\n")
        self.assertRegex(said["executors nowhere"], r"^The list of executors is damaged: .*\.\n$")
        for name in ("a wrong source", "a wrong number", "a number at the end", "a huge number"):
            self.assertRegex(said[name], r"^error: tandem::internal::debugger_data is damaged")
        self.assertIn("error: The program does not say what PromiseBase.leaf is", said["a field without its name"])


class Commands(Test):

    def test_what_they_say_without_a_process_or_a_program_of_tandem(self):
        text = run("-x", runfile("tools/gdb_tasks.py"), "-ex", "tandem tasks", runfile("examples/kv/server"))
        self.assertIn("There is no process and no core.", text)
        text = run("-x", runfile("tools/gdb_tasks.py"), "-ex", "starti", "-ex", "tandem tasks", "/bin/true")
        self.assertIn("this is no program with Tandem", text)
        self.assert_no_python(text)

    def test_arguments_and_help(self):
        commands = ("starti", "tandem tasks", "break main", "continue", "tandem tasks", "tandem tasks all",
                    "tandem task", "help tandem")
        words = [word for command in commands for word in ("-ex", command)]
        text = run("-x", runfile("tools/gdb_tasks.py"), *words, runfile("testing/debugger/tasks_program"))
        self.assert_no_python(text)
        self.assertRegex(text, r"debugger_data cannot be used: .* or the program has not come to its main\(\) yet\.")
        self.assertIn("There is no executor: the runtime has not begun, or has ended.", text)
        self.assertIn("tandem tasks has no arguments.", text)
        self.assertIn("tandem task N, or EXECUTOR.N", text)
        self.assertRegex(text, r"tandem tasks -- Lists all tasks")


if __name__ == "__main__":
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    failed = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - failed - len(result.skipped), failed), flush=True)
    sys.exit(1 if failed or result.testsRun == 0 else 0)
