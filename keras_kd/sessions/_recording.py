"""A video into one csv row a face and frame, in bounded memory; what was written stays, whatever
happens.

A frame without a face has one row without a face's cells. Rows reach the file as frames are
finished; a recording that goes on reads them back, drops the last group of frames, which may lack
rows, and finds every face where it was: it ends with the same file as one that was never stopped.
"""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd._common.files import refusals
from keras_kd.errors import DataError
from keras_kd.sessions import _appearance, _finding
from keras_kd.sessions._detectors import Detector
from keras_kd.sessions._finding import Cut, Found, Steps
from keras_kd.sessions._quality import Quality
from keras_kd.sessions._reader import Reader
from keras_kd.sessions._tracking import PERSISTENCE, Track, Tracker, longest_gap
from keras_kd.sessions._video import Frame, Video

# Bytes; a field of csv holds no more.
LONGEST_LINE = 2**17
_FIRST = ("frame", "time_s", "face_id", "box", "detection_score", "quality")
_QUALITY = ("sharpness", "roll", "turn", "brightness", "contrast", "noise", "second_look", "limit")
_LAST = (*_QUALITY, "appearance")


@dataclass
class _FaceInFrame:
    """One face in one frame."""

    track: Track
    cut: Cut
    cells: list[str]


@dataclass
class _Pending:
    """A frame whose faces may not have stayed long enough yet."""

    frame: int
    time: float
    seen: list[_FaceInFrame]


@dataclass
class Progress:
    """Where a recording stands: the last frame written, -1 and None before the first, and the faces
    up to there.
    """

    number: int
    time: float | None
    tracks: dict[int, Track]
    next_number: int


def columns(reader: Reader) -> list[str]:
    """Return the csv's header."""
    return header(reader.class_names, reader.value_names)


def header(class_names: Sequence[str], value_names: Sequence[str]) -> list[str]:
    """Return the csv's header for such probabilities and values."""
    return [*_FIRST, *(f"p_{name}" for name in class_names), *value_names, *_LAST]


def record(
    video: Video,
    path: Path,
    reader: Reader,
    detector: Detector,
    side: float,
    rate: float | None = None,
    resume: bool = False,
    advance: Callable[[int], None] = lambda count: None,
    seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    one_person: bool = False,
    steps: Steps | None = None,
) -> int:
    """Analyse a video into the csv at `path`.

    Args:
        video: the frames.
        path: of the csv; made, or gone on with.
        reader: reads the faces.
        detector: finds them.
        side: width of what the reader sees, in face boxes.
        rate: at most so many frames a second; None for all.
        resume: go on behind the rows that are there.
        advance: called with the number of frames finished.
        seconds: stop so long after the first picture; None at the end.
        stop: asked at each frame; once it says so the recording ends there, its rows whole.
        one_person: whether one person is filmed.
        steps: counts the time that each step takes; None: nobody asks.

    Returns:
        The number of frames analysed now.

    Raises:
        DataError: the rows that are there are not this model's.
        OutputError: the csv can't be written.
    """
    names, steps = columns(reader), steps or Steps()
    step = max(1 / video.rate, 1 / rate if rate else 0)
    group = _finding.group_size(1 / step)
    with refusals(path):
        progress = (
            _resumed(path, names, group) if resume and path.is_file() else Progress(-1, None, {}, 1)
        )
        with path.open(
            "a" if progress.time is not None else "w", newline="", encoding="utf-8"
        ) as file:
            writer = csv.writer(file)
            if progress.time is None:
                writer.writerow(names)
            frames = video.after(progress.number, progress.time)
            until = None if seconds is None else video.begins + seconds
            frames = _thinned(frames, rate, progress.time, until, advance, stop)
            groups = _finding.with_faces(frames, detector, side, group, steps)
            count = 0
            tracker = Tracker(
                progress.tracks.values(), progress.next_number, longest_gap(step), one_person
            )
            for finished in _finished(_followed(groups, reader, tracker, steps)):
                with steps.timed("writing"):
                    writer.writerows(_rows(finished, len(names)))
                    # A killed process has written every frame that it finished.
                    file.flush()
                count += 1
    return count


def _thinned(
    frames: Iterable[Frame],
    rate: float | None,
    last: float | None,
    until: float | None,
    advance: Callable[[int], None],
    stop: Callable[[], bool],
) -> Iterator[Frame]:
    """Leave out frames that follow the last one too soon, and all from the time `until` on or once
    `stop()` says so.
    """
    shortest = 0.0 if rate is None else 1 / rate - 1e-3
    for frame in frames:
        if stop() or (until is not None and frame.time >= until):
            return
        if last is None or frame.time - last >= shortest:
            last = frame.time
            yield frame
        advance(1)


