"""Views: augmented versions of a training image, each exactly repeatable.

A view is a function of the image's row and the view's number alone. So the teacher's logits of a
view belong to exactly the pixels that the student sees, however often and in whatever order it is
drawn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, final

import numpy as np
from PIL import Image

from keras_kd._common.arrays import large_array, read_ahead
from keras_kd._common.vocabulary import CHANGES as WORDS
from keras_kd.errors import ConfigError, DataError
from keras_kd.teachers.crops import cropped


@dataclass(frozen=True)
class Changes:
    """The largest changes of seeded views.

    Args:
        side: the smallest crop, as a share of the image's side; 1 for none.
        jitter: largest change of contrast and of brightness, as a share.
        turn: largest angle in degrees.
        erased: share of the views in which a square is erased.
        mirrored: whether half of the views are mirrored.
    """

    side: float
    jitter: float
    turn: float = 0.0
    erased: float = 0.0
    mirrored: bool = False

    @property
    def numbers(self) -> int:
        """The number of random numbers that a view takes."""
        return 11 if self.turn or self.erased else 6

    def __str__(self) -> str:
        parts = {
            f"side {self.side}-1": self.side < 1,
            "mirror .5": self.mirrored,
            f"jitter {self.jitter}": self.jitter,
            f"turn {self.turn:g}": self.turn,
            f"erased {self.erased:g}": self.erased,
        }
        return ", ".join(name for name, is_there in parts.items() if is_there)


# The values tried first on FER2013: `crops` for tens of epochs, `strong` for a teacher that trains
# longer.
CHANGES = {
    "crops": Changes(0.82, 0.15),
    "strong": Changes(0.75, 0.25, turn=12.0, erased=0.5),
}


def _changes_of(words: Collection[str]) -> Changes:
    """What these words change together; `strong` is all but the mirror."""
    is_strong = "strong" in words
    weak, strong = CHANGES["crops"], CHANGES["strong"]
    amounts = strong if is_strong else weak
    return Changes(
        amounts.side if is_strong or "crops" in words else 1.0,
        amounts.jitter if is_strong or "jitter" in words else 0.0,
        strong.turn if is_strong or "turn" in words else 0.0,
        strong.erased if is_strong or "erase" in words else 0.0,
        "mirror" in words,
    )


# Rows whose random numbers are drawn at a time.
CHUNK = 2**16
# Side of the square that is blotted out, as a share of the image's.
SMALLEST_BLOT, LARGEST_BLOT = 0.15, 0.45


@final
@dataclass(frozen=True)
class AtSizes:
    """The same images at the sizes of several teachers, each cut from the original pixels.

    Attributes:
        arrays: uint8 (N, H, W, C) each, in the teachers' order.
    """

    arrays: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.arrays[0])


Images = TypeVar("Images", np.ndarray, AtSizes)


@dataclass(frozen=True)
class Views:
    """The views of a set of images.

    Args:
        kind: "none" (the image itself), "mirror" (the image and its mirror image, all that the
            papers use), or words joined by commas, with which `count` seeded views are made:
            "crops" (82 to 100 % of the side), "mirror" (half of them), "jitter" (contrast and
            brightness by up to 15 %), "turn" (up to 12 degrees), "erase" (a square in half of
            them), "strong" (all but mirror, with crops of 75 to 100 % and jitter of up to 25 %).
        rows: number of images.
        count: number of views; ignored for "none" and for "mirror" alone.
        seed: seed of the random changes.

    Raises:
        ConfigError: the kind is unknown, or there is less than one view.
    """

    kind: str
    rows: int
    count: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind != "none" and not set(self._words) <= set(WORDS):
            raise ConfigError(
                f"kind must be none or of {', '.join(WORDS)}. Received: kind={self.kind!r}."
            )
        if self.count < 1:
            raise ConfigError(f"count must be 1 or more. Received: count={self.count}.")

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each view, which identifies all its changes: part of a soft-label store's
        key.
        """
        if self.kind == "none":
            return ("identity",)
        if self.kind == "mirror":
            return ("identity", "mirror")
        recipe = f"{self._changes}, seed {self.seed}"
        return tuple(f"crop {number}: {recipe}" for number in range(self.count))

    @property
    def _words(self) -> list[str]:
        return self.kind.split(",")

    @property
    def _changes(self) -> Changes:
        return _changes_of(self._words)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _numbers(self) -> np.ndarray:
        """Uniform numbers in 0..1, (views, rows, 6 or 11).

        Of side, top, left, mirror, contrast, brightness; of the angle; of whether, how large, and
        where from the top and from the left a square is blotted out.
        """
        numbers = large_array((self.count, self.rows, self._changes.numbers), np.float32)
        for view, of_view in enumerate(numbers):
            # A view's numbers don't depend on how many views there are.
            random = np.random.default_rng((self.seed, view))
            for start in range(0, self.rows, CHUNK):
                part = of_view[start : start + CHUNK]
                part[:] = random.random(part.shape)
        return numbers

    def show(self, images: Images, rows: np.ndarray, views: np.ndarray) -> Images:
        """Return the given view of each given row, the same region of it at each size.

        Args:
            images: uint8 (rows of the whole set, H, W, C), or those at several sizes; may be
                memory-mapped.
            rows: int (n,) rows of `images`.
            views: int (n,) view numbers, below `len(self)`.

        Returns:
            uint8 (n, H, W, C), or those at the same sizes.
        """
        if isinstance(images, AtSizes):
            return AtSizes(tuple(self._shown(one, rows, views) for one in images.arrays))
        return self._shown(images, rows, views)

    def _shown(self, images: np.ndarray, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        read_ahead(images, rows)
        return self.changed(np.ascontiguousarray(images[rows]), rows, views)

    def changed(self, shown: np.ndarray, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Return the given view of each of some images that were drawn from the whole set.

        Args:
            shown: uint8 (n, H, W, C), which may be changed.
            rows: int (n,), the images' rows in the whole set.
            views: int (n,) view numbers, below `len(self)`.

        Returns:
            uint8 (n, H, W, C).
        """
        if self.kind == "mirror":
            mirrored = np.flatnonzero(views)
            shown[mirrored] = shown[mirrored, :, ::-1]
        elif self.kind != "none":
            shown = _changed(shown, self._numbers[views, rows], self._changes)
        return shown


def named(names: Sequence[str], rows: int) -> Views:
    """Return the views that have the given names, as a soft-label store records them.

    Args:
        names: names of the views, in order.
        rows: number of images.

    Returns:
        The views.

    Raises:
        DataError: no views have these names, e.g. because another version wrote them.
    """
    seed = names[0].rpartition("seed ")[2] if names else ""
    for kind in _kinds() if names else ():
        views = Views(kind, rows, len(names), int(seed) if seed.isdecimal() else 0)
        if views.names == tuple(names):
            return views
    first = ", ".join(names[:1])
    raise DataError(f"No views are named {first}…: make the soft labels again with this version.")


def _kinds() -> Iterator[str]:
    """Every kind of views."""
    yield "none"
    for count in range(1, len(WORDS) + 1):
        yield from map(",".join, itertools.combinations(WORDS, count))


def _changed(shown: np.ndarray, numbers: np.ndarray, changes: Changes) -> np.ndarray:
    """Crop, turn, mirror, jitter and blot uint8 (n, H, W, C) by uniform numbers (n, 6 or 11)."""
    side = changes.side + (1 - changes.side) * numbers[:, 0]
    if changes.turn:
        angles = np.radians(changes.turn) * (2 * numbers[:, 6] - 1)
        _turn(shown, side, numbers[:, 1], numbers[:, 2], angles)
    elif changes.side < 1:
        shown = cropped(shown, side, numbers[:, 1], numbers[:, 2])
    if changes.mirrored:
        mirrored = np.flatnonzero(numbers[:, 3] < 0.5)
        shown[mirrored] = shown[mirrored, :, ::-1]
    if changes.jitter:
        _jitter(shown, 1 + changes.jitter * (2 * numbers[:, 4:6] - 1))
    if changes.erased:
        erased = np.flatnonzero(numbers[:, 7] < changes.erased)
        for row, mean in zip(erased, _means(shown[erased]), strict=True):
            _blot(shown[row], mean, *numbers[row, 8:])
    return shown


def _means(images: np.ndarray) -> np.ndarray:
    """The mean of each image and channel, rounded down: uint8 (n, C)."""
    pixels = images.shape[1] * images.shape[2]
    return (images.sum(axis=(1, 2), dtype=np.int64) // pixels).astype(np.uint8)


def _turn(
    images: np.ndarray, sides: np.ndarray, tops: np.ndarray, lefts: np.ndarray, angles: np.ndarray
) -> None:
    """Replace each of uint8 (n, H, W, C) by a part of it that is turned by an angle in radians.

    What then lies beyond the image has the image's mean.
    """
    height, width, channels = images.shape[1:]
    for picture, mean, side, top, left, angle in zip(
        images, _means(images), sides, tops, lefts, angles, strict=True
    ):
        across, down = side * math.cos(angle), side * math.sin(angle)
        middle_x = left * (1 - side) * width + side * width / 2
        middle_y = top * (1 - side) * height + side * height / 2
        # In shares of the sides, so that the region is the same whatever their ratio is.
        right = (across, -down * (width / height), middle_x - across * width / 2 + down * width / 2)
        below = (
            down * (height / width),
            across,
            middle_y - down * height / 2 - across * height / 2,
        )
        part = Image.fromarray(picture if channels == 3 else picture[:, :, 0]).transform(
            (width, height),
            Image.Transform.AFFINE,
            right + below,
            Image.Resampling.BILINEAR,
            fillcolor=tuple(mean.tolist()),
        )
        picture[:] = np.asarray(part).reshape(picture.shape)


def _blot(picture: np.ndarray, mean: np.ndarray, size: float, top: float, left: float) -> None:
    """Fill a square of uint8 (H, W, C), of others the same share of both sides, with a colour; its
    size, top and left in 0..1 of what they can be.
    """
    height, width = picture.shape[:2]
    share = SMALLEST_BLOT + (LARGEST_BLOT - SMALLEST_BLOT) * size
    down, across = round(share * height), round(share * width)
    y, x = round(top * (height - down)), round(left * (width - across))
    picture[y : y + down, x : x + across] = mean


def _jitter(images: np.ndarray, factors: np.ndarray) -> None:
    """Scale contrast about each image's mean by factors[:, 0] and brightness by factors[:, 1]."""
    mean = images.mean(axis=(1, 2, 3), dtype=np.float32)
    gain, brightness = factors[:, 0], factors[:, 1]
    offset = mean * brightness * (1 - gain)
    levels = np.arange(256, dtype=np.float32)
    table = np.clip(levels * (gain * brightness)[:, None] + offset[:, None] + 0.5, 0, 255).astype(
        np.uint8
    )
    for picture, of_picture in zip(images, table, strict=True):
        # Far faster than NumPy's indexing, which wants 8 bytes for each pixel.
        pixels = picture.tobytes().translate(of_picture.tobytes())
        picture[:] = np.frombuffer(pixels, np.uint8).reshape(picture.shape)
