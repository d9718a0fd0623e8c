"""From a recording's rows to labels over time: smoothed, with hysteresis, against a baseline, task
by task.

One participant: of each frame the largest face counts, or the faces that the user names. Everything
is computed from what the model gave; nothing is read into it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from keras_kd._common.text import some
from keras_kd.datasets.class_names import canonical, problem
from keras_kd.errors import DataError
from keras_kd.sessions import _baseline, _rows
from keras_kd.sessions._labels import smoothed, steadied
from keras_kd.sessions._options import Options, Task, outside
from keras_kd.sessions._quality import LOWEST_QUALITY
from keras_kd.sessions._tracking import longest_gap_between

NEGATIVE = {"angry", "disgust", "fear", "sad", "contempt"}
POSITIVE = {"happy"}
NO_FACE, UNCERTAIN = "", "uncertain"
# A moment worth a look: negative expressions this much above the baseline, for so many seconds.
SPIKE, SPIKE_SECONDS = 0.3, 0.5


@dataclass(frozen=True)
class Interval:
    """A stretch of one label; `chance` is the mean of its smoothed probability over the time, None
    without a label.
    """

    start: float
    end: float
    label: str
    chance: float | None


@dataclass(frozen=True)
class Spike:
    """A moment worth a look.

    Attributes:
        start: in seconds.
        end: in seconds.
        height: the most that expressions of its kind lie above the baseline, 0..1.
        label: of the class that rose most at the peak.
        task: in which it begins.
        peak: when it is highest, in seconds.
        kind: "negative" or "positive".
    """

    start: float
    end: float
    height: float
    label: str
    task: str
    peak: float
    kind: str


@dataclass
class Timeline:
    """A session over time; all arrays have one row a frame (T,).

    Attributes:
        times: seconds.
        lengths: seconds until the next frame.
        found: whether the participant's face was found.
        valid: and well enough seen.
        chances: float32 (T, C), smoothed probabilities; NaN where none is valid, see `smoothed`.
        values: smoothed values by name, e.g. valence.
        labels: class number; -1 uncertain, -2 no face.
        baseline: (C,) probabilities at rest; NaN without a valid frame there.
        doubts: why the baseline may not show a face at rest.
        spikes: negative moments worth a look.
        smiles: positive ones.
        negative_classes: numbers of the classes that count as negative.
        negative: (T,) sum of the negative classes above the baseline's; NaN where unknown.
        positive: (T,) the same of these.
        quality: means of the quality columns.
        unread: shares of the time with a face that was not seen well enough, by what it lacked.
        faces: frames by face number.
    """

    class_names: tuple[str, ...]
    options: Options
    times: np.ndarray
    lengths: np.ndarray
    found: np.ndarray
    valid: np.ndarray
    chances: np.ndarray
    values: dict[str, np.ndarray]
    labels: np.ndarray
    baseline: np.ndarray
    doubts: list[str]
    negative_classes: list[int]
    negative: np.ndarray
    positive: np.ndarray
    quality: dict[str, float]
    unread: dict[str, float]
    faces: dict[int, int]
    intervals: list[Interval] = field(default_factory=list)
    spikes: list[Spike] = field(default_factory=list)
    smiles: list[Spike] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """When the recording ends, in seconds; its picture may begin later than at 0."""
        return float(self.times[-1] + self.lengths[-1])

    @property
    def moments(self) -> list[Spike]:
        """All moments worth a look, in the order of their starts: so they are numbered."""
        return sorted((*self.spikes, *self.smiles), key=lambda moment: moment.start)

    @property
    def doubts_by_kind(self) -> dict[str, list[str]]:
        """All that is doubtful, a sentence each."""
        return {
            "Face": self.doubtful_faces,
            "Times": self.doubtful_times,
            "Baseline": self.doubts,
        }

    @property
    def doubtful_times(self) -> list[str]:
        """Which tasks and events the recording does not hold, or not whole, and where it has no
        frames, a sentence each.
        """
        lines = outside(self.options, float(self.times[0]), self.duration)
        return [*lines, *_without_frames(self.times, self.duration)]

    @property
    def doubtful_faces(self) -> list[str]:
        """A sentence if none of the faces that the user names is in the recording, or several are
        of which none is named.
        """
        named = self.options.faces
        shown = [f"{face} ({count:,} frames)" for face, count in self.faces.items()]
        followed = some(shown) or "none"
        if named and not set(named) & set(self.faces):
            return [
                f"No frame has the face {' or '.join(map(str, named))}: the faces followed are"
                f" {followed}; name one of them by --face."
            ]
        if not named and len(self.faces) > 1:
            return [
                f"Several faces were followed, {followed}: of each frame the largest counts; name"
                " the participant's by --face."
            ]
        return []

    def within(self, task: Task) -> np.ndarray:
        """Whether each frame lies in a task, (T,) bool."""
        return (self.times >= task.start) & (self.times < task.end)

    def label(self, number: int) -> str:
        """Return a label's name."""
        return {-1: UNCERTAIN, -2: NO_FACE}.get(number) or (
            self.class_names[number] if number >= 0 else NO_FACE
        )


