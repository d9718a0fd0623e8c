"""Several participants: means with bootstrap intervals, and two designs against each other.

A participant is one value of each measure; participants are resampled, not frames. Effect size is Hedges' g:
L. V. Hedges, "Distribution theory for Glass's estimator of effect size and related estimators", 1981, equations 1, 4
and 6 (the approximate correction).
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from keras_kd.errors import DataError
from keras_kd.sessions import _page, _timeline
from keras_kd.sessions._page import NOTICE, document
from keras_kd.sessions._summary import summary
from keras_kd.sessions._timeline import Options, Task
from keras_kd.stored import read_json, read_text

RESAMPLES = 5000
_TASK = {"start": float, "end": float, "name": str}
_OPTIONS = {"smooth": float, "confidence": float, "baseline": (float, str), "faces": [int], "tasks": [_TASK]}


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; NaN where unknown."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One measure of one task.

    Attributes:
        task: its name, or "whole session".
        measure: a column of `participants`.
        counts: participants by group.
        means: by group.
        difference: the second group's mean minus the first's; None with one group.
        effect: Hedges' g; None with one group.
    """

    task: str
    measure: str
    counts: dict[str, int]
    means: dict[str, Estimate]
    difference: Estimate | None = None
    effect: Estimate | None = None


def participants(files: Iterable[str | Path]) -> pd.DataFrame:
    """Sum up the recordings that `kerakd analyze` wrote, with the options of their `session.json`.

    Returns:
        One row a recording and task: group (its folder's name, as long as tells it from others), participant, task
        and the measures: share_<class>, uncertain, <value>, negative, and spikes_per_minute.

    Raises:
        DataError: a file is no recording, two have the same name and group, or different models made them.
    """
    rows, models = [], dict[str, Path]()
    paths = [Path(file) for file in files]
    groups = _group_names({path.resolve().parent for path in paths})
    for file in paths:
        path = file.resolve()
        options, model = _session(file)
        if model:
            models.setdefault(model, file)
        timeline = _timeline.load(file, options)
        summed = summary(timeline)
        summed["spikes_per_minute"] = summed["spikes"] / (summed["seconds"] / 60)
        shares = [f"share_{name}" for name in timeline.class_names]
        measures = [*shares, "uncertain", *timeline.values, "negative", "spikes_per_minute"]
        rows.append(summed[["task", *measures]].assign(group=groups[path.parent], participant=path.stem))
    if len(models) > 1:
        raise DataError(
            f"{' and '.join(map(str, list(models.values())[:2]))} were analysed by different models: analyse all "
            "recordings with the same one."
        )
    if not rows:
        raise DataError("There is no recording to compare: give the csv files that `kerakd analyze` wrote.")
    everything = pd.concat(rows, ignore_index=True)
    if (again := everything.duplicated(["group", "participant", "task"])).any():
        row = everything[again].iloc[0]
        raise DataError(
            f"{row['participant']} in {row['group']} has the task {row['task']!r} twice, or stands twice among the "
            "files: give each recording once and its tasks different names."
        )
    return everything


def _group_names(folders: set[Path]) -> dict[Path, str]:
    """Each folder's name, with as many of the folders above as tell it from the others."""
    for depth in range(1, 1 + max((len(folder.parts) for folder in folders), default=0)):
        names = {folder: "/".join(folder.parts[-depth:]) for folder in folders}
        if len(set(names.values())) == len(folders):
            break
    return names if folders else {}


def _session(file: Path) -> tuple[Options, str | None]:
    """A recording's options and its model's fingerprint; without its folder the usual ones and None."""
    record = file.with_suffix("") / "session.json"
    if not record.is_file():
        return Options(), None
    try:
        session = read_json(read_text(record), {"options": _OPTIONS, "model": (str, None)})
    except (ValueError, OSError) as error:
        raise DataError(
            f"{record} can't be read ({error}): run `kerakd analyze --resume` on that recording again."
        ) from error
    stored = session["options"]
    tasks = tuple(Task(task["start"], task["end"], task["name"]) for task in stored["tasks"])
    options = Options(stored["smooth"], stored["confidence"], stored["baseline"], tuple(stored["faces"]), tasks)
    return options, session.get("model")


def compare(rows: pd.DataFrame, seed: int = 0) -> list[Comparison]:
    """Compare one or two groups, task by task and measure by measure.

    Args:
        rows: as `participants` returns.
        seed: of the resampling.

    Raises:
        DataError: there are more than two groups.
    """
    groups = list(dict.fromkeys(rows["group"]))
    if len(groups) > 2:
        raise DataError(f"Two groups can be compared, folders name them. Received: {', '.join(groups)}.")
    measures = [name for name in rows.columns if name not in ("task", "group", "participant")]
    found = []
    for task, part in rows.groupby("task", sort=False):
        for measure in measures:
            values = {group: part.loc[part["group"] == group, measure].dropna().to_numpy() for group in groups}
            found.append(_compared(str(task), measure, values, seed))
    return found


