"""Copies of a video or of its moments, in which nobody can be recognised where that is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from keras_kd._common.files import PARTIAL, written_whole
from keras_kd.sessions import _video
from keras_kd.sessions._blazeface import BlazeFace
from keras_kd.sessions._faces import blurred
from keras_kd.sessions._timeline import Spike
from keras_kd.sessions._tracking import Box, longest_gap_between

# Lower than for reading: a wall that is coarsened for nothing does no harm.
SCORE = 0.2
# Seconds of a clip before and after its moment.
AROUND = 1.0
# A clip, or what a killed process left of one.
CLIP = re.compile(rf"\.?\d\d+-(negative|positive)({PARTIAL}.*)?\.mp4")


def write(video: str, rows: Path, path: Path) -> None:
    """Write the video without sound, every face coarsened: those of its csv, kept through gaps, and
    any other hit.
    """
    with _video.Video(video) as source:
        hidden = _hidden(rows)
        _video.write(path, ((frame.time, hidden(frame)) for frame in source.after()))


def clips(video: str, rows: Path, moments: Sequence[Spike], folder: Path, redact: bool) -> None:
    """Write a clip of each moment without sound, with AROUND seconds before and after it, as
    NUMBER-KIND.mp4.

    Args:
        video: the recording.
        rows: its csv.
        moments: in the order of the page, which numbers them.
        folder: for the clips; those of an earlier timeline are removed first.
        redact: coarsen the faces.
    """
    shown = _hidden(rows) if redact else _whole
    folder.mkdir(parents=True, exist_ok=True)
    forget_clips(folder)
    for number, moment in enumerate(moments, start=1):
        clip = folder / f"{number:02}-{moment.kind}.mp4"
        with _video.Video(video) as source, written_whole(clip) as path:
            frames = _between(source, max(moment.start - AROUND, 0.0), moment.end + AROUND)
            _video.write(path, ((time, shown(frame)) for time, frame in frames))


def forget_clips(folder: Path) -> None:
    """Remove the clips of an earlier timeline, which may show faces.

    Args:
        folder: the folder of the clips, which may be missing; other files in it stay.
    """
    for earlier in folder.glob("*.mp4"):
        if CLIP.fullmatch(earlier.name):
            earlier.unlink()


def _between(
    source: _video.Video, begin: float, end: float
) -> Iterator[tuple[float, _video.Frame]]:
    """Yield the frames from `begin` to before `end`, with their times from `begin` on."""
    for frame in source.after(0, begin - 2 * _video.TIME_STEP):
        if frame.time >= end:
            return
        yield frame.time - begin, frame


def _whole(frame: _video.Frame) -> np.ndarray:
    return frame.pixels


def _hidden(rows: Path) -> Callable[[_video.Frame], np.ndarray]:
    """Return a function that gives a frame's pixels with every face coarsened."""
    # Both, so that neither distant nor near faces are missed.
    detectors = [BlazeFace(name, SCORE) for name in ("full", "short")]
    places = _places(rows)

    def hidden(frame: _video.Frame) -> np.ndarray:
        boxes = [face.box for detector in detectors for face in detector.find(frame.pixels)]
        boxes += [
            box for times, track, gap in places if (box := _at(times, track, gap, frame.time))
        ]
        return blurred(frame.pixels, boxes)

    return hidden


def _places(rows: Path) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Times (T,), boxes (T, 4) and the longest gap of each face in the csv."""
    with rows.open("rb") as file:
        table = pd.read_csv(file, usecols=["time_s", "face_id", "box"], dtype={"box": str}).dropna()
    return [
        (
            times := group["time_s"].to_numpy(),
            group["box"].str.split(expand=True).to_numpy(float),
            longest_gap_between(times),
        )
        for _, group in table.groupby("face_id")
    ]


def _at(times: np.ndarray, boxes: np.ndarray, gap: float, time: float) -> Box | None:
    """The box at a time, between the two seen around it; None where it was unseen for too long."""
    after = int(np.searchsorted(times, time))
    near = [
        row for row in (after - 1, after) if 0 <= row < len(times) and abs(times[row] - time) <= gap
    ]
    if not near:
        return None
    x, y, width, height = (
        float(np.interp(time, times[near], boxes[near, column])) for column in range(4)
    )
    return x, y, width, height
