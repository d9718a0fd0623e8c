"""A session's folder: what it was planned as, what its record states, the files it ends with."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._common import text
from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.files import write_text
from keras_kd._common.text import plain_reason
from keras_kd.datasets.class_names import plain
from keras_kd.errors import ConfigError, DataError, OutputError
from keras_kd.sessions import _baseline, _exports, _page, _video
from keras_kd.sessions._options import (
    LONGEST,
    Options,
    offset_of_marker,
    read_events,
    read_tasks,
)
from keras_kd.sessions._reader import Reader
from keras_kd.sessions._summary import summary
from keras_kd.sessions._timeline import Timeline


def require_names(names: Sequence[str], out: Path) -> None:
    """Make sure that each recording's results get a place of their own in `out`."""
    if bad := [name for name in names if name != Path(name).name or name in (".", "..")]:
        raise ConfigError(
            f"{bad[0]!r} can't be the name of a folder in {out}: rename the recording, whose name"
            " the results get."
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"Two recordings have the same name, {twice[0]}: rename one, because the results get"
            " their names."
        )
    for path in (out / name for stem in names for name in (stem, f"{stem}.csv")):
        # What it leads to may be another session, and clips are removed.
        if path.is_symlink():
            raise OutputError(
                f"{path} is a link, and results are not written through one: remove it, or choose"
                " another --out."
            )


def planned_options(
    options: Options,
    name: str,
    segments: Path | None,
    events: Path | None,
    offset: float,
    marker: tuple[str, float] | None,
) -> Options:
    """Return a session's options with its tasks and events, after making sure before hours of work
    that their baseline exists.
    """
    if not abs(offset) < LONGEST:
        raise ConfigError(f"--offset must be a number of seconds. Received: {offset}.")
    if marker and (offset or not events):
        raise ConfigError("--marker needs --events, and gives the offset: leave out --offset.")
    if events and marker:
        offset = offset_of_marker(_own(events, name), *marker)
    rest = options.baseline
    own = replace(
        options,
        baseline=plain(rest) if isinstance(rest, str) else rest,
        tasks=read_tasks(_own(segments, name), offset) if segments else options.tasks,
        events=read_events(_own(events, name), offset) if events else options.events,
    )
    # Raises where no task has the baseline's name.
    _baseline.at_rest(np.empty(0), own)
    return own


def _own(path: Path, name: str) -> Path:
    """A session's file where a folder holds one for each; letters may be composed in one name and
    not in the other.
    """
    if not path.is_dir() or (own := path / f"{name}.csv").exists():
        return own if path.is_dir() else path
    return next((file for file in path.iterdir() if plain(file.name) == plain(own.name)), own)


def described(video: str, camera: bool) -> dict[str, Any]:
    """Tell a video from any other without its name's folder, which may say more than it should."""
    path = Path(video)
    if camera:
        return {"camera": video}
    return {"name": path.name, "bytes": path.stat().st_size if path.is_file() else None}


def claim(record: Path, rows: Path, stated: dict[str, Any], resume: bool) -> dict[str, Any]:
    """Take the place for a recording, or make sure that the one there was made the same way.

    Returns what its record holds.
    """
    known: dict[str, Any] = {}
    if rows.exists() or record.exists():
        if not resume:
            raise OutputError(
                f"{rows} is already there: choose another --out, or add --resume to go on with the"
                " recording."
            )
        if not record.is_file():
            raise DataError(
                f"{record} is missing, which states how {rows} was made: bring it back, or choose"
                " another --out."
            )
        known = _known(record)
        recipe = known.get("recipe")
        if isinstance(recipe, dict) and (new := sorted(set(stated["recipe"]) - set(recipe))):
            raise ConfigError(
                f"Another version of keras-kd began {rows}, and noted no {', '.join(new)}: go on"
                " with that version, or choose another --out."
            )
        if different := [key for key, value in stated.items() if known.get(key) != value]:
            if isinstance(recipe, dict) and "recipe" in different:
                different += _changed(recipe, stated["recipe"])
                different.remove("recipe")
            raise ConfigError(
                f"{rows} was begun with another {' and another '.join(different)}: resume it with"
                " the same, or choose another --out."
            )
    else:
        # Before the first row: rows without a record could not be resumed.
        write_text(record, json.dumps(stated, indent=2, ensure_ascii=False) + "\n")
    return known


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The options of a recipe that changed, with what they were and are."""
    options = {
        "side": "--crop",
        "rate": "--rate",
        "detector": "--detector and --score",
        "one_person": "--one-person",
    }
    shown = {None: "none", True: "yes", False: "no"}
    return [
        f"{options.get(name, name)} ({shown.get(before[name], before[name])} then,"
        f" {shown.get(now.get(name), now.get(name))} now)"
        for name in before
        if before[name] != now.get(name)
    ]


def noted(
    known: dict[str, Any], source: _video.Video | None, reader: Reader, informed: date | None
) -> dict[str, Any]:
    """Return how a page was made, for the page; what a camera's new timeline can't know stays as it
    was.
    """
    film = (
        {"frames_a_second": known.get("frames_a_second"), "pixels": known.get("pixels")}
        if source is None
        else {"frames_a_second": round(source.rate, 3), "pixels": list(source.pixels)}
    )
    stated = informed.isoformat() if informed else known.get("informed")
    return {"model_name": reader.name, "informed": stated} | made_now() | film


def made_now() -> dict[str, str]:
    """Return this package's version and today's date."""
    version = importlib.metadata.version("keras-kd")
    return {"version": version, "made": date.today().isoformat()}


def _known(record: Path) -> dict[str, Any]:
    try:
        return read_json(read_text(record), dict)
    except (ValueError, OSError) as error:
        raise DataError(
            f"{record} can't be read ({plain_reason(error)}): choose another --out."
        ) from error


def write(folder: Path, timeline: Timeline, session: dict[str, Any], name: str) -> None:
    """Write all files of a session's folder that come from its timeline."""
    write_text(folder / "session.json", json.dumps(session, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / "tasks.csv", text.csv(summary(timeline)))
    _exports.write(timeline, folder)
    write_text(folder / "report.html", _page.page(timeline, name, session))


def result(
    rows: Path, folder: Path, timeline: Timeline, frames: int, took: float
) -> dict[str, Any]:
    """Return what is told of a session: its files, and the summary's first row."""
    numbers = {
        # JSON knows no NaN.
        key: None if value != value else float(value)
        for key, value in summary(timeline).iloc[0].items()
        if key != "task"
    }
    files = {"csv": str(rows), "report": str(folder / "report.html")}
    return files | {"frames": frames, "analysed_seconds": took, "session": numbers}
