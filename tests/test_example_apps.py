"""The example apps: the page in Chromium, the Android project's Kotlin as far as a JVM can."""

from __future__ import annotations

import functools
import json
import re
import runpy
import shutil
import threading
import warnings
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

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
            shown = "document.getElementById('status').textContent"
            status = f"return {shown}.replace('Loading…', '')"
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


ANDROID = ROOT / "examples" / "android"


def test_the_android_programs_are_those_of_the_guide() -> None:
    """Numbers of the worked input change with the bundle: then a warning."""
    update = runpy.run_path(str(ANDROID / "update.py"))
    for name, text in update["programs"]().items():
        stored = (update["SOURCES"] / name).read_text("utf-8")
        masked = [re.sub(r"\d+\.\d+(e-\d+)?f", "0f", one) for one in (stored, text)]
        assert masked[0] == masked[1], "run python examples/android/update.py"
        if stored != text:
            told = f"{name} has the numbers of another bundle: run examples/android/update.py."
            warnings.warn(pytest.PytestWarning(told), stacklevel=1)


def test_the_android_project_is_whole_and_has_the_versions_of_the_guide() -> None:
    versions = app_versions.versions()
    build = (ANDROID / "app" / "build.gradle.kts").read_text("utf-8")
    for artifact in ("litert", "litert-gpu"):
        assert f'"com.google.ai.edge.litert:{artifact}:{versions["litert-android"]}"' in build
    assert f"compileSdk = {versions['compile-sdk']}\n" in build
    assert f"minSdk = {versions['min-sdk']}\n" in build
    plugin = (ANDROID / "build.gradle.kts").read_text("utf-8")
    assert f'version "{versions["android-gradle-plugin"]}"' in plugin
    readme = (ANDROID / "README.md").read_text("utf-8")
    assert f"Gradle {versions['gradle']}" in readme
    manifest = ElementTree.parse(ANDROID / "app" / "src" / "main" / "AndroidManifest.xml")
    name = "{http://schemas.android.com/apk/res/android}name"
    activity = manifest.find("application/activity").get(name).removeprefix(".")
    namespace = re.search(r'namespace = "(.*)"', build)[1]
    source = ANDROID / "app/src/main/kotlin" / namespace.replace(".", "/") / f"{activity}.kt"
    assert f"class {activity} : Activity()" in source.read_text("utf-8")
    bundle = re.search(r'getOrElse\("(.*)"\)', build)[1]
    assert (ANDROID / bundle / "model.tflite").is_file()