def _followed(
    groups: Iterable[list[Found]], reader: Reader, tracker: Tracker, steps: Steps
) -> Iterator[_Pending]:
    """Read the faces, a group's in one call, and follow them."""
    for group in groups:
        cuts = [cut.pixels for found in group for cut in found.cuts]
        with steps.timed("reading expressions"):
            cells = iter(_cells(*reader.read(cuts)) if cuts else [])
        for found in group:
            boxes = [cut.face.box for cut in found.cuts]
            tracks = tracker.update(found.time, boxes, [cut.look for cut in found.cuts])
            seen = [
                _FaceInFrame(track, cut, next(cells))
                for track, cut in zip(tracks, found.cuts, strict=True)
            ]
            yield _Pending(found.frame, found.time, seen)


def _cells(probabilities: np.ndarray, values: dict[str, np.ndarray]) -> list[list[str]]:
    numbers = np.column_stack([probabilities, *values.values()])
    return [[f"{value:.5f}" for value in row] for row in numbers]


def _finished(pending: Iterator[_Pending]) -> Iterator[_Pending]:
    """Yield frames once it is known which of their faces stay."""
    waiting: deque[_Pending] = deque()
    for frame in pending:
        waiting.append(frame)
        if len(waiting) == PERSISTENCE:
            yield waiting.popleft()
    yield from waiting


def _rows(frame: _Pending, width: int) -> list[list[str]]:
    start = [str(frame.frame), f"{frame.time:.4f}"]
    rows = []
    for seen in sorted(
        (seen for seen in frame.seen if seen.track.number), key=lambda seen: seen.track.number
    ):
        face, how = seen.cut.face, seen.cut.quality
        box = " ".join(f"{value:.1f}" for value in face.box)
        number = str(seen.track.number)
        first = [*start, number, box, f"{face.score:.4f}", f"{how.overall:.4f}"]
        last = _appearance.written(seen.cut.look)
        rows.append([*first, *seen.cells, *_quality_cells(how), last])
    return rows or [[*start, *[""] * (width - 2)]]


def _quality_cells(how: Quality) -> list[str]:
    numbers = (
        how.sharpness,
        how.roll,
        how.turn,
        how.brightness,
        how.contrast,
        how.noise,
        how.second,
    )
    return [*("" if number is None else f"{number:.3f}" for number in numbers), how.limit]


def _resumed(path: Path, header: Sequence[str], group: int) -> Progress:
    """Cut the csv to whole groups of frames before its last frame, which may lack rows, and return
    where it stands.
    """
    progress = Progress(-1, None, {}, 1)
    with path.open("rb") as file:
        line = file.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            return progress
        begin = file.tell()
        # The rows of each frame since the last whole group.
        frames: list[list[list[str]]] = []
        try:
            if next(csv.reader([line.decode("utf-8")])) != list(header):
                raise DataError(
                    f"{path} was written with another model or version: choose another --out."
                )
            while (line := file.readline(LONGEST_LINE)).endswith(b"\n"):
                row = line.decode("utf-8").rstrip("\r\n").split(",")
                if not frames or row[0] != frames[-1][0][0]:
                    if len(frames) == group:
                        for rows in frames:
                            _count(progress, rows)
                        begin, frames = file.tell() - len(line), []
                    frames.append([])
                frames[-1].append(row)
            if len(line) == LONGEST_LINE:
                raise ValueError(f"a row is longer than {LONGEST_LINE} bytes")
        except (ValueError, IndexError, csv.Error) as error:
            raise DataError(
                f"{path} can't be gone on with, as its row {line[:80]!r} is damaged: choose another"
                " --out."
            ) from error
    with path.open("r+b") as file:
        # Some rows of the last frame may be missing: it is computed again.
        file.truncate(begin)
    return progress


def _count(progress: Progress, rows: Sequence[Sequence[str]]) -> None:
    """Move on by the rows of one frame."""
    progress.number, progress.time = int(rows[0][0]), _finite(rows[0][1])
    for row in rows:
        if row[2]:
            number = int(row[2])
            x, y, width, height = map(_finite, row[3].split())
            track = progress.tracks.setdefault(
                number, Track((x, y, width, height), progress.time, PERSISTENCE, number)
            )
            track.box, track.time = (x, y, width, height), progress.time
            track.see(_appearance.read(row[-1]))
            progress.next_number = max(progress.next_number, number + 1)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text!r} is no finite number")
    return number
