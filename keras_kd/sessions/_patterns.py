"""A colour with a pattern of its own for each class, so that no chart is read by colour alone."""

from __future__ import annotations

from collections.abc import Mapping

from keras_kd.datasets.class_names import canonical

# Lines and dots over the colour, in a tile of 8x8 pixels.
_TILES = (
    "M-2 2 L2 -2 M0 8 L8 0 M6 10 L10 6",
    "M0 4 H8",
    "M4 3.9 V4.1",
    "M4 0 V8",
    "M-2 6 L2 10 M0 0 L8 8 M6 -2 L10 2",
    "M0 4 H8 M4 0 V8",
    "M2 2 V2.1 M6 6 V6.1",
    "M0 0 L8 8 M0 8 L8 0",
)


def filled(number: int) -> str:
    """Return the fill of a class, by its number."""
    return f"url(#class{number})"


def tile_lines(number: int, name: str) -> str:
    """Return a class' lines as an SVG path in a tile of 8x8; empty for neutral, which stays
    plain.
    """
    return "" if canonical(name) == "neutral" else _TILES[number % len(_TILES)]


def definitions(colours: Mapping[str, str]) -> str:
    """Return the patterns of all classes by name, once a page; neutral, the most frequent, stays
    plain.
    """
    made = []
    for number, (name, colour) in enumerate(colours.items()):
        lines = tile_lines(number, name)
        marks = f'<path class="hatch" d="{lines}"/>' if lines else ""
        tile = f'<rect width="8" height="8" fill="{colour}"/>{marks}'
        made.append(
            f'<pattern id="class{number}" width="8" height="8"'
            f' patternUnits="userSpaceOnUse">{tile}</pattern>'
        )
    return f"<defs>{''.join(made)}</defs>"


def swatch(number: int) -> str:
    """Return a legend's square with a class' pattern."""
    return (
        '<svg class="key" viewBox="0 0 16 16" aria-hidden="true">'
        f'<rect width="16" height="16" fill="{filled(number)}"/></svg>'
    )
