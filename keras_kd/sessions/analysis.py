"""A usability session: from a video or camera to a csv, a timeline, exports and a page."""

from __future__ import annotations

import importlib.metadata
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._common import text
from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.files import locked, write_text, written_whole
from keras_kd._common.progress import Terminal
from keras_kd.errors import ConfigError, DataError, OutputError
from keras_kd.sessions import (
    SIDE,
    _baseline,
    _exports,
    _page,
    _recording,
    _redaction,
    _timeline,
    _video,
)
from keras_kd.sessions._detectors import Detector
from keras_kd.sessions._options import LONGEST, Options, read_events, read_tasks
from keras_kd.sessions._reader import Reader
from keras_kd.sessions._summary import summary
from keras_kd.sessions._timeline import Timeline

# Seconds that a video may lack of what it declares: sound and picture rarely end together.
SHORT = 1.0


@dataclass(frozen=True)
class Recipe:
    """Settings that decide the rows of a recording.

    Attributes:
        side: width of the crop for the model, in widths of the face box.
        rate: largest number of frames for each second; None for all.
        detector: the detector's name and score, e.g. "auto 0.5".
    """

    side: float = SIDE
    rate: float | None = None
    detector: str = "auto"


def analyze(
    videos: Sequence[str],
    out: Path,
    reader: Reader,
    detector: Detector,
    recipe: Recipe,
    options: Options,
    segments: Path | None = None,
    camera: bool = False,
    seconds: float | None = None,
    resume: bool = False,
    redact: bool = False,
    temperature: float | None = None,
    informed: date | None = None,
    events: Path | None = None,
    offset: float = 0.0,
    terminal: Terminal | None = None,
) -> dict[str, dict[str, Any]]:
    """Analyse recordings, each into `out/NAME.csv` and the folder `out/NAME`.

    The csv has one row for each face and frame. The folder has `session.json`, `tasks.csv`,
    `intervals.*` and `report.html`.

    Args:
        videos: files, or one camera's number.
        out: the folder for all results.
        reader: the model that reads faces.
        detector: the face detector.
        recipe: settings that decide the rows.
        options: settings that decide the timeline; its tasks come from `segments`.
        segments: csv of start_s, end_s and task for all videos, or a folder with NAME.csv for each.
        camera: whether `videos` names a camera, which runs until Ctrl-C or for `seconds`.
        seconds: length of the recording in seconds, or None.
        resume: continue recordings that were stopped; complete ones only get a new timeline.
        redact: also write `redacted.mp4`, with faces coarsened beyond recognition.
        temperature: the temperature of the reader's calibration, or None.
        informed: the date on which the people filmed were informed, or None.
        events: csv of time and name, or a folder with NAME.csv for each video.
        offset: seconds to add to the times of segments and events, which may refer to a screen
            recording.
        terminal: where the user sees progress; None for nowhere.

    Returns:
        By name: the csv, the page, number of frames, seconds that it took, and the summary's first
            row.

    Raises:
        ConfigError: options can't be combined.
        DataError: a video or the segments can't be used.
        OutputError: `out` holds another session, or another process works there.
    """
    terminal = terminal or Terminal(quiet=True)
    names = [f"camera-{video}" if camera else Path(video).stem for video in videos]
    if bad := [name for name in names if name != Path(name).name or name in (".", "..")]:
        raise ConfigError(
            f"{bad[0]!r} can't be the name of a folder in {out}: rename the video, whose name the"
            " results get."
        )
    if len(set(names)) < len(names):
        raise ConfigError(
            "Two videos have the same name: rename one, because the results get their names."
        )
    if not abs(offset) < LONGEST:
        raise ConfigError(f"--offset must be a number of seconds. Received: {offset}.")
    if camera and redact:
        raise ConfigError("--redact reads the video again, which a camera can't: record it first.")
    if camera:
        terminal.say(
            "This is an emotion recognition system: inform people before they are filmed "
            "(--informed DATE)."
        )
    planned = [
        _checked(
            replace(
                options,
                tasks=read_tasks(_own(segments, name), offset) if segments else (),
                events=read_events(_own(events, name), offset) if events else (),
            )
        )
        for name in names
    ]
    calibrated = {"temperature": temperature, "temperature_in_file": reader.temperature_in_file}
    results = {}
    for video, name, own in zip(videos, names, planned, strict=True):
        folder, rows = out / name, out / f"{name}.csv"
        stated = {
            "video": _described(video, camera),
            "model": reader.fingerprint,
            "classes": list(reader.class_names),
            "recipe": asdict(recipe),
        }
        # A camera can't go on with what is there: the recording only gets a new timeline.
        again = camera and resume and rows.is_file()
        with nullcontext() if again else _video.Video(video, camera) as source, locked(folder):
            known = _claim(folder / "session.json", rows, stated, resume)
            noted = _noted(known, source, reader, informed)
            started = time.perf_counter()
            try:
                with _pressed(camera) as stop:
                    frames = source and _recorded(
                        source, rows, reader, detector, recipe, resume, seconds, terminal, stop
                    )
            except KeyboardInterrupt:
                if not camera:
                    raise
                frames = None
            took = time.perf_counter() - started
            timeline = _timeline.load(rows, own)
            for doubt in timeline.doubts:
                terminal.say(f"{name}: {doubt}")
            frames = len(timeline.times) if frames is None else frames
            _write(folder, timeline, stated | noted | {"options": asdict(own), **calibrated}, name)
            if redact:
                terminal.say(f"{name}: writing redacted.mp4")
                with written_whole(folder / "redacted.mp4") as path:
                    _redaction.write(video, rows, path)
            rate = f", {frames / took:,.0f} frames/s" if frames else ""
            terminal.say(
                f"{name}: {frames:,} frames in {took:.1f} s{rate}; {folder / 'report.html'}"
            )
            first = summary(timeline).iloc[0]
            numbers = {
                key: None if value != value else float(value)
                for key, value in first.items()
                if key != "task"
            }
            files = {"csv": str(rows), "report": str(folder / "report.html")}
            results[name] = files | {"frames": frames, "analysed_seconds": took, "session": numbers}
    return results


