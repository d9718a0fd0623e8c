"""The settings of a timeline: options, tasks and the files that tasks come from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from keras_kd._common import csv_files
from keras_kd._common.text import some
from keras_kd.datasets.class_names import plain
from keras_kd.errors import DataError

MEDIAN = "median"
# The rows of a summary and a comparison that are no task of the user's.
WHOLE, QUESTIONNAIRE = "whole session", "questionnaire"
# Seconds, some four months: longer is damage, not a session.
LONGEST = 1e7
# 0,5 and 1:02,5.
_COMMA = r"[-\d:]+,\d+"
# Columns by which one table may hold the tasks or events of several recordings.
_RECORDINGS = ("participant", "participant_id", "respondent", "recording", "session")
# Seconds that a task or event may end after a recording: nobody stops both at once.
ROUNDING = 1.0


@dataclass(frozen=True)
class Task:
    """A part of the session: start and end in seconds, and its name."""

    start: float
    end: float
    name: str


@dataclass(frozen=True)
class Event:
    """Something that happened at a time, in seconds."""

    time: float
    name: str


@dataclass(frozen=True)
class Options:
    """How a timeline is made.

    Attributes:
        smooth: width in seconds of the window that probabilities are averaged over.
        confidence: below it the label is "uncertain".
        baseline: the first so many seconds, the name of a task, or "median": each class' median
            over the session.
        faces: numbers of the participant's faces; empty: the largest face of each frame.
        tasks: parts of the session.
        events: what happened in it.
    """

    smooth: float = 0.5
    confidence: float = 0.5
    baseline: float | str = 10.0
    faces: tuple[int, ...] = ()
    tasks: tuple[Task, ...] = ()
    events: tuple[Event, ...] = ()


def outside(options: Options, start: float, end: float) -> list[str]:
    """Return which tasks and events a recording from `start` to `end` seconds does not hold, or not
    whole, a sentence each.
    """
    beyond = [task for task in options.tasks if task.start >= end or task.end <= start]
    cut = [
        task.name
        for task in options.tasks
        if task not in beyond and (task.start < start - ROUNDING or task.end > end + ROUNDING)
    ]
    lowest = start - ROUNDING if start > 0 else 0.0
    apart = [event.name for event in options.events if not lowest <= event.time < end + ROUNDING]
    held = f"is {end:.1f} s long" if start < ROUNDING else f"goes from {start:.1f} s to {end:.1f} s"
    return [
        f"{what}: {some(names)}; the recording {held}:"
        " check --offset, and times, which are seconds, mm:ss or hh:mm:ss."
        for what, names in (
            (
                "Tasks beyond the recording, which count nothing",
                [task.name for task in beyond],
            ),
            ("Tasks that the recording does not hold whole, which are cut", cut),
            ("Events outside the recording", apart),
        )
        if names
    ]


def read_tasks(path: str | Path, offset: float = 0.0) -> tuple[Task, ...]:
    """Read a csv with the columns start_s, end_s and task; times as `seconds` reads them.

    Args:
        path: of the csv.
        offset: seconds to add, where the times are of a recording that began so much later.

    Raises:
        DataError: it has other columns, no rows, no time where one belongs, a time such as 1,200
            that may be another, an end before its start, or two tasks of one name.
    """
    tasks, lines = [], dict[str, int]()
    for row, line in _lines(path, ("start_s", "end_s", "task"), ("start_s", "end_s")):
        start, end = _time(path, row, line["start_s"]), _time(path, row, line["end_s"])
        name = line["task"]
        if not (start < end and name):
            raise DataError(
                f"{path}, line {row}: expected start_s < end_s and a name. Received: {start:g},"
                f" {end:g}, {name!r}."
            )
        if name in (WHOLE, QUESTIONNAIRE):
            raise DataError(
                f"{path}, line {row}: a comparison has a row {name!r} of its own: rename the task."
            )
        if (first := lines.setdefault(name, row)) != row:
            raise DataError(
                f"{path}, line {row}: the task {name!r} is already in line {first}: give each its"
                f" own name, e.g. '{name} 2'."
            )
        # What lies before the video begins isn't in it.
        task = Task(max(start + offset, 0.0), end + offset, name)
        if task.end <= 0:
            raise DataError(
                f"{path}, line {row}: with --offset {offset:g} the task ends before the video"
                " begins."
            )
        tasks.append(task)
    if not tasks:
        # A recording may have no events, but nobody gives a table of tasks without any.
        raise DataError(
            f"{path} has no rows below its column names: add one for each task, or leave --segments"
            " out."
        )
    return tuple(tasks)


def read_events(path: str | Path, offset: float = 0.0) -> tuple[Event, ...]:
    """Read a csv with the columns time and name; times as `seconds` reads them, `offset` is added.

    Raises:
        DataError: it has other columns, no time where one belongs, or an event without a name.
    """
    events = []
    for row, line in _lines(path, ("time", "name"), ("time",)):
        event = Event(_time(path, row, line["time"]) + offset, line["name"])
        if not event.name:
            raise DataError(f"{path}, line {row}: an event needs a name.")
        events.append(event)
    return tuple(sorted(events, key=lambda event: event.time))


def offset_of_marker(events: str | Path, name: str, time: float) -> float:
    """Return the offset of a screen recording: seconds to add to its times.

    Args:
        events: csv of the screen recording's events.
        name: of the event that can also be told in the video, such as a clap.
        time: of it in the video, in seconds.

    Raises:
        DataError: there is not one event of that name.
    """
    times = [event.time for event in read_events(events) if event.name == plain(name)]
    if len(times) != 1:
        raise DataError(
            f"{events} has {len(times)} events named {name!r}: a marker must be there once."
        )
    return time - times[0]


def read_table(path: str | Path, known: Sequence[str]) -> pd.DataFrame:
    """Return a csv's cells as text: a task may be called NA or 007. Letters are composed, as names
    of files from a Mac are not.

    Args:
        path: the csv, with commas, semicolons or tabs.
        known: columns that are found whatever their case.

    Returns:
        The table, whose index is the lines; empty cells are "".

    Raises:
        DataError: it is missing, can't be read as csv, names a column twice, or a row has more
            cells than there are columns.
    """
    found, rows = csv_files.opened(path)
    spelled = {name.lower(): name for name in known}
    names = [
        spelled.get(name.lower(), name) or f"column {number}"
        for number, name in enumerate(map(plain, found), start=1)
    ]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{path} has the column {twice[0]} twice: rename or remove one.")
    cells = dict[int, list[str]]()
    for line, fields in rows:
        if problem := csv_files.surplus(names, fields):
            raise DataError(f"{path}, line {line}: {problem}.")
        padded = [*fields, *[""] * len(names)]
        cells[line] = [plain(cell) for cell in padded[: len(names)]]
    table = pd.DataFrame.from_dict(cells, orient="index", columns=names)
    # Spreadsheets write separators for empty columns, too.
    pairs = zip(names, found, strict=True)
    return table[[name for name, given in pairs if given or (table[name] != "").any()]]


def doubtful(cells: pd.DataFrame, table: pd.DataFrame) -> str | None:
    """Return why numbers may be others, as those that may hold thousands; else None.

    Args:
        cells: columns of one kind of number, as text, by line.
        table: all columns, which show whether the file has decimal commas.
    """
    doubt = _thousands(cells, ",") & ~_decimal_commas(cells).any(axis=None)
    if _decimal_commas(table).any(axis=None):
        doubt |= _thousands(cells, ".")
    if not doubt.any(axis=None):
        return None
    line = doubt.any(axis=1).idxmax()
    name = doubt.loc[line].idxmax()
    text = cells.loc[line, name]
    whole, decimal = re.sub("[.,]", "", text), text.replace(",", ".", 1)
    return (
        f"line {line}: {name} is {text}, which may be {whole} or {decimal}: write it without a"
        f" {'comma' if ',' in text else 'point'}."
    )


def _thousands(cells: pd.DataFrame, separator: str) -> pd.DataFrame:
    """Whether each cell is a number like 1,200 or 1,200,000."""
    pattern = rf"[1-9]\d{{0,2}}({re.escape(separator)}\d{{3}})+"
    return cells.apply(lambda column: column.str.fullmatch(pattern))


def _decimal_commas(cells: pd.DataFrame) -> pd.DataFrame:
    """Whether the comma of each cell can be a decimal one alone."""
    return cells.apply(lambda column: column.str.fullmatch(_COMMA)) & ~_thousands(cells, ",")


def _lines(
    path: str | Path, columns: tuple[str, ...], times: tuple[str, ...]
) -> list[tuple[int, dict[str, str]]]:
    """The lines of a csv with their numbers, as text."""
    table = read_table(path, columns)
    if missing := set(columns) - set(table.columns):
        raise DataError(
            f"{path} lacks {', '.join(sorted(missing))}: its columns must be {','.join(columns)}."
        )
    for name in (name for name in table if name.lower() in _RECORDINGS and name not in columns):
        if len(several := [*filter(None, table[name].unique())]) > 1:
            raise DataError(
                f"{path} has rows of several recordings in its column {name}, {some(several)}:"
                " write a table for each, called as the recording, and give the tables' folder."
            )
    if len(table) and (why := doubtful(table[[*times]], table[[*times]])):
        raise DataError(f"{path}, {why}")
    return list(zip(table.index, table.to_dict("records"), strict=True))


def _time(path: str | Path, row: int, text: str) -> float:
    try:
        # Some countries write 0,5, and some people 0.5 s.
        return seconds(text.replace(",", ".").removesuffix("s"))
    except ValueError as error:
        raise DataError(
            f"{path} has no time in line {row}: times are seconds, mm:ss or hh:mm:ss. Received:"
            f" {text!r:.40}."
        ) from error


def seconds(text: str) -> float:
    """Read a time: seconds, mm:ss or hh:mm:ss, each with a fraction at will.

    Raises:
        ValueError: it is none, is negative, or has 60 minutes or seconds behind a colon.
    """
    first, *rest = [float(part) for part in text.strip().split(":")]
    if len(rest) > 2 or not 0 <= first < LONGEST or any(not 0 <= part < 60 for part in rest):
        raise ValueError(f"{text!r} is no time")
    total = first
    for part in rest:
        total = 60 * total + part
    return total
