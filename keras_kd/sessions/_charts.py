"""Pictures of a timeline as SVG text; every word in it is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from keras_kd._common.text import cut
from keras_kd.datasets.class_names import canonical
from keras_kd.sessions import _patterns
from keras_kd.sessions._options import Event, Task
from keras_kd.sessions._timeline import NO_FACE, UNCERTAIN, Interval, Spike, Timeline

COLOURS = {
    "angry": "#c8403a",
    "disgust": "#6f8329",
    "fear": "#7d5ba6",
    "happy": "#b3780f",
    "sad": "#3b6fb5",
    "surprise": "#238787",
    "neutral": "#7f8993",
    "contempt": "#9a6440",
}
OTHERS = (
    "#3b6fb5",
    "#c8403a",
    "#238787",
    "#b3780f",
    "#7d5ba6",
    "#6f8329",
    "#9a6440",
    "#7f8993",
)
UNSURE = "#8a8f94"
WIDTH, LEFT, RIGHT = 1000, 60, 10
BINS = 400


def colours(class_names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each class and for "uncertain"."""
    spare = [
        colour
        for colour in OTHERS
        if colour not in {COLOURS.get(canonical(name)) for name in class_names}
    ]
    chosen = {}
    for number, name in enumerate(class_names):
        chosen[name] = (
            COLOURS.get(canonical(name)) or (spare or OTHERS)[number % len(spare or OTHERS)]
        )
    return chosen | {UNCERTAIN: UNSURE}