def _compared(task: str, measure: str, values: Mapping[str, np.ndarray], seed: int) -> Comparison:
    counts = {group: len(sample) for group, sample in values.items()}
    means = {group: _estimate([sample], np.mean, seed) for group, sample in values.items()}
    if len(values) == 1:
        return Comparison(task, measure, counts, means)
    pair = list(values.values())
    return Comparison(task, measure, counts, means, _estimate(pair, _difference, seed), _estimate(pair, hedges_g, seed))


def _estimate(samples: list[np.ndarray], statistic: Callable[..., Any], seed: int) -> Estimate:
    """The statistic and its percentile bootstrap interval, which needs two participants of each group."""
    if not min(map(len, samples)):
        return Estimate(math.nan, math.nan, math.nan)
    value = float(statistic(*samples))
    if min(map(len, samples)) < 2:
        return Estimate(value, math.nan, math.nan)
    if all(np.ptp(sample) == 0 for sample in samples):
        return Estimate(value, value, value)
    made = stats.bootstrap(samples, statistic, n_resamples=RESAMPLES, method="percentile", rng=seed, vectorized=True)
    # A resample of equal participants has no spread to measure an effect by.
    drawn = made.bootstrap_distribution[~np.isnan(made.bootstrap_distribution)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (math.nan, math.nan)
    return Estimate(value, float(low), float(high))


def _difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    return second.mean(axis=axis) - first.mean(axis=axis)


def hedges_g(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return (mean of the second - mean of the first) / pooled standard deviation · (1 - 3 / (4 · (n - 2) - 1)).

    n counts both groups. NaN where nobody differs within the groups, or one has fewer than two.
    """
    sizes = first.shape[axis], second.shape[axis]
    freedom = sum(sizes) - 2
    if min(sizes) < 2:
        return np.full_like(first.mean(axis=axis), np.nan)
    squares = sum(((part - part.mean(axis=axis, keepdims=True)) ** 2).sum(axis=axis) for part in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        g = _difference(first, second, axis) / np.sqrt(squares / freedom) * (1 - 3 / (4 * freedom - 1))
    return np.where(squares > 1e-20, g, np.nan)


def table(compared: Sequence[Comparison]) -> pd.DataFrame:
    """One row a comparison with all its numbers, for csv and JSON."""
    rows = []
    for row in compared:
        numbers: dict[str, Any] = {"task": row.task, "measure": row.measure}
        for group, mean in row.means.items():
            numbers |= {f"{group}_n": row.counts[group], **_numbers(f"{group}_mean", mean)}
        for name, estimate in (("difference", row.difference), ("hedges_g", row.effect)):
            numbers |= _numbers(name, estimate) if estimate else {}
        rows.append(numbers)
    return pd.DataFrame(rows)


def _numbers(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def shown(compared: Sequence[Comparison]) -> list[tuple[str, ...]]:
    """Return rows of text, a header first: shares in percent, their changes in points."""
    groups = list(compared[0].means)
    counts = {group: max(row.counts[group] for row in compared) for group in groups}
    header = ["task", "measure", *(f"{group}, n = {counts[group]}" for group in groups)]
    rows = [tuple([*header, "difference", "Hedges' g"] if len(groups) == 2 else header)]
    for row in compared:
        share = row.measure.startswith("share_") or row.measure in ("uncertain", "negative")
        factor, digits = (100, 0) if share else (1, 2)
        name = row.measure.removeprefix("share_").replace("_", " ") + (", %" if share else "")
        cells = [_text(row.means[group], factor, digits) for group in groups]
        if row.difference and row.effect:
            cells += [_text(row.difference, factor, digits, "+"), _text(row.effect, 1, 2, "+")]
        rows.append((row.task, name, *cells))
    return rows


def _text(estimate: Estimate, factor: float, digits: int, sign: str = "") -> str:
    if math.isnan(estimate.value):
        return "–"
    # Adding 0 takes the sign from what rounds to nothing.
    rounded = [round(factor * number, digits) + 0.0 for number in (estimate.value, estimate.low, estimate.high)]
    value, low, high = (f"{number:{sign if number else ''}.{digits}f}" for number in rounded)
    return value if math.isnan(estimate.low) else f"{value} ({low} to {high})"


def notes(compared: Sequence[Comparison]) -> list[str]:
    """What to mind when reading the numbers, a sentence each."""
    smallest = min(count for row in compared for count in row.counts.values())
    found = ["Each participant counts once; in brackets 95 % intervals, percentile bootstrap over participants."]
    if smallest < 10:
        found.append(f"With {smallest} in a group such intervals come out too narrow: take them as a hint.")
    found.append("Many measures are shown: one in twenty intervals misses by chance alone.")
    if len(compared[0].means) == 2:
        found.append("Hedges' g is the difference in standard deviations: 0.2 is called small, 0.5 medium, 0.8 large.")
    return found


def page(compared: Sequence[Comparison]) -> str:
    """Return the comparison's page, which opens offline."""
    title = " and ".join(compared[0].means)
    header, *rows = shown(compared)
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes(compared))
    body = [f"<h1>{html.escape(title)}</h1>", f'<p class="notice">{NOTICE}</p>', _page.table(header, rows)]
    return document(title, [*body, f"<ul>{listed}</ul>"])