def load(path: str | Path, options: Options) -> Timeline:
    """Read a recording's csv and make its timeline.

    Raises:
        DataError: it is no recording, or holds no frame.
    """
    rows = _rows.read(path)
    class_names = _class_names(rows, path)
    one = _rows.of_participant(rows, options.faces)
    times = one["time_s"].to_numpy(np.float64)
    lengths = _lengths(times)
    found = one["face_id"].notna().to_numpy()
    valid = found & (one["quality"].to_numpy() >= LOWEST_QUALITY)
    raw = one[[f"p_{name}" for name in class_names]].to_numpy(np.float32)
    rest = _baseline.at_rest(times, options)
    chances = smoothed(times, raw, valid, options.smooth)
    baseline = _baseline.level(raw, valid & rest, lengths, options)
    readable = float(lengths[valid & rest].sum() / lengths[rest].sum()) if rest.any() else math.nan
    # A model of other classes has none of these, and its timeline no spikes.
    bad, good = (
        [number for number, name in enumerate(class_names) if canonical(name) in names]
        for names in (NEGATIVE, POSITIVE)
    )
    values = {
        name: smoothed(times, column[:, None], valid, options.smooth)[:, 0]
        for name, column in _values(one, len(class_names)).items()
    }
    doubts = _baseline.doubts(options, class_names, baseline, readable, rest) if class_names else []
    timeline = Timeline(
        class_names=class_names,
        options=options,
        times=times,
        lengths=lengths,
        found=found,
        valid=valid,
        chances=chances,
        values=values,
        labels=steadied(times, chances, options.confidence),
        baseline=baseline,
        doubts=doubts,
        negative_classes=bad,
        negative=_risen(chances, baseline, bad),
        positive=_risen(chances, baseline, good),
        quality=_quality(one, found, valid, lengths),
        unread=_unread(one, found & ~valid, lengths),
        faces=_faces(rows),
    )
    timeline.intervals = _intervals(timeline)
    timeline.spikes = _moments(timeline, "negative", timeline.negative, bad)
    timeline.smiles = _moments(timeline, "positive", timeline.positive, good)
    return timeline


def _class_names(rows: pd.DataFrame, path: str | Path) -> tuple[str, ...]:
    class_names = tuple(name[2:] for name in rows.columns if name.startswith("p_"))
    if wrong := problem(class_names):
        raise DataError(f"{path} is no recording, {wrong}: give what `kerakd analyze` wrote.")
    return class_names


def _faces(rows: pd.DataFrame) -> dict[int, int]:
    """How many rows each face has."""
    counts = rows["face_id"].dropna().value_counts().sort_index()
    return {int(number): int(count) for number, count in counts.items()}


def _values(rows: pd.DataFrame, classes: int) -> dict[str, np.ndarray]:
    """The model's continuous values, which have names of their own: they are what stands between
    its classes and sharpness.
    """
    columns = list(rows.columns)
    named = columns[columns.index("quality") + 1 + classes : columns.index("sharpness")]
    return {name: rows[name].to_numpy(np.float32) for name in named}


def _lengths(times: np.ndarray) -> np.ndarray:
    """Seconds that each frame stands for; a hole in the video counts the longest gap at most."""
    if len(times) == 1:
        # A single frame has no next one: it counts as one of 30 a second.
        return np.array([1 / 30])
    steps = np.diff(times)
    return np.minimum(np.append(steps, np.median(steps)), longest_gap_between(times))