def minutes(seconds: float) -> str:
    """Return m:ss, or h:mm:ss from an hour on; -m:ss before 0."""
    if seconds < 0:
        return f"-{minutes(-seconds)}"
    whole = int(seconds + 1e-3)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def binned(timeline: Timeline, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of at most BINS equal stretches of time, and the means of rows (T, C) in
    them, NaN without.
    """
    # Several frames in each, so that none is empty by rounding.
    count = max(1, min(BINS, len(timeline.times) // 3))
    edges = np.linspace(timeline.times[0], timeline.duration, count + 1)
    places = np.clip(np.searchsorted(edges, timeline.times, side="right") - 1, 0, count - 1)
    known = ~np.isnan(rows).any(axis=1)
    sums, counts = np.zeros((count, rows.shape[1])), np.zeros(count)
    np.add.at(sums, places[known], rows[known])
    np.add.at(counts, places[known], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return edges, np.where(counts[:, None] > 0, sums / counts[:, None], np.nan)


class _Axis:
    """Seconds to pixels."""

    def __init__(self, timeline: Timeline) -> None:
        self.start, self.end = float(timeline.times[0]), timeline.duration
        self._scale = (WIDTH - LEFT - RIGHT) / (self.end - self.start)

    def at(self, seconds: float) -> float:
        clipped = min(max(seconds, self.start), self.end)
        return round(LEFT + (clipped - self.start) * self._scale, 1)

    def ticks(self, top: int, bottom: int) -> list[str]:
        steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000)
        step = next((step for step in steps if (self.end - self.start) / step <= 10), 36000)
        parts = []
        for second in np.arange(np.ceil(self.start / step) * step, self.end, step):
            x = self.at(second)
            parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>')
            parts.append(
                f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{minutes(second)}</text>'
            )
        return parts


def _runs(known: np.ndarray) -> list[np.ndarray]:
    """Rows of each stretch that is known."""
    rows = np.flatnonzero(known)
    groups = groupby(enumerate(rows.tolist()), lambda pair: pair[1] - pair[0])
    return [np.array([row for _, row in group]) for _, group in groups]


def _rect(
    x: float, right: float, y: float, height: float, fill: str, title: str, kind: str = ""
) -> str:
    width = max(round(right - x, 1), 0.5)
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}">'
        f"<title>{html.escape(title)}</title></rect>"
    )


def svg(height: int, label: str, parts: Sequence[str], width: int = WIDTH, above: int = 0) -> str:
    """A picture whose heights begin `above` pixels above 0."""
    box = f"0 {-above} {width} {height + above}"
    opening = f'<svg viewBox="{box}" role="img" aria-label="{html.escape(label)}">'
    return opening + "".join(parts) + "</svg>"


def _lanes(tasks: Sequence[Task]) -> list[int]:
    """A lane for each task, from 0, in which none overlaps another."""
    ends, chosen = list[float](), dict[int, int]()
    for number in sorted(range(len(tasks)), key=lambda number: tasks[number].start):
        free = (lane for lane, end in enumerate(ends) if end <= tasks[number].start)
        lane = chosen[number] = next(free, len(ends))
        ends[lane:] = [tasks[number].end, *ends[lane + 1 :]]
    return [chosen[number] for number in range(len(tasks))]


def _task(task: Task, number: int, axis: _Axis, top: int) -> list[str]:
    """A task's stretch and as much of its name as fits; nothing where the recording lacks it."""
    x, right = axis.at(task.start), axis.at(task.end)
    if right <= x:
        return []
    span = f"{task.name}: {minutes(task.start)} to {minutes(task.end)}"
    parts = [_rect(x, right, top, 24, "", span, f"task shade{number % 2}")]
    # Letters are some 7 pixels wide.
    fitting = int((right - x) / 7)
    if right - x > 30:
        words = html.escape(cut(task.name, fitting))
        parts.append(f'<text class="name" x="{(x + right) / 2:.1f}" y="{top + 16}">{words}</text>')
    return parts


def expressions(timeline: Timeline) -> str:
    """Tasks above, then the stacked probabilities, the labels, and below the moments worth a
    look.
    """
    axis, chosen = _Axis(timeline), colours(timeline.class_names)
    top, bottom = 34, 254
    fills = {name: _patterns.filled(number) for number, name in enumerate(chosen)}
    parts = [_patterns.definitions(chosen), *axis.ticks(top, 312)]
    lanes = _lanes(timeline.options.tasks)
    for number, (task, lane) in enumerate(zip(timeline.options.tasks, lanes, strict=True)):
        parts += _task(task, number, axis, 4 - 26 * lane)
    for share in (0, 0.5, 1):
        y = bottom - share * (bottom - top)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{share:.0%}</text>')
    edges, means = binned(timeline, timeline.chances)
    parts += _stack(axis, edges, means, [fills[name] for name in timeline.class_names], top, bottom)
    parts.append(f'<text x="{LEFT - 6}" y="277" text-anchor="end">label</text>')
    for interval in timeline.intervals:
        if interval.label != NO_FACE:
            parts.append(_label(axis, interval, fills[interval.label]))
    parts.append(f'<text x="{LEFT - 6}" y="304" text-anchor="end">look at</text>')
    for number, event in enumerate(timeline.options.events, start=1):
        if axis.start <= event.time <= axis.end:
            parts += _event(axis, event, number)
    parts += [_moment(axis, spike) for spike in (*timeline.spikes, *timeline.smiles)]
    above = 26 * max(lanes, default=0)
    return svg(332, "Probabilities of the expressions over time", parts, above=above)


def _label(axis: _Axis, interval: Interval, fill: str) -> str:
    chance = "" if interval.chance is None else f", {interval.chance:.0%}"
    title = f"{interval.label}{chance}, {minutes(interval.start)} to {minutes(interval.end)}"
    return _rect(axis.at(interval.start), axis.at(interval.end), 264, 18, fill, title)


def _event(axis: _Axis, event: Event, number: int) -> list[str]:
    """A line across the chart with the event's number."""
    x = axis.at(event.time)
    words = html.escape(f"{event.name}, {minutes(event.time)}")
    return [
        f'<g><title>{words}</title><line class="event" x1="{x}" x2="{x}" y1="30" y2="310"/>',
        f'<text class="flag" x="{x + 3}" y="46">{number}</text></g>',
    ]


def _moment(axis: _Axis, spike: Spike) -> str:
    title = f"{spike.label}, {spike.height:+.0%} against the baseline, {minutes(spike.start)}"
    return _rect(axis.at(spike.start), axis.at(spike.end), 292, 16, "", title, f"look {spike.kind}")


def _stack(
    axis: _Axis, edges: np.ndarray, means: np.ndarray, fills: Sequence[str], top: int, bottom: int
) -> list[str]:
    heights = np.concatenate([np.zeros((len(means), 1)), np.cumsum(means, axis=1)], axis=1) * (
        bottom - top
    )
    parts = []
    for run in _runs(~np.isnan(means).any(axis=1)):
        xs = [axis.at(edge) for row in run for edge in (edges[row], edges[row + 1])]
        for number, fill in enumerate(fills):
            upper = [bottom - heights[row, number + 1] for row in run for _ in (0, 1)]
            lower = [bottom - heights[row, number] for row in run for _ in (0, 1)]
            points = [*zip(xs, upper, strict=True), *reversed(list(zip(xs, lower, strict=True)))]
            parts.append(
                f'<polygon fill="{fill}" points="{" ".join(f"{x},{y:.1f}" for x, y in points)}"/>'
            )
    return parts


def _span(axis: _Axis, spike: Spike, number: int, top: float, bottom: float) -> list[str]:
    """A moment's time behind the lines, with its number."""
    left, right = axis.at(spike.start), axis.at(spike.end)
    middle = f"{(left + right) / 2:.1f}"
    return [
        _rect(left, right, top, bottom - top, "", spike.label, "moment"),
        f'<text class="name" x="{middle}" y="{bottom - 4}">{number}</text>',
    ]


def lines(
    timeline: Timeline,
    columns: Mapping[str, np.ndarray],
    low: float,
    high: float,
    label: str,
    limit: float | None = None,
    marked: Sequence[Spike] = (),
) -> str:
    """Lines over time by name, each (T,); with a rule at 0, another at a limit, and marked
    moments.
    """
    axis, top, bottom = _Axis(timeline), 10, 150
    parts = axis.ticks(top, bottom)

    def at(value: float) -> float:
        return round(bottom - (min(max(value, low), high) - low) / (high - low) * (bottom - top), 1)

    for number, spike in enumerate(marked, start=1):
        parts += _span(axis, spike, number, top, bottom)
    for value in (low, 0, high, *([] if limit is None else [limit])):
        words = f"{value:+g}" if value else 0
        # The lowest stands above the times.
        y = at(value) + (4 if value > low else -3)
        parts.append(f'<text x="{LEFT - 6}" y="{y:.0f}" text-anchor="end">{words}</text>')
    ends = f'x1="{LEFT}" x2="{WIDTH - RIGHT}"'
    parts.append(f'<line class="zero" {ends} y1="{at(0)}" y2="{at(0)}"/>')
    if limit is not None:
        parts.append(f'<line class="limit" {ends} y1="{at(limit)}" y2="{at(limit)}"/>')
    edges, means = binned(timeline, np.column_stack(list(columns.values())))
    for number, name in enumerate(columns):
        for run in _runs(~np.isnan(means).any(axis=1)):
            points = " ".join(
                f"{axis.at((edges[row] + edges[row + 1]) / 2)},{at(means[row, number])}"
                for row in run
            )
            parts.append(
                f'<polyline class="line{number}"'
                f' points="{points}"><title>{html.escape(name)}</title></polyline>'
            )
    return svg(170, label, parts)


def circumplex(timeline: Timeline) -> str:
    """Valence to the right, arousal upwards: the way through the session, light at its start and
    dark at its end.
    """
    size, middle = 360, 180

    def at(valence: float, arousal: float) -> tuple[float, float]:
        return round(middle + 150 * valence, 1), round(middle - 150 * arousal, 1)

    _, means = binned(
        timeline, np.column_stack([timeline.values["valence"], timeline.values["arousal"]])
    )
    known = means[~np.isnan(means).any(axis=1)]
    parts = [f'<circle class="grid" cx="{middle}" cy="{middle}" r="150" fill="none"/>']
    parts += [f'<line class="zero" x1="30" x2="330" y1="{middle}" y2="{middle}"/>']
    parts += [f'<line class="zero" y1="30" y2="330" x1="{middle}" x2="{middle}"/>']
    for x, y, anchor, text in (
        (332, 176, "end", "pleasant"),
        (28, 176, "start", "unpleasant"),
        (middle + 4, 26, "start", "aroused"),
        (middle + 4, 344, "start", "calm"),
    ):
        parts.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>')
    for number, (first, second) in enumerate(zip(known[:-1], known[1:], strict=True)):
        (x1, y1), (x2, y2) = at(*first), at(*second)
        strength = 0.2 + 0.8 * number / max(len(known) - 2, 1)
        parts.append(
            f'<line class="way" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
            f' stroke-opacity="{strength:.2f}"/>'
        )
    return svg(size, "Valence and arousal through the session", parts, size)
