"""Pictures of a run as PNG files, drawn with matplotlib; matplotlib is imported when the first one
is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_kd._common.files import written_whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GRAY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#767676",
)  # Okabe and Ito, safe for colour-blind eyes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#767676")
_MARKS = ("o", "s", "^", "D")

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


def confusion_picture(
    path: str | Path, confusion: Sequence[Sequence[int]], class_names: Sequence[str], title: str
) -> None:
    """Draw a confusion matrix: each cell in percent of its true class, with the count; empty cells
    stay blank.

    Args:
        path: where the picture goes; a picture there is replaced.
        confusion: C rows of C counts, rows true classes, columns answers.
        class_names: the C names.
        title: the line above the picture.

    Raises:
        OutputError: the file can't be written.
    """
    counts = np.asarray(confusion)
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    many = len(counts) > 12
    side = max(3.0, (0.38 if many else 0.8) * len(counts))
    with _drawn(path, side + 2, side + 1.5) as figure:
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.argwhere(counts).tolist():
            share = shares[row, column]
            text = f"{100 * share:.0f}{'' if many else ' %'}\n{counts[row, column]}"
            colour = "white" if share > 0.55 else "black"
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                color=colour,
                fontsize=6.5 if many else 9.5,
            )
        for row in np.flatnonzero(totals == 0).tolist():
            axes.text((len(counts) - 1) / 2, row, "no images", ha="center", va="center", color=GRAY)
        _name_classes(axes, class_names, totals)
        axes.set_title(title, parse_math=False, fontsize=18 if many else 12, wrap=True)
        axes.set(xlabel="answer", ylabel="true class (images)")
        axes.spines[:].set_color(GRAY)
        axes.tick_params(length=0)


def curves_picture(
    path: str | Path, history: pd.DataFrame, teacher_accuracy: float | None = None
) -> None:
    """Draw accuracy, losses and learning rate over the epochs.

    Args:
        path: where the picture goes; a picture there is replaced.
        history: one row an epoch, at least one, with `epoch` and any of `accuracy`, `val_accuracy`,
            `loss`, `val_loss`, `hard_loss`, `soft_loss`, `learning_rate`; of several heads any
            `val_NAME_accuracy` and `val_NAME_ccc`.
        teacher_accuracy: the teacher's accuracy on the validation images, 0..1, as a dashed line.

    Raises:
        OutputError: the file can't be written.
    """
    curves = {"validation": _head_curves(history), **_CURVES}
    panels = [name for name, lines in curves.items() if any(column in history for column in lines)]
    heights = [1.2 if name == "learning rate" else 3.0 for name in panels]
    with _drawn(path, 7.5, sum(heights) + 0.5) as figure:
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
                axes.legend(frameon=False)
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
    """Draw two continuous values as a plane: where the labels put the images and where the student
    does.

    Args:
        path: where the picture goes; a picture there is replaced.
        values: two names and their true values, float (N,) in -1..1, x before y; rows with NaN are
            left out.
        predictions: the same names and the student's values.
        labels: int (N,) classes, which choose the colours; None for one colour.
        class_names: the names of the classes.
        title: the line above the picture.

    Raises:
        OutputError: the file can't be written.
    """
    (x, y), known = values, ~np.isnan(np.stack(list(values.values()))).any(axis=0)
    classes = np.zeros(len(known), int) if labels is None else labels
    named = class_names if labels is not None else ("images",)
    with _drawn(path, 10.4, 5.4) as figure:
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
            axes.set(xlabel=x, xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
            axes.axhline(0, color=GRAY, lw=0.6, zorder=0)
            axes.axvline(0, color=GRAY, lw=0.6, zorder=0)
        left.set_ylabel(y)
        right.legend(
            frameon=False,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            title="means of" if labels is not None else None,
        )


def cost_picture(path: str | Path, costs: Mapping[str, tuple[float, float]], title: str) -> None:
    """Draw accuracy against arithmetic, one named point a model.

    Args:
        path: where the picture goes; a picture there is replaced.
        costs: multiply-accumulates for one image and accuracy, 0..1, by the models' names.
        title: the line above the picture.

    Raises:
        OutputError: the file can't be written.
    """
    with _drawn(path, 7.5, 4.2) as figure:
        axes = figure.subplots()
        for (name, (cost, accuracy)), colour in zip(
            costs.items(), COLOURS * len(costs), strict=False
        ):
            label = f"{name}: {100 * accuracy:.2f} %, {cost / 1e6:,.1f} M"
            axes.plot(cost, accuracy, "o", ms=10, color=colour, label=label)
        _log_scale(axes, 1e6, " M")
        axes.margins(0.15, 0.25)
        axes.set_title(title, parse_math=False, wrap=True)
        axes.set(xlabel="multiply-accumulates for one image", ylabel="accuracy")
        axes.yaxis.set_major_formatter(_percent)
        axes.grid(which="both", alpha=0.3)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.18))


def _log_scale(axes: Axes, unit: float = 1, suffix: str = "") -> None:
    # Ticks at 1, 2 and 5 alone: the others' labels would run into each other.
    axes.set_xscale("log", subs=(2, 5))
    for each in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        each(lambda value, _position: f"{value / unit:g}{suffix}")
    axes.tick_params(axis="x", which="both", length=4, pad=4)


def tradeoff_picture(
    path: str | Path,
    names: Sequence[str],
    accuracies: Sequence[tuple[float, float, float]],
    milliseconds: Sequence[float],
    megabytes: Sequence[float],
    title: str,
) -> None:
    """Draw accuracy against latency and against size, one marker a model: the upper left corner is
    best.

    Args:
        path: where the picture goes; a picture there is replaced.
        names: the models.
        accuracies: of each, 0..1, with its 95 % interval: (accuracy, low, high).
        milliseconds: of one image.
        megabytes: of the file, 10^6 bytes.
        title: the line above the picture.

    Raises:
        OutputError: the file can't be written.
    """
    with _drawn(path, 10, 4.8) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, values, label in (
            (left, milliseconds, "latency, ms an image"),
            (right, megabytes, "size, MB"),
        ):
            for number, (name, value, (accuracy, low, high)) in enumerate(
                zip(names, values, accuracies, strict=True)
            ):
                colour, mark = (
                    COLOURS[number % len(COLOURS)],
                    _MARKS[number // len(COLOURS) % len(_MARKS)],
                )
                axes.plot([value] * 2, [low, high], color=colour, alpha=0.35, lw=1.5)
                axes.plot(
                    value, accuracy, mark, ms=9, color=colour, mec="white", label=name, zorder=3
                )
            axes.set(xlabel=label, xlim=(0, 1.08 * max(values)))
            if max(values) > 5 * min(values):
                axes.set_xlim(0.85 * min(values), 1.18 * max(values))
                _log_scale(axes)
            axes.grid(which="both", alpha=0.3)
            axes.yaxis.set_major_formatter(_percent)
        left.set_ylabel("accuracy, with its 95 % interval")
        figure.suptitle(title, parse_math=False, wrap=True)
        right.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def reliability_picture(
    path: str | Path, reliability: Mapping[str, Sequence[float]], title: str
) -> None:
    """Draw a reliability diagram (Guo et al. 2017, figure 1) from what `metrics.reliability`
    returns.

    Raises:
        OutputError: the file can't be written.
    """
    low, high = np.asarray(reliability["low"]), np.asarray(reliability["high"])
    count = np.asarray(reliability["count"])
    with _drawn(path, 5.2, 5.8) as figure:
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(4, 1))
        for axes, heights, label in (
            (upper, reliability["accuracy"], "accuracy"),
            (lower, count / count.sum(), None),
        ):
            axes.bar((low + high) / 2, heights, 0.92 * (high - low), color=BLUE, label=label)
            axes.yaxis.set_major_formatter(_percent)
        upper.plot([0, 1], [0, 1], "--", color=GRAY, label="perfectly calibrated")
        upper.plot(
            reliability["confidence"],
            reliability["accuracy"],
            "o",
            color=ORANGE,
            label="mean confidence",
            clip_on=False,
        )
        upper.set_title(title, parse_math=False, wrap=True)
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
        upper.legend(frameon=False, loc="upper left")
        lower.set(xlabel="confidence of the answer", ylabel="images")
        lower.xaxis.set_major_formatter(_percent)
        figure.align_ylabels()


def sweep_picture(
    path: str | Path, trials: pd.DataFrame, names: Sequence[str], choices: bool
) -> None:
    """Draw what a sweep found: a grid of two options' choices, else the score over each option.

    Args:
        path: where the picture goes; a picture there is replaced.
        trials: one row a trial, as `sweep.sweep` returns them.
        names: the columns of the options that were varied.
        choices: whether each option had few values to choose from.

    Raises:
        OutputError: the file can't be written.
    """
    scored = trials[trials["validation"].notna()].assign(
        percent=lambda rows: 100 * rows["validation"].astype(float)
    )
    if choices and len(names) == 2:
        _draw_grid(path, scored, names)
    else:
        _draw_panels(path, scored, names)


def _draw_grid(path: str | Path, scored: pd.DataFrame, names: Sequence[str]) -> None:
    """Mean score of each pair of values; a star marks where a student was stopped early."""
    means = scored.pivot_table(values="percent", index=names[1], columns=names[0], aggfunc="mean")
    stopped = scored.assign(stopped=scored["state"] == "pruned")
    stopped = stopped.pivot_table(values="stopped", index=names[1], columns=names[0], aggfunc="max")
    cells = means.to_numpy()
    ended = ~stopped.to_numpy(dtype=bool, na_value=True)
    best = np.max(cells, where=ended & ~np.isnan(cells), initial=-np.inf)
    with _drawn(path, 2.5 + 0.9 * cells.shape[1], 1.8 + 0.6 * cells.shape[0]) as figure:
        axes = figure.subplots()
        shown = axes.imshow(cells, cmap="Blues", aspect="auto", origin="lower")
        middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
        for row, column in np.argwhere(~np.isnan(cells)).tolist():
            text = f"{cells[row, column]:.2f}{' *' if stopped.iloc[row, column] else ''}"
            colour, weight = "white" if cells[row, column] > middle else "black", "normal"
            if cells[row, column] == best:
                weight = "bold"
            axes.text(column, row, text, ha="center", va="center", color=colour, weight=weight)
        axes.set_xticks(
            range(cells.shape[1]), [str(value) for value in means.columns], parse_math=False
        )
        axes.set_yticks(
            range(cells.shape[0]), [str(value) for value in means.index], parse_math=False
        )
        axes.tick_params(length=0)
        starred = "\n* stopped early" if (scored["state"] == "pruned").any() else ""
        axes.set(xlabel=f"{names[0]}{starred}", ylabel=names[1], title="validation score, %")
        figure.colorbar(shown)


def _draw_panels(path: str | Path, scored: pd.DataFrame, names: Sequence[str]) -> None:
    with _drawn(path, 1.2 + 3.2 * len(names), 3.6) as figure:
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            values = scored[name]
            if values.dtype.kind not in "if":
                values = values.astype(str)
            elif values.min() > 0 and values.max() > 20 * values.min():
                axes.set_xscale("log")
            early = scored["state"] == "pruned"
            best = scored["percent"] == scored["percent"][~early].max()
            for rows, label, style in (
                (~early & ~best, "trained to the end", {"color": BLUE}),
                (early & ~best, "stopped early", {"color": GRAY, "mfc": "none"}),
                (best, "best", {"color": ORANGE}),
            ):
                axes.plot(
                    values[rows],
                    scored["percent"][rows],
                    "o",
                    label=label if rows.any() else None,
                    **style,
                )
            axes.set_xlabel(name)
            axes.grid(alpha=0.3)
        panels[0].set_ylabel("validation score, %")
        panels[-1].legend(frameon=False)


@contextmanager
def _drawn(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of at most so many inches; crop and write it when the block ends."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(
        {"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
    ):
        # A Figure without pyplot draws with Agg, whatever the user's backend is.
        figure = Figure((width, height), dpi=140, layout="constrained")
        yield figure
        with written_whole(path) as temporary:
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.12)


def _name_classes(axes: Axes, class_names: Sequence[str], totals: np.ndarray) -> None:
    names = [name if len(name) <= 20 else f"{name[:19]}…" for name in class_names]
    slanted = len(names) > 12 or max(map(len, names)) > 8
    turn, side = (45, "right") if slanted else (0, "center")
    # A class may be called $x$: that is no formula.
    axes.set_xticks(
        range(len(names)), names, parse_math=False, rotation=turn, ha=side, rotation_mode="anchor"
    )
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
    if "val_accuracy" in history and history["val_accuracy"].notna().any():
        best = history.loc[history["val_accuracy"].idxmax()]
        label = f"best: {100 * best['val_accuracy']:.2f} %, epoch {best['epoch']:.0f}"
        axes.plot(
            best["epoch"], best["val_accuracy"], "o", color=BLUE, ms=8, mfc="none", label=label
        )
    axes.yaxis.set_major_formatter(_percent)


def _percent(share: float, _position: float) -> str:
    return f"{100 * share:g} %"
