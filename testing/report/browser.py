# SPDX-License-Identifier: Apache-2.0
"""A browser for tests: Chromium without a window and without a network, driven by WebDriver (w3.org/TR/webdriver2)."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

CHROMIUM = "chromium"
DRIVER = "chromedriver"

FLAGS = [
    "--headless=new",
    "--no-sandbox",  # Its own sandbox does not work as root, and the page is ours.
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-first-run",
    "--force-device-scale-factor=1",
]
# Generous: the machine may be busy.
TIMEOUT_S = 60
# How WebDriver writes a reference to an element.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def missing():
    """The name of a program that is not here; empty if there is a browser."""
    return next((program for program in (CHROMIUM, DRIVER) if shutil.which(program) is None), "")


class Browser:
    """A browser with a fresh profile. Use it in a `with`."""

    def __init__(self, width=1400, height=900):
        self._folder = tempfile.TemporaryDirectory()
        own = self._folder.name
        environment = dict(os.environ, HOME=own, XDG_CONFIG_HOME=own, TMPDIR=own)
        self._driver = subprocess.Popen([DRIVER, "--port=0"], env=environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._session = ""
        try:
            self._address = "http://127.0.0.1:%s" % self._read_port()
            self._session = "/session/" + self._start(width, height)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            if self._session:
                self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait()
            self._driver.stdout.close()
            self._folder.cleanup()

    def _read_port(self):
        output = []
        for line in self._driver.stdout:
            output.append(line)
            match = re.search(r"started successfully on port (\d+)", line)
            if match:
                return match.group(1)
        raise RuntimeError("%s has not started:\n%s" % (DRIVER, "".join(output)))

    def _start(self, width, height):
        flags = FLAGS + ["--user-data-dir=" + os.path.join(self._folder.name, "profile"),
                         "--window-size=%d,%d" % (width, height)]
        options = {"args": flags, "binary": shutil.which(CHROMIUM)}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        return self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def _call(self, method, path, body=None):
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self._address + self._session + path, data, method=method,
                                         headers={"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT_S) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError("%s %s: %s" % (method, path, error.read().decode("utf-8", "replace"))) from error

    # --- What a person does ---

    def open(self, address):
        self._call("POST", "/url", {"url": address})

    def click(self, selector):
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        self._call("POST", "/element/%s/click" % found[ELEMENT])

    def keys(self, text):
        """Presses the keys of `text`, one after another, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    # --- What a test looks at ---

    def run(self, script):
        """What the body of a function gives."""
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def wait(self, condition):
        """Waits until the expression is true, and gives its value."""
        script = ("const done = arguments[0];"
                  "const look = () => { const value = (%s); if (value) done(value); else setTimeout(look, 10); };"
                  "look();" % condition)
        self._call("POST", "/timeouts", {"script": TIMEOUT_S * 1000})
        return self._call("POST", "/execute/async", {"script": script, "args": []})

    def log(self):
        """The messages of the console since the last time, those of the browser included."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def set_media(self, name, value):
        """Sets a media feature: "prefers-color-scheme" to "dark"."""
        features = {"features": [{"name": name, "value": value}]}
        self._call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": features})

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._call("GET", "/screenshot")))
