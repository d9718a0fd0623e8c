"""Questionnaires of participants, joined to their sessions: SUS scores and any other numbers."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from keras_kd.errors import DataError
from keras_kd.sessions import _usability_scale
from keras_kd.sessions._options import QUESTIONNAIRE, read_table

# The task under which a comparison shows them, and how their columns begin.
TASK, PREFIX = QUESTIONNAIRE, "questionnaire_"
# 1,200 and 1,200,000, which may be decimal commas.
_THOUSANDS = r"[1-9]\d{0,2}(,\d{3})+"
_UNKNOWN = ("", "nan", "NaN")
SCORE = "SUS"


def joined(rows: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Add a questionnaire's numbers to a study's participants.

    Args:
        rows: as `comparison.participants` returns them.
        path: csv with the column participant, with group where a participant is in both groups,
            and columns of numbers; the ten items of SUS, 1..5, become its score. Empty cells are
            unknown.

    Returns:
        `rows` and one row more for each participant, of the task TASK. A warning tells of answers
            to SUS that give no score.

    Raises:
        DataError: the csv can't be read, names nobody of the study or somebody twice, or holds
            something else than numbers.
    """
    table = _read(path)
    measures = _measures(table, path)
    known = rows[["group", "participant"]].drop_duplicates()
    keys = ["participant", "group"] if "group" in table else ["participant"]
    if "group" not in table and known["participant"].duplicated().any():
        raise DataError(f"{path} needs the column group: some participants are in both groups.")
    named = table[keys]
    if named.duplicated().any():
        raise DataError(f"{path} has {named[named.duplicated()].iloc[0, 0]} twice.")
    answers = known.merge(pd.concat([named, measures], axis=1), on=keys)
    found = set(answers[keys].itertuples(index=False, name=None))
    if missing := sorted(set(named.itertuples(index=False, name=None)) - found):
        raise DataError(
            f"{path} names {' in group '.join(missing[0])}, who has no recording here: the column"
            " participant holds the recordings' names, and group, if given, their groups'."
        )
    return pd.concat([rows, answers.assign(task=TASK, readable=1.0)], ignore_index=True)


def belongs(task: str, measure: str) -> bool:
    """Whether a measure can be known for a task: the questionnaire's for its own alone."""
    return (task == TASK) == measure.startswith(PREFIX)


def _read(path: str | Path) -> pd.DataFrame:
    table = read_table(path, ("participant", "group"))
    if "participant" not in table or table.empty:
        raise DataError(f"{path} must have the column participant and a row for each.")
    return table


def _measures(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """The numbers, with the SUS score in place of its items."""
    given = table.drop(columns=["participant", "group"], errors="ignore")
    numbers = given.apply(lambda column: _numbers(column, path))
    if numbers.shape[1] == 0:
        raise DataError(f"{path} must hold finite numbers besides the column participant.")
    if problem := _usability_scale.missing(numbers):
        warnings.warn(f"{path}: {problem}", stacklevel=3)
    elif items := _usability_scale.items(numbers.columns):
        numbers = _scored(numbers, items, path)
    return numbers.add_prefix(PREFIX)


def _numbers(texts: pd.Series, path: str | Path) -> pd.Series:
    """A column's numbers; NaN where a cell is empty. Some countries write 0,5."""
    thousands = texts.str.fullmatch(_THOUSANDS)
    if thousands.any() and not (texts.str.contains(",") & ~thousands).any():
        text = texts[thousands].iloc[0]
        raise DataError(
            f"{path}, line {texts[thousands].index[0]}: {texts.name} is {text}, which may be"
            f" {text.replace(',', '')} or {text.replace(',', '.', 1)}: write it without a comma."
        )
    numbers = pd.to_numeric(texts.str.replace(",", "."), errors="coerce")
    if (wrong := texts[~np.isfinite(numbers) & ~texts.isin(_UNKNOWN)]).size:
        raise DataError(
            f"{path}, line {wrong.index[0]}: {texts.name} is {wrong.iloc[0]!r:.40}, a text where"
            " a number belongs: leave the cell empty if it is unknown, or remove the column."
        )
    return numbers.astype(np.float64)


def _scored(numbers: pd.DataFrame, items: dict[str, int], path: str | Path) -> pd.DataFrame:
    """The numbers with the SUS score in place of its items, which are numbered by column."""
    answers = numbers[[*items]]
    wrong = ~(answers.isin(_usability_scale.ANSWERS) | answers.isna())
    if wrong.any(axis=None):
        raise DataError(f"{path}: answers to SUS are 1, 2, 3, 4 or 5.")
    others = numbers.drop(columns=[*items])
    if SCORE in others:
        raise DataError(
            f"{path} has the column {SCORE} and the items that it is computed from: remove one."
        )
    others.insert(0, SCORE, _usability_scale.score(answers.rename(columns=items)))
    return others
