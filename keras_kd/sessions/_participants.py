"""Each participant's measures in each task, from the recordings that `kerakd analyze` wrote."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.text import plain_reason, some
from keras_kd._common.user_warnings import warn
from keras_kd.datasets.class_names import plain
from keras_kd.errors import DataError
from keras_kd.sessions import _baseline, _timeline
from keras_kd.sessions._options import WHOLE, Options, Task
from keras_kd.sessions._summary import summary

_TASK = {"start": float, "end": float, "name": str}
_RECIPE = {"side": (float, None), "detector": (str, None)}
_OPTIONS = {
    "smooth": float,
    "confidence": float,
    "baseline": (float, str),
    "faces": [int],
    "tasks": [_TASK],
}
# The columns of `participants` besides the measures.
KEYS = ("task", "group", "participant", "readable", "baseline", "doubts")
# Of measures: recordings have five, and smoothing adds float32's errors, which ranks would take for
# differences.
DECIMALS = 6
# Settings that a new timeline changes; others need the video again.
_OF_TIMELINE = ("--smooth", "--confidence")


def participants(files: Iterable[str | Path]) -> pd.DataFrame:
    """Summarise the recordings that `kerakd analyze` wrote, with the options of their
    `session.json`.

    Args:
        files: the csv files of recordings, or folders of them.

    Returns:
        One row for each recording and task: group (the part of its folder's name that distinguishes
            it), participant, task, readable (share of the task's time, 0..1), baseline (in words),
            doubts (of it, sentences) and the measures: share_<class>, uncertain, <value>,
            negative, and spikes_per_minute and smiles_per_minute of readable time. A warning
            names recordings without their folder, whose options and tasks are unknown.

    Raises:
        DataError: a file is not a recording, two have the same name and group, or they were made
            with different models or settings.
    """
    rows, known = [], dict[str, dict[Any, Path]]()
    paths = [one for file in map(Path, files) for one in _recordings(file)]
    # Links keep their own names: groups may be made of them.
    groups = _group_names({_absolute(path).parent for path in paths})
    for file in paths:
        path = _absolute(file)
        options, settings = _session(file)
        timeline = _timeline.load(file, options)
        settings["the classes"] = ", ".join(timeline.class_names)
        for name, value in settings.items():
            known.setdefault(name, {}).setdefault(value, file)
        rows.append(
            _measured(timeline).assign(
                group=groups[path.parent],
                participant=plain(path.stem),
                baseline=_baseline.described(options),
                doubts=" ".join(timeline.doubts),
            )
        )
    _tell_alone(paths)
    for name, found in known.items():
        _require_one(name, found)
    if not rows:
        raise DataError(
            "There is no recording to compare: give the csv files that `kerakd analyze` wrote."
        )
    everything = pd.concat(rows, ignore_index=True)
    _require_once(everything)
    return everything


def _measured(timeline: _timeline.Timeline) -> pd.DataFrame:
    """A row for each task: its name, the readable share of its time, and the measures."""
    summed = summary(timeline)
    summed["readable"] = _readable(summed)
    measures = [
        *(f"share_{name}" for name in timeline.class_names),
        "uncertain",
        *timeline.values,
        "negative",
        "spikes_per_minute",
        "smiles_per_minute",
    ]
    return summed[["task", "readable", *measures]].round(dict.fromkeys(measures, DECIMALS))


def _require_once(rows: pd.DataFrame) -> None:
    """Refuse a participant's task that stands in two rows."""
    if (again := rows.duplicated(["group", "participant", "task"])).any():
        row = rows[again].iloc[0]
        raise DataError(
            f"{row['participant']} in {row['group']} has the task {row['task']!r} twice, or stands"
            " twice among the files: give each recording once and its tasks different names."
        )


def _recordings(given: Path) -> list[Path]:
    """A recording's csv itself, or those in a folder without hidden ones, as a Mac leaves on disks
    of other systems; DataError for a folder without any, which may be meant as a group.
    """
    if not given.is_dir():
        return [given]
    found = sorted(file for file in given.glob("*.csv") if not file.name.startswith("."))
    if not found:
        raise DataError(
            f"{given} holds no recording: give a folder of csv files that `kerakd analyze` wrote."
        )
    return found


def _tell_alone(paths: Sequence[Path]) -> None:
    """Warn of recordings whose settings and tasks are unknown."""
    if alone := [str(path) for path in paths if not _record(path).is_file()]:
        warn(
            f"{some(alone, 3)}: without its folder with"
            " session.json beside it, a recording has the usual settings and no tasks."
        )


def _readable(summed: pd.DataFrame) -> pd.Series:
    """The share of each task's time that could be read; what was not recorded of it could not."""
    asked = (summed["end_s"] - summed["start_s"]).where(summed["task"] != WHOLE, summed["seconds"])
    # A frame at a task's end may last longer than the task.
    return (summed["valid"] * summed["seconds"] / asked).clip(upper=1.0)


def _absolute(file: Path) -> Path:
    return Path(os.path.abspath(file))


def _record(file: Path) -> Path:
    """Where a recording's options are."""
    return file.parent / file.stem / "session.json"


def _group_names(folders: set[Path]) -> dict[Path, str]:
    """Each folder's name, with as many of the folders above as make it unique."""
    for depth in range(1, 1 + max((len(folder.parts) for folder in folders), default=0)):
        names = {folder: plain("/".join(folder.parts[-depth:])) for folder in folders}
        if len(set(names.values())) == len(folders):
            break
    return names if folders else {}


def _require_one(name: str, found: dict[Any, Path]) -> None:
    """Refuse recordings whose numbers mean different things."""
    if len(found) < 2:
        return
    (value, file), (other, another) = list(found.items())[:2]
    if name == "model":
        raise DataError(
            f"{file} and {another} were analysed by different models: analyse all recordings with"
            " the same one."
        )
    again = " --resume" if name in _OF_TIMELINE else ""
    raise DataError(
        f"{file} was analysed with {name} {value}, and {another} with {other}, which changes their"
        f" numbers: run `kerakd analyze{again}` with the same on all."
    )


def _session(file: Path) -> tuple[Options, dict[str, Any]]:
    """A recording's options, and by name what must be the same in all of a study; without its
    folder the usual options.
    """
    record = _record(file)
    if not record.is_file():
        return Options(), _of_timeline(Options())
    try:
        session = read_json(
            read_text(record),
            {"options": _OPTIONS, "model": (str, None), "recipe": (_RECIPE, None)},
        )
    except (ValueError, OSError) as error:
        raise DataError(
            f"{record} can't be read ({plain_reason(error)}):"
            " run `kerakd analyze --resume` on that recording again."
        ) from error
    stored = session["options"]
    tasks = tuple(Task(task["start"], task["end"], plain(task["name"])) for task in stored["tasks"])
    rest = stored["baseline"]
    options = Options(
        stored["smooth"],
        stored["confidence"],
        plain(rest) if isinstance(rest, str) else rest,
        tuple(stored["faces"]),
        tasks,
    )
    recipe = session.get("recipe") or {}
    made = {
        "model": session.get("model"),
        "--crop": recipe.get("side"),
        "--detector and --score": recipe.get("detector"),
    }
    stated = {name: value for name, value in made.items() if value is not None}
    return options, stated | _of_timeline(options)


def _of_timeline(options: Options) -> dict[str, Any]:
    return dict(zip(_OF_TIMELINE, (options.smooth, options.confidence), strict=True))
