"""Several participants: means with intervals, and two designs compared, with the same people or
different people.

A participant counts as one value of each measure; participants are resampled, not frames. A
participant whose face was readable for too little of a task is left out of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from keras_kd.errors import DataError
from keras_kd.sessions import LEAST_READABLE, _questionnaires
from keras_kd.sessions._estimates import (
    Estimate,
    chance,
    difference,
    estimate,
    hedges_g,
    holm,
    paired_g,
    smallest_found,
)
from keras_kd.sessions._participants import KEYS, participants

__all__ = ["Comparison", "Study", "compare", "participants", "table"]


@dataclass(frozen=True)
class Comparison:
    """One measure of one task.

    Attributes:
        task: its name, or "whole session".
        measure: a column of `participants`.
        counts: number of participants by group.
        means: mean by group.
        always_zero: whether it is 0 for everybody.
        difference: the second group's mean minus the first's; None with one group.
        effect: Hedges' g; None with one group.
        chance: p of the difference; NaN if no test is possible, or with one group.
        corrected: p corrected by Holm, over all tests of the table.
    """

    task: str
    measure: str
    counts: dict[str, int]
    means: dict[str, Estimate]
    always_zero: bool
    difference: Estimate | None = None
    effect: Estimate | None = None
    chance: float = math.nan
    corrected: float = math.nan


@dataclass(frozen=True)
class Study:
    """The result of `compare`.

    Attributes:
        rows: one for each task and measure.
        paired: whether the same participants were in both groups.
        left_out: a sentence for each participant that is left out of a task, with the reason, and
            for each task that one group lacks.
        same_names: whether unpaired groups have participants with the same names.
        smallest: the effect that the smallest comparison finds in 80 % of studies; NaN with one
            group.
        baselines: number of recordings by their baseline, in words.
        doubts: sentences on a recording's baseline, by the recording in words.
    """

    rows: list[Comparison]
    paired: bool
    left_out: list[str]
    same_names: bool
    smallest: float
    baselines: dict[str, int]
    doubts: dict[str, str]

    @property
    def groups(self) -> list[str]:
        """The names of the groups; the first is compared with the second."""
        return list(self.rows[0].means)


def compare(
    rows: pd.DataFrame, paired: bool = False, least: float = LEAST_READABLE, seed: int = 0
) -> Study:
    """Compare one or two groups, for each task and measure.

    Args:
        rows: as `participants` returns them.
        paired: the same names are the same people, who used both designs.
        least: share of a task's time, 0..1, that must be readable for a participant to count.
        seed: seed of the resampling.

    Returns:
        The comparisons.

    Raises:
        DataError: there are more than two groups, or a paired design has no participant in both.
    """
    groups = list(dict.fromkeys(rows["group"]))
    same = _names_in_both(rows, groups, paired)
    left_out = [
        _reason(row, least) for row in rows.to_dict("records") if not row["readable"] >= least
    ]
    left_out += _in_one_alone(rows, groups)
    counted = rows[rows["readable"] >= least]
    if paired:
        counted, alone = _in_both(counted)
        left_out += alone
    found = [
        _compared(str(task), measure, counted[counted["task"] == task], groups, paired, seed)
        for task in dict.fromkeys(rows["task"])
        for measure in rows.columns
        if measure not in KEYS and _questionnaires.belongs(str(task), measure)
    ]
    corrected = holm([row.chance for row in found])
    found = [replace(row, corrected=p) for row, p in zip(found, corrected, strict=True)]
    counts = [
        tuple(row.counts.values())
        for row in found
        if len(groups) == 2 and min(row.counts.values()) > 1
    ]
    smallest = max((smallest_found(count, paired) for count in set(counts)), default=math.nan)
    recordings = rows.drop_duplicates(["group", "participant"])
    stated = recordings.get("baseline")
    baselines = {} if stated is None else stated.value_counts().to_dict()
    doubts = {
        f"{row['participant']} in {row['group']}": row["doubts"]
        for row in recordings.to_dict("records")
        if row.get("doubts")
    }
    unmarked = bool(same) and not paired
    return Study(found, paired, left_out, unmarked, smallest, baselines, doubts)


def _names_in_both(rows: pd.DataFrame, groups: Sequence[str], paired: bool) -> set[str]:
    """The names of those who are in both of two groups; DataError for groups that can't be
    compared.
    """
    if len(groups) > 2 or (paired and len(groups) != 2):
        raise DataError(
            f"{'Two' if paired else 'At most two'} groups, named after folders, can be compared."
            f" Received: {', '.join(groups)}."
        )
    names = [set(rows.loc[rows["group"] == group, "participant"]) for group in groups]
    same = set.intersection(*names) if len(groups) == 2 else set()
    if paired and not same:
        raise DataError(
            f"No participant is in both {groups[0]} and {groups[1]}: paired recordings have the"
            " same name in both folders."
        )
    return same


def _reason(row: dict[str, Any], least: float) -> str:
    share = f"{row['readable']:.0%}" if row["readable"] == row["readable"] else "nothing"
    who = f"{row['participant']} in {row['group']}"
    return f"{who}, {row['task']}: {share} of the time was readable, less than {least:.0%}."


def _in_one_alone(rows: pd.DataFrame, groups: Sequence[str]) -> list[str]:
    """A sentence on each task that one of two groups lacks, as where its name is written
    otherwise.
    """
    having = rows.groupby("task", sort=False)["group"].unique()
    return [
        f"The task {task} is in {found[0]} alone: tasks are compared by their names."
        for task, found in having.items()
        if len(found) < len(groups)
    ]


def _in_both(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of participants who count in a task in both groups, and who does not."""
    both = rows.groupby(["task", "participant"])["group"].transform("nunique") == 2
    alone = rows[~both].to_dict("records")
    notes = [
        f"{row['participant']}, {row['task']}: counts in {row['group']} alone, so not as a pair."
        for row in alone
    ]
    return rows[both], notes


