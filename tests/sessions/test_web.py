"""`kerakd web` in a real headless Chromium: the same faces and probabilities as Python, and no word
to anyone.

Needs Chromium with chromedriver, and LiteRT.js from npm at the pinned version: `make browser`
installs both.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from command_line import called
from drawn_film import colour_model, scene, write
from PIL import Image
from web_driver import chromium

from keras_kd.datasets.readers import faces as drawn

PACKAGES = Path(os.environ.get("KERAKD_LITERT_JS", Path(__file__).parents[1] / "browser"))
AXE = PACKAGES / "node_modules" / "axe-core" / "axe.min.js"
READ = "return document.getElementById('results').textContent"
READY = "return document.getElementById('status').textContent !== 'Loading'"

needs_litert_js = pytest.mark.skipif(
    not (PACKAGES / "node_modules" / "@litertjs" / "core" / "package.json").is_file(),
    reason=f"LiteRT.js is not in {PACKAGES}: `make browser` installs it",
)
needs_browser = pytest.mark.skipif(
    not (shutil.which("chromedriver") and shutil.which("chromium")),
    reason="Chromium or chromedriver is not installed: `make browser` installs them",
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Drawn faces on a wall at three sizes, one of them filling the picture, and a wall alone."""
    root = tmp_path_factory.mktemp("pictures")
    first, second, third = drawn.generate(3, 31).images
    Image.fromarray(scene(first)).save(root / "a.png")
    Image.fromarray(scene(second, 30, 20, 333, 251)).save(root / "b.png")
    Image.fromarray(third).resize((180, 200), Image.Resampling.BICUBIC).save(root / "c.png")
    Image.fromarray(np.full((90, 120, 3), 77, np.uint8)).save(root / "d.png")
    return [str(path) for path in sorted(root.iterdir())]


@pytest.fixture(scope="module", params=["values", "app"])
def site(request, tmp_path_factory):
    """A model, the page made for it, and its address."""
    from keras_kd.sessions import web

    root = tmp_path_factory.mktemp("site")
    model = colour_model(root, with_values=request.param == "values", app=request.param == "app")
    web.build(model, root / "page", PACKAGES)
    server = web.server(root / "page", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield model, root / "page", f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@needs_browser
@needs_litert_js
@pytest.mark.parametrize("activation", ["sigmoid", None], ids=["sigmoid", "logit"])
def test_one_number_for_two_classes_is_shown_as_both(activation, pictures, tmp_path):
    import keras

    from keras_kd import export
    from keras_kd.sessions import web

    image = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    last = keras.layers.Dense(1, activation, kernel_initializer=keras.initializers.Constant(1.5))
    names = ("dark", "bright")
    model = keras.Model(image, last(means))
    path = export(
        model, tmp_path / "m.tflite", "float32", class_names=names, value_range=(0, 255)
    ).path
    web.build(path, tmp_path / "page", PACKAGES)
    server = web.server(tmp_path / "page", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with chromium() as browser:
        browser.open(f"http://127.0.0.1:{server.server_port}/")
        assert browser.wait(READY)
        browser.choose("#file", pictures[0])
        (row,) = json.loads(browser.wait(READ))
    server.shutdown()
    server.server_close()
    (expected,) = _python(path, pictures[:1]).values()
    assert row["faces"][0]["probabilities"] == pytest.approx(expected[0].probabilities, abs=1e-3)
    assert set(row["faces"][0]["probabilities"]) == set(names) and not row["faces"][0]["values"]


def _python(model, pictures):
    from keras_kd.sessions import _detectors, _reader, photos

    reader, _ = _reader.load(model)
    return photos.predict(map(Path, pictures), reader, _detectors.load())


@needs_litert_js
def test_pixels_that_nobody_states_are_called_assumed(tmp_path, capsys):
    model = str(colour_model(tmp_path))
    for stated, count in (([], 1), (["--range", "0,255"], 0)):
        out = str(tmp_path / f"page{count}")
        assert called("web", model, "--out", out, "--litert-js", str(PACKAGES), *stated) == 0
        assert capsys.readouterr().err.count(f"{model} does not say which pixels") == count


@needs_browser
@needs_litert_js
def test_the_page_gives_pythons_probabilities(site, pictures):
    model, _, address = site
    with chromium() as browser:
        browser.open(address)
        assert browser.wait(READY)
        browser.choose("#file", *pictures)
        shown = json.loads(browser.wait(READ))
        latency = browser.run("return document.getElementById('latency').textContent")
        bars = browser.run(
            "return [...document.querySelectorAll('#bars span:first-child')].map(e =>"
            " e.textContent)"
        )
        log = browser.log()
        if AXE.is_file():
            for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390)):
                browser.show_as("screen", scheme, width)
                browser.run("delete window.found")
                assert browser.axe(AXE.read_text("utf-8")) == []
                wider = "document.documentElement.scrollWidth > innerWidth"
                assert not browser.run(f"return {wider}"), width
    expected = _python(model, pictures)
    assert (
        [len(row["faces"]) for row in shown]
        == [len(faces) for faces in expected.values()]
        == [1, 1, 1, 0]
    )
    for row, faces in zip(shown, expected.values(), strict=True):
        for found, face in zip(row["faces"], faces, strict=True):
            box = [found[key] for key in ("x", "y", "width", "height")]
            np.testing.assert_allclose(box, face.face.box, atol=0.05)
            assert found["probabilities"] == pytest.approx(face.probabilities, abs=1e-3)
            assert found["values"] == pytest.approx(face.values, abs=1e-3)
    assert "ms a picture" in latency and bars == ["r", "g", "b"]
    # LiteRT writes its own news to console.error.
    assert not [
        entry for entry in log if entry["level"] == "SEVERE" and entry["source"] != "console-api"
    ]


