"""Just enough of W3C WebDriver to open a page in headless Chromium and look at it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A session with chromedriver."""

    def __init__(self, address: str, options: list[str]) -> None:
        self._session = address
        chrome = {"goog:chromeOptions": {"args": options}, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": chrome}})
        self._session = f"{address}/session/{made['sessionId']}"

    def _call(self, method: str, path: str, body: dict | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._session + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def run(self, script: str) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def choose(self, selector: str, *files: str) -> None:
        """Choose files in an input."""
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})[
            ELEMENT
        ]
        self._call("POST", f"/element/{found}/value", {"text": "\n".join(files)})

    def click(self, selector: str) -> None:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})[
            ELEMENT
        ]
        self._call("POST", f"/element/{found}/click", {})

    def log(self) -> list[dict]:
        return self._call("POST", "/se/log", {"type": "browser"})

    def size(self, width: int, height: int) -> None:
        self._call("POST", "/window/rect", {"width": width, "height": height})

    def show_as(self, media: str, scheme: str, width: int) -> None:
        """Show pages as on paper ("print") or a screen, light or dark, so many CSS pixels wide."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        scheme_ = {"name": "prefers-color-scheme", "value": scheme}
        for command, options in (
            ("Emulation.setDeviceMetricsOverride", size),
            ("Emulation.setEmulatedMedia", {"media": media, "features": [scheme_]}),
        ):
            self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": options})

    def screenshot(self, clip: dict[str, float]) -> str:
        """Return a png of a part of the page, also beyond the window, in base64."""
        options = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        command = {"cmd": "Page.captureScreenshot", "params": options}
        return self._call("POST", "/goog/cdp/execute", command)["data"]

    def wait(self, script: str, seconds: float = 120) -> Any:
        """Run the script until it returns something true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := self.run(script):
                return found
            time.sleep(0.1)
        raise TimeoutError(
            f"{script}; status: {self.run('return document.body.innerText')}; log: {self.log()}"
        )

    def axe(self, source: str) -> list[str]:
        """Return what axe-core finds wrong with the page."""
        self.run(source)
        self.run("axe.run().then(found => { window.found = found.violations })")
        self.wait("return window.found !== undefined")
        kinds = "window.found.map(one => `${one.id} (${one.impact}): ${one.nodes[0].html}`)"
        return self.run(f"return {kinds}")

    def close(self) -> None:
        self._call("DELETE", "")


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """A headless Chromium, gone when the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    driver = subprocess.Popen([shutil.which("chromedriver"), f"--port={port}"], **silent)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(address + "/status", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        browser = Browser(address, ["--headless=new", "--no-sandbox", "--disable-gpu", *options])
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait()
