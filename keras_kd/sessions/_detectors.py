"""The ways to find faces, by name."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from keras_kd.errors import ConfigError
from keras_kd.sessions import DETECTORS, SCORE
from keras_kd.sessions._blazeface import BlazeFace
from keras_kd.sessions._cascade import Cascade
from keras_kd.sessions._faces import Face


class Detector(Protocol):
    """Finds faces in an image."""

    def find(self, image: np.ndarray) -> list[Face]:
        """Return the faces in uint8 (H, W, 3)."""
        ...


class _Either:
    """The full-range model, and where it finds nobody the short-range one, which sees faces that fill the image."""

    def __init__(self, score: float) -> None:
        self._models = BlazeFace("full", score), BlazeFace("short", score)

    def find(self, image: np.ndarray) -> list[Face]:
        return self._models[0].find(image) or self._models[1].find(image)


def load(name: str = "auto", score: float = SCORE) -> Detector:
    """Return a detector by its name, one of DETECTORS.

    Args:
        name: "short" and "full" are BlazeFace's ranges, "auto" the first that finds a face, "cascade" scikit-image's.
        score: the lowest to report, 0..1; the cascade gives none.

    Raises:
        ConfigError: no such detector.
        ModelError: its package isn't installed.
    """
    if name not in DETECTORS:
        raise ConfigError(f"detector must be one of {', '.join(DETECTORS)}. Received: {name!r}.")
    if name == "auto":
        return _Either(score)
    return Cascade() if name == "cascade" else BlazeFace(name, score)
