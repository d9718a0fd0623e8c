"""Names from outside, of classes, tasks, files and groups: no element, formula or code of theirs
gets out.
"""

from __future__ import annotations

import ast
import csv
import io
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import drawn_timeline
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from markdown_it import MarkdownIt

from keras_kd._common import text
from keras_kd._common.markdown import escaped
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.exporters import ExportReport, _guide_code, guide
from keras_kd.exporters._bundle_card import bundle_card
from keras_kd.reports import model_card
from keras_kd.sessions import (
    _comparison_page,
    _exports,
    _page,
    _session_files,
    _timeline,
    comparison,
)
from keras_kd.sessions._timeline import Options, Task

SCRIPT = "<script>alert(1)</script>"
ATTRIBUTE = "\"'><img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://x";"y")'
NAMES = (SCRIPT, ATTRIBUTE, FORMULA)
PLAIN = ("first", "second", "third")
FORMULAS = (FORMULA, "+1", "-2+3", "@x", "\t=1", " =1")
SESSION = {
    "model": "0",
    "recipe": {"detector": "auto", "side": 1.2, "rate": None},
    "temperature": None,
}


class Page(HTMLParser):
    """The elements of a page with their attributes' names, its words, and what its attributes
    say.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.words, self.values = "", ""
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, tuple(name for name, _ in attributes)))
        self.values += " ".join(value or "" for _, value in attributes)

    def handle_data(self, data):
        self.words += data


def _recording(path: Path, names: tuple[str, ...]) -> Path:
    """Forty seconds in which each class has its turn, the last one's twice as long."""
    chances = np.full((400, 3), 0.05)
    chances[np.arange(400), np.minimum(np.arange(400) // 100, 2)] = 0.9
    path.parent.mkdir(parents=True, exist_ok=True)
    return drawn_timeline.write(path, chances, names=names)


def _timeline_of(folder: Path, names: tuple[str, ...]) -> _timeline.Timeline:
    tasks = tuple(
        Task(10.0 * number, 10.0 * (number + 1), name) for number, name in enumerate(names)
    )
    return _timeline.load(
        _recording(folder / "p1.csv", names), Options(0.0, 0.5, names[0], (), tasks)
    )


def test_no_element_or_attribute_of_a_sessions_page_comes_from_a_name(tmp_path: Path) -> None:
    pages = []
    for names in (PLAIN, NAMES):
        session = SESSION | {"video": {"name": names[0]}, "model": names[1]}
        pages.append(_page.page(_timeline_of(tmp_path, names), names[2], session))
    plain, hostile = map(Page, pages)
    assert {tag for tag, _ in hostile.elements} & {"script", "img", "a"} == set()
    assert set(hostile.elements) == set(plain.elements)
    assert all(name in hostile.words for name in NAMES)
    # The pictures in it are whole XML.
    for picture in re.findall("<svg.*?</svg>", pages[1], re.DOTALL):
        assert {part.tag for part in ElementTree.fromstring(picture).iter()} <= {
            "svg", "rect", "title", "text", "line", "polygon", "polyline", "circle",
            "defs", "pattern", "path", "g",
        }  # fmt: skip


def test_nor_of_a_comparisons_page(tmp_path: Path) -> None:
    groups = [tmp_path / name.replace("/", "") for name in (SCRIPT, ATTRIBUTE)]
    found = comparison.participants([_recording(group / "p1.csv", NAMES) for group in groups])
    page = Page(_comparison_page.page(comparison.compare(found)))
    assert {tag for tag, _ in page.elements} & {"script", "img"} == set()
    assert groups[0].name in page.words and "share " not in page.words


def _cells(source: str) -> list[str]:
    return [cell for row in csv.reader(io.StringIO(source)) for cell in row]


def test_no_cell_of_a_sessions_tables_is_a_formula(tmp_path: Path) -> None:
    timeline = _timeline_of(tmp_path / "in", (FORMULA, "+1", "@x"))
    _session_files.write(tmp_path / "out", timeline, SESSION | {"video": {"name": "p1"}}, "p1")
    for name in ("tasks.csv", "intervals.csv"):
        cells = _cells((tmp_path / "out" / name).read_text(encoding="utf-8"))
        assert {f"'{FORMULA}", "'+1", "'@x"} <= set(cells)
        assert not [
            cell
            for cell in cells
            if cell.startswith(text.FORMULA) and not re.fullmatch(r"-?[0-9.e-]+", cell)
        ]


@settings(max_examples=40, derandomize=True, deadline=None, database=None)
@given(
    some.lists(
        some.sampled_from(FORMULAS) | some.text(alphabet="ab=+-@,\"\n' ", max_size=6), min_size=1
    )
)
def test_csv_gives_every_text_back_but_for_the_apostrophe(texts: list[str]) -> None:
    written = list(
        csv.reader(
            io.StringIO(text.csv(pd.DataFrame({"=text": texts, "number": -1.5})), newline="")
        )
    )
    assert written[0] == ["'=text", "number"]
    for (cell, number), given_text in zip(written[1:], texts, strict=True):
        assert number == "-1.5" and cell in (given_text, f"'{given_text}")
        assert (cell != given_text) == given_text.lstrip().startswith(("=", "+", "-", "@"))


def _rendered(markdown: str) -> Page:
    return Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


def _scores(names: tuple[str, ...]) -> dict:
    part = {
        "accuracy": 0.5,
        "accuracy_interval": [0.4, 0.6],
        "balanced_accuracy": 0.5,
        "macro_f1": 0.5,
        "ece": 0.1,
        "ece_by_chance": 0.2,
    }
    counts = np.eye(len(names), dtype=int).tolist()
    return part | {"n": 3, "recall": dict.fromkeys(names, 0.5), "confusion": counts}


def test_no_markup_of_a_model_card_comes_from_a_name() -> None:
    cards = []
    for names in (PLAIN, ("[a](http://x)", SCRIPT, "| a | ![b](c) `d` # e")):
        metrics = {
            "student": names[1],
            "parameters": 10,
            "teacher": {"name": names[2]},
            "test": _scores(names),
        }
        data = {"name": names[0], "fingerprint": "00", "counts": {"test": dict.fromkeys(names, 1)}}
        cards.append(
            model_card.model_card(
                metrics,
                config={"recipe": names[1]},
                data=data,
                command="kerakd distill",
                versions={"keras": names[2]},
                hardware=names[1],
                input_shape=(64, 64, 1),
                pictures=(),
            )  # fmt: skip
        )
    plain, hostile = map(_rendered, cards)
    assert hostile.elements == plain.elements
    assert SCRIPT in hostile.words


def test_nor_of_a_bundles_card() -> None:
    made = ExportReport(Path("model.tflite"), "int8", 100, 0.01, Counter())
    given_image = {
        "shape": [1, 48, 48, 1],
        "dtype": "uint8",
        "color": "gray",
        "range": [0, 255],
    }
    preprocess = {
        "input": given_image,
        "inside_the_file": ["softmax"],
        "outputs": {"probabilities": [1, 3]},
    }
    plain, hostile = (
        _rendered(bundle_card(names[0], names[1], made, preprocess, names, _scores(names), ()))
        for names in (PLAIN, NAMES)
    )
    assert hostile.elements == plain.elements
    assert FORMULA in hostile.words


def _facts(file: str, outputs: tuple[str, ...], names: tuple[str, ...]) -> guide.Facts:
    widths = dict.fromkeys(outputs, 3)
    example = dict.fromkeys(outputs, [0.0, 0.0, 0.0])
    return guide.Facts(
        file,
        (2, 2, 1),
        "uint8",
        PixelValues(),
        False,
        widths,
        "logits",
        names,
        ("ADD",),
        10,
        example,
        0.0,
        0.1,
        "LiteRT 1.0",
    )


CODE = ('"; evil(); "', "${evil()} $evil \\(evil())", "*/ evil() ``` </code>")


def test_no_code_of_a_guide_comes_from_a_name() -> None:
    found = _facts('m"+evil()+".tflite', ("1st", "a`b|c"), CODE)
    page = _rendered(guide.guide(found))
    plain = _rendered(guide.guide(_facts("model.tflite", ("first", "second"), PLAIN)))
    assert page.elements == plain.elements
    called = [
        node.func
        for node in ast.walk(ast.parse(_guide_code.program(found, "check.python")))
        if isinstance(node, ast.Call)
    ]
    assert "evil" not in {
        getattr(function, "id", getattr(function, "attr", "")) for function in called
    }
    for path in _guide_code.PROGRAMS.iterdir():
        text = _guide_code.program(found, path.name)
        shown = re.sub(r"//.*|/\*.*?\*/", "", text, flags=re.DOTALL if path.suffix == ".c" else 0)
        outside = re.sub(r'"(?:[^"\\]|\\.)*"|^ ?\*.*', "", shown, flags=re.MULTILINE)
        assert "evil" not in outside, path.name
        # What is left of a string without its escapes fills in nothing.
        filled = "$" if path.suffix in (".kt", ".dart") else ""
        assert not filled or filled not in re.sub(r"\\.", "", shown)
        assert not re.search(r"\b1st\b", outside)


def test_subtitles_and_annotations_hold_names_as_text(tmp_path: Path) -> None:
    timeline = _timeline_of(tmp_path, NAMES)
    cues = _exports.vtt(timeline)
    assert "<" not in cues and cues.count("-->") == sum(
        one["tier"] != "task" for one in _exports.records(timeline)
    )
    root = ElementTree.fromstring(_exports.elan(timeline))
    values = [one.text for one in root.iter("ANNOTATION_VALUE")]
    assert len(values) == len(_exports.records(timeline)) and all(values)


@pytest.mark.parametrize(
    "name", [SCRIPT, "a`b", "*x*", "_x_", "[a](b)", "a|b", "# a", "&lt;", "~~a~~"]
)
def test_escaped_names_read_as_they_are(name: str) -> None:
    assert _rendered(escaped(name)).words.strip() == name
    assert _rendered(escaped(name)).elements == [("p", ())]
