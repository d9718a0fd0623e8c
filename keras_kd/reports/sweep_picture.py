"""A picture of a sweep's results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_kd._common.text import cut
from keras_kd.reports._drawing import BLUE, GRAY, ORANGE, drawn, name_ticks

# Signs of a value below an axis.
_LONGEST = 24


def sweep_picture(
    path: str | Path, trials: pd.DataFrame, names: Sequence[str], choices: bool
) -> None:
    """Draw a sweep's results: a grid over the choices of two options, or else the score over each
    option.

    Args:
        path: the PNG file; an existing one is replaced.
        trials: one row for each trial, as `sweep.sweep` returns them.
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
    # A pair without a trial counts as stopped, so that it is not taken for the best.
    ended = ~stopped.to_numpy(dtype=bool, na_value=True)
    best = np.max(cells, where=ended & ~np.isnan(cells), initial=-np.inf)
    with drawn(path, 2.5 + 0.9 * cells.shape[1], 2.2 + 0.6 * cells.shape[0]) as figure:
        axes = figure.subplots()
        shown = axes.imshow(cells, cmap="Blues", aspect="auto", origin="lower")
        middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
        for row, column in np.argwhere(~np.isnan(cells)).tolist():
            text = f"{cells[row, column]:.2f}{' *' if stopped.iloc[row, column] else ''}"
            colour, weight = "white" if cells[row, column] > middle else "black", "normal"
            if cells[row, column] == best:
                weight = "bold"
            axes.text(column, row, text, ha="center", va="center", color=colour, weight=weight)
        name_ticks(axes, _labels(means.columns))
        axes.set_yticks(range(cells.shape[0]), _labels(means.index), parse_math=False)
        axes.tick_params(length=0)
        starred = "\n* stopped early" if (scored["state"] == "pruned").any() else ""
        axes.set(xlabel=f"{names[0]}{starred}", ylabel=names[1], title="validation score, %")
        figure.colorbar(shown)


def _draw_panels(path: str | Path, scored: pd.DataFrame, names: Sequence[str]) -> None:
    with drawn(path, 1.2 + 3.2 * len(names), 4.2) as figure:
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            values = scored[name]
            if values.dtype.kind not in "if":
                places, choices = pd.factorize(values.astype(str), sort=True)
                values = pd.Series(places, scored.index)
                name_ticks(axes, _labels(choices))
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
        figure.legend(
            *panels[-1].get_legend_handles_labels(),
            loc="outside upper left",
            ncols=3,
            frameon=False,
        )


def _labels(values: Iterable[Any]) -> list[str]:
    """The values as short texts; long ones, as of files, lose the start that they share."""
    texts = [str(value) for value in values]
    shared = len(os.path.commonprefix([text for text in texts if len(text) > _LONGEST]))
    return [_label(text, shared) for text in texts]


def _label(text: str, shared: int) -> str:
    if len(text) <= _LONGEST:
        return text
    start = min(shared, len(text) - _LONGEST)
    return "…" * (start > 0) + cut(text[start:], _LONGEST)
