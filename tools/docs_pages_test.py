# SPDX-License-Identifier: Apache-2.0
"""Shows what docs_pages.py takes for a page, which pages it refuses, and what a page's commands may do."""

import os
import tempfile
import time
import unittest

from docs_pages import PageError, Runner, occurs, parse


def block(marker, code, language="sh"):
    return "%s\n```%s\n%s\n```\n" % (marker, language, code)


def state(process):
    """Returns the letter of its state in /proc, or None when there is no such process."""
    try:
        with open("/proc/%d/stat" % process) as stream:
            return stream.read().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return None


class ParseTest(unittest.TestCase):
    def assert_refused(self, text, line, words):
        with self.assertRaisesRegex(PageError, "^%d: .*%s" % (line, words)):
            parse(text)

    def test_what_is_run(self):
        blocks = parse("# A page\n\n" + block("<!-- run -->", "first") + "It prints:\n\n" + block("<!-- prints -->", "one\ntwo", "text")
                       + block("<!-- run: in the checkout, fails -->", "second\nthird") + block("", "int x;", "cpp"))
        self.assertEqual([(b.line, b.code, b.options, b.prints) for b in blocks],
                         [(4, "first", set(), "one\ntwo"), (15, "second\nthird", {"in the checkout", "fails"}, None)])

    def test_commands_need_a_marker(self):
        self.assert_refused("text\n" + block("", "bazel test //..."), 3, "<!-- run -->")
        self.assert_refused("text\n" + block("<!-- ran -->", "bazel test //..."), 3, "<!-- run -->")
        self.assert_refused(block("<!-- not run -->", "reboot"), 2, "why")
        self.assertEqual(parse(block("<!-- not run: stops the machine -->", "reboot")), [])

    def test_there_is_one_kind_of_fence(self):
        for text in ("<!-- run -->\n```bash\ntrue\n```\n", "```console\n$ true\n```\n", "~~~sh\ntrue\n~~~\n",
                     "- a list\n\n  ```sh\n  true\n  ```\n"):
            with self.subTest(text=text), self.assertRaises(PageError):
                parse(text)

    def test_commands_cannot_hide(self):
        self.assert_refused(block("", "bazel test //...", ""), 2, "does not say what it is")
        self.assert_refused("Then\n\n    bazel test //...\n", 3, "fence it")
        self.assert_refused("Then\n\n    export A=1\n    tools/setup   once\n", 3, "fence it")
        self.assertEqual(parse("Then\n\n    ok: all is well\n\n- an item that\n    tools/setup   goes on with\n"), [])

    def test_markers_of_other_blocks(self):
        self.assert_refused(block("<!-- run -->", "int x;", "cpp"), 2, "for blocks of sh")
        self.assert_refused(block("<!-- prints -->", "one", "text"), 2, "no block of commands")
        self.assert_refused(block("<!-- run -->", "echo one") + block("<!-- prints -->", "one", "cpp"), 6, "block of text")
        self.assert_refused(block("<!-- run -->", "echo one") + 2 * block("<!-- prints -->", "one", "text"), 10, "no block of commands")
        self.assert_refused(block("<!-- run -->", "echo one") + block("<!-- prints: twice -->", "one", "text"), 6, "no more to say")
        self.assert_refused(block("<!-- run: quickly -->", "echo one"), 2, "unknown: quickly")
        self.assert_refused(block("<!-- run: in the background -->", "echo one"), 2, "what it prints")
        self.assert_refused("<!-- run -->\n```sh\necho one\n", 2, "does not end")


class OccursTest(unittest.TestCase):
    def test_whole_lines_in_one_piece(self):
        self.assertTrue(occurs("b\nc", "a\nb\nc\nd\n"))
        self.assertTrue(occurs("c", "a\nb\nc"))
        self.assertFalse(occurs("b", "abc\n"))
        self.assertFalse(occurs("a\nc", "a\nb\nc\n"))
        self.assertFalse(occurs("b", ""))

    def test_dots_stand_for_what_varies(self):
        self.assertTrue(occurs("seed ... failed", "seed 7 failed\n"))
        self.assertTrue(occurs("listening on 127.0.0.1:...", "listening on 127.0.0.1:7777\n"))
        self.assertTrue(occurs("a\n...\nd", "a\nb\nc\nd\n"))
        self.assertTrue(occurs("a\n...\nd", "a\nd\n"))
        self.assertFalse(occurs("a ... d", "a\nd\n"))
        self.assertFalse(occurs("a.c", "abc\n"))


