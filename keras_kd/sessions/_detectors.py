"""The ways to find faces, by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from keras_kd.errors import ConfigError
from keras_kd.sessions import DETECTORS, SCORE
from keras_kd.sessions._blazeface import SAME_FACE, BlazeFace
from keras_kd.sessions._cascade import Cascade
from keras_kd.sessions._faces import Box, Face, overlap, turned


class Detector(Protocol):
    """Finds faces in an image."""

    def find(self, image: np.ndarray) -> list[Face]:
        """Return the faces in uint8 (H, W, 3)."""
        ...


@runtime_checkable
class Follower(Protocol):
    """A detector that finds faces faster where it knows the frame before."""

    def follow(self, image: np.ndarray, before: Sequence[Face]) -> list[Face]:
        """Return the faces in uint8 (H, W, 3), which follows a frame with the faces `before`."""
        ...


# A hit below SURE counts if the closer look sees a face there too, with CHECKED or more: of 34 hits
# on the letters and clouds of a cartoon's title the highest had 0.69; of FER2013's faces 19 in 20
# have 0.76 or more.
SURE, CHECKED = 0.75, 0.7
# The closer look: its width in boxes, and the lowest score that it reports.
CLOSER, LOWEST = 2.0, 0.1
# Pixels across it, as the short-range model takes them.
LOOK = 128


class _BothRanges:
    """The full-range model; the short-range one finds faces that fill the image."""

    def __init__(self, score: float) -> None:
        self._far, self._near = BlazeFace("full", score), BlazeFace("short", SURE)

    def find(self, image: np.ndarray) -> list[Face]:
        return self._far.find(image) or self._near.find(image)


class _TwoLooks:
    """Looks at each hit again by the short-range model, closer and turned upright by its eyes.

    The second look finds place and tilt better: of FER2013's faces turned by 45 degrees the first
    said 35 (median of 401), the second 43. Doubtful hits that it doesn't see are dropped.
    """

    def __init__(self, first: Detector) -> None:
        self._first, self._near = first, BlazeFace("short", LOWEST)

    def find(self, image: np.ndarray) -> list[Face]:
        seen = [self._again(image, face) for face in self._first.find(image)]
        return [face for face in seen if face.score >= SURE or (face.second or 0) >= CHECKED]

    def follow(self, image: np.ndarray, before: Sequence[Face]) -> list[Face]:
        """Look only where faces were; in the whole image where none was, one is gone, or two are
        one.
        """
        seen = [self._again(image, face) for face in before]
        boxes = np.array([face.box for face in seen]).reshape(-1, 4)
        apart = np.triu(overlap(boxes, boxes), 1).max(initial=0) <= SAME_FACE
        kept = all((face.second or 0) >= CHECKED for face in seen)
        return seen if seen and kept and apart else self.find(image)

    def _again(self, image: np.ndarray, face: Face) -> Face:
        x, y, width, height = face.box
        size = max(1, round(CLOSER * max(width, height)))
        left, top = round(x + width / 2 - size / 2), round(y + height / 2 - size / 2)
        hits = self._near.find(turned(image, left, top, size, face.roll, LOOK))
        near = [hit for hit in hits if _distance(hit.box) < LOOK / 4]
        if not near:
            return replace(face, second=0.0)
        return _turned_back(near[0], face, (left + size / 2, top + size / 2), size / LOOK)


def _distance(box: Box) -> float:
    """From a box's middle to that of the look that it was found in."""
    x, y, width, height = box
    return math.hypot(x + (width - LOOK) / 2, y + (height - LOOK) / 2)


def _turned_back(hit: Face, first: Face, middle: tuple[float, float], scale: float) -> Face:
    """A hit in a look that was turned about `middle`, as a face in the image."""
    along, across = math.cos(math.radians(first.roll)), math.sin(math.radians(first.roll))
    x, y, width, height = hit.box
    seen = hit.points if hit.points is not None else np.empty((0, 2))
    right, down = (scale * (np.array([[x + width / 2, y + height / 2], *seen]) - LOOK / 2)).T
    places = np.column_stack([along * right - across * down, across * right + along * down])
    (x, y), *points = places + middle
    width, height = scale * width, scale * height
    box = (float(x - width / 2), float(y - height / 2), width, height)
    return Face(box, first.score, np.array(points), hit.score)


def load(name: str = "auto", score: float = SCORE) -> Detector:
    """Return a detector by its name, one of DETECTORS.

    Args:
        name: "short" and "full" are BlazeFace's ranges, "auto" both in turn, "cascade"
            scikit-image's. BlazeFace's hits are looked at again, closer and upright.
        score: the lowest to report, 0..1; the cascade gives none.

    Raises:
        ConfigError: no such detector.
        ModelError: its package isn't installed.
    """
    if name not in DETECTORS:
        raise ConfigError(f"detector must be one of {', '.join(DETECTORS)}. Received: {name!r}.")
    if name == "cascade":
        return Cascade()
    return _TwoLooks(_BothRanges(score) if name == "auto" else BlazeFace(name, score))
