"""What decides a timeline: options, tasks and the files that tasks come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

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
class Options:
    """How a timeline is made.

    Attributes:
        smooth: width in seconds of the window that probabilities are averaged over.
        confidence: below it the label is "uncertain".
        baseline: the first so many seconds, the name of a task, or "median": each class' median
            over the session.
        faces: numbers of the participant's faces; empty: the largest face of each frame.
        tasks: parts of the session.
    """

    smooth: float = 0.5
    confidence: float = 0.5
    baseline: float | str = 10.0
    faces: tuple[int, ...] = ()
    tasks: tuple[Task, ...] = ()


def read_tasks(path: str | Path) -> tuple[Task, ...]:
    """Read a csv with the columns start_s, end_s and task; times as `seconds` reads them.

    Raises:
        DataError: it has other columns, no time where one belongs, or an end before its start.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise DataError(f"No segments at {path}: check the path.") from error
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} can't be read as csv ({error}).") from error
    if missing := {"start_s", "end_s", "task"} - set(table.columns):
        raise DataError(
            f"{path} lacks {', '.join(sorted(missing))}: its columns must be start_s,end_s,task."
        )
    tasks = []
    for row, line in enumerate(table.itertuples(), start=2):
        try:
            task = Task(seconds(line.start_s), seconds(line.end_s), line.task.strip())
        except ValueError as error:
            raise DataError(
                f"{path} has no time in line {row}: start_s and end_s are seconds, mm:ss or hh:mm:ss."
            ) from error
        if not (0 <= task.start < task.end and task.name):
            raise DataError(
                f"{path}, line {row}: expected 0 <= start_s < end_s and a name. Received: {task}."
            )
        tasks.append(task)
    return tuple(tasks)


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
