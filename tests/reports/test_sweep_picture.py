from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_kd.reports import sweep_picture

FILES = [f"/home/anna/projects/faces/runs/teacher-{name}/run/student.keras" for name in "ab"]


def _trials(**options: list) -> pd.DataFrame:
    rows = pd.DataFrame(itertools.product(*options.values()), columns=list(options))
    return rows.assign(validation=np.linspace(0.4, 0.8, len(rows)), state="complete")


@pytest.mark.parametrize(
    "options",
    [
        {"teacher": FILES},
        {"teacher": FILES, "temp": [1.0, 2.0]},
        {"temp": [1.0, 2.0], "teacher": FILES},
        {"student": ["A", "B"], "teacher": FILES, "temp": [1.0, 2.0]},
    ],
    ids=lambda options: "-".join(options),
)
def test_long_names_leave_room_for_the_scores(options: dict, tmp_path: Path) -> None:
    """Matplotlib warns where the texts take all the room."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep_picture.sweep_picture(tmp_path / "s.png", _trials(**options), list(options), True)
    width, height = Image.open(tmp_path / "s.png").size
    assert width < 140 * (2.5 + 3.2 * len(options)) and height < 140 * 5


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["A", "keras:MobileNetV3Small"], ["A", "keras:MobileNetV3Small"]),
        (FILES, ["…cher-a/run/student.keras", "…cher-b/run/student.keras"]),
        ([FILES[0], "vgg8"], ["…cher-a/run/student.keras", "vgg8"]),
        (["a" + 30 * "x", "b" + 30 * "x"], ["a" + 22 * "x" + "…", "b" + 22 * "x" + "…"]),
        ([1.0, None], ["1.0", "None"]),
    ],
)
def test_long_names_are_cut_where_they_are_alike(values: list, labels: list[str]) -> None:
    assert sweep_picture._labels(values) == labels


def test_choices_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    """The best one, drawn last, stood at the right end whatever its name was."""
    trials = pd.DataFrame({"student": ["A", "B", "C"], "validation": [0.9, 0.5, 0.5]})
    sweep_picture.sweep_picture(
        tmp_path / "s.png", trials.assign(state="complete"), ["student"], True
    )
    pixels = np.asarray(Image.open(tmp_path / "s.png").convert("RGB")).astype(int)
    orange = tuple(bytes.fromhex(sweep_picture.ORANGE[1:]))
    # Without the legend above the axes.
    columns = np.nonzero((np.abs(pixels[60:] - orange) <= 4).all(axis=2))[1]
    assert len(columns) > 20 and columns.mean() < pixels.shape[1] / 2
