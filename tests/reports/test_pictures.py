"""Pictures, judged by their pixels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from PIL import Image

from keras_kd.errors import OutputError
from keras_kd.reports import _drawing, comparison_pictures, pictures

DARKEST_BLUE = (8, 48, 107)  # the top of ColorBrewer's sequential "Blues"
EXPRESSIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def _near(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(pixels - colour) <= 4).all(axis=2)


def _hex(colour: str) -> tuple[int, int, int]:
    return tuple(bytes.fromhex(colour[1:]))


def test_confusion_rows_are_true_classes_from_above(tmp_path: Path) -> None:
    # All of the first class is answered right, all of the second as the first: the left column is
    # dark.
    pictures.confusion_picture(tmp_path / "c.png", [[10, 0], [20, 0]], ["a", "b"], "title")
    dark = _near(_pixels(tmp_path / "c.png"), DARKEST_BLUE)
    rows, columns = np.nonzero(dark)
    width, height = np.ptp(columns), np.ptp(rows)
    assert height > 1.9 * width
    pictures.confusion_picture(tmp_path / "c.png", [[10, 0], [0, 20]], ["a", "b"], "title")
    rows, columns = np.nonzero(_near(_pixels(tmp_path / "c.png"), DARKEST_BLUE))
    upper = rows < rows.mean()
    assert columns[upper].max() <= columns[~upper].min() + 2


def test_confusion_is_shaded_by_the_share_of_the_row(tmp_path: Path) -> None:
    pictures.confusion_picture(tmp_path / "c.png", [[300, 100], [0, 1]], ["a", "b"], "title")
    pixels = _pixels(tmp_path / "c.png")
    for share, cells in ((0.75, 1), (0.25, 1), (1.0, 1), (0.5, 0)):
        colour = tuple(int(255 * part) for part in colormaps["Blues"](share)[:3])
        assert (_near(pixels, colour).sum() > 10_000) == cells


@pytest.mark.parametrize(
    "class_names",
    [
        ["no", "yes"],
        EXPRESSIONS,
        [f"class {i}" for i in range(40)],
        ["<script>", "$x$ $\\frac$", "a|b", "long " * 20],
    ],
    ids=["2", "7", "40", "odd"],
)
def test_no_label_is_clipped(tmp_path: Path, class_names: list[str]) -> None:
    confusion = np.diag(np.arange(len(class_names)))
    pictures.confusion_picture(
        tmp_path / "c.png", confusion.tolist(), class_names, "Student B on PrivateTest"
    )
    pixels = _pixels(tmp_path / "c.png")
    border = [pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]]
    assert all((edge == 255).all() for edge in border)


def _history(epochs: int) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 2 / epoch,
            "accuracy": 1 - 0.8 / epoch,
            "val_accuracy": 0.9 - 0.8 / epoch,
            "learning_rate": 0.1 / epoch,
        }
    )


def test_confusion_of_a_thousand_classes_is_a_picture_of_few_pixels(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(1000)]
    counts = np.random.default_rng(0).integers(0, 2, (1000, 1000)) + 100 * np.eye(1000, dtype=int)
    pictures.confusion_picture(tmp_path / "thousand.png", counts, names, "A thousand classes")
    with Image.open(tmp_path / "thousand.png") as picture:
        assert max(picture.size) < 3000
        darkest = np.asarray(picture.convert("L"))
    assert darkest[len(darkest) // 2].min() < 200  # the diagonal


def test_curves_show_what_the_history_has(tmp_path: Path) -> None:
    pictures.curves_picture(tmp_path / "full.png", _history(5), teacher_accuracy=0.95)
    pictures.curves_picture(tmp_path / "part.png", _history(5)[["epoch", "accuracy"]])
    full, part = _pixels(tmp_path / "full.png"), _pixels(tmp_path / "part.png")
    assert len(full) > 1.8 * len(part)
    assert _near(full, _hex(pictures.BLUE)).sum() > 200
    assert _near(part, _hex(pictures.BLUE)).sum() == 0
    # The teacher's line runs over more than half of the width, as dashes.
    gray = _near(full, _hex(pictures.GRAY)).sum(axis=1).max() / full.shape[1]
    assert 0.5 < gray < 0.8
    assert _near(part, _hex(pictures.GRAY)).sum(axis=1).max() < 0.1 * part.shape[1]


def test_one_head_is_drawn_once_and_several_have_a_panel_of_their_own(tmp_path: Path) -> None:
    one = _history(5)
    several = one.assign(val_expression_accuracy=0.5, val_valence_ccc=0.4)
    for name, history in (
        ("one", one),
        ("several", several),
        ("none", one.drop(columns="val_accuracy")),
    ):
        pictures.curves_picture(tmp_path / f"{name}.png", history)
    heights = {name: len(_pixels(tmp_path / f"{name}.png")) for name in ("one", "several", "none")}
    assert heights["one"] == heights["none"] and heights["several"] > 1.3 * heights["one"]


def test_curves_of_one_epoch_of_none_and_with_gaps(tmp_path: Path) -> None:
    gaps = _history(3)
    gaps.loc[1:, "val_accuracy"] = np.nan
    for history in (_history(1), gaps, gaps.assign(val_accuracy=np.nan)):
        pictures.curves_picture(tmp_path / "c.png", history)
        assert _near(_pixels(tmp_path / "c.png"), _hex(pictures.ORANGE)).any()


def test_reliability_bars_stand_where_the_bins_are(tmp_path: Path) -> None:
    one_bin = {"low": [0.8], "high": [0.9], "count": [5], "confidence": [0.85], "accuracy": [0.5]}
    pictures.reliability_picture(tmp_path / "r.png", one_bin, "Student B")
    blue = _near(_pixels(tmp_path / "r.png"), _hex(pictures.BLUE))
    # The legend's patch lies in the left half; the bar in the right one is 0.5 of the upper panel
    # high.
    right = blue[:, blue.shape[1] // 2 :]
    columns = np.flatnonzero(right.sum(axis=0) > 50)
    assert len(columns) == pytest.approx(0.092 * 0.8 * blue.shape[1], rel=0.15)
    assert 0.6 < columns.mean() / right.shape[1] < 0.8


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        pictures.curves_picture(tmp_path / "file" / "c.png", _history(2))


def test_matplotlib_is_imported_only_to_draw() -> None:
    code = (
        "import sys, keras_kd.reports.pictures, keras_kd.reports.model_card; sys.exit('matplotlib' "
        "in"
        " sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_costs_lie_to_the_right_and_accuracies_above(tmp_path: Path) -> None:
    costs = {"teacher": (337e6, 0.716), "student": (22.4e6, 0.69)}
    comparison_pictures.cost_picture(tmp_path / "cost.png", costs, "title")
    pixels = _pixels(tmp_path / "cost.png")
    middles = []
    for colour in comparison_pictures.COLOURS[:2]:
        rows, columns = np.nonzero(_near(pixels, _hex(colour)))
        inside = rows < 0.7 * len(pixels)  # the legend lies below
        middles.append((rows[inside].mean(), columns[inside].mean()))
    (teacher_row, teacher_column), (student_row, student_column) = middles
    assert teacher_row < student_row and teacher_column > student_column + 300


def test_no_accuracy_above_all_is_shown_and_few_operations_are_no_0() -> None:
    """Ticks went on to 105 %, and 26,160 multiply-accumulates were 0.0 M."""
    axes = Figure().subplots()
    axes.plot([0, 1], [0.75, 1])
    axes.margins(0.15, 0.25)
    _drawing.show_shares(axes)
    assert 0.6 < axes.get_ylim()[0] < 0.75 and axes.get_ylim()[1] == 1.02
    assert comparison_pictures.millions(26_160) == "0.026 M"
    assert comparison_pictures.millions(1_234_567_890) == "1,234.6 M"


def test_a_reliability_diagrams_legend_covers_no_bar(tmp_path: Path) -> None:
    bins = {name: [step / 5 for step in range(5)] for name in ("low", "confidence")}
    bins |= {"high": [step / 5 for step in range(1, 6)], "accuracy": [1] * 5, "count": [9] * 5}
    pictures.reliability_picture(tmp_path / "r.png", bins, "title")
    pixels = _pixels(tmp_path / "r.png")
    rows, columns = np.nonzero(_near(pixels, _hex(_drawing.BLUE)))
    bars = pixels[rows.min() : int(rows.min() + 0.5 * np.ptp(rows)), columns.min() : columns.max()]
    assert not (bars.max(axis=2) < 60).any()


def test_the_plane_shows_labels_left_and_the_student_right(tmp_path: Path) -> None:
    values = {"valence": np.array([0.8, 0.8, np.nan]), "arousal": np.array([0.8, 0.8, 0.0])}
    predictions = {"arousal": np.array([-0.8, -0.8, 0.0]), "valence": np.array([-0.8, -0.8, 0.0])}
    pictures.values_picture(
        tmp_path / "v.png", values, predictions, np.array([0, 0, 1]), ["a", "b"], "title"
    )
    pixels = _pixels(tmp_path / "v.png")
    rows, columns = np.nonzero(_near(pixels, _hex(comparison_pictures.COLOURS[0])))
    left = columns < 0.5 * pixels.shape[1]
    right = ~left & (columns < 0.88 * pixels.shape[1])  # the legend lies at the edge
    assert rows[left].mean() < 0.35 * len(pixels) and columns[left].mean() > 0.3 * pixels.shape[1]
    assert (
        rows[right].mean() > 0.65 * len(pixels) and columns[right].mean() < 0.65 * pixels.shape[1]
    )
    # The image without a value is nowhere, its class has no mean.
    assert not _near(pixels, _hex(comparison_pictures.COLOURS[1])).any()


def test_tradeoff_puts_the_slower_model_right_and_the_better_one_above(tmp_path: Path) -> None:
    accuracies, path = [(0.9, 0.85, 0.95), (0.6, 0.5, 0.7)], tmp_path / "t.png"
    comparison_pictures.tradeoff_picture(
        path, ["quick", "$slow$"], accuracies, [1.0, 4.0], [0.6, 2.4], "title"
    )
    pixels = _pixels(path)
    half = pixels[:, : pixels.shape[1] // 2]
    (quick_rows, quick_columns), (slow_rows, slow_columns) = (
        np.nonzero(_near(half, _hex(colour))) for colour in comparison_pictures.COLOURS[:2]
    )
    assert quick_rows.mean() < slow_rows.mean() and quick_columns.mean() < slow_columns.mean() - 100


# Mathtext that matplotlib can't read, and a name that it leaves out of a legend.
_NAMES = ["$\\frac{$", "_hidden"]


def test_names_are_no_formulas_and_none_is_left_out(tmp_path: Path) -> None:
    scores, one = [(0.9, 0.8, 1.0), (0.6, 0.5, 0.7)], np.array([0.5, -0.5])
    costs = dict(zip(_NAMES, [(3e6, 0.7), (2e6, 0.6)], strict=True))
    plane = dict.fromkeys(_NAMES, one)
    history = _history(3).assign(**{f"val_{name}_accuracy": 0.5 for name in _NAMES})
    drawings = {
        "costs": lambda path: comparison_pictures.cost_picture(path, costs, "$"),
        "times": lambda path: comparison_pictures.tradeoff_picture(
            path, _NAMES, scores, [1.0, 2.0], [1.0, 2.0], "$"
        ),
        "plane": lambda path: pictures.values_picture(
            path, plane, plane, np.array([0, 1]), _NAMES, "$"
        ),
        "curves": lambda path: pictures.curves_picture(path, history),
    }
    for name, draw in drawings.items():
        draw(tmp_path / f"{name}.png")
        # Both lines have a mark in the legend, which lies below or to the right of the axes.
        pixels = _pixels(tmp_path / f"{name}.png")
        legend = pixels[int(0.8 * len(pixels)) :] if name == "costs" else pixels[:, -150:]
        assert name == "curves" or all(
            _near(legend, _hex(colour)).any() for colour in comparison_pictures.COLOURS[:2]
        )


_DRAW = """
from keras_kd.reports import comparison_pictures
comparison_pictures.cost_picture("a.png", {"a": (1e6, 0.5), "b": (2e6, 0.6)}, "title")
"""


@pytest.mark.parametrize(
    "style",
    [b"figure.facecolor: red\ntext.usetex: True\nsavefig.dpi: 30000\n", b"\xff\xfe\x80", None],
)
def test_styles_that_lie_in_the_working_folder_are_not_read(
    style: bytes | None, tmp_path: Path
) -> None:
    if style is None:
        os.mkfifo(tmp_path / "matplotlibrc")
    else:
        (tmp_path / "matplotlibrc").write_bytes(style)
    done = subprocess.run(
        [sys.executable, "-P", "-c", _DRAW], cwd=tmp_path, timeout=120, capture_output=True
    )
    assert done.returncode == 0 and not done.stderr
    comparison_pictures.cost_picture(
        tmp_path / "b.png", {"a": (1e6, 0.5), "b": (2e6, 0.6)}, "title"
    )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_users_own_style_changes_no_picture(tmp_path: Path) -> None:
    pictures.confusion_picture(tmp_path / "a.png", [[1, 0], [0, 1]], ["a", "b"], "title")
    with rc_context({"figure.facecolor": "red", "text.usetex": True, "font.size": 30}):
        pictures.confusion_picture(tmp_path / "b.png", [[1, 0], [0, 1]], ["a", "b"], "title")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
