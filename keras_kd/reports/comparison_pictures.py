"""Pictures that compare models: accuracy against operations, latency and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_kd.reports._drawing import COLOURS, add_legend, drawn, log_scale, show_shares
from keras_kd.reports._drawing import require_picture as require_picture

_MARKS = ("o", "s", "^", "D")


def millions(count: float) -> str:
    """Format a number of operations in millions, those below one by two digits.

    Args:
        count: the number, 0 or more.

    Returns:
        The text, e.g. "12.3 M".
    """
    return f"{count / 1e6:,.1f} M" if count >= 1e6 else f"{count / 1e6:.2g} M"


def cost_picture(path: str | Path, costs: Mapping[str, tuple[float, float]], title: str) -> None:
    """Draw accuracy against multiply-accumulates, one labelled point for each model.

    Args:
        path: the PNG file; an existing one is replaced.
        costs: multiply-accumulates for one image and accuracy, 0..1, by the models' names.
        title: the line above the picture.

    Raises:
        OutputError: the file can't be written.
    """
    with drawn(path, 7.5, 4.2) as figure:
        axes = figure.subplots()
        for (name, (cost, accuracy)), colour in zip(
            costs.items(), COLOURS * len(costs), strict=False
        ):
            label = f"{name}: {100 * accuracy:.2f} %, {millions(cost)}"
            axes.plot(cost, accuracy, "o", ms=10, color=colour, label=label)
        log_scale(axes, 1e6, " M")
        axes.margins(0.15, 0.25)
        axes.set_title(title, parse_math=False, wrap=True)
        axes.set(xlabel="multiply-accumulates for one image", ylabel="accuracy")
        show_shares(axes)
        axes.grid(which="both", alpha=0.3)
        add_legend(axes, "upper left", (0, -0.18))


def tradeoff_picture(
    path: str | Path,
    names: Sequence[str],
    accuracies: Sequence[tuple[float, float, float]],
    milliseconds: Sequence[float],
    megabytes: Sequence[float],
    title: str,
) -> None:
    """Draw accuracy against latency and against size, one marker for each model; the upper left
    corner is best.

    Args:
        path: the PNG file; an existing one is replaced.
        names: the models' names.
        accuracies: (accuracy, low, high) of each, 0..1, with its 95 % interval.
        milliseconds: latency of one image.
        megabytes: size of the file in 10^6 bytes.
        title: the line above the picture.

    Raises:
        OutputError: the file can't be written.
    """
    with drawn(path, 10, 4.8) as figure:
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
            # On a plain axis the smaller ones would lie on top of each other.
            if max(values) > 5 * min(values):
                axes.set_xlim(0.85 * min(values), 1.18 * max(values))
                log_scale(axes)
            axes.grid(which="both", alpha=0.3)
            show_shares(axes)
        left.set_ylabel("accuracy, with its 95 % interval")
        figure.suptitle(title, parse_math=False, wrap=True)
        add_legend(right, "center left", (1.0, 0.5))
