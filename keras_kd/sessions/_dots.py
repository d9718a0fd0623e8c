"""Means with their intervals as SVG text: a mark of its own shape and colour for each group."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import numpy as np

from keras_kd._common.text import cut
from keras_kd.sessions._charts import WIDTH, svg
from keras_kd.sessions._estimates import Estimate
from keras_kd.sessions._html import scrolled

# Pixels left of the axis, and letters that fit there.
LEFT, LETTERS = 250, 28


def dots(
    rows: Sequence[tuple[str, Sequence[Estimate]]], groups: Sequence[str], factor: float, label: str
) -> str:
    """Means as marks with their 95 % intervals as lines, one row a measure and a mark a group, on
    one axis.

    Args:
        rows: a measure's name and its estimates, in the groups' order.
        groups: names, for the marks' titles.
        factor: what values are multiplied by to be shown.
        label: distinguishes the chart from the page's others.
    """
    known = [
        factor * value
        for _, means in rows
        for mean in means
        for value in (mean.value, mean.low, mean.high)
    ]
    known = [value for value in known if np.isfinite(value)]
    low, high = min([0.0, *known]), max([0.0, *known])
    step = _step(high - low)
    low, high = (
        np.floor(low / step) * step,
        max(np.ceil(high / step), np.floor(low / step) + 1) * step,
    )
    left, each = LEFT, 34
    bottom = 8 + each * len(rows)

    def at(value: float) -> float:
        return round(left + (value - low) / (high - low) * (WIDTH - left - 30), 1)

    parts = []
    for value in np.arange(low, high + step / 2, step):
        parts += _grid_line(value, "zero" if abs(value) < step / 2 else "grid", at(value), bottom)
    for number, (name, means) in enumerate(rows):
        middle = 8 + each * (number + 0.5)
        parts.append(
            f'<text class="row" x="{left - 12}" y="{middle + 4}" text-anchor="end">'
            f"<title>{html.escape(name)}</title>{html.escape(cut(name, LETTERS))}</text>"
        )
        for place, (group, mean) in enumerate(zip(groups, means, strict=True)):
            y = middle + (place - (len(groups) - 1) / 2) * 13
            parts += _dot(mean, group, place, y, at, factor)
    return scrolled(svg(bottom + 22, f"{label}: means and 95 % intervals", parts), label)


def _grid_line(value: float, kind: str, x: float, bottom: float) -> list[str]:
    return [
        f'<line class="{kind}" x1="{x}" x2="{x}" y1="4" y2="{bottom}"/>',
        f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{round(value, 6) + 0:g}</text>',
    ]


def _dot(
    mean: Estimate, group: str, place: int, y: float, at: Callable[[float], float], factor: float
) -> list[str]:
    if not np.isfinite(mean.value):
        return []
    title = f"<title>{html.escape(group)}: {factor * mean.value:.3g}</title>"
    x = at(factor * mean.value)
    parts = []
    if np.isfinite(mean.low):
        ends = f'x1="{at(factor * mean.low)}" x2="{at(factor * mean.high)}"'
        parts.append(f'<line class="span{place}" {ends} y1="{y}" y2="{y}"/>')
    kind, form = "circle", f'cx="{x}" cy="{y}" r="5"'
    if place:
        kind, form = "rect", f'x="{x - 5}" y="{y - 5}" width="10" height="10"'
    return [*parts, f'<{kind} class="mark{place}" {form}>{title}</{kind}>']


def _step(span: float) -> float:
    """A round step that makes at most ten of a span."""
    if not span:
        return 1.0
    power = 10.0 ** np.floor(np.log10(span / 10))
    return float(
        next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= 10)
    )
