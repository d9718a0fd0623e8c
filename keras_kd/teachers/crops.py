"""Crops of many images at once, resized back by bilinear interpolation, equal to Pillow's.

Pillow's `resize` (libImaging/Resample.c) works along rows first, then along columns, with integer
weights of 22 bits and rounding in between. A crop is never larger than its image, so each pixel is
a mean of two neighbours. Here they are gathered for whole lines of pixels.
"""

from __future__ import annotations

import numpy as np

_BITS = 22
_CACHED = 2**17  # bytes of pixels at a time: four times as many integers fit a core's cache


def cropped(images: np.ndarray, side: np.ndarray, top: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return a crop of each image, resized to the size of the image.

    Args:
        images: uint8 (n, H, W, C).
        side: float32 (n,) in 0..1, the crop's share of height and width.
        top: float32 (n,) in 0..1, the crop's position between the top and the bottom.
        left: float32 (n,) in 0..1, the crop's position from left to right.

    Returns:
        uint8 (n, H, W, C).
    """
    height, width = images.shape[1:3]
    across = _neighbours(left * (1 - side) * width, side * width, width)
    down = _neighbours(top * (1 - side) * height, side * height, height)
    parts = np.empty_like(images)
    step = max(1, _CACHED // max(1, images[:1].nbytes))
    for start in range(0, len(images), step):
        rows = slice(start, start + step)
        # Columns come to the front, so that each is one piece of memory.
        turned = _blended(images[rows].transpose(0, 2, 1, 3), *(part[rows] for part in across))
        parts[rows] = _blended(turned.transpose(0, 2, 1, 3), *(part[rows] for part in down))
    return parts


def _neighbours(
    start: np.ndarray, length: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels that each of `size` pixels is made of, and their weights; each (n, size)."""
    # Pillow keeps a box's corners in single precision and computes in double.
    scale = ((start + length) - start).astype(np.float64) / size
    center = start.astype(np.float64)[:, None] + (np.arange(size) + 0.5) * scale[:, None]
    first = np.maximum((center - 0.5).astype(np.intp), 0)
    last = np.minimum((center + 1.5).astype(np.intp), size) - 1
    left, right = (np.maximum(1 - np.abs(pixel - center + 0.5), 0) for pixel in (first, last))
    right[first == last] = 0
    total = left + right
    left, right = ((0.5 + weight / total * 2**_BITS).astype(np.int32) for weight in (left, right))
    return first, last, left, right


def _blended(
    images: np.ndarray, first: np.ndarray, last: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Mix lines of uint8 (n, lines, ...) by numbers and weights of shape (n, lines)."""
    count, lines = images.shape[:2]
    flat = np.ascontiguousarray(images).reshape(count * lines, -1)
    base = (np.arange(count) * lines)[:, None]
    mixed = flat.take(base + first, axis=0).astype(np.int32)
    mixed *= left[:, :, None]
    other = flat.take(base + last, axis=0).astype(np.int32)
    other *= right[:, :, None]
    mixed += other
    # Half a step more, so that the shift rounds.
    mixed += 1 << (_BITS - 1)
    mixed >>= _BITS
    return mixed.astype(np.uint8).reshape(images.shape)
