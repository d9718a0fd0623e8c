"""The System Usability Scale: which columns hold its ten items, and their score.

Source: J. Brooke, "SUS: a quick and dirty usability scale", 1996.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import pandas as pd

ITEMS = range(1, 11)
ANSWERS = (1, 2, 3, 4, 5)
# sus_1, SUS01, SUS[SQ001], System Usability Scale [Q1].
_NUMBERED = re.compile(
    r"(?:sus|system usability scale)\W*(?:sus|sq|q|question|item)?\W*0*(\d{1,2})"
)
_NAME = r"(?:the|this) \w+(?: \w+)?"
# The published wording, whatever the system is called; parts that some studies leave out are not
# asked for. All must match, since a scale with other even items counts them the other way round.
_WORDED = tuple(
    re.compile(wording.replace("NAME", _NAME))
    for wording in (
        "i would like to use NAME",
        "i found NAME (?:to be )?unnecessarily complex",
        "i thought (?:that )?NAME was easy to use",
        "i would need the support of a technical person to (?:be able to )?use",
        "i found (?:that )?the various functions? (?:in|of) NAME (?:were|was) well integrated",
        "i thought (?:that )?there was too much inconsistency in NAME",
        "i would imagine (?:that )?most people would learn to use NAME",
        "i found NAME (?:to be )?very (?:cumbersome|awkward) to use",
        "i felt very confident (?:in )?using",
        "i needed to learn a lot of things before i could get going",
    )
)


def items(columns: Iterable[str]) -> dict[str, int]:
    """Return which columns say that they hold an item, by a number behind SUS or by the published
    wording.

    Args:
        columns: their names.

    Returns:
        The number of the item, 1..10, by column.
    """
    found = {column: _item(column) for column in columns}
    return {column: number for column, number in found.items() if number}


def _item(column: str) -> int | None:
    words = " ".join(re.findall(r"\w+", column.lower().replace("_", " ")))
    for number, wording in enumerate(_WORDED, start=1):
        if wording.search(words):
            return number
    numbered = _NUMBERED.fullmatch(words)
    return int(numbered[1]) if numbered and int(numbered[1]) in ITEMS else None


def missing(table: pd.DataFrame) -> str | None:
    """Return a sentence for a table that seems to hold the scale's answers and gives no score.

    Args:
        table: a column of numbers for each question.

    Returns:
        Why there is none and which columns are expected; None if the table has all ten items once,
            or nothing that looks like them.
    """
    found = items(table.columns)
    counts = Counter(found.values())
    absent = [str(number) for number in ITEMS if not counts[number]]
    twice = [column for column, number in found.items() if counts[number] > 1]
    if twice:
        why = f"{' and '.join(map(repr, twice[:2]))} are one item"
    elif found and absent:
        why = f"no column is item {', '.join(absent)}"
    elif not found and sum(_may_be_answers(table[name]) for name in table) >= len(ITEMS):
        why = "no column says that it is one of its items"
    else:
        return None
    return (
        f"No SUS score is made, because {why}. If these are answers to SUS, call the columns sus_1"
        " to sus_10, or by the ten items' published wording."
    )


def _may_be_answers(column: pd.Series) -> bool:
    known = column.dropna()
    return bool(len(known)) and bool(known.isin(ANSWERS).all())


def score(answers: pd.DataFrame) -> pd.Series:
    """Return the score: odd items count their answer less 1, even ones 5 less their answer; the sum
    times 2.5.

    Args:
        answers: columns 1 to 10, each of ANSWERS or NaN.

    Returns:
        0..100; NaN where an answer is missing, as the score needs all ten.
    """
    odd, even = answers[[*ITEMS[::2]]] - 1, 5 - answers[[*ITEMS[1::2]]]
    return 2.5 * (odd.sum(axis=1, skipna=False) + even.sum(axis=1, skipna=False))
