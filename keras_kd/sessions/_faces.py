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
# Places between pixels have steps of 1/256, so that Python and JavaScript agree to the bit.
STEPS = 256
# Across a tilted face's crop: more than models see, less than large faces have.
PIXELS = 112

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
    """Cut a face out of uint8 (H, W, 3), upright: uint8 (S, S, 3), S at most PIXELS where it is
    tilted.

    Args:
        image: beyond it its border pixels are repeated.
        box: of the face.
        side: of the square, in boxes.
        roll: degrees that the face is tilted by, clockwise.
    """
    left, top, size = square(box, side, roll)
    if not roll:
        return _straight(image, left, top, size, size)
    pixels, factor = min(size, PIXELS), max(1, size // PIXELS)
    if factor == 1:
        return turned(image, left, top, size, roll, pixels)
    # Averaged first, as every place is mixed of four pixels alone; half as much again on all sides.
    x, y, count = left - size // 2, top - size // 2, 2 * size // factor
    around = _straight(image, x, y, count * factor, count * factor).astype(np.uint32)
    sums = around.reshape(count, factor, count, factor, -1).sum(axis=(1, 3))
    small = ((sums + factor * factor // 2) // (factor * factor)).astype(np.uint8)
    return turned(small, (left - x) / factor, (top - y) / factor, size / factor, roll, pixels)


def _straight(image: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    rows = np.clip(np.arange(top, top + height), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, left + width), 0, image.shape[1] - 1)
    return image[rows[:, None], columns]


def turned(
    image: np.ndarray, left: float, top: float, size: float, roll: float, pixels: int
) -> np.ndarray:
    """Cut a square that is turned by `roll` degrees about its middle: uint8 (pixels, pixels, 3),
    bilinear.
    """
    along, across = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    steps = (np.arange(pixels) + 0.5) * (size / pixels) - size / 2
    middle = size / 2 - 0.5
    x = left + middle + along * steps[None] - across * steps[:, None]
    y = top + middle + across * steps[None] + along * steps[:, None]
    return _between(image, *(np.floor(place * STEPS + 0.5).astype(np.int32) for place in (x, y)))


def _between(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pixels at places in steps of 1/STEPS, each mixed of the four around it."""
    (x0, right), (y0, below) = np.divmod(x, STEPS), np.divmod(y, STEPS)
    right, below = right[..., None], below[..., None]
    height, width, channels = image.shape
    flat = image.reshape(-1, channels)
    columns = [np.clip(x0 + more, 0, width - 1) for more in (0, 1)]
    upper, lower = (
        flat.take(row + columns[0], axis=0) * (STEPS - right)
        + flat.take(row + columns[1], axis=0) * right
        for row in (np.clip(y0 + more, 0, height - 1) * width for more in (0, 1))
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
