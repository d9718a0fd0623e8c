"""Recordings that OpenFace, iMotions or FaceReader analysed, as sessions with the same page."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._common.files import LOCK, locked, written_whole
from keras_kd._common.progress import Terminal
from keras_kd._common.text import counted
from keras_kd.errors import ConfigError, DataError, OutputError, kept
from keras_kd.sessions import _timeline
from keras_kd.sessions._exported_by_others import PROGRAMS, Imported
from keras_kd.sessions._options import Options
from keras_kd.sessions._recording import header
from keras_kd.sessions._rows import ROUNDING
from keras_kd.sessions._session_files import (
    described,
    made_now,
    planned_options,
    require_names,
    result,
    write,
)

# Times in the csv have four decimals.
TIME_STEP = 1e-4
# Seconds: an export whose first row comes later may have tasks in its own times.
LATE = 1.0
# Seconds: rows further apart are hardly those of a video.
SLOW = 2.0


def import_sessions(
    files: Sequence[str],
    out: Path,
    program: str,
    options: Options,
    segments: Path | None = None,
    informed: date | None = None,
    events: Path | None = None,
    offset: float = 0.0,
    marker: tuple[str, float] | None = None,
    terminal: Terminal | None = None,
    unread: dict[str, DataError] | None = None,
) -> dict[str, dict[str, Any]]:
    """Make sessions of another program's exports, each as `out/NAME.csv` and the folder `out/NAME`.

    Args:
        files: exports, one a participant.
        out: the folder for all results.
        program: one of PROGRAMS.
        options: settings that decide the timeline.
        segments: as for `analysis.analyze`; None: the parts that the program knows, if any.
        informed: the date on which the people filmed were informed, or None.
        events: as for `analysis.analyze`.
        offset: seconds to add to the times of segments and events.
        marker: as for `analysis.analyze`.
        terminal: where the user sees progress; None for nowhere.
        unread: as for `analysis.analyze`, by export.

    Returns:
        By name what `analysis.analyze` returns.

    Raises:
        ConfigError: the program is none of PROGRAMS, or options can't be combined.
        DataError: an export is missing, or can't be read and `unread` is None.
        OutputError: `out` holds another session.
    """
    if program not in PROGRAMS:
        raise ConfigError(f"program must be one of {', '.join(PROGRAMS)}. Received: {program!r}.")
    terminal, results = terminal or Terminal(quiet=True), {}
    exports = list(map(Path, files))
    _require_new(exports, out)
    for file in exports:
        with kept(unread, str(file)):
            imported = PROGRAMS[program](file)
            given = replace(options, tasks=() if segments else imported.tasks)
            own = planned_options(given, file.stem, segments, events, offset, marker)
            folder, rows = out / file.stem, out / f"{file.stem}.csv"
            with locked(folder), _none_left_half(rows, folder):
                with (
                    written_whole(rows) as path,
                    path.open("w", newline="", encoding="utf-8") as csv_file,
                ):
                    csv.writer(csv_file).writerows(_rows(file, imported))
                timeline = _timeline.load(rows, own)
                write(folder, timeline, _session(file, program, imported, own, informed), file.stem)
            for note in chain(_notes(imported), *timeline.doubts_by_kind.values()):
                terminal.say(f"{file.stem}: {note}")
            terminal.say(
                f"{file.stem}: {counted(len(imported.times), 'row')}; {folder / 'report.html'}"
            )
            results[file.stem] = result(rows, folder, timeline, len(imported.times), 0.0)
    return results


def _require_new(exports: Sequence[Path], out: Path) -> None:
    """Check that the exports are there, and that none has a session."""
    require_names([file.stem for file in exports], out)
    for file in exports:
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "is not there"
            raise DataError(f"{file} {what}: give the path of an export.")
        if (rows := out / f"{file.stem}.csv").exists() or (out / file.stem).exists():
            raise OutputError(
                f"{rows} is already there: leave out the exports whose sessions are there, or"
                " choose another --out."
            )


def _notes(imported: Imported) -> Iterator[str]:
    """What happened to an export's times and may be wrong with them, a sentence each."""
    if len(imported.times) > 1 and (step := np.median(np.diff(imported.times))) > SLOW:
        yield (
            f"its rows are {step:.1f} s apart: if its times are not in the unit that its program"
            " exports, export it again."
        )
    if abs(imported.start) >= LATE:
        yield (
            f"its times begin at {imported.start:.1f} s, and are counted from there: for tasks and"
            f" events in the export's own times add --offset {-imported.start:.3f}."
        )
    if imported.joins:
        places = ", ".join(f"{second:.1f} s" for second in imported.joins[:5])
        yield f"its times start again at {places}: taken as recordings joined end to end."
    if imported.renamed:
        names = ", ".join(imported.renamed[:5])
        yield f"its stimuli that are shown again became tasks with a number: {names}."


