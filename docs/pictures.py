"""Pictures of the pages for docs/pages, by headless Chromium: `python docs/pictures.py`.

Sessions, a comparison and the browser's page of invented data: on a desk, dark, on a phone, on
paper. It needs what `make browser` installs.
"""

from __future__ import annotations

import base64
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from drawn_film import scene  # noqa: E402
from drawn_timeline import mostly, write  # noqa: E402
from web_driver import Browser, chromium  # noqa: E402

from keras_kd.datasets.readers import faces as drawn  # noqa: E402
from keras_kd.sessions import _comparison_page, _page, _timeline, comparison, web  # noqa: E402
from keras_kd.sessions._options import Event, Options, Task  # noqa: E402

SHOWN = {
    "desktop": ("screen", "light", 1280),
    "dark": ("screen", "dark", 1280),
    "phone": ("screen", "light", 390),
    "print": ("print", "light", 718),  # A4 less its margins, in CSS pixels
}
SESSION = {
    "video": {"name": "p1.mp4"},
    "model": "0123",
    "model_name": "B",
    "pixels": [640, 480],
    "frames_a_second": 30,
    "version": "0.1.0",
    "made": "2026-11-28",
    "informed": "2026-11-20",
    "clips": True,
    "recipe": {"detector": "auto 0.5", "side": 1.17, "rate": None},
}


def session(folder: Path) -> str:
    """Return the page of an invented session of 80 seconds."""
    generator = np.random.default_rng(1)
    parts = [("neutral", 25), ("angry", 6), ("neutral", 14), ("happy", 9), ("neutral", 26)]
    chances = [row for name, seconds in parts for row in mostly(name, seconds)]
    noisy = np.array(chances) * generator.uniform(0.6, 1.4, (len(chances), 3))
    noisy /= noisy.sum(axis=1, keepdims=True)
    noisy[600:630] = np.nan
    seconds = np.arange(len(noisy)) / 10
    values = {"valence": 0.6 * np.sin(seconds / 8), "arousal": 0.4 * np.cos(seconds / 5)}
    tasks = (Task(0, 10, "rest"), Task(10, 45, "find a product"), Task(45, 80, "pay"))
    events = (Event(26.0, "error shown"), Event(46.0, "cart opened"))
    options = Options(0.5, baseline="rest", tasks=tasks, events=events)
    timeline = _timeline.load(write(folder / "p1.csv", noisy, values=values), options)
    return _page.page(timeline, "p1", SESSION)


def compared(folder: Path) -> str:
    """Return the page of an invented comparison of two designs, eight people each."""
    generator = np.random.default_rng(2)
    for group, angry, happy in (("Design A", 8, 4), ("Design B", 4, 9)):
        (folder / group).mkdir()
        for number in range(8):
            shares = [("neutral", 20)]
            shares += [("angry", angry + generator.uniform(-3, 3))]
            shares += [("happy", happy + generator.uniform(-3, 3))]
            chances = [row for name, length in shares for row in mostly(name, length)]
            write(folder / group / f"p{number}.csv", chances)
    rows = comparison.participants(sorted(folder.glob("Design */*.csv")))
    return _comparison_page.page(comparison.compare(rows))


def shoot(browser: Browser, path: Path) -> None:
    """Write a picture of the whole page, with at most 256 colours."""
    size = browser.run("return [innerWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], 6000), "scale": 1}
    taken = browser.screenshot(clip)
    path.write_bytes(base64.b64decode(taken))
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def main() -> None:
    """Draw all of them into docs/pages."""
    out = ROOT / "docs" / "pages"
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        pages = {"session": session(folder), "comparison": compared(folder)}
        for page, text in pages.items():
            (folder / f"{page}.html").write_text(text, encoding="utf-8")
            for form, shown in SHOWN.items():
                browser.show_as(*shown)
                browser.open((folder / f"{page}.html").as_uri())
                shoot(browser, out / f"{page}-{form}.png")
        _browser_page(browser, folder, out)


def _browser_page(browser: Browser, folder: Path, out: Path) -> None:
    """The page that runs a model, with two drawn faces."""
    first, second = drawn.generate(2, 31).images
    wall = scene(first, 60)
    wall[160:320, 380:540] = scene(second, 380)[160:320, 380:540]
    Image.fromarray(wall).save(folder / "faces.png")
    web.build(ROOT / "exports" / "B", folder / "site", ROOT / "tests" / "browser")
    server = web.server(folder / "site", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    status = "return document.getElementById('status').textContent"
    for form in ("desktop", "dark", "phone"):
        browser.show_as(*SHOWN[form])
        browser.open(f"http://127.0.0.1:{server.server_port}/")
        browser.wait(f"{status}.startsWith('Ready')")
        browser.choose("#file", str(folder / "faces.png"))
        browser.wait(f"{status}.startsWith('Done')")
        shoot(browser, out / f"browser-{form}.png")
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