def _without_frames(times: np.ndarray, duration: float) -> list[str]:
    """A sentence on the holes of a recording, if it has some."""
    steps = np.diff(times)
    holes = np.flatnonzero(steps > longest_gap_between(times))
    if not len(holes):
        return []
    places = (f"{times[row]:.1f} to {times[row + 1]:.1f} s" for row in holes)
    return [
        f"No frames for {steps[holes].sum():.1f} of {duration:.1f} s ({some(places)}):"
        " what happened there is unknown and counts as not recorded."
    ]


def _runs(marks: np.ndarray) -> list[tuple[int, int]]:
    """First and behind-last row of each stretch of equal marks."""
    edges = np.flatnonzero(np.diff(marks)) + 1
    bounds = [0, *edges.tolist(), len(marks)]
    return list(zip(bounds[:-1], bounds[1:], strict=True))


def _stretches(marks: np.ndarray, timeline: Timeline) -> list[tuple[int, int, float]]:
    """As `_runs`, ended by holes in the video too, and with when each ends: before a hole as if one
    frame more came.
    """
    times, steps = timeline.times, np.diff(timeline.times)
    holes = steps > longest_gap_between(times)
    # The last frame before a hole lasts as long as the others, not until the film goes on.
    usual = np.median(steps) if len(steps) else 0.0
    ends = np.append(np.where(holes, times[:-1] + usual, times[1:]), timeline.duration)
    runs = _runs(np.concatenate([[0], np.cumsum((np.diff(marks) != 0) | holes)]))
    return [(first, behind, float(ends[behind - 1])) for first, behind in runs]


def _intervals(timeline: Timeline) -> list[Interval]:
    found = []
    for first, behind, end in _stretches(timeline.labels, timeline):
        number, rows = timeline.labels[first], slice(first, behind)
        chance = (
            float(np.average(timeline.chances[rows, number], weights=timeline.lengths[rows]))
            if number >= 0
            else None
        )
        start = float(timeline.times[first])
        found.append(Interval(start, end, timeline.label(number), chance))
    return found


def _risen(chances: np.ndarray, baseline: np.ndarray, columns: list[int]) -> np.ndarray:
    """Sum of some classes above the baseline's, (T,); NaN where it is unknown."""
    if not columns:
        return np.full(len(chances), np.nan, np.float32)
    return (chances - baseline)[:, columns].sum(axis=1)


def _moments(timeline: Timeline, kind: str, rise: np.ndarray, columns: list[int]) -> list[Spike]:
    high = np.nan_to_num(rise, nan=-1) >= SPIKE
    found = []
    for first, behind, end in _stretches(high, timeline):
        start = float(timeline.times[first])
        if not high[first] or end - start < SPIKE_SECONDS:
            continue
        peak = first + int(rise[first:behind].argmax())
        gains = timeline.chances[peak] - timeline.baseline
        label = timeline.class_names[max(columns, key=lambda column: gains[column])]
        tasks = [task.name for task in timeline.options.tasks if task.start <= start < task.end]
        height, when = float(rise[peak]), float(timeline.times[peak])
        found.append(Spike(start, end, height, label, ", ".join(tasks), when, kind))
    return found


def _quality(
    one: pd.DataFrame, found: np.ndarray, valid: np.ndarray, lengths: np.ndarray
) -> dict[str, float]:
    total, turns = lengths.sum(), one.loc[found, "turn"].dropna()

    def middle(values: pd.Series | np.ndarray) -> float:
        known = np.asarray(values)[~np.isnan(values)]
        return float(np.median(known)) if len(known) else float("nan")

    return {
        "found": float(lengths[found].sum() / total),
        "valid": float(lengths[valid].sum() / total),
        "quality": middle(one.loc[found, "quality"]),
        "sharpness": middle(one.loc[found, "sharpness"]),
        "width": middle(_rows.boxes(one[found])[:, 2]),
        "turned": float((turns.abs() > 0.5).mean()) if len(turns) else float("nan"),
    }


def _unread(one: pd.DataFrame, chosen: np.ndarray, lengths: np.ndarray) -> dict[str, float]:
    """Shares of the whole time by what a view lacked most, the largest first; recordings of old
    lack it.
    """
    if "limit" not in one or not chosen.any():
        return {}
    seconds = (
        pd.Series(lengths[chosen]).groupby(one.loc[chosen, "limit"].fillna("").to_numpy()).sum()
    )
    return dict((seconds.sort_values(ascending=False) / lengths.sum()).items())