def _compared(
    task: str, measure: str, part: pd.DataFrame, groups: Sequence[str], paired: bool, seed: int
) -> Comparison:
    table = part.pivot(index="participant", columns="group", values=measure).reindex(columns=groups)
    table = table.dropna() if paired else table
    values = {group: table[group].dropna().to_numpy(np.float64) for group in groups}
    counts = {group: len(sample) for group, sample in values.items()}
    means = {group: estimate([sample], np.mean, seed) for group, sample in values.items()}
    zero = any(counts.values()) and not any(sample.any() for sample in values.values())
    found = Comparison(task, measure, counts, means, zero)
    if len(groups) == 1:
        return found
    pair = list(values.values())
    return replace(
        found,
        difference=estimate(pair, difference, seed, paired),
        effect=estimate(pair, paired_g if paired else hedges_g, seed, paired),
        # Where all are 0 there is nothing to test, and nothing that a correction should count.
        chance=math.nan if zero else chance(pair[0], pair[1], paired),
    )


def table(study: Study) -> pd.DataFrame:
    """Return all numbers of a study as a table, for csv and JSON.

    Args:
        study: as `compare` returns it.

    Returns:
        One row for each comparison.
    """
    rows = []
    for row in study.rows:
        numbers: dict[str, Any] = {"task": row.task, "measure": row.measure}
        for group, mean in row.means.items():
            numbers |= {f"{group}_n": row.counts[group], **_numbers(f"{group}_mean", mean)}
        for name, found in (("difference", row.difference), ("hedges_g", row.effect)):
            numbers |= _numbers(name, found) if found else {}
        if row.difference:
            numbers |= {"p": row.chance, "p_holm": row.corrected, "paired": study.paired}
        rows.append(numbers)
    return pd.DataFrame(rows)


def _numbers(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
