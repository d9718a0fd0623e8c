"""Faces of a film's frames, cut out and judged: in groups of frames, two groups at a time.

A detector that can follow faces searches the whole first frame of a group, and in the others looks
where the faces were in the frame before. Groups don't depend on each other.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from keras_kd.sessions._appearance import appearance
from keras_kd.sessions._detectors import Detector, Follower
from keras_kd.sessions._faces import Face, crop
from keras_kd.sessions._quality import Quality, quality
from keras_kd.sessions._video import Frame

# Seconds of film in a group: so late another face beside one is found at most.
GROUP_SECONDS = 0.2
# Of the machine's cores; groups that are under way or wait for their turn to be written, for each.
WORKERS, AHEAD = max(1, min(2, os.cpu_count() or 1)), 2


@dataclass(frozen=True)
class Cut:
    """A face of a frame.

    Attributes:
        face: where it is, in the csv's steps of 0.1 pixels.
        pixels: its crop, uint8 (S, S, 3).
        quality: how well it can be read.
        look: its appearance, float (N,).
    """

    face: Face
    pixels: np.ndarray
    quality: Quality
    look: np.ndarray


@dataclass(frozen=True)
class Found:
    """The faces of a frame."""

    frame: int
    time: float
    cuts: list[Cut]


class Steps:
    """Seconds that each step of a recording took, summed over threads."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Count what happens within as a step's."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[step] += time.perf_counter() - began

    def shares(self) -> dict[str, float]:
        """Return each step's share of the whole, the largest first."""
        whole = sum(self._seconds.values())
        order = sorted(self._seconds, key=self._seconds.__getitem__, reverse=True)
        return {step: self._seconds[step] / whole for step in order} if whole else {}


def group_size(rate: float) -> int:
    """Return the frames of a group where so many come a second."""
    return max(1, round(GROUP_SECONDS * rate))


def with_faces(
    frames: Iterable[Frame], detector: Detector, side: float, group: int, steps: Steps
) -> Iterator[list[Found]]:
    """Yield groups of `group` frames with their faces, in order; the last may be shorter."""
    source = iter(frames)
    waiting: deque[Future[list[Found]]] = deque()
    pool = ThreadPoolExecutor(WORKERS)
    try:
        while part := _decoded(source, group, steps):
            waiting.append(pool.submit(_group, part, detector, side, steps))
            if len(waiting) > AHEAD * WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decoded(frames: Iterator[Frame], count: int, steps: Steps) -> list[Frame]:
    with steps.timed("decoding"):
        return list(itertools.islice(frames, count))


def _group(frames: Sequence[Frame], detector: Detector, side: float, steps: Steps) -> list[Found]:
    result, faces = [], list[Face]()
    for place, frame in enumerate(frames):
        with steps.timed("finding"):
            faces = (
                detector.follow(frame.pixels, faces)
                if place and isinstance(detector, Follower)
                else detector.find(frame.pixels)
            )
        with steps.timed("cropping and judging"):
            cuts = [_cut(frame.pixels, face, side) for face in faces]
        result.append(Found(frame.number, round(frame.time, 4), cuts))
    return result


def _cut(image: np.ndarray, face: Face, side: float) -> Cut:
    # As the csv will say, so that a recording that goes on sees the same boxes.
    x, y, width, height = (round(value, 1) for value in face.box)
    face = replace(face, box=(x, y, width, height))
    pixels = crop(image, face.box, side, face.roll)
    return Cut(face, pixels, quality(face, pixels), appearance(pixels))
