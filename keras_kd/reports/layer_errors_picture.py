"""A picture of what rounding adds in each operator of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keras_kd._common.text import cut
from keras_kd.reports._drawing import BLUE, drawn, percent

if TYPE_CHECKING:
    import pandas as pd

MOST_SHOWN = 40
_LONGEST = 60


def layer_errors_picture(path: str | Path, errors: pd.DataFrame, title: str) -> None:
    """Draw a bar for each operator, the worst on top; of many, the MOST_SHOWN worst.

    Args:
        path: the PNG file; an existing one is replaced.
        errors: one row for each operator, the largest error first, with `layer`, `operator` and
            `error`, a share of the spread of the operator's output.
        title: the line above the picture.

    Raises:
        OutputError: the file can't be written.
    """
    shown = errors.head(MOST_SHOWN)
    if len(shown) < len(errors):
        title = f"{title}: the {len(shown)} worst of {len(errors)}"
    with drawn(path, 8, 1.2 + 0.22 * len(shown)) as figure:
        axes = figure.subplots()
        axes.barh(range(len(shown)), shown["error"], color=BLUE)
        names = [cut(f"{row.layer} ({row.operator})", _LONGEST) for row in shown.itertuples()]
        axes.set_yticks(range(len(shown)), names, parse_math=False, fontsize=8)
        axes.invert_yaxis()
        axes.set_title(title, parse_math=False, wrap=True)
        axes.set_xlabel("error added, share of the output's standard deviation")
        axes.xaxis.set_major_formatter(percent)
        axes.grid(axis="x", alpha=0.3)
