"""Image files listed by split with their labels, and the samples that they become."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd._common.text import counted
from keras_kd.datasets import SPLITS, Samples, decoding
from keras_kd.datasets.images import Size, height_width
from keras_kd.datasets.readers import _image_files, _splitting
from keras_kd.datasets.readers._pixel_numbers import PixelRow


@dataclass(frozen=True)
class Listing:
    """The files of one split.

    Attributes:
        files: the image files, or the rows of tables that hold the pixels.
        labels: int64 (files,), their class numbers.
        problems: a line for each row or class that was passed over.
    """

    files: Sequence[Path | PixelRow]
    labels: np.ndarray
    problems: tuple[str, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files without the rows."""
        return [file for file in self.files if isinstance(file, Path)]


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
    of_rows = (
        file.shape[2]
        for listing in listings.values()
        for file in listing.files
        if isinstance(file, PixelRow)
    )
    of_files = decoding.channels(file for listing in listings.values() for file in listing.paths)
    shape, found = (*height_width(size), max((of_files, *of_rows))), {}
    whole = _with_held_out(listings, names)
    for split in splits:
        own = whole[split]
        pictures = _image_files.read(own.files, shape, skip_bad_rows)
        labels, skipped = own.labels[pictures.kept], own.problems + pictures.skipped
        found[split] = Samples(pictures.images, labels, tuple(names), None, skipped, pictures.sizes)
    return found


def repeated(listings: Mapping[str, Listing]) -> list[str]:
    """Return the names of files that stand in several rows.

    Args:
        listings: the files of each split.
    """
    rows = Counter(file for listing in listings.values() for file in listing.paths)
    return [file.name for file, count in rows.items() if count > 1]


def contradicting(listings: Mapping[str, Listing]) -> list[str]:
    """Say which files have rows of different classes, as several annotators write them.

    Args:
        listings: the files of each split.
    """
    classes: dict[Path | PixelRow, set[int]] = defaultdict(set)
    for listing in listings.values():
        for file, label in zip(listing.files, listing.labels.tolist(), strict=True):
            classes[file].add(label)
    files = [file.name for file, own in classes.items() if len(own) > 1 and isinstance(file, Path)]
    if not files:
        return []
    return [f"the rows of {counted(len(files), 'file')}, {files[0]} first, differ in class"]


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
