"""Pages as people use them: axe finds nothing, nothing is cut on a phone or on paper, in light and
dark.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn_timeline import mostly, write
from web_driver import chromium

from keras_kd.sessions import _comparison_page, _page, _timeline, comparison
from keras_kd.sessions._options import Options, Task

NODE = Path(os.environ.get("KERAKD_LITERT_JS", Path(__file__).parents[1] / "browser"))
AXE = NODE / "node_modules/axe-core/axe.min.js"
pytestmark = pytest.mark.skipif(
    not (shutil.which("chromedriver") and AXE.is_file()),
    reason="no chromedriver or axe-core: `make browser` installs both",
)
# Texts of pictures that reach beyond them.
OUTSIDE = """
return [...document.querySelectorAll('svg[viewBox] text')].filter(text => {
  const { x, y, width, height } = text.getBBox();
  const whole = text.ownerSVGElement.viewBox.baseVal;
  return x < 0 || y < 0 || x + width > whole.width || y + height > whole.height;
}).map(text => text.textContent);
"""
SESSION = {
    "video": {"name": "p1.mp4"},
    "model": "0123",
    "recipe": {"detector": "auto 0.5", "side": 1.17, "rate": None},
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    for number, group in enumerate("ABAB"):
        (root / group).mkdir(exist_ok=True)
        chances = [*mostly("neutral", 20), *mostly("angry", 2 + number), *mostly("happy", 8)]
        values = {name: np.sin(np.arange(len(chances)) / 30) for name in ("valence", "arousal")}
        write(root / group / f"p{number}.csv", chances, values=values)
    tasks = (Task(0, 10, "rest"), Task(10, 30, "find a product that nobody can find at first"))
    timeline = _timeline.load(root / "A" / "p0.csv", Options(0.5, baseline="rest", tasks=tasks))
    (root / "session.html").write_text(_page.page(timeline, "p1", SESSION), encoding="utf-8")
    rows = comparison.participants(sorted(root.glob("?/*.csv")))
    study = _comparison_page.page(comparison.compare(rows))
    (root / "comparison.html").write_text(study, encoding="utf-8")
    return root


@pytest.mark.parametrize("name", ["session", "comparison"])
def test_a_page_can_be_read_by_all_and_everywhere(pages, name):
    with chromium() as browser:
        for media, scheme, width in (
            ("screen", "light", 1280),
            ("screen", "dark", 1280),
            ("screen", "light", 390),
            ("print", "light", 718),  # A4 less its margins, in CSS pixels
        ):
            browser.show_as(media, scheme, width)
            browser.open((pages / f"{name}.html").as_uri())
            wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            assert not browser.run(f"return {wider}"), (media, width)
            cut = (
                "[...document.querySelectorAll('.scroll')].some(e => e.scrollWidth > e.clientWidth)"
            )
            # A phone scrolls; a desk and paper show all.
            assert browser.run(f"return {cut}") == (width == 390), (media, width)
            assert browser.run(OUTSIDE) == [], (media, width)
            if media == "screen":
                assert browser.axe(AXE.read_text(encoding="utf-8")) == []
