"""A copy of a video in which nobody can be recognised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from keras_kd.sessions import _video
from keras_kd.sessions._blazeface import BlazeFace
from keras_kd.sessions._faces import blurred
from keras_kd.sessions._tracking import Box, longest_gap_between

# Lower than for reading: a wall that is coarsened for nothing does no harm.
SCORE = 0.2


def write(video: str, rows: Path, path: Path) -> None:
    """Write the video without sound, every face coarsened: those of its csv, kept through gaps, and
    any other hit.
    """
    detectors = [BlazeFace(name, SCORE) for name in ("full", "short")]
    places = _places(rows)
    with _video.Video(video) as source:

        def frames() -> Iterator[tuple[float, np.ndarray]]:
            for frame in source.after():
                boxes = [face.box for detector in detectors for face in detector.find(frame.pixels)]
                boxes += [
                    box
                    for times, track, gap in places
                    if (box := _at(times, track, gap, frame.time))
                ]
                yield frame.time, blurred(frame.pixels, boxes)

        _video.write(path, frames())


def _places(rows: Path) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Times (T,), boxes (T, 4) and the longest gap of each face in the csv."""
    table = pd.read_csv(rows, usecols=["time_s", "face_id", "box"], dtype={"box": str}).dropna()
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
