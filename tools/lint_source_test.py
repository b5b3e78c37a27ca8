# SPDX-License-Identifier: Apache-2.0
"""Shows for each rule of lint_source.py an input that breaks it, and correct inputs that look like it."""

import unittest

import lint_source

HEAD = "// SPDX-License-Identifier: Apache-2.0\n"
BUILD = lint_source.File("BUILD.bazel", "# SPDX-License-Identifier: Apache-2.0\n" + 'srcs = glob(["*"])\n')


def rules(*named_texts):
    """Returns the set of rules that these files break, each given as (path, text)."""
    files = [BUILD] + [lint_source.File(path, text) for path, text in named_texts]
    return {rule for _, _, rule, _ in lint_source.problems(files)}


def broken_by(text, path="core/async/a.cc"):
    return rules((path, HEAD + text + "\n"))


class LintSourceTest(unittest.TestCase):
    def test_a_correct_file_has_no_problem(self):
        self.assertEqual(broken_by('#include <vector>\n#include "tandem/core/async/b.h"\nint x = time_now();'), set())

    def test_licence_is_required(self):
        self.assertEqual(rules(("core/a.cc", "int a;\n")), {"licence"})
        self.assertEqual(rules(("README.md", "# Tandem\n")), {"licence"})

    def test_whitespace(self):
        self.assertEqual(broken_by("int a; "), {"whitespace"})
        self.assertEqual(rules(("core/a.cc", HEAD + "int a;")), {"whitespace"})

    def test_what_names_an_interpreter_can_be_run(self):
        script = "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"
        found = lambda executable: [rule for _, _, rule, _ in lint_source.problems(
            [BUILD, lint_source.File("tools/a", script, executable)])]
        self.assertEqual((found(False), found(True)), (["executable"], []))

    def test_guard_is_the_path(self):
        self.assertEqual(rules(("core/a.h", HEAD + "#pragma once\n")), {"guard"})
        self.assertEqual(rules(("core/a.h", HEAD + "#ifndef TANDEM_CORE_A_H_\n#define TANDEM_CORE_A_H_\n#endif\n")), set())

    def test_marks(self):
        self.assertEqual(broken_by("// TO" + "DO: later"), {"marks"})
        self.assertEqual(broken_by("f();  // NO" + "LINT"), {"marks"})
        self.assertEqual(broken_by("f();  // NO" + "LINT(misc-x): f is documented to allow it"), set())

    def test_clocks_threads_and_randomness_are_refused_in_core_and_sim(self):
        for text, rule in [
            ("auto t = std::chrono::steady_clock::now();", "clock"),
            ("using std::chrono::milliseconds;", "clock"),
            ("auto t = file_clock::now();", "clock"),
            ("auto t = absl::Now();", "clock"),
            ("using absl::Now;", "clock"),
            ("auto t = time(nullptr);", "clock"),
            ("auto t = ::time(p);", "clock"),
            ("clock_gettime(CLOCK_REALTIME, &ts);", "clock"),
            ("auto get = &clock_gettime;", "clock"),
            ("auto t = __builtin_ia32_rdtsc();", "clock"),
            ("absl::SleepFor(d);", "sleep"),
            ("usleep(3);", "sleep"),
            ("  sleep(3);", "sleep"),
            ("std::thread t(f);", "thread"),
            ("using Worker = std::jthread;", "thread"),
            ("std::lock_guard lock(m);", "thread"),
            ("absl::MutexLock lock(&m);", "thread"),
            ("pthread_self();", "thread"),
            ("thrd_create(&t, f, p);", "thread"),
            ("int child = fork();", "thread"),
            ("int r = rand();", "random"),
            ("int (*r)() = &std::rand;", "random"),
            ("std::random_device d;", "random"),
            ("std::uniform_int_distribution<int> d(1, 6);", "random"),
            ("std::ranges::shuffle(a, g);", "random"),
            ("getrandom(p, 8, 0);", "random"),
            ("std::unordered_map<int, int> m;", "hash order"),
            ("absl::flat_hash_map<int, int> m;", "hash order"),
            ("using absl::node_hash_set;", "hash order"),
            ("size_t h = absl::HashOf(name);", "hash order"),
            ("std::map<Task*, int> m;", "pointer order"),
            ("std::set<const Host*> s;", "pointer order"),
            ("std::map<Host const*, int> m;", "pointer order"),
            ("std::set<std::pair<Host*, int>> s;", "pointer order"),
            ("std::set<std::unique_ptr<Host>> s;", "pointer order"),
            ("std::less<Host*> before;", "pointer order"),
            ("auto key = reinterpret_cast<uintptr_t>(host);", "pointer order"),
            ("using namespace std;", "alias"),
            ("namespace s = std;", "alias"),
            ("syscall(SYS_clock_gettime, 0, &ts);", "alias"),
            ("double half = 1;", "floating point"),
            ("Wait(absl::Seconds(0.5));", "floating point"),
            ("Wait(absl::Seconds(1e3));", "floating point"),
        ]:
            for path in ("core/async/a.cc", "sim/a.cc"):
                with self.subTest(text=text, path=path):
                    self.assertEqual(broken_by(text, path), {rule})
            with self.subTest(text=text, path="uring"):
                self.assertEqual(broken_by(text, "uring/a.cc"), set())

    def test_words_in_comments_and_literals_are_no_calls(self):
        self.assertEqual(broken_by('// std::thread\n/* rand() */ f("time(nullptr)", R"(std::mutex)");'), set())
        self.assertEqual(broken_by("constexpr int kMillion = 1'000'000; std::thread t; int b = 2'000;"), {"thread"})

    def test_members_with_such_names_are_not_the_calls(self):
        self.assertEqual(broken_by("clock.sleep(3); host->random(); Stream& random(Name name); Instant time() const; world.time(0);"), set())
        self.assertEqual(broken_by("explicit WakeUp(SleepOperation& sleep) : sleep(sleep) {}"), set())

    def test_the_interface_files_may_do_it(self):
        self.assertEqual(broken_by("clock_gettime(0, p); pthread_create(a, b, c, d);", "sim/process/interpose/interpose.cc"), set())

    def test_what_looks_like_it_and_is_not(self):
        for text in ["std::map<std::string, Host*> m;", "std::set<int, ByPointer<Host*>> s;", "int x = 0x1e5 + 1'000'000;",
                     "f(a.b, v[1].c, x->e1);", "namespace sim = tandem::sim;", "std::atomic<Letter*> mailbox;"]:
            with self.subTest(text=text):
                self.assertEqual(broken_by(text), set())

    def test_arrows(self):
        for path, header in [("core/a.cc", "sim/world/world.h"), ("core/a.cc", "testing/runner.h"), ("sim/a.cc", "uring/ring.h"),
                             ("uring/a.cc", "sim/world/world.h"), ("posix/a.cc", "uring/ring.h"), ("sim/a.cc", "testing/x.h"),
                             ("examples/kv/a.cc", "uring/ring.h"), ("core/a_test.cc", "sim/world/world.h"),
                             ("uring/a_test.cc", "sim/world/world.h")]:
            with self.subTest(path=path, header=header):
                self.assertEqual(broken_by('#include "tandem/%s"' % header, path), {"arrows"})
        for path, header in [("uring/a.cc", "posix/sockets.h"), ("testing/a.cc", "sim/world/world.h"),
                             ("core/a_test.cc", "testing/status_matchers.h"), ("bench/a.cc", "uring/ring.h"),
                             ("examples/kv/kv_sim_test.cc", "sim/world/world.h")]:
            with self.subTest(path=path, header=header):
                self.assertEqual(broken_by('#include "tandem/%s"' % header, path), set())

    def test_what_is_ours_has_a_prefix(self):
        for line in ('"core/async/b.h"', "<core/async/b.h>", '"tandem.h"', "<tandem/core/async/b.h>"):
            with self.subTest(line=line):
                self.assertEqual(broken_by("#include " + line, "examples/kv/a.cc"), {"prefix"})
        for line in ('"tandem/tandem.h"', '"tandem/core/async/b.h"', '"echo.h"', '"gtest/gtest.h"'):
            with self.subTest(line=line):
                self.assertEqual(broken_by("#include " + line, "examples/kv/a.cc"), set())

    def test_os_headers(self):
        self.assertEqual(broken_by("#include <sys/socket.h>"), {"OS header"})
        self.assertEqual(broken_by("#include <unistd.h>"), {"OS header"})
        self.assertEqual(broken_by("#include <cerrno>"), set())
        self.assertEqual(broken_by("#include <sys/socket.h>", "sim/a.cc"), {"OS header"})
        for header in ("<random>", "<chrono>", "<ctime>", "<threads.h>", "<immintrin.h>", '"absl/time/clock.h"',
                       '"absl/synchronization/mutex.h"', '"absl/random/random.h"', '"absl/container/flat_hash_map.h"'):
            with self.subTest(header=header):
                self.assertEqual(broken_by("#include " + header, "sim/a.cc"), {"OS header"})
        self.assertEqual(broken_by('#include "absl/time/time.h"', "sim/a.cc"), set())
        self.assertEqual(broken_by("#include <unistd.h>", "uring/a.cc"), set())

    def test_every_source_has_a_target(self):
        build = ("core/BUILD.bazel", "# SPDX-License-Identifier: Apache-2.0\n" + 'srcs = ["a.cc", "sub/b.cc"]\n')
        self.assertEqual(rules(build, ("core/a.cc", HEAD), ("core/sub/b.cc", HEAD)), set())
        self.assertEqual(rules(build, ("core/c.cc", HEAD)), {"target"})

    def test_rules_are_loaded(self):
        licence, load = "# SPDX-License-Identifier: Apache-2.0\n", 'load("@rules_cc//cc:defs.bzl", "cc_library")\n'
        self.assertEqual(rules(("core/BUILD.bazel", licence + load + "cc_library(\n")), set())
        self.assertEqual(rules(("core/BUILD.bazel", licence + "cc_library(\n")), {"load"})
        self.assertEqual(rules(("core/BUILD.bazel", licence + load + "cc_test(\n")), {"load"})
        self.assertEqual(rules(("core/defs.bzl", licence + load + "def f():\n    native.cc_library(\n")), {"load"})

    def test_every_page_is_in_the_index(self):
        licence = "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
        page, index = ("docs/a.md", licence), ("docs/README.md", licence + "[A](a.md)\n")
        self.assertEqual(rules(page, index), set())
        self.assertEqual(rules(page), {"index"})
        self.assertEqual(rules(page, index, ("docs/b.md", licence)), {"index"})
        self.assertEqual(rules(("examples/b.md", licence)), set())

    def test_documents_speak_of_what_is_there(self):
        licence = "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
        tree = [("core/BUILD.bazel", '# SPDX-License-Identifier: Apache-2.0\nname = "a", srcs = ["a_test.cc"]\n'),
                (".bazelrc", "# SPDX-License-Identifier: Apache-2.0\nbuild:sim --copt=-g\n"),
                ("core/a_test.cc", HEAD + "TEST_P(ReadTest, Reads) {}\n"),
                ("docs/b.md", licence), ("docs/README.md", licence + "[a](a.md) [b](b.md)\n"),
                ("examples/t/WORKSPACE", "# SPDX-License-Identifier: Apache-2.0\n"),
                ("examples/t/BUILD.bazel", '# SPDX-License-Identifier: Apache-2.0\nname = "of_t"\n')]
        for text in ["[b](b.md#part)", "[b](../core/a_test.cc)", "`core/a_test.cc`", "in `core`, or core/.", "bazel test //...",
                     "//core/...", "//core:a", "//core:a_uring", "//core:all", "--config=sim", "`ReadTest.Reads`", "`ReadTest.*`",
                     "https://example.org/core/x", "code();  // no copy", "`sim:ReadTest.Reads`", "//:of_t",
                     "<!-- from: core/a_test.cc -->\n```cpp\nTEST_P(ReadTest, Reads) {}\n```"]:
            with self.subTest(text=text):
                self.assertEqual(rules(*tree, ("docs/a.md", licence + text + "\n")), set())
        for text in ["[c](c.md)", "[b](docs/b.md)", "`core/b_test.cc`", "`tools/gone`", "//gone/...", "//core:b", "//gone:a",
                     "--config=gone", "`ReadTest.Writes`", "`GoneTest.*`", "//core:of_t",
                     "<!-- from: core/gone_test.cc -->\n```cpp\nTEST_P(ReadTest, Reads) {}\n```",
                     "<!-- from: core/a_test.cc -->\n```cpp\nTEST_P(ReadTest, Writes) {}\n```"]:
            with self.subTest(text=text):
                self.assertEqual(rules(*tree, ("docs/a.md", licence + text + "\n")), {"document"})


if __name__ == "__main__":
    unittest.main()
