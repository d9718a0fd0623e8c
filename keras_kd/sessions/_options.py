"""The settings of a timeline: options, tasks and the files that tasks come from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from keras_kd._common.checked_files import read_text
from keras_kd.errors import DataError

MEDIAN = "median"
# Seconds, some four months: longer is damage, not a session.
LONGEST = 1e7


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


def read_tasks(path: str | Path, offset: float = 0.0) -> tuple[Task, ...]:
    """Read a csv with the columns start_s, end_s and task; times as `seconds` reads them.

    Args:
        path: of the csv.
        offset: seconds to add, where the times are of a recording that began so much later.

    Raises:
        DataError: it has other columns, no time where one belongs, or an end before its start.
    """
    tasks = []
    for row, line in _lines(path, "segments", ("start_s", "end_s", "task")):
        start, end = _time(path, row, line["start_s"]), _time(path, row, line["end_s"])
        name = line["task"].strip()
        if not (start < end and name):
            raise DataError(
                f"{path}, line {row}: expected start_s < end_s and a name. Received: {start:g},"
                f" {end:g}, {name!r}."
            )
        # What lies before the video begins isn't in it.
        task = Task(max(start + offset, 0.0), end + offset, name)
        if task.end <= 0:
            raise DataError(
                f"{path}, line {row}: with --offset {offset:g} the task ends before the video"
                " begins."
            )
        tasks.append(task)
    return tuple(tasks)


def read_events(path: str | Path, offset: float = 0.0) -> tuple[Event, ...]:
    """Read a csv with the columns time and name; times as `seconds` reads them, `offset` is added.

    Raises:
        DataError: it has other columns, no time where one belongs, or an event without a name.
    """
    events = []
    for row, line in _lines(path, "events", ("time", "name")):
        event = Event(_time(path, row, line["time"]) + offset, line["name"].strip())
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
    times = [event.time for event in read_events(events) if event.name == name]
    if len(times) != 1:
        raise DataError(
            f"{events} has {len(times)} events named {name!r}: a marker must be there once."
        )
    return time - times[0]


def read_table(path: str | Path, what: str) -> pd.DataFrame:
    """Return a csv's cells as text: a task may be called NA or 007.

    Args:
        path: the csv.
        what: what it holds, for messages.

    Returns:
        The table; empty cells are "".

    Raises:
        DataError: it is missing, or can't be read as csv.
    """
    try:
        # pandas itself would fetch what reads like an address, and unpack what is called `.gz`.
        return pd.read_csv(io.StringIO(read_text(path)), dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise DataError(f"No {what} at {path}: check the path.") from error
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} can't be read as csv ({error}).") from error


def _lines(
    path: str | Path, what: str, columns: tuple[str, ...]
) -> list[tuple[int, dict[str, str]]]:
    """The lines of a csv with their numbers, as text."""
    table = read_table(path, what)
    if missing := set(columns) - set(table.columns):
        raise DataError(
            f"{path} lacks {', '.join(sorted(missing))}: its columns must be {','.join(columns)}."
        )
    return list(enumerate(table.to_dict("records"), start=2))


def _time(path: str | Path, row: int, text: str) -> float:
    try:
        return seconds(text)
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
