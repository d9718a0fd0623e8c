"""A found face: where it is, how to cut it out as training images are cut, and how good the view of
it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_kd.datasets import images
from keras_kd.sessions import SIDE

# FER2013's pictures are SIDE boxes of BlazeFace wide, their centre lies RISE above the box's:
# medians over 233 of 250 FER2013 faces, pasted at 128 pixels into 256. Drawn faces are cut wider,
# 1.5, and their centre lies 0.17 above.
RISE, RISE_PER_SIDE = 0.09, 0.25
# Faces below are upsampled more than twice for a 48-pixel model.
SMALLEST_SIDE = 24.0
# Variance of the Laplacian over that of the pixels, at 64x64: skimage's astronaut, a face of 102
# pixels, has 0.21, blurred by Gaussians of 1 and 2 pixels 0.083 and 0.023; one in twenty FER2013
# faces has less than 0.086.
SHARP = 0.1
# Nose beside the middle of the eyes by so many halves of their distance: seen from the side.
TURNED = 1.0


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Attributes:
        box: x, y, width, height in pixels, from the brows to the chin.
        score: of the detector, 0..1.
        points: (6, 2) pixels: right eye, left eye, nose, mouth, right ear, left ear, as the person
            has them; None where the detector finds none.
    """

    box: tuple[float, float, float, float]
    score: float
    points: np.ndarray | None = None


@dataclass(frozen=True)
class Quality:
    """How well a face can be read.

    Attributes:
        overall: 0..1, the worst of size, sharpness and pose; 1 for a large, sharp face seen from
            the front.
        sharpness: variance of the Laplacian over the variance of the pixels, at 64x64.
        roll: degrees, clockwise in the image; None without points.
        turn: sideways, nose from the middle of the eyes in halves of their distance; None without
            points.
    """

    overall: float
    sharpness: float
    roll: float | None
    turn: float | None


def square(box: tuple[float, float, float, float], side: float = SIDE) -> tuple[int, int, int]:
    """Return left, top and size in whole pixels of the square to cut for a box, `side` boxes wide."""
    x, y, width, height = box
    size = max(1, round(side * max(width, height)))
    rise = RISE + RISE_PER_SIDE * (side - SIDE)
    return round(x + width / 2 - size / 2), round(y + height / 2 - rise * height - size / 2), size


def crop(
    image: np.ndarray, box: tuple[float, float, float, float], side: float = SIDE
) -> np.ndarray:
    """Cut a face out of uint8 (H, W, 3); beyond the image its border pixels are repeated. uint8 (S,
    S, 3).
    """
    left, top, size = square(box, side)
    rows = np.clip(np.arange(top, top + size), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, left + size), 0, image.shape[1] - 1)
    return image[rows[:, None], columns]


def quality(face: Face, cut: np.ndarray) -> Quality:
    """Judge a face by its box, its points and its crop."""
    gray = images.fitted(cut[None], (64, 64, 1))[0, :, :, 0].astype(np.float32)
    laplacian = (
        gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * gray[1:-1, 1:-1]
    )
    sharpness = float(laplacian.var() / max(gray.var(), 1.0))
    roll, turn = (None, None) if face.points is None else _pose(face.points)
    parts = [min(face.box[2:]) / (2 * SMALLEST_SIDE), sharpness / SHARP]
    if turn is not None:
        parts.append(2 * (1 - abs(turn) / (2 * TURNED)))
    return Quality(float(np.clip(min(parts), 0, 1)), sharpness, roll, turn)


def _pose(points: np.ndarray) -> tuple[float, float]:
    right, left, nose = points[:3]
    across = left - right
    half = max(float(np.hypot(*across)) / 2, 1e-6)
    turn = float((nose - (right + left) / 2) @ across) / (2 * half * half)
    return float(np.degrees(np.arctan2(across[1], across[0]))), turn


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4)."""
    a, b = np.asarray(first, float).reshape(-1, 1, 4), np.asarray(second, float).reshape(1, -1, 4)
    low, high = (
        np.maximum(a[..., :2], b[..., :2]),
        np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]),
    )
    common = np.clip(high - low, 0, None).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - common
    return common / np.maximum(union, 1e-9)


def blurred(
    image: np.ndarray, boxes: list[tuple[float, float, float, float]], side: float = 1.6
) -> np.ndarray:
    """Return the image with each face, widened to `side` boxes, as at most 6x6 coarse tiles: not to
    be undone.
    """
    result = image.copy()
    for box in boxes:
        left, top, size = square(box, side)
        rows = slice(max(top, 0), max(top + size, 0))
        columns = slice(max(left, 0), max(left + size, 0))
        part = result[rows, columns]
        if part.size:
            tiles = images.resize(part[None], 6, 6)[0]
            across = (
                np.arange(part.shape[0]) * 6 // part.shape[0],
                np.arange(part.shape[1]) * 6 // part.shape[1],
            )
            result[rows, columns] = tiles[across[0][:, None], across[1]]
    return result