@contextmanager
def _none_left_half(rows: Path, folder: Path) -> Iterator[None]:
    """Remove a session on an error: what there is of it would stand in the next try's way."""
    try:
        yield
    except BaseException:
        for path in (rows, *folder.iterdir()):
            if path.name != LOCK:
                path.unlink(missing_ok=True)
        raise


def _rows(file: Path, imported: Imported) -> Iterator[list[str]]:
    """The rows of a recording's csv, a header first."""
    times = np.round(imported.times, 4)
    if (unknown := np.flatnonzero(~np.isfinite(times))).size:
        # Times count from the first row: without its own none is known.
        raise DataError(
            f"{file}: row {unknown[0] + 1} of its data has no time: export it again, or remove the"
            " row."
        )
    if (back := np.flatnonzero(np.diff(times) < TIME_STEP / 2)).size:
        raise DataError(
            f"{file}: its times don't grow at row {back[0] + 2} of its data: export each recording"
            " alone."
        )
    _require_possible(file, imported)
    names = header(tuple(imported.chances), tuple(imported.values))
    yield names
    # Rounding may have left numbers below 0; unknown ones stay so.
    shares = np.maximum(np.column_stack(list(imported.chances.values())), 0)
    # Rows whose numbers are all 0 or unknown become NaN, and count as rows without a face.
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = shares / shares.sum(axis=1, keepdims=True)
    numbers = np.column_stack([shares, *imported.values.values()])
    for row, time in enumerate(times):
        cells = dict.fromkeys(names, "")
        cells |= {"frame": str(row), "time_s": f"{time:.4f}"}
        quality = imported.quality[row]
        if not np.isnan(quality) and not np.isnan(numbers[row]).any():
            cells |= {"face_id": "1", "quality": f"{quality:.4f}"}
            cells["box"] = " ".join(f"{value:.1f}" for value in imported.boxes[row])
            shown = [f"p_{name}" for name in imported.chances] + list(imported.values)
            cells |= {name: f"{one:.5f}" for name, one in zip(shown, numbers[row], strict=True)}
            if not np.isnan(imported.roll[row]):
                cells["roll"] = f"{imported.roll[row]:.3f}"
        yield list(cells.values())


def _require_possible(file: Path, imported: Imported) -> None:
    """Raise DataError for a number that none of the programs exports, as of another unit."""
    parts = {
        "the confidence": (imported.quality, 0),
        **{name: (shares, 0) for name, shares in imported.chances.items()},
        **{name: (values, -1) for name, values in imported.values.items()},
    }
    seen = ~np.isnan(imported.quality)
    for name, (numbers, lowest) in parts.items():
        # A number that is not known is none beyond.
        beyond = seen & ((numbers < lowest - ROUNDING) | (numbers > 1 + ROUNDING))
        if beyond.any():
            row = int(np.flatnonzero(beyond)[0])
            raise DataError(
                f"{file}: {name} is {numbers[row]:g} in row {row + 1} of its data, and lies between"
                f" {lowest} and 1 in what the program exports: export it again, in its own units."
            )


def _session(
    file: Path, program: str, imported: Imported, options: Options, informed: date | None
) -> dict[str, Any]:
    return {
        "video": described(str(file), False),
        "model": f"{program}-{hashlib.sha256(imported.meaning.encode()).hexdigest()[:8]}",
        "model_name": f"imported from {program}",
        "meaning": imported.meaning,
        "classes": list(imported.chances),
        "recipe": {"detector": program, "side": None, "rate": None},
        "informed": informed.isoformat() if informed else None,
        "options": asdict(options),
    } | made_now()
