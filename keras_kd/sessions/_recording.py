"""A video into one csv row a face and frame, in bounded memory; what was written stays, whatever
happens.

A frame without a face has one row without a face's cells. Rows reach the file as frames are
finished; a recording that goes on reads them back, drops the last frame, which may lack rows, and
finds every face where it was: it ends with the same file as one that was never stopped.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_kd._common.files import refusals
from keras_kd.errors import DataError
from keras_kd.sessions._detectors import Detector
from keras_kd.sessions._faces import Face, crop
from keras_kd.sessions._quality import Quality, quality
from keras_kd.sessions._reader import Reader
from keras_kd.sessions._tracking import PERSISTENCE, Track, Tracker, longest_gap
from keras_kd.sessions._video import Frame, Video

# Frames whose faces are read in one call.
CHUNK = 16
# Bytes; a field of csv holds no more.
LONGEST_LINE = 2**17
_FIRST = ("frame", "time_s", "face_id", "box", "detection_score", "quality")
_LAST = ("sharpness", "roll", "turn", "brightness", "contrast", "noise", "second_look", "limit")


@dataclass
class _FaceInFrame:
    """One face in one frame."""

    track: Track
    face: Face
    quality: Quality
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
    return [*_FIRST, *(f"p_{name}" for name in reader.class_names), *reader.value_names, *_LAST]


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
        seconds: stop there; None at the end.
        stop: asked at each frame; once it says so the recording ends there, its rows whole.

    Returns:
        The number of frames analysed now.

    Raises:
        DataError: the rows that are there are not this model's.
        OutputError: the csv can't be written.
    """
    header = columns(reader)
    with refusals(path):
        progress = (
            _resumed(path, header) if resume and path.is_file() else Progress(-1, None, {}, 1)
        )
        with path.open(
            "a" if progress.time is not None else "w", newline="", encoding="utf-8"
        ) as file:
            writer = csv.writer(file)
            if progress.time is None:
                writer.writerow(header)
            frames = video.after(progress.number, progress.time)
            frames = _thinned(frames, rate, progress.time, seconds, advance, stop)
            count = 0
            step = max(1 / video.rate, 1 / rate if rate else 0)
            tracker = Tracker(progress.tracks.values(), progress.next_number, longest_gap(step))
            for finished in _finished(_followed(frames, reader, detector, side, tracker)):
                writer.writerows(_rows(finished, len(header)))
                file.flush()
                count += 1
    return count


def _thinned(
    frames: Iterable[Frame],
    rate: float | None,
    last: float | None,
    seconds: float | None,
    advance: Callable[[int], None],
    stop: Callable[[], bool],
) -> Iterator[Frame]:
    """Leave out frames that follow the last one too soon, and all after `seconds` or once `stop()`
    says so.
    """
    shortest = 0.0 if rate is None else 1 / rate - 1e-3
    for frame in frames:
        if stop() or (seconds is not None and frame.time >= seconds):
            return
        if last is None or frame.time - last >= shortest:
            last = frame.time
            yield frame
        advance(1)


def _followed(
    frames: Iterator[Frame], reader: Reader, detector: Detector, side: float, tracker: Tracker
) -> Iterator[_Pending]:
    """Find, cut out, read and follow the faces; frames are let go at once, only the crops of a
    chunk are kept.
    """
    while chunk := [_found(frame, detector, side) for frame in itertools.islice(frames, CHUNK)]:
        cuts = [cut for _, _, faces in chunk for _, cut, _ in faces]
        cells = iter(_cells(*reader.read(cuts)) if cuts else [])
        for number, time, faces in chunk:
            tracks = tracker.update(time, [face.box for face, _, _ in faces])
            seen = [
                _FaceInFrame(track, face, how, next(cells))
                for track, (face, _, how) in zip(tracks, faces, strict=True)
            ]
            yield _Pending(number, time, seen)


def _found(
    frame: Frame, detector: Detector, side: float
) -> tuple[int, float, list[tuple[Face, np.ndarray, Quality]]]:
    faces = []
    for face in detector.find(frame.pixels):
        # As the csv will say, so that a recording that goes on sees the same boxes.
        x, y, width, height = (round(value, 1) for value in face.box)
        face = replace(face, box=(x, y, width, height))
        cut = crop(frame.pixels, face.box, side, face.roll)
        faces.append((face, cut, quality(face, cut)))
    return frame.number, round(frame.time, 4), faces


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
        box = " ".join(f"{value:.1f}" for value in seen.face.box)
        first = [
            *start,
            str(seen.track.number),
            box,
            f"{seen.face.score:.4f}",
            f"{seen.quality.overall:.4f}",
        ]
        rows.append([*first, *seen.cells, *_quality_cells(seen.quality)])
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


def _resumed(path: Path, header: Sequence[str]) -> Progress:
    """Cut the csv before its last frame, which may lack rows, and return where it stands."""
    progress = Progress(-1, None, {}, 1)
    with path.open("rb") as file:
        line = file.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            return progress
        begin = file.tell()
        rows: list[list[str]] = []
        try:
            if next(csv.reader([line.decode("utf-8")])) != list(header):
                raise DataError(f"{path} was written with another model: choose another --out.")
            while (line := file.readline(LONGEST_LINE)).endswith(b"\n"):
                row = line.decode("utf-8").rstrip("\r\n").split(",")
                if rows and row[0] != rows[0][0]:
                    _count(progress, rows)
                    begin, rows = file.tell() - len(line), []
                rows.append(row)
            if len(line) == LONGEST_LINE:
                raise ValueError(f"a row is longer than {LONGEST_LINE} bytes")
        except (ValueError, IndexError, csv.Error) as error:
            raise DataError(
                f"{path} can't be gone on with, as its row {line[:80]!r} is damaged: choose another"
                " --out."
            ) from error
    with path.open("r+b") as file:
        file.truncate(begin)
    return progress


def _count(progress: Progress, rows: Sequence[Sequence[str]]) -> None:
    """Move on by the rows of one frame."""
    progress.number, progress.time = int(rows[0][0]), _finite(rows[0][1])
    for row in rows:
        if row[2]:
            number = int(row[2])
            x, y, width, height = map(_finite, row[3].split())
            progress.tracks[number] = Track(
                (x, y, width, height), progress.time, PERSISTENCE, number
            )
            progress.next_number = max(progress.next_number, number + 1)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text!r} is no finite number")
    return number
