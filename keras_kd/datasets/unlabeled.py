"""Pictures without labels, for a teacher to label, without those that are scored.

A picture that equals a validation or test picture, or nearly equals one (another size, compression
or brightness; not of one colour alone), would bring scored images into training, so it is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd._common.arrays import large_array
from keras_kd._common.paths import advice
from keras_kd.datasets.duplicates import Looks
from keras_kd.datasets.readers import _image_files
from keras_kd.errors import DataError


@dataclass(frozen=True)
class Unlabeled:
    """Pictures without labels.

    Attributes:
        images: uint8 (N, H, W, C).
        files: the file of each image, in order.
        equal: number of pictures left out because a scored picture has the same pixels.
        near: number of pictures left out because they nearly equal a scored one.
        skipped: one line for every unreadable file.
    """

    images: np.ndarray
    files: tuple[Path, ...]
    equal: int = 0
    near: int = 0
    skipped: tuple[str, ...] = ()


def load(
    folders: Sequence[str | Path],
    shape: tuple[int, int, int],
    scored: Sequence[np.ndarray],
    skip_bad_rows: bool = False,
) -> Unlabeled:
    """Read all pictures in folders, at any depth, except copies of the scored ones.

    Args:
        folders: the folders.
        shape: height, width and channels to convert them to.
        scored: validation and test pictures, each uint8 (M, H, W, C).
        skip_bad_rows: leave out unreadable files instead of raising.

    Returns:
        The pictures and the counts of what was left out.

    Raises:
        DataError: a folder is missing or holds no picture, a file can't be read, or all pictures
            are scored ones.
    """
    listed = [file for folder in folders for file in _files(Path(folder))]
    # Each file once, also where one folder lies in another.
    found = _image_files.read(list(dict.fromkeys(listed)), shape, skip_bad_rows)
    files = [file for file, kept in zip(dict.fromkeys(listed), found.kept, strict=True) if kept]
    looks, against = Looks(found.images), Looks(np.concatenate(list(scored)))
    equal, near = looks.copies_of(against), looks.near_copies_of(against)
    kept = np.flatnonzero(~(equal | near))
    if not len(kept):
        raise DataError(
            f"All {len(files)} pictures in {', '.join(map(str, folders))} are validation or test"
            " pictures, or nearly: give --unlabeled others."
        )
    images = large_array((len(kept), *shape))
    images[:] = found.images[kept]
    kept_files = tuple(files[row] for row in kept)
    return Unlabeled(images, kept_files, int(equal.sum()), int(near.sum()), found.skipped)


def reloaded(pictures: Unlabeled, shape: tuple[int, int, int]) -> np.ndarray:
    """Read the same pictures again at another size.

    Args:
        pictures: as `load` returned them.
        shape: height, width and channels.

    Returns:
        uint8 (N, *shape).
    """
    return _image_files.read(pictures.files, shape).images


def _files(folder: Path) -> list[Path]:
    files = _image_files.image_files(folder)
    if not files:
        usual = "give --unlabeled a folder of image files"
        raise DataError(f"No pictures in {folder}: {advice(folder, usual)}.")
    return files
