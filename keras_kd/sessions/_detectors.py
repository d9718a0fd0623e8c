"""The ways to find faces, by name."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from keras_kd.errors import ConfigError
from keras_kd.sessions import DETECTORS, SCORE
from keras_kd.sessions._blazeface import BlazeFace
from keras_kd.sessions._cascade import Cascade
from keras_kd.sessions._faces import Face, crop


class Detector(Protocol):
    """Finds faces in an image."""

    def find(self, image: np.ndarray) -> list[Face]:
        """Return the faces in uint8 (H, W, 3)."""
        ...


# A hit below SURE counts if the short-range model sees a face there too, with CHECKED or more: of
# 32 hits on the letters and clouds of a cartoon's title that left none; of faces in 12 photographs,
# a film and 59 drawings all.
SURE, CHECKED = 0.75, 0.6


class _Both:
    """The full-range model; the short-range one looks again at doubtful hits, and finds faces that
    fill the image.
    """

    def __init__(self, score: float) -> None:
        self._far, self._near = BlazeFace("full", score), BlazeFace("short")

    def find(self, image: np.ndarray) -> list[Face]:
        if not (found := self._far.find(image)):
            return [face for face in self._near.find(image) if face.score >= SURE]
        return [face for face in found if face.score >= SURE or self._seen_again(image, face)]

    def _seen_again(self, image: np.ndarray, face: Face) -> bool:
        closer = self._near.find(crop(image, face.box, 2.0))
        return bool(closer) and closer[0].score >= CHECKED


def load(name: str = "auto", score: float = SCORE) -> Detector:
    """Return a detector by its name, one of DETECTORS.

    Args:
        name: "short" and "full" are BlazeFace's ranges, "auto" both in turn, "cascade"
            scikit-image's.
        score: the lowest to report, 0..1; the cascade gives none.

    Raises:
        ConfigError: no such detector.
        ModelError: its package isn't installed.
    """
    if name not in DETECTORS:
        raise ConfigError(f"detector must be one of {', '.join(DETECTORS)}. Received: {name!r}.")
    if name == "auto":
        return _Both(score)
    return Cascade() if name == "cascade" else BlazeFace(name, score)
