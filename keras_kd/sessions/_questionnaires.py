"""Questionnaires of participants, joined to their sessions: SUS scores and any other numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from keras_kd._common.text import some
from keras_kd._common.user_warnings import warn
from keras_kd.errors import DataError
from keras_kd.sessions import _usability_scale
from keras_kd.sessions._options import QUESTIONNAIRE, doubtful, read_table

# The task under which a comparison shows them, and how their columns begin.
TASK, PREFIX = QUESTIONNAIRE, "questionnaire_"
# In the third line of what Qualtrics exports; the second has the questions' texts.
_QUALTRICS = '{"ImportId"'
_UNKNOWN = ("", "nan", "NaN")
SCORE = "SUS"


def joined(rows: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Add a questionnaire's numbers to a study's participants.

    Args:
        rows: as `comparison.participants` returns them.
        path: csv with the column participant, with group where a participant is in both groups,
            and columns of numbers; the ten items of SUS, 1..5, become its score. Empty cells are
            unknown. Qualtrics' second and third line are no answers.

    Returns:
        `rows` and one row more for each participant, of the task TASK. Warnings tell of answers to
            SUS that give no score, and of columns without a number, which are passed over.

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
            " participant holds the recordings' names, and group, if given, their groups';"
            f" recordings are of {some(known['participant'].unique())}."
        )
    return pd.concat([rows, answers.assign(task=TASK, readable=1.0)], ignore_index=True)


def belongs(task: str, measure: str) -> bool:
    """Whether a measure can be known for a task: the questionnaire's for its own alone."""
    return (task == TASK) == measure.startswith(PREFIX)


def _read(path: str | Path) -> pd.DataFrame:
    table = read_table(path, ("participant", "group"))
    ids = [line for line, row in table.iloc[:2].iterrows() if row.str.startswith(_QUALTRICS).any()]
    table = table[table.index > max(ids, default=0)]
    if "participant" not in table or table.empty:
        raise DataError(f"{path} must have the column participant and a row for each.")
    return table


def _measures(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """The numbers, with the SUS score in place of its items."""
    given = table.drop(columns=["participant", "group"], errors="ignore")
    given = given.drop(columns=_texts(given, path))
    numbers = given.apply(lambda column: _numbers(column, given, path))
    if numbers.shape[1] == 0:
        raise DataError(f"{path} must hold finite numbers besides the column participant.")
    if problem := _usability_scale.missing(numbers):
        warn(f"{path}: {problem}")
    elif items := _usability_scale.items(numbers.columns):
        numbers = _scored(numbers, items, path)
    return numbers.add_prefix(PREFIX)


def _texts(given: pd.DataFrame, path: str | Path) -> list[str]:
    """The columns of times, names and remarks, without one number; a warning names them."""
    items = _usability_scale.items(given.columns)
    known = given.where(~given.isin(_UNKNOWN))
    counts = known.apply(lambda cells: _parsed(cells).notna().sum())
    texts = [name for name in given if not counts[name] and known[name].notna().any()]
    found = [name for name in texts if name not in items]
    # Where nothing is left, the first text is what is to be told.
    if not found or len(texts) == given.shape[1]:
        return []
    shown = (f"{name} ({known[name].dropna().iloc[0]:.20})" for name in found)
    warn(f"{path}: columns without a number are passed over: {some(shown)}.")
    return found


def _parsed(texts: pd.Series) -> pd.Series:
    """Numbers, NaN for what is none. Some countries write 0,5."""
    return pd.to_numeric(texts.str.replace(",", "."), errors="coerce")


def _numbers(texts: pd.Series, given: pd.DataFrame, path: str | Path) -> pd.Series:
    """A column's numbers; NaN where a cell is empty."""
    if why := doubtful(texts.to_frame(), given):
        raise DataError(f"{path}, {why}")
    numbers = _parsed(texts)
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
        line = wrong.any(axis=1).idxmax()
        item = wrong.loc[line].idxmax()
        raise DataError(
            f"{path}, line {line}: {item} is {answers.loc[line, item]:g}, and answers to SUS are 1,"
            " 2, 3, 4 or 5: write them so."
        )
    if (empty := answers.isna().any(axis=1)).any():
        warn(
            f"{path}: {empty.sum()} of {len(empty)} rows have no SUS score, because an answer is"
            f" missing: line {some(empty.index[empty])}."
        )
    others = numbers.drop(columns=[*items])
    if SCORE in others:
        raise DataError(
            f"{path} has the column {SCORE} and the items that it is computed from: remove one."
        )
    others.insert(0, SCORE, _usability_scale.score(answers.rename(columns=items)))
    return others
