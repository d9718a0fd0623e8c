"""The example apps: the page in Chromium, the Android project's Kotlin as far as a JVM can."""

from __future__ import annotations

import functools
import json
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from web_driver import chromium

from keras_kd.exporters import app_versions

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / "tests" / "browser" / "node_modules"


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.mark.skipif(
    shutil.which("chromedriver") is None or not (PACKAGES / "@litertjs").is_dir(),
    reason="Chromium and LiteRT.js of `make browser` are not installed",
)
def test_the_page_reads_the_example_and_a_picture(tmp_path: Path) -> None:
    page = tmp_path / "examples" / "web"
    shutil.copytree(ROOT / "examples" / "web", page, ignore=shutil.ignore_patterns("node_modules"))
    (page / "node_modules").symlink_to(PACKAGES)
    (tmp_path / "exports").symlink_to(ROOT / "exports")
    Image.new("RGB", (300, 200), "gray").save(tmp_path / "gray.png")
    handler = functools.partial(_Silent, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/examples/web/"
        with chromium() as browser:
            status = "return document.getElementById('status').textContent.replace('Loading…', '')"
            browser.open(f"{address}?bundle=../../exports/none/")
            assert "Error" in browser.wait(status)
            browser.open(address)
            assert browser.wait(status).startswith("Ready")
            rows = "return [...document.querySelectorAll('#bars tr')].map((row) => row.innerText)"
            example = browser.run(rows)
            browser.choose("#file", str(tmp_path / "gray.png"))
            browser.wait(
                f"return document.body && {rows[7:]}.join() !== {json.dumps(example)}.join()"
            )
            shown = browser.run(rows)
            faults = browser.axe((PACKAGES / "axe-core" / "axe.min.js").read_text("utf-8"))
        server.shutdown()
    assert not faults
    labels = (ROOT / "exports" / "B" / "labels.txt").read_text("utf-8").split()
    assert [row.split()[0] for row in shown] == labels
    assert sum(float(row.split()[1]) for row in shown) == pytest.approx(100, abs=2)


def test_the_page_is_short_and_names_the_version_that_is_tested() -> None:
    folder = ROOT / "examples" / "web"
    assert len((folder / "index.html").read_text("utf-8").splitlines()) <= 70
    version = app_versions.versions()["@litertjs/core"]
    assert f"@litertjs/core@{version}" in (folder / "README.md").read_text("utf-8")
