"""Figures, colours and axes that all pictures share; matplotlib is imported when one is drawn."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keras_kd._common.files import written_whole
from keras_kd.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DATED = (".svg", ".pdf")  # they hold the date that SOURCE_DATE_EPOCH states
_FORMS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", *_DATED)
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


def require_picture(path: str | Path) -> None:
    """Check before the work that a picture can be written under a name.

    Raises:
        OutputError: its end tells no form of a picture, or the surroundings state a date for it
            that is none.
    """
    form = Path(path).suffix.lower()
    if form not in _FORMS:
        raise OutputError(f"Can't write {path}: give a name that ends in {', '.join(_FORMS)}.")
    date = os.environ.get("SOURCE_DATE_EPOCH") or "0"
    if form in _DATED and not date.isdecimal():
        raise OutputError(
            f"Can't write {path}: SOURCE_DATE_EPOCH is {date[:40]!r} and no number of seconds:"
            " unset it."
        )


@contextmanager
def drawn(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of at most so many inches; crop and write it when the block ends.

    It looks the same whatever style the user or the working folder has set: a matplotlibrc could
    start LaTeX, or ask for a picture of any size.
    """
    require_picture(path)
    _import_matplotlib()
    import matplotlib.style
    from matplotlib.figure import Figure

    own = {"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
    with matplotlib.style.context(["default", own]):
        # A Figure without pyplot draws with Agg, whatever the user's backend is.
        figure = Figure((width, height), dpi=140, layout="constrained")
        yield figure
        with written_whole(path) as temporary:
            # Cropped to what is drawn: legends stand beside the axes and would be cut off.
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.12)


def name_ticks(axes: Axes, names: Sequence[str]) -> None:
    """Write one name at each of 0, 1, 2 and so on below the axes, aslant where they are long."""
    slanted = len(names) > 12 or max(map(len, names), default=0) > 8
    turn, side = (45, "right") if slanted else (0, "center")
    # A class may be called $x$: that is no formula.
    axes.set_xticks(
        range(len(names)), names, parse_math=False, rotation=turn, ha=side, rotation_mode="anchor"
    )


def add_legend(
    axes: Axes,
    corner: Literal["best", "upper left", "center left"] = "best",
    place: tuple[float, float] | None = None,
    title: str | None = None,
) -> None:
    """Name the lines as they are called: a file, a class or a head may be called _a or $x$.

    Args:
        axes: with the lines.
        corner: of the legend, which lies at `place`.
        place: in widths and heights of the axes; None where there is most room.
        title: above the names.
    """
    # matplotlib calls a line so that has no name.
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_child")]
    names = [str(line.get_label()) for line in lines]
    legend = axes.legend(lines, names, loc=corner, bbox_to_anchor=place, title=title, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _import_matplotlib() -> None:
    """Import matplotlib from the folder of its own matplotlibrc: it reads the working folder's."""
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        raise ImportError("matplotlib is not installed")
    with chdir(Path(found.origin).parent / "mpl-data"):
        import matplotlib  # noqa: F401


def show_shares(axes: Axes) -> None:
    """Write the ticks of y in percent, and leave no room for shares far outside of 0..1."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))
    axes.yaxis.set_major_formatter(percent)


def percent(share: float, _position: float) -> str:
    """Format a tick, 0..1, in percent."""
    return f"{100 * share:g} %"
