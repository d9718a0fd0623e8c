"""Figures, colours and axes that all pictures share; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keras_kd._common.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, safe for colour-blind eyes.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#767676"
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000", GRAY)


def log_scale(axes: Axes, unit: float = 1, suffix: str = "") -> None:
    """Make x logarithmic; its labels are divided by `unit` and end in `suffix`."""
    # Ticks at 1, 2 and 5 alone: the others' labels would run into each other.
    axes.set_xscale("log", subs=(2, 5))
    for each in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        each(lambda value, _position: f"{value / unit:g}{suffix}")
    axes.tick_params(axis="x", which="both", length=4, pad=4)


@contextmanager
def drawn(path: str | Path, width: float, height: float) -> Iterator[Figure]:
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
            # Cropped to what is drawn: legends stand beside the axes and would be cut off.
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.12)


def percent(share: float, _position: float) -> str:
    """Format a tick, 0..1, in percent."""
    return f"{100 * share:g} %"
