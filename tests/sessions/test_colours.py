"""Colours of pages: seen on light and dark paper, and never alone in what they mean."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from keras_kd.sessions import _charts, _patterns

PAGE = Path(_charts.__file__).with_name("page.css").read_text("utf-8")
WEB = Path(_charts.__file__).parent.joinpath("web_page", "style.css").read_text("utf-8")
# G. M. Machado et al., "A Physiologically-based Model for Simulation of Color Vision Deficiency",
# 2009, severity 1: on linear RGB.
SIMULATED = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def _linear(colour: str) -> np.ndarray:
    if len(colour) == 4:
        colour = "#" + "".join(2 * digit for digit in colour[1:])
    values = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _contrast(first: str, second: str) -> float:
    """WCAG 2.2: (lighter + 0.05) / (darker + 0.05)."""
    low, high = sorted(_linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (first, second))
    return (high + 0.05) / (low + 0.05)


def _lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b*, D65."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ np.clip(linear, 0, 1) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _schemes(style: str) -> list[dict[str, str]]:
    """The colours of the light scheme and of the dark one."""
    return [
        dict(re.findall(r"--(\w+): (#\w+)", part)) for part in re.findall(r":root {.*?}", style)
    ]


@pytest.mark.parametrize("style", [PAGE, WEB], ids=["pages", "browser"])
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out(style: str, scheme: int) -> None:
    colours = _schemes(style)[scheme]
    for paper in ("paper", "tile"):
        for text in ("ink", "soft"):
            assert _contrast(colours[text], colours[paper]) >= 4.5, (text, paper)
        assert _contrast(colours["mark"], colours[paper]) >= 3
    classes = {**_charts.COLOURS, "uncertain": _charts.UNSURE}
    for name, colour in classes.items():
        assert _contrast(colour, colours["paper"]) >= 3, name


@pytest.mark.parametrize("kind", SIMULATED)
def test_classes_that_look_alike_to_some_have_other_patterns(kind: str) -> None:
    names = list(_charts.colours(tuple(_charts.COLOURS)))
    colours = _charts.colours(tuple(_charts.COLOURS))
    seen = {name: _lab(np.array(SIMULATED[kind]) @ _linear(colours[name])) for name in names}
    tiles = dict(
        zip(
            names, re.findall(r"<pattern.*?</pattern>", _patterns.definitions(colours)), strict=True
        )
    )
    marks = {name: re.findall(r' d="(.*?)"', tile) for name, tile in tiles.items()}
    near = [
        (one, other)
        for one, other in combinations(names, 2)
        if np.linalg.norm(seen[one] - seen[other]) < 20
    ]
    # There are such pairs: colours alone would not do.
    assert near
    assert [pair for pair in near if marks[pair[0]] == marks[pair[1]]] == []
