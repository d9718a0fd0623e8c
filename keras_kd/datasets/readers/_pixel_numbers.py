"""Images whose pixels stand as numbers in a csv file, in one column or in a column each."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_kd.datasets.readers import _bad_rows

# pixel0, pixel_1, Pixel0783, and 1x1 to 28x28, the row and the column.
_COLUMN = re.compile(r"pixel[-_ ]?(\d{1,9})|(\d{1,9})x(\d{1,9})", re.IGNORECASE)
_SMALLEST = 3  # side of an image


@dataclass(frozen=True)
class PixelRow:
    """The image of a row with a column for each pixel.

    Attributes:
        place: table and line, for messages.
        text: the numbers with blanks between them, row by row; of colours red, green and blue of a
            pixel side by side.
        shape: height, width and channels.
    """

    place: str
    text: str
    shape: tuple[int, int, int]

    def read(self) -> np.ndarray:
        """Return the image, uint8 (height, width, 1 or 3).

        Raises:
            DataError: a pixel is no whole number from 0 to 255.
        """
        try:
            return parsed(self.text, math.prod(self.shape)).reshape(self.shape)
        except ValueError as error:
            raise _bad_rows.refusal(f"{self.place}: {error}") from error


def columns(names: Sequence[str]) -> list[str]:
    """Return the columns of pixels, in the order of their numbers.

    Args:
        names: of all columns of a table.
    """
    return sorted(filter(_COLUMN.fullmatch, names), key=_numbers)


def shape(columns: Sequence[str]) -> tuple[int, int, int] | None:
    """Return height, width and channels of the images whose pixels stand in some columns.

    Args:
        columns: as `columns` returns them.

    Returns:
        The shape of a square image, gray or in three colours, or of the gray one whose rows and
            columns are told; None where the columns are too few for one, or too many, or their
            numbers leave one out.
    """
    found = [*map(_numbers, columns)]
    if not found or min(found[0]) > 1:
        return None
    spans = [range(low, high + 1) for low, high in zip(found[0], found[-1], strict=False)]
    # The lengths first: a product is held in memory.
    if math.prod(map(len, spans)) != len(found) or found != [*itertools.product(*spans)]:
        return None
    if len(spans) == 1:
        return square_shape(len(found))
    height, width = map(len, spans)
    return (height, width, 1) if min(height, width) >= _SMALLEST else None


def square_shape(count: int) -> tuple[int, int, int] | None:
    """Return height, width and channels of a square image of so many values, 3x3 or larger; None
    where there is none.

    Args:
        count: the number of values.
    """
    for channels in (1, 3):
        side = math.isqrt(count // channels)
        if side >= _SMALLEST and side * side * channels == count:
            return side, side, channels
    return None


def _numbers(column: str) -> tuple[int, ...]:
    match = _COLUMN.fullmatch(column)
    return tuple(int(part) for part in match.groups() if part) if match else ()


def parsed(text: str, count: int) -> np.ndarray:
    """Return the pixels of one image, uint8 (count,).

    Args:
        text: whole numbers from 0 to 255 with blanks between them.
        count: how many there must be.

    Raises:
        ValueError: the text holds something else; it says what.
    """
    try:
        with warnings.catch_warnings():
            # Older numpy only warns where text is no number.
            warnings.simplefilter("error", DeprecationWarning)
            # Wider than a pixel: in uint8 a 256 would become 0 unseen.
            values = np.fromstring(text, np.int64, sep=" ")
    except (DeprecationWarning, ValueError):
        raise ValueError(
            f"pixels hold {_not_a_number(text)!r}, expected whole numbers 0 to 255"
        ) from None
    if len(values) != count:
        raise ValueError(f"{len(values)} pixels, expected {count}")
    if values.min() < 0 or values.max() > 255:
        outside = values[(values < 0) | (values > 255)][0]
        raise ValueError(f"a pixel is {outside}, expected 0 to 255")
    return values.astype(np.uint8)


def _not_a_number(text: str) -> str:
    return next(
        (word[:20] for word in text.split() if not re.fullmatch(r"[+-]?[0-9]+", word)), text[:20]
    )