@contextmanager
def _pressed(camera: bool) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed, which stops a camera. A second one
    stops at once.
    """
    pressed = threading.Event()
    if not camera or threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def press(*_: object) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _checked(options: Options) -> Options:
    """The options, after making sure before hours of work that their baseline exists."""
    _baseline.at_rest(np.empty(0), options)
    return options


def _own(path: Path, name: str) -> Path:
    """A session's file where a folder holds one for each."""
    return path / f"{name}.csv" if path.is_dir() else path


def _described(video: str, camera: bool) -> dict[str, Any]:
    """Tell a video from any other without its name's folder, which may say more than it should."""
    path = Path(video)
    if camera:
        return {"camera": video}
    return {"name": path.name, "bytes": path.stat().st_size if path.is_file() else None}


def _claim(record: Path, rows: Path, stated: dict[str, Any], resume: bool) -> dict[str, Any]:
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
        known = _known(record) if record.is_file() else {}
        different = [key for key, value in stated.items() if known.get(key) != value]
        if different:
            raise ConfigError(
                f"The {' and the '.join(different)} differ from those of {rows}: resume it with the"
                " same, or choose another --out."
            )
    else:
        write_text(record, json.dumps(stated, indent=2, ensure_ascii=False) + "\n")
    return known


def _noted(
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
    told = informed.isoformat() if informed else known.get("informed")
    when = date.today().isoformat()
    return {
        "model_name": reader.name,
        "version": importlib.metadata.version("keras-kd"),
        "made": when,
        "informed": told,
    } | film


def _known(record: Path) -> dict[str, Any]:
    try:
        return read_json(read_text(record), dict)
    except (ValueError, OSError) as error:
        raise DataError(f"{record} can't be read ({error}): choose another --out.") from error


def _recorded(
    source: _video.Video,
    rows: Path,
    reader: Reader,
    detector: Detector,
    recipe: Recipe,
    resume: bool,
    seconds: float | None,
    terminal: Terminal,
    stop: Callable[[], bool],
) -> int:
    with terminal.bar(Path(source.name).name, source.frames, "frames") as advance:
        frames = _recording.record(
            source, rows, reader, detector, recipe.side, recipe.rate, resume, advance, seconds, stop
        )
    if source.joins:
        places = ", ".join(f"{second:.1f} s" for second in source.joins[:5])
        terminal.say(
            f"{source.name}: its times start again at {places}: taken as recordings joined end to"
            " end."
        )
    if source.damaged:
        terminal.say(f"{source.name}: passed over {source.damaged} damaged parts.")
    if (
        seconds is None
        and source.seconds
        and source.seconds - source.reached > SHORT + 1.5 / source.rate
    ):
        terminal.say(
            f"{source.name} ends at {source.reached:.1f} s of the {source.seconds:.1f} s that it"
            " declares: it may be cut short or damaged."
        )
    return frames


def _write(folder: Path, timeline: Timeline, session: dict[str, Any], name: str) -> None:
    write_text(folder / "session.json", json.dumps(session, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / "tasks.csv", text.csv(summary(timeline)))
    _exports.write(timeline, folder)
    write_text(folder / "report.html", _page.page(timeline, name, session))
