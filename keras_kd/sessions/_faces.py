"""A found face: where it is, how it is tilted, and how to cut it out as training images are cut."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from keras_kd.datasets import images
from keras_kd.sessions import SIDE

# FER2013's pictures are SIDE boxes of BlazeFace wide, their centre lies RISE above the box's:
# medians over 233 of 250 FER2013 faces, pasted at 128 pixels into 256. Drawn faces are cut wider,
# 1.5, and their centre lies 0.17 above.
RISE, RISE_PER_SIDE = 0.09, 0.25
# Places between pixels are told in steps of 1/256, so that Python and JavaScript agree to the bit.
STEPS = 256

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Attributes:
        box: x, y, width, height in pixels, from the brows to the chin of an upright face.
        score: of the detector, 0..1.
        points: (6, 2) pixels: right eye, left eye, nose, mouth, right ear, left ear, as the person
            has them; None where the detector finds none.
        second: score of a closer look, 0..1, 0 where that saw none; None where nobody looked.
    """

    box: Box
    score: float
    points: np.ndarray | None = None
    second: float | None = None

    @property
    def roll(self) -> float:
        """Degrees that the eyes' line is turned, clockwise in the image; 0 without points."""
        if self.points is None:
            return 0.0
        across = self.points[1] - self.points[0]
        return math.degrees(math.atan2(across[1], across[0]))


def square(box: Box, side: float = SIDE, roll: float = 0.0) -> tuple[int, int, int]:
    """Return left, top and size in whole pixels of the square for a box, `side` boxes wide.

    The square is to be turned by `roll` degrees about its own middle, see `turned`.
    """
    x, y, width, height = box
    size = max(1, round(side * max(width, height)))
    rise = (RISE + RISE_PER_SIDE * (side - SIDE)) * height
    right, down = math.sin(math.radians(roll)) * rise, math.cos(math.radians(roll)) * rise
    return round(x + width / 2 + right - size / 2), round(y + height / 2 - down - size / 2), size


def crop(image: np.ndarray, box: Box, side: float = SIDE, roll: float = 0.0) -> np.ndarray:
    """Cut a face out of uint8 (H, W, 3), upright: uint8 (S, S, 3).

    Args:
        image: beyond it its border pixels are repeated.
        box: of the face.
        side: of the square, in boxes.
        roll: degrees that the face is tilted by, clockwise.
    """
    return turned(image, *square(box, side, roll), roll)


def turned(image: np.ndarray, left: int, top: int, size: int, roll: float) -> np.ndarray:
    """Cut a square that is turned by `roll` degrees about its middle; bilinear, uint8 (S, S, 3)."""
    if not roll:
        rows = np.clip(np.arange(top, top + size), 0, image.shape[0] - 1)
        columns = np.clip(np.arange(left, left + size), 0, image.shape[1] - 1)
        return image[rows[:, None], columns]
    along, across = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    steps = np.arange(size) + 0.5 - size / 2
    middle = size / 2 - 0.5
    x = left + middle + along * steps[None] - across * steps[:, None]
    y = top + middle + across * steps[None] + along * steps[:, None]
    return _between(image, *(np.floor(place * STEPS + 0.5).astype(np.int32) for place in (x, y)))


def _between(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pixels at places in steps of 1/STEPS, each mixed of the four around it."""
    (x0, right), (y0, below) = np.divmod(x, STEPS), np.divmod(y, STEPS)
    right, below = right[..., None], below[..., None]
    columns = [np.clip(x0 + more, 0, image.shape[1] - 1) for more in (0, 1)]
    rows = [np.clip(y0 + more, 0, image.shape[0] - 1) for more in (0, 1)]
    upper, lower = (
        image[row, columns[0]] * (STEPS - right) + image[row, columns[1]] * right for row in rows
    )
    mixed = upper * (STEPS - below) + lower * below
    return ((mixed + STEPS * STEPS // 2) // (STEPS * STEPS)).astype(np.uint8)


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


def blurred(image: np.ndarray, boxes: list[Box], side: float = 1.6) -> np.ndarray:
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
