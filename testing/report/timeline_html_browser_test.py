#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a person can do with timeline.html, in a browser."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "testing", "report"))
import browser

MAKE_PAGE = os.path.join(sys.path[0], "timeline_page_for_test")
MANY = 50000
READY = "document.documentElement.dataset.ready"
ROWS = "[...document.querySelectorAll('.row[data-event]')].map(row => Number(row.dataset.event))"
SELECTED = "document.querySelector('.row.selected')?.dataset.event"
FIRST_ROW = "[...document.querySelectorAll('.row')].find(row => row.style.top === '0px')"
LABELS = "document.getElementById('graph').getAttribute('aria-label')"
HEIGHT = "parseInt(document.getElementById('sheet').style.height)"
TITLE = "document.querySelector('#panel header b').textContent"
# What the page promises. A busy machine may take longer for once; the numbers are in the output.
OPEN_LIMIT_MS = 2000
OPEN_ATTEMPTS = 10

ENTER, ESCAPE, LEFT, UP, RIGHT, DOWN = "\ue007", "\ue00c", "\ue012", "\ue013", "\ue014", "\ue015"


def row(number):
    return ".row[data-event='%d']" % number


def is_seen(selector):
    """Whether all of the element is in the part of the timeline that shows."""
    return ("(() => { const row = document.querySelector(\"%s\"); if (row === null) return false;"
            "const box = row.getBoundingClientRect(), all = document.getElementById('scroll').getBoundingClientRect();"
            "return box.top >= all.top - 1 && box.bottom <= all.bottom + 1; })()" % selector)


class TimelineTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.pages = {events: cls.make_page(events) for events in (25, 3000, MANY)}
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    @classmethod
    def make_page(cls, events):
        path = os.path.join(cls.folder.name, "%d.html" % events)
        subprocess.run([MAKE_PAGE, str(events), path], check=True)
        return path

    def open(self, path, fragment=""):
        self.browser.open("about:blank")
        self.browser.open("file://" + path + fragment)
        return int(self.browser.wait(READY))

    def tearDown(self):
        self.assertEqual(self.browser.log(), [])
        self.assertEqual(self.browser.run("return performance.getEntriesByType('resource').length"), 0)

    # What the expression becomes: keys and frames take their time.
    def expect(self, expression, expected):
        """Waits until it is so: rows are drawn with the next frame, and a row that is not yet there is null."""
        end = time.monotonic() + 20
        while self.browser.run("return " + expression) != expected and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual(self.browser.run("return " + expression), expected, expression)

    def expect_selected(self, number):
        self.expect(SELECTED, str(number))
        self.expect(is_seen(row(number)), True)
        self.expect("location.hash", "#e%d" % number)

    def search(self, text):
        self.browser.keys("/" + text)

    def test_many_events_open_soon(self):
        attempts_ms = []
        while len(attempts_ms) < OPEN_ATTEMPTS and min(attempts_ms, default=OPEN_LIMIT_MS) >= OPEN_LIMIT_MS:
            attempts_ms.append(self.open(self.pages[MANY]))

        print("%d events, %.1f MB: ready after %s ms" % (MANY, os.path.getsize(self.pages[MANY]) / 1e6, attempts_ms))
        self.assertLess(min(attempts_ms), OPEN_LIMIT_MS)
        self.assertLess(os.path.getsize(self.pages[MANY]), 10e6)

    def test_the_failure_shows_at_once(self):
        self.open(self.pages[MANY])

        self.expect(is_seen(".row.failure"), True)
        self.assertIn("fails", self.browser.run("return document.querySelector('.row.failure').textContent"))
        self.assertIn("Expected equality", self.browser.run("return document.getElementById('message').innerText"))
        self.expect("document.getElementById('place').innerText", "register_sim_test.cc:87")
        self.assertIn("no packet passes", self.browser.run("return document.getElementById('sentences').innerText"))
        self.assertIn("--seed=1234", self.browser.run("return document.getElementById('replay').innerText"))

    def test_what_led_to_it_comes_first(self):
        self.open(self.pages[MANY])
        shown = self.browser.run("return " + ROWS)
        self.assertLess(len(shown), 40)
        story = [number for number in shown if number >= MANY - 25]
        self.assertEqual((story[0], story[-1], len(story)), (MANY - 25, MANY - 1, 23), shown)

        self.browser.run("document.getElementById('scroll').scrollTop = 0")
        self.browser.wait(FIRST_ROW + "?.classList.contains('fold')")
        self.browser.click(".row.fold .what")
        self.expect(is_seen(row(0)), True)
        self.expect("document.querySelectorAll('.row.fold').length", 0)

        self.browser.click("#fold")
        self.expect("document.querySelector('#fold').getAttribute('aria-pressed')", "true")
        self.expect(is_seen(".row.failure"), True)

    def test_a_part_of_what_is_folded_opens(self):
        self.open(self.pages[MANY])
        height = self.browser.run("return " + HEIGHT)
        self.browser.run("document.getElementById('scroll').scrollTop = 0")
        self.expect("document.querySelectorAll('.row.fold button').length", 2)

        self.browser.click(".row.fold button:last-of-type")

        self.expect(HEIGHT, height + 20 * 22)

    def open_changed(self, change):
        """Opens the page of 25 events with other data."""
        with open(self.pages[25], encoding="utf-8") as file:
            before, data, after = re.split(r'(?<=id="data">)(.*?)(?=</script>)', file.read(), maxsplit=1,
                                           flags=re.DOTALL)
        data = json.loads(data)
        change(data)
        path = os.path.join(self.folder.name, "changed.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(before + json.dumps(data) + after)
        self.open(path)

    def test_operations_show_amid_what_is_folded(self):
        def only_the_failure(data):
            data["slice"] = [24]

        self.open_changed(only_the_failure)

        # ann's put, from what she writes to what she reads; bob's get ends with the failure.
        self.expect(ROWS, [0, 1, 12, 24])  # The first is alone before them: a fold would take its room.
        self.expect("document.querySelectorAll('.row.aside').length", 2)
        self.expect("document.querySelectorAll('.row.fold').length", 2)
        self.expect(LABELS + ".includes('put x 7 -> ok')", True)
        self.expect(LABELS + ".includes('get x -> 6')", True)
        self.browser.click("#unfold")
        self.expect("document.querySelectorAll('.row.fold, .row.aside').length", 0)
        self.browser.click("#fold")
        self.expect(ROWS, [0, 1, 12, 24])

    def test_an_operation_shows_during_which_nothing_happens(self):
        def add_operation(data):
            data["slice"] = [24]
            data["strings"] += ["eve", "ponders"]
            # Between the second event and the third one.
            begin = sum(data["events"]["time"][:2]) + 1
            self.assertGreater(data["events"]["time"][2], 2)
            data["operations"] = [[len(data["strings"]) - 2, len(data["strings"]) - 1, begin, begin, 0]]

        self.open_changed(add_operation)

        self.expect(ROWS, [2, 24])
        self.expect(LABELS + ".split('\\n').includes('ponders')", True)

    def test_of_many_operations_the_last_ones_show(self):
        self.open(self.pages[MANY])
        self.browser.run("document.getElementById('scroll').scrollTop = 0")
        self.browser.wait(FIRST_ROW + "?.classList.contains('fold')")
        self.assertRegex(self.browser.run("return %s.textContent" % FIRST_ROW),
                         r"[\d,]{5,} more events in [\d.]+ s.*[\d,]{5,} operations$")
        # Not more than two rows and three folds for each of them, and what led to it.
        self.assertLess(self.browser.run("return " + HEIGHT), (20 * 5 + 25) * 22)
        self.browser.wait("document.querySelectorAll('.row.aside').length > 10")

    def test_a_task_has_the_number_that_the_files_have(self):
        self.open(self.pages[25], "#e24")
        self.expect_selected(24)
        self.assertRegex(self.browser.run("return document.getElementById('panel').innerText"),
                         r"\(task 0{15}[0-9a-f]\)")

    def test_lanes_and_arrows_are_drawn(self):
        self.open(self.pages[25])
        self.expect("document.getElementById('lanes').innerText.split(/\\s+/).join(' ')", "n1 n2 n3 ann bob")
        inked = ("(() => { const graph = document.getElementById('graph');"
                 "const data = graph.getContext('2d').getImageData(0, 0, graph.width, graph.height).data;"
                 "return data.filter((value, i) => i % 4 === 3 && value > 0).length; })()")
        self.assertGreater(self.browser.run("return " + inked), 10000)

    def test_an_address_opens_an_event(self):
        for events, number in ((MANY, 123), (3000, 123), (25, 7)):
            with self.subTest(events=events):
                self.open(self.pages[events], "#e%d" % number)
                self.expect_selected(number)
                self.assertTrue(self.browser.run("return " + TITLE).startswith("#%d " % number))

    def test_an_address_without_an_event_shows_the_failure(self):
        self.open(self.pages[25], "#e4711")
        self.expect(is_seen(".row.failure"), True)

    def test_a_click_shows_an_event_with_its_cause(self):
        self.open(self.pages[25])

        self.browser.click(row(20))
        self.expect_selected(20)
        panel = self.browser.run("return document.getElementById('panel').innerText")
        for text in ("#20 sends", "server.cc:92", "10.0.0.2:7000", "x = 6", "and again", "00 00 80 85", "#21 bob gets"):
            self.assertIn(text, panel)

        self.browser.click("#panel .events a[href='#e19']")
        self.expect_selected(19)
        self.browser.click("#close")
        self.expect("document.getElementById('panel').hidden", True)

    def test_the_keys_go_to_the_cause_and_back(self):
        self.open(self.pages[25])
        self.browser.keys("f")
        self.expect_selected(24)
        for key, number in ((LEFT, 22), (LEFT, 21), (LEFT, 20), (RIGHT, 21), (UP, 20), (DOWN, 21), ("f", 24)):
            self.browser.keys(key)
            self.expect_selected(number)
        self.browser.keys(ESCAPE)
        self.expect("document.getElementById('panel').hidden", True)

    def test_search_finds_what_is_folded(self):
        self.open(self.pages[MANY])

        self.search("n1 follower alone")
        self.expect("document.getElementById('found').textContent", "1 found")
        self.browser.keys(ENTER)
        self.expect_selected(MANY - 17)
        self.expect("document.getElementById('found').textContent", "1 of 1")

        self.browser.keys(ESCAPE)
        self.search("#17")
        self.browser.keys(ENTER)
        self.expect_selected(17)

        self.browser.keys(ESCAPE)
        self.search("link loses")
        found = int(self.browser.wait("document.getElementById('found').textContent.match(/^(\\d\\d+) found$/)?.[1]"))
        self.browser.keys(ENTER)
        self.expect("document.getElementById('found').textContent", "1 of %d" % found)
        first = self.browser.wait(SELECTED + " !== '17' && " + SELECTED)
        self.browser.keys(ENTER)
        self.expect("document.getElementById('found').textContent", "2 of %d" % found)
        self.browser.wait(SELECTED + " !== '%s'" % first)
        self.browser.keys(ESCAPE + "N")
        self.expect_selected(int(first))

        self.search("no such thing")
        self.expect("document.getElementById('found').textContent", "nothing")

    def test_details_and_everything(self):
        self.open(self.pages[3000])
        self.browser.keys("d")
        self.expect("document.getElementById('details').checked", True)
        self.browser.click("#unfold")
        self.expect(HEIGHT, 3000 * 22)
        self.browser.click("#details")
        self.browser.wait(HEIGHT + " < 2500 * 22")
        self.expect(is_seen(".row.failure"), True)

    def test_details_of_what_led_to_it_wait(self):
        with open(self.pages[25], encoding="utf-8") as file:
            page = file.read()
        self.assertIn('"slice":[0,1,', page)
        path = os.path.join(self.folder.name, "details.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(page.replace('"slice":[0,1,', '"slice":[0,7,1,'))  # 7 arms a timer.

        self.open(path)

        self.expect(is_seen(row(7)), False)
        self.expect("document.getElementById('fold').textContent", "What led to it (21)")
        self.browser.keys("d")
        self.expect(is_seen(row(7)), True)

    def test_zoom(self):
        self.open(self.pages[3000])
        self.browser.click("#unfold")
        for _ in range(6):
            self.browser.click("#zoom-out")
        self.expect("document.querySelector('.row.failure')?.clientHeight", 2)
        self.browser.wait(ROWS + ".length > 200")
        self.browser.keys("++++++++++")
        self.expect("document.querySelector('.row.failure')?.clientHeight", 36)
        self.expect(is_seen(".row.failure"), True)

    def test_light_and_dark(self):
        self.open(self.pages[25])
        paper = "getComputedStyle(document.body).backgroundColor"
        self.browser.set_media("prefers-color-scheme", "light")
        light = self.browser.run("return " + paper)
        self.browser.set_media("prefers-color-scheme", "dark")
        dark = self.browser.run("return " + paper)
        self.assertEqual((light, dark), ("rgb(255, 255, 255)", "rgb(20, 23, 28)"))

    def test_the_command_is_copied(self):
        self.open(self.pages[25])
        self.browser.click("#copy")
        self.expect("document.getElementById('copy').textContent", "Copied")

    def test_texts_are_no_markup(self):
        with open(self.pages[25], encoding="utf-8") as file:
            page = file.read()
        markup = "\\u003cimg src=x onerror=alert(1)>\\u003cscript>alert(2)\\u003c/script>"
        for word in ('"ann"', '"bob"', '"Client"', '"client.cc:31"', '"n1"', '"partition n1 | n2, n3"'):
            self.assertIn(word, page)
            page = page.replace(word, '"%s"' % markup)
        path = os.path.join(self.folder.name, "markup.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(page)

        self.open(path)
        self.browser.keys("ad" + LEFT + LEFT)

        self.expect("document.querySelectorAll('img, #rows script, #panel script, #lanes script').length", 0)
        self.assertIn("<img src=x", self.browser.run("return document.getElementById('lanes').textContent"))

    def test_a_script_that_is_not_ours_does_not_run(self):
        with open(self.pages[25], encoding="utf-8") as file:
            page = file.read()
        path = os.path.join(self.folder.name, "foreign.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(page.replace("<body>", "<body><script>document.title = 'foreign'; window.foreign = 1</script>"))

        self.open(path)

        self.expect("window.foreign === undefined", True)
        self.assertRegex("\n".join(self.browser.log()), "Content Security Policy")


def main():
    if browser.missing():
        sys.exit("%s is not installed: run tools/setup" % browser.missing())
    program = unittest.main(verbosity=2, exit=False, failfast=True)
    result = program.result
    failed = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - failed, failed), flush=True)
    sys.exit(1 if failed or result.testsRun == 0 else 0)


if __name__ == "__main__":
    main()
