"""Image files listed by split with their labels, and the samples that they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd.datasets import SPLITS, Samples
from keras_kd.datasets.images import Size, height_width
from keras_kd.datasets.readers import _image_files, _splitting


@dataclass(frozen=True)
class Listing:
    """The files of one split.

    Attributes:
        files: the image files.
        labels: int64 (files,), their class numbers.
        problems: a line for each row or class that was passed over.
    """

    files: list[Path]
    labels: np.ndarray
    problems: tuple[str, ...] = ()


def samples(
    listings: Mapping[str, Listing],
    names: Sequence[str],
    splits: Sequence[str],
    skip_bad_rows: bool,
    size: Size,
) -> dict[str, Samples]:
    """Read the images of some splits, gray if every file of all splits is, else RGB.

    Args:
        listings: the files of each split that is on disk; the others are held out of train.
        names: the class names.
        splits: the splits to read.
        skip_bad_rows: as in `datasets`.
        size: as in `datasets`.

    Returns:
        The samples by split.

    Raises:
        DataError: a file is no image, or a class has too few images to hold a split out.
    """
    files = (file for listing in listings.values() for file in listing.files)
    channels = 1 if _image_files.all_gray(files) else 3
    shape, found = (*height_width(size), channels), {}
    whole = _with_held_out(listings, names)
    for split in splits:
        own = whole[split]
        pictures = _image_files.read(own.files, shape, skip_bad_rows)
        labels, skipped = own.labels[pictures.kept], own.problems + pictures.skipped
        found[split] = Samples(pictures.images, labels, tuple(names), None, skipped, pictures.sizes)
    return found


def _with_held_out(listings: Mapping[str, Listing], names: Sequence[str]) -> dict[str, Listing]:
    """Add the splits that are not on disk, each a share of the training images."""
    if set(listings) == set(SPLITS):
        return dict(listings)
    train = listings["train"]
    parts = {
        split: Listing(
            [train.files[row] for row in rows],
            train.labels[rows],
            train.problems if split == "train" else (),
        )
        for split, rows in _splitting.held_out(train.labels, names, listings).items()
    }
    return dict(listings) | parts