class RunTest(unittest.TestCase):
    def run_page(self, *blocks, limit_s=60):
        with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as checkout:
            with open(os.path.join(checkout, "WORKSPACE"), "w") as stream:
                stream.write("of the checkout\n")
            Runner(work, checkout, work, limit_s).run("docs/page.md", parse("".join(blocks)))

    def assert_fails(self, line, words, output, *blocks, limit_s=60):
        with self.assertRaisesRegex(PageError, "(?s)^%d: .*%s" % (line, words)) as caught:
            self.run_page(*blocks, limit_s=limit_s)
        self.assertRegex(caught.exception.output, output)

    def test_one_shell_and_one_empty_folder(self):
        self.run_page(block("<!-- run -->", '[ -z "$(ls -A)" ]\nmkdir folder; cd folder; name=tandem; export NAME=$name'),
                      block("<!-- run -->", 'echo "$name in $(basename "$PWD"), $(sh -c \'echo $NAME\')"'),
                      block("<!-- prints -->", "tandem in folder, tandem", "text"))

    def test_the_checkout(self):
        self.run_page(block("<!-- run -->", "mkdir folder; cd folder"), block("<!-- run: in the checkout -->", "cat WORKSPACE"),
                      block("<!-- prints -->", "of the checkout", "text"),
                      block("<!-- run -->", '[ "$(basename "$PWD")" = folder ]; cat "$TANDEM/WORKSPACE"'),
                      block("<!-- prints -->", "of the checkout", "text"))

    def test_bazels_links_do_not_stay_in_the_checkout(self):
        with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as checkout:
            os.symlink("somewhere", os.path.join(checkout, "bazel-mine"))
            page = block("<!-- run: in the checkout -->", "ln -s elsewhere bazel-bin; touch file")
            Runner(work, checkout, work, 60).run("docs/page.md", parse(page))
            self.assertEqual(sorted(os.listdir(checkout)), ["bazel-mine", "file"])

    def test_a_command_that_fails_ends_the_page(self):
        self.assert_fails(2, "failed", "^before\nline 4: exit status 1\n$",
                          block("<!-- run -->", "echo before\nfalse\necho after"), block("<!-- run -->", "touch after"))
        self.assert_fails(6, "failed", "cannot: command not found", block("<!-- run -->", "true"), block("<!-- run -->", "cannot"))
        self.assert_fails(2, "failed", "^ending$", block("<!-- run -->", "echo ending; exit 0"))

    def test_no_command_fails_unseen(self):
        for code in ("false | true", "return 0\nfalse", "if", "set +e\nfalse\ntrue\nset -e\nreturn"):
            with self.subTest(code=code):
                self.assert_fails(2, "failed|not a command", ".?", block("<!-- run -->", code))
        # What a block has set is not for the next one.
        self.assert_fails(6, "failed", "exit status 1", block("<!-- run -->", "set +eE +o pipefail"), block("<!-- run -->", "false\ntrue"))
        # One that runs in the background and has failed meanwhile.
        self.assert_fails(2, "failed", "hi", block("<!-- run: in the background -->", "echo hi; false"), block("<!-- prints -->", "hi", "text"),
                          block("<!-- run -->", "sleep 1"))
        # That a command is not there is not the failure that was meant.
        self.assert_fails(2, "not there", "cannot", block("<!-- run: fails -->", "cannot"))
        self.assert_fails(2, "not a command", "syntax", block("<!-- run: fails -->", "if"))

    def test_what_is_meant_to_fail(self):
        self.run_page(block("<!-- run: fails -->", "echo refused; false; echo after"), block("<!-- prints -->", "refused\nline 3: ...", "text"),
                      block("<!-- run -->", "true"))
        self.assert_fails(2, "expected to fail", "^fine$", block("<!-- run: fails -->", "echo fine"))
        self.assert_fails(7, "failed", "^line 8: exit status 1$", block("<!-- run: fails -->", "echo refused\nfalse"), block("<!-- run -->", "false"))

    def test_what_it_prints(self):
        self.assert_fails(2, "did not print what the page says:\none", "^two$", block("<!-- run -->", "echo two"),
                          block("<!-- prints -->", "one", "text"))
        self.run_page(block("<!-- run -->", "echo one; echo two"), block("<!-- prints: in any order -->", "two\none", "text"))
        self.assert_fails(2, "not found in 3 lines, from this one on: three", "three", block("<!-- run -->", "echo three; echo one; echo two"),
                          block("<!-- prints -->", "one\n...\nthree\n...\ntwo", "text"))
        self.assert_fails(2, "did not print what the page says:\none\nthree", "^one\ntwo$", block("<!-- run -->", "echo one; echo two"),
                          block("<!-- prints: in any order -->", "one\nthree", "text"))
        self.run_page(block("<!-- run -->", "echo to standard error >&2"), block("<!-- prints -->", "to standard error", "text"))

    def test_the_background_goes_on_until_the_page_ends(self):
        with tempfile.TemporaryDirectory() as folder:
            pid = os.path.join(folder, "pid")
            self.run_page(block("<!-- run: in the background -->", "sleep 1; echo ready; echo $BASHPID >%s; sleep 1000" % pid),
                          block("<!-- prints -->", "ready", "text"), block("<!-- run -->", "kill -0 $(cat %s)" % pid))
            with open(pid) as stream:
                process = int(stream.read())
            for _ in range(100):  # It is killed; whoever inherited it collects it.
                if state(process) in (None, "Z"):
                    break
                time.sleep(0.1)
            else:
                self.fail("it still runs")
        self.assert_fails(2, "did not print", "^gone$", block("<!-- run: in the background -->", "echo gone"),
                          block("<!-- prints -->", "ready", "text"))

    def test_pages_of_one_name_are_two_pages(self):
        with tempfile.TemporaryDirectory() as work:
            runner = Runner(work, work, work, 60)
            for word in ("one", "two"):
                runner.run(word + "/README.md", parse(block("<!-- run: in the background -->", "sleep 0.5; echo %s; sleep 1000" % word) +
                                                      block("<!-- prints -->", word, "text")))

    def test_a_bound_in_time(self):
        self.assert_fails(2, "has not ended after 1 s", "^begun$", block("<!-- run -->", "echo begun; sleep 1000"), limit_s=1)
        self.assert_fails(2, "did not print", "^begun$", block("<!-- run: in the background -->", "echo begun; sleep 1000"),
                          block("<!-- prints -->", "ready", "text"), limit_s=1)


if __name__ == "__main__":
    unittest.main()
