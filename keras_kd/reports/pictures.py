"""Pictures of a run as PNG files, drawn with matplotlib, which is imported for the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_kd._common.text import cut
from keras_kd.reports._drawing import (
    BLUE,
    COLOURS,
    GRAY,
    GREEN,
    ORANGE,
    add_legend,
    drawn,
    name_ticks,
    percent,
    show_shares,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


_CURVES = {
    "accuracy": {"accuracy": ("training", ORANGE), "val_accuracy": ("validation", BLUE)},
    "loss": {
        "loss": ("training", ORANGE),
        "val_loss": ("validation", BLUE),
        "hard_loss": ("training, labels", GRAY),
        "soft_loss": ("training, teacher", GREEN),
    },
    "learning rate": {"learning_rate": ("learning rate", GRAY)},
}
# Names and counts take half a square inch a cell: 17 GB of memory for 1,000 classes.
MOST_NAMED, COLOURED_SIDE = 100, 14.0


def confusion_picture(
    path: str | Path, confusion: Sequence[Sequence[int]], class_names: Sequence[str], title: str
) -> None:
    """Draw a confusion matrix: each cell has its percentage of the true class and its count; empty
    cells stay blank. Of more than MOST_NAMED classes it shows shades alone, with the classes'
    numbers.

    Args:
        path: the PNG file; an existing one is replaced.
        confusion: C rows of C counts; rows are true classes, columns are predictions.
        class_names: the C names.
        title: the line above the picture.

    Raises:
        OutputError: the file can't be written.
    """
    counts = np.asarray(confusion)
    totals = counts.sum(axis=1)
    # A class without images has no shares, and says so below.
    shares = counts / np.maximum(totals, 1)[:, None]
    many, named = len(counts) > 12, len(counts) <= MOST_NAMED
    side = max(3.0, (0.38 if many else 0.8) * len(counts)) if named else COLOURED_SIDE
    with drawn(path, side + 2, side + 1.5) as figure:
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set(xlabel="answer", ylabel="true class (images)" if named else "true class")
        if named:
            _write_cells(axes, counts, shares)
            _name_classes(axes, class_names, totals)
        axes.set_title(title, parse_math=False, fontsize=18 if many and named else 12, wrap=True)
        axes.spines[:].set_color(GRAY)
        axes.tick_params(length=0)


def _write_cells(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    """Write percentage and count into each cell that has any, and mark classes without images."""
    many = len(counts) > 12
    for row, column in np.argwhere(counts).tolist():
        share = shares[row, column]
        text = f"{100 * share:.0f}{'' if many else ' %'}\n{counts[row, column]}"
        # Readable on the dark half of the blues.
        colour = "white" if share > 0.55 else "black"
        size = 6.5 if many else 9.5
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    for row in np.flatnonzero(counts.sum(axis=1) == 0).tolist():
        axes.text((len(counts) - 1) / 2, row, "no images", ha="center", va="center", color=GRAY)


def curves_picture(
    path: str | Path, history: pd.DataFrame, teacher_accuracy: float | None = None
) -> None:
    """Draw accuracy, losses and learning rate over the epochs.

    Args:
        path: the PNG file; an existing one is replaced.
        history: one row for each epoch, at least one, with `epoch` and any of `accuracy`,
            `val_accuracy`, `loss`, `val_loss`, `hard_loss`, `soft_loss`, `learning_rate`; for
            several heads any `val_NAME_accuracy` and `val_NAME_ccc`.
        teacher_accuracy: the teacher's accuracy on the validation images, 0..1, drawn as a dashed
            line.

    Raises:
        OutputError: the file can't be written.
    """
    curves = {"validation": _head_curves(history), **_CURVES}
    panels = [name for name, lines in curves.items() if any(column in history for column in lines)]
    heights = [1.2 if name == "learning rate" else 3.0 for name in panels]
    with drawn(path, 7.5, sum(heights) + 0.5) as figure:
        for axes, name in zip(
            figure.subplots(len(panels), sharex=True, height_ratios=heights, squeeze=False)[:, 0],
            panels,
            strict=True,
        ):
            _draw_lines(axes, history, curves[name])
            axes.set_ylabel(name)
            if name == "accuracy":
                _mark_accuracies(axes, history, teacher_accuracy)
            if name != "learning rate":
                add_legend(axes)
        # Half an epoch on each side: a single epoch would leave the axis without a width.
        axes.set(xlabel="epoch", xlim=(history["epoch"].min() - 0.5, history["epoch"].max() + 0.5))
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        figure.align_ylabels()


def _head_curves(history: pd.DataFrame) -> dict[str, tuple[str, str]]:
    validated = [name.removeprefix("val_") for name in history if name.startswith("val_")]
    # The accuracy of a single head has a panel of its own.
    names = [f"val_{name}" for name in validated if name.endswith(("_accuracy", "_ccc"))]
    labels = (name.removeprefix("val_").rpartition("_") for name in names)
    titles = (f"{head} {'CCC' if kind == 'ccc' else kind}" for head, _, kind in labels)
    return {
        name: (title, colour) for name, title, colour in zip(names, titles, COLOURS, strict=False)
    }


def values_picture(
    path: str | Path,
    values: Mapping[str, np.ndarray],
    predictions: Mapping[str, np.ndarray],
    labels: np.ndarray | None,
    class_names: Sequence[str],
    title: str,
) -> None:
    """Draw two continuous values as a plane, with the positions of the images by labels and by
    student.

    Args:
        path: the PNG file; an existing one is replaced.
        values: two names and their true values, float (N,) in -1..1, x before y; rows with NaN are
            left out.
        predictions: the student's values by the same names.
        labels: int (N,) classes, which choose the colours; None for one colour.
        class_names: the names of the classes.
        title: the line above the picture.

    Raises:
        OutputError: the file can't be written.
    """
    (x, y), known = values, ~np.isnan(np.stack(list(values.values()))).any(axis=0)
    classes = np.zeros(len(known), int) if labels is None else labels
    named = class_names if labels is not None else ("images",)
    with drawn(path, 10.4, 5.4) as figure:
        figure.suptitle(title, parse_math=False)
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, points, of in ((left, values, "labels"), (right, predictions, "student")):
            for number, name in enumerate(named):
                chosen = known & (classes == number)
                colour = COLOURS[number % len(COLOURS)]
                across, up = points[x][chosen], points[y][chosen]
                axes.plot(across, up, ".", ms=3, alpha=0.35, color=colour)
                if chosen.any():
                    mean = across.mean(), up.mean()
                    axes.plot(*mean, "o", ms=11, color=colour, mec="white", label=name, zorder=3)
            axes.set_title(of)
            axes.set_xlabel(x, parse_math=False)
            axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
            axes.axhline(0, color=GRAY, lw=0.6, zorder=0)
            axes.axvline(0, color=GRAY, lw=0.6, zorder=0)
        # The axes are shared: one label serves both.
        left.set_ylabel(y, parse_math=False)
        add_legend(right, "center left", (1.0, 0.5), "means of" if labels is not None else None)


def reliability_picture(
    path: str | Path, reliability: Mapping[str, Sequence[float]], title: str
) -> None:
    """Draw a reliability diagram (Guo et al. 2017, figure 1).

    Args:
        path: the PNG file; an existing one is replaced.
        reliability: as `metrics.reliability` returns it.
        title: the line above the picture.

    Raises:
        OutputError: the file can't be written.
    """
    low, high = np.asarray(reliability["low"]), np.asarray(reliability["high"])
    count = np.asarray(reliability["count"])
    with drawn(path, 5.2, 5.8) as figure:
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(4, 1))
        for axes, heights, label in (
            (upper, reliability["accuracy"], "accuracy"),
            (lower, count / count.sum(), None),
        ):
            axes.bar((low + high) / 2, heights, 0.92 * (high - low), color=BLUE, label=label)
            axes.yaxis.set_major_formatter(percent)
        upper.plot([0, 1], [0, 1], "--", color=GRAY, label="perfectly calibrated")
        upper.plot(
            reliability["confidence"],
            reliability["accuracy"],
            "o",
            color=ORANGE,
            label="mean confidence",
            # A point at 1 would be cut in half by the frame.
            clip_on=False,
        )
        upper.set_title(title, parse_math=False, wrap=True)
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
        # Beside the bars, which may be anywhere.
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        lower.set(xlabel="confidence of the answer", ylabel="images")
        lower.xaxis.set_major_formatter(percent)
        figure.align_ylabels()


def _name_classes(axes: Axes, class_names: Sequence[str], totals: np.ndarray) -> None:
    names = [cut(name, 20) for name in class_names]
    name_ticks(axes, names)
    axes.set_yticks(
        range(len(names)),
        [f"{name} ({n})" for name, n in zip(names, totals, strict=True)],
        parse_math=False,
    )


def _draw_lines(axes: Axes, history: pd.DataFrame, lines: Mapping[str, tuple[str, str]]) -> None:
    style = ".-" if len(history) <= 30 else "-"
    for column, (label, colour) in lines.items():
        if column in history:
            axes.plot(history["epoch"], history[column], style, label=label, color=colour)
    axes.grid(alpha=0.3)


def _mark_accuracies(axes: Axes, history: pd.DataFrame, teacher_accuracy: float | None) -> None:
    if teacher_accuracy is not None:
        label = f"teacher, validation: {100 * teacher_accuracy:.2f} %"
        axes.axhline(teacher_accuracy, ls="--", color=GRAY, label=label)
    # pandas finds no largest value among NaN alone.
    if "val_accuracy" in history and history["val_accuracy"].notna().any():
        best = history.loc[history["val_accuracy"].idxmax()]
        label = f"best: {100 * best['val_accuracy']:.2f} %, epoch {best['epoch']:.0f}"
        axes.plot(
            best["epoch"], best["val_accuracy"], "o", color=BLUE, ms=8, mfc="none", label=label
        )
    show_shares(axes)