@needs_browser
@needs_litert_js
def test_a_video_and_a_camera_make_a_timeline_and_nothing_is_asked_elsewhere(site, tmp_path):
    _, _, address = site
    units = np.repeat(drawn.prototype("happy")[None], 30, axis=0)
    film = write(tmp_path / "film.mp4", [scene(picture) for picture in drawn.film(units, 7)])
    with chromium(
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"
    ) as browser:
        # As wide as a phone: nothing may be cut off.
        browser.size(500, 900)
        browser.open(address)
        assert browser.wait(READY)
        browser.choose("#file", str(film))
        rows = json.loads(browser.wait(READ))
        # A browser on a busy machine may give the first frames empty.
        assert len(rows) > 2 and all(len(row["faces"]) == 1 for row in rows[2:])
        assert browser.run("return document.getElementById('timeline').hidden") is False
        browser.run("document.getElementById('results').textContent = ''")
        browser.click("#camera")
        browser.wait("return document.getElementById('label').textContent === 'no face'")
        browser.click("#stop")
        rows = json.loads(browser.wait(READ))
        # Chromium's test picture, in which nobody is.
        assert rows and not any(row["faces"] for row in rows)
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
        asked = browser.run(
            "return performance.getEntriesByType('resource').map(entry => entry.name)"
        )
        assert asked and all(url.startswith((address, "blob:", "data:")) for url in asked)
        # The policy stops a request to elsewhere, should one ever be made.
        browser.run("fetch('http://localhost:9/').catch(error => { window.refused = true })")
        assert browser.wait("return window.refused")
        assert any("Content Security Policy" in entry["message"] for entry in browser.log())


@needs_browser
@needs_litert_js
def test_results_that_are_too_many_are_told(tmp_path, monkeypatch):
    from keras_kd.sessions import web

    monkeypatch.setattr(web, "KEPT", 2)
    web.build(colour_model(tmp_path), tmp_path / "page", PACKAGES)
    film = write(tmp_path / "film.mp4", [scene(drawn.generate(1, 31).images[0])] * 40)
    server = web.server(tmp_path / "page", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium() as browser:
            browser.open(f"http://127.0.0.1:{server.server_port}/")
            assert browser.wait(READY)
            browser.choose("#file", str(film))
            rows = json.loads(browser.wait(READ))
            told = browser.run("return document.getElementById('status').textContent")
    finally:
        server.shutdown()
        server.server_close()
    assert len(rows) == 2
    assert re.fullmatch(r"Done: 2\. The results hold the last 2 of \d+ pictures\.", told)


@needs_browser
@needs_litert_js
def test_a_broken_file_ends_in_a_sentence_and_leaves_nothing_of_the_last(site, pictures, tmp_path):
    _, _, address = site
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    status = "return document.getElementById('status').textContent"
    with chromium() as browser:
        browser.open(address)
        assert browser.wait(READY)
        for name, word in (
            ("broken.png", "can't be read as a picture"),
            ("broken.mp4", "can't be played"),
        ):
            browser.choose("#file", str(pictures[0]))
            assert browser.wait(READ)
            assert browser.run("return document.getElementById('download').hidden") is False
            browser.choose("#file", str(tmp_path / name))
            assert browser.wait(f'{status}.includes("{word}")')
            assert browser.run("return document.getElementById('label').textContent") == ""
            assert browser.run("return document.getElementById('download').hidden") is True
            browser.run("document.getElementById('results').textContent = ''")
        # Among others it stops none.
        browser.choose("#file", pictures[0], str(tmp_path / "broken.png"), pictures[1])
        rows = json.loads(browser.wait(READ))
        assert [len(row.get("faces", [])) for row in rows] == [1, 0, 1]
        told = "Done: 2. broken.png can't be read as a picture: choose a JPEG, PNG or WebP."
        assert browser.run(status) == told and rows[1]["error"] in told
        many = [str(shutil.copy(tmp_path / "broken.png", tmp_path / f"{n}.png")) for n in range(5)]
        browser.choose("#file", pictures[0], *many)
        assert browser.wait(f"{status}.startsWith('Done: 1. 0.png')")
        assert browser.run(status).endswith("WebP. 2 more can't be read.")


@needs_browser
@needs_litert_js
def test_what_is_transparent_is_white_as_in_python(site, tmp_path):
    model, _, address = site
    picture = Image.fromarray(scene(drawn.generate(1, 31).images[0])).convert("RGBA")
    # The wall is cut away, and the upper half of the face shines through.
    alpha = np.zeros((480, 640), np.uint8)
    alpha[160:240, 240:400], alpha[240:320, 240:400] = 200, 255
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "cut.png")
    with chromium() as browser:
        browser.open(address)
        assert browser.wait(READY)
        browser.choose("#file", str(tmp_path / "cut.png"))
        (row,) = json.loads(browser.wait(READ))
    ((face,),) = _python(model, [str(tmp_path / "cut.png")]).values()
    assert row["faces"][0]["probabilities"] == pytest.approx(face.probabilities, abs=5e-3)


