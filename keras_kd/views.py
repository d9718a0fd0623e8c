"""Views: the ways in which a training image is shown, each exactly repeatable.

A view is a function of the image's row and the view's number alone, so the teacher's logits of a view
belong to exactly the pixels that the student sees, however often and in whatever order it is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from keras_kd.errors import ConfigError, DataError

KINDS = ("none", "mirror", "crops")

# Of the image's side and of its brightness range; the values tried first on FER2013.
SMALLEST_CROP = 0.82
JITTER = 0.15


@dataclass(frozen=True)
class Views:
    """The views of a set of images.

    Args:
        kind: "none" (the image itself), "mirror" (identity and mirror image, all that the papers use)
            or "crops" (`count` seeded crops of 82 to 100 % of the side, half of them mirrored, with contrast
            and brightness changed by up to 15 %).
        rows: number of images.
        count: number of views of kind "crops"; ignored otherwise.
        seed: of the crops.

    Raises:
        ConfigError: another kind, or fewer than one view.
    """

    kind: str
    rows: int
    count: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"kind must be one of {', '.join(KINDS)}. Received: kind={self.kind!r}.")
        if self.count < 1:
            raise ConfigError(f"count must be 1 or more. Received: count={self.count}.")

    @property
    def names(self) -> tuple[str, ...]:
        """One name a view, which says all that makes it: part of a soft-label store's key."""
        if self.kind == "none":
            return ("identity",)
        if self.kind == "mirror":
            return ("identity", "mirror")
        recipe = f"side {SMALLEST_CROP}-1, mirror .5, jitter {JITTER}, seed {self.seed}"
        return tuple(f"crop {number}: {recipe}" for number in range(self.count))

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _crops(self) -> np.ndarray:
        """Uniform numbers in 0..1, (views, rows, 6): side, top, left, mirror, contrast, brightness."""
        numbers = [np.random.default_rng((self.seed, number)).random((self.rows, 6)) for number in range(self.count)]
        return np.stack(numbers).astype(np.float32)

    def show(self, images: np.ndarray, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Return the given view of each given row.

        Args:
            images: uint8 (rows of the whole set, H, W, C); may be memory-mapped.
            rows: int (n,) rows of `images`.
            views: int (n,) view numbers, below `len(self)`.

        Returns:
            uint8 (n, H, W, C).
        """
        shown = np.ascontiguousarray(images[rows])
        if self.kind == "mirror":
            mirrored = np.flatnonzero(views)
            shown[mirrored] = shown[mirrored, :, ::-1]
        elif self.kind == "crops":
            numbers = self._crops[views, rows]
            for picture, (side, top, left, *_) in zip(shown, numbers, strict=True):
                _crop(picture, SMALLEST_CROP + (1 - SMALLEST_CROP) * side, top, left)
            mirrored = np.flatnonzero(numbers[:, 3] < 0.5)
            shown[mirrored] = shown[mirrored, :, ::-1]
            shown = _jitter(shown, 1 + JITTER * (2 * numbers[:, 4:] - 1))
        return shown


def named(names: Sequence[str], rows: int) -> Views:
    """Return the views of `rows` images that have these names, as a soft-label store keeps them.

    Raises:
        DataError: no views have them: those of another version, say.
    """
    seed = names[0].rpartition("seed ")[2] if names else ""
    for kind in KINDS if names else ():
        views = Views(kind, rows, len(names), int(seed) if seed.isdecimal() else 0)
        if views.names == tuple(names):
            return views
    raise DataError(f"No views are named {', '.join(names[:1])}…: make the soft labels again with this version.")


def _crop(picture: np.ndarray, side: float, top: float, left: float) -> None:
    """Replace uint8 (H, W, C) by a part of it, `side` of its height and width, at `top` and `left` in 0..1."""
    height, width, channels = picture.shape
    y, x = top * (1 - side) * height, left * (1 - side) * width
    box = (x, y, x + side * width, y + side * height)
    whole = Image.fromarray(picture if channels == 3 else picture[:, :, 0])
    part = whole.resize((width, height), Image.Resampling.BILINEAR, box=box)
    picture[:] = np.asarray(part).reshape(picture.shape)


def _jitter(images: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Scale contrast about each image's mean by factors[:, 0] and brightness by factors[:, 1]."""
    mean = images.mean(axis=(1, 2, 3), dtype=np.float32)
    gain, brightness = factors[:, 0], factors[:, 1]
    offset = mean * brightness * (1 - gain)
    levels = np.arange(256, dtype=np.float32)
    table = np.clip(levels * (gain * brightness)[:, None] + offset[:, None] + 0.5, 0, 255).astype(np.uint8)
    pixels = images.reshape(len(images), -1)
    return np.take_along_axis(table, pixels.astype(np.intp), axis=1).reshape(images.shape)