@needs_browser
@needs_litert_js
def test_a_tilted_face_is_cut_upright_as_in_python(site, tmp_path):
    model, _, address = site
    picture = Image.fromarray(scene(drawn.generate(1, 3).images[0])).rotate(
        -30, fillcolor=(128,) * 3
    )
    picture.save(tmp_path / "tilted.png")
    with chromium() as browser:
        browser.open(address)
        assert browser.wait(READY)
        browser.choose("#file", str(tmp_path / "tilted.png"))
        ((found,),) = [row["faces"] for row in json.loads(browser.wait(READ))]
    ((face,),) = _python(model, [str(tmp_path / "tilted.png")]).values()
    assert found["roll"] == pytest.approx(face.face.roll, abs=0.05) and face.face.roll > 10
    assert found["second"] == pytest.approx(face.face.second, abs=1e-3)
    assert found["probabilities"] == pytest.approx(face.probabilities, abs=1e-3)


@needs_litert_js
def test_the_folder_is_whole_and_loads_from_its_own_origin_only(site):
    _, folder, address = site
    settings = json.loads((folder / "model.json").read_text())
    assert settings["class_names"] == ["r", "g", "b"]
    with urllib.request.urlopen(address) as answer:
        policy, text = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert (
        "default-src 'none'" in policy
        and "connect-src 'self'" in policy
        and "unsafe-inline" not in policy
        and "frame-ancestors 'none'" in policy
    )
    loaded = []

    class Page(HTMLParser):
        def handle_starttag(self, tag, attrs):
            loaded.extend(value for name, value in attrs if name in ("src", "href"))
            assert not any(name.startswith("on") or name == "style" for name, _ in attrs)

    Page().feed(text)
    assert {name for name in loaded if not name.startswith("data:")} == {"style.css", "app.js"}
    for script in folder.glob("*.js"):
        assert "http" not in script.read_text("utf-8").replace("https or on localhost", "")
    with urllib.request.urlopen(address + "litert/wasm/litert_wasm_internal.wasm") as answer:
        assert answer.headers["Content-Type"] == "application/wasm"


def test_mistakes_are_told_in_one_sentence(tmp_path, capsys):
    model = colour_model(tmp_path)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    for arguments, word in (
        ([str(model), "--out", str(tmp_path / "a"), "--litert-js", str(tmp_path)], "npm install"),
        ([str(tmp_path / "b.keras"), "--out", str(tmp_path / "a")], "--bundle"),
        ([str(tmp_path / "b.tflite"), "--out", str(tmp_path / "a")], "b.tflite"),
        ([str(model), "--out", str(tmp_path / "used")], "already in use"),
        ([str(model), "--out", str(tmp_path / "used" / "file")], "already in use"),
    ):
        assert called("web", *arguments) == 2
        message = capsys.readouterr().err
        assert word in message and "Traceback" not in message
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("record", ["{", "[]", '{"version": 2.5}', '{"version": "2.5.3"}', "\0"])
def test_an_installation_that_was_broken_off_is_told(record, tmp_path, capsys):
    """As where npm was stopped, or the disk was full: `web` ended in a traceback."""
    core = tmp_path / "node_modules" / "@litertjs" / "core"
    core.mkdir(parents=True)
    (core / "package.json").write_text(record)
    arguments = [str(colour_model(tmp_path)), "--litert-js", str(tmp_path)]
    assert called("web", *arguments, "--out", str(tmp_path / "a")) == 2
    assert "npm install" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
