"""FER2013, 7 expressions: Kaggle's `fer2013.csv` or `icml_face_data.csv`, or Kaggle's `train/` and
`test/` class folders.

35,887 gray faces of 48x48 pixels; Goodfellow et al. 2013, "Challenges in Representation Learning".
Forms on disk:

- Kaggle's `fer2013.csv`, or `icml_face_data.csv`: columns emotion, pixels, Usage (see
  `_fer2013_csv`).
- Kaggle's class folders, where the beginning of the file name tells the split:

      train/angry/Training_123.jpg
      test/angry/PublicTest_77.jpg
      test/angry/PrivateTest_88.jpg

Training is the train split, PublicTest validation, PrivateTest test. The class order is the csv's
in both forms: angry disgust fear happy sad surprise neutral (the folders' alphabetical order has
neutral before sad).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_kd.datasets import SIZE, Samples, duplicates, images
from keras_kd.datasets.class_names import canonical
from keras_kd.datasets.images import Size
from keras_kd.datasets.readers import _fer2013_csv, _image_files, _splitting, _tree
from keras_kd.datasets.readers._fer2013_csv import CLASS_NAMES, USAGES
from keras_kd.errors import DataError

COUNTS = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "validation": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}


def matches(path: Path) -> bool:
    """Whether a path looks like this data set.

    Args:
        path: a file or folder.

    Returns:
        True for such a csv file, or class folders with files named Training_... and so on.
    """
    return _fer2013_csv.matches(path) or any(_usage(file) for file, _ in _files(path))


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: Size
) -> dict[str, Samples]:
    """Load several splits in one pass over the csv. Arguments: see `datasets`.

    Images are uint8 (N, height, width, 1), resized from 48x48.
    """
    if path is None:
        raise DataError(
            "fer2013 needs a path: give fer2013:PATH, the csv file or the folder that holds train"
            " and test."
        )
    if path.is_dir():
        return {split: _load_folders(path, split, skip_bad_rows, size) for split in splits}
    tables = _fer2013_csv.read(path, splits, skip_bad_rows)
    return {split: _samples(table, size) for split, table in tables.items()}


load = _splitting.one_split(load_splits, SIZE)


def _samples(table: _fer2013_csv.Table, size: Size) -> Samples:
    sizes = np.full((len(table.labels), 2), _fer2013_csv.SIDE)
    resized = images.resize(table.images, *images.height_width(size))
    return Samples(resized, table.labels, CLASS_NAMES, None, table.skipped, sizes)


def subsets(
    train: Samples, validation: Samples, test: Samples
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the test sets that the field reports.

    These are `public`, `private`, `both` and `private_without_copies`. 288 of the 3,589 PrivateTest
    images have exactly the pixels of a Training image.

    Args:
        train: the training split.
        validation: the validation split.
        test: the test split.

    Returns:
        By name, a mask of the validation rows and a mask of the test rows, both bool.
    """
    return duplicates.public_private_subsets(train.images, validation.images, test.images)


def sources(path: Path) -> list[Path]:
    """Return every file that the splits are read from. Arguments: see `datasets`."""
    return [file for file, _ in _files(path)] if path.is_dir() else [path]


def _files(path: Path) -> list[tuple[Path, Path]]:
    """Every image file, with its class folder."""
    if not path.is_dir():
        return []
    halves = _tree.split_folders(path).values()
    folders = [folder for half in halves for folder in _image_files.class_folders(half).values()]
    return [(file, folder) for folder in folders for file in _image_files.image_files(folder)]


def _usage(file: Path) -> str | None:
    return USAGES.get(file.name.partition("_")[0])


def _load_folders(path: Path, split: str, skip_bad_rows: bool, size: Size) -> Samples:
    found = _files(path)
    for _, folder in found:
        if canonical(folder.name) not in CLASS_NAMES:
            raise DataError(
                f"{folder} is no class of FER2013: expected {', '.join(CLASS_NAMES)}; rename or"
                " remove it."
            )
    unnamed = [file for file, _ in found if not _usage(file)]
    if unnamed and not skip_bad_rows:
        raise DataError(
            f"{unnamed[0]} does not tell its split: expected a name that begins with"
            f" {', '.join(USAGES)} and _; rename it, or leave out all such files with"
            " --skip-bad-rows."
        )
    own = [
        (file, CLASS_NAMES.index(canonical(folder.name)))
        for file, folder in found
        if _usage(file) == split
    ]
    if not own:
        raise DataError(
            f"{path} has no files of the {split} split: give the complete train and test folders."
        )
    pictures = _image_files.read(
        [file for file, _ in own], (*images.height_width(size), 1), skip_bad_rows
    )
    labels = np.array([label for _, label in own], np.int64)
    # A file of no split is listed once, with train.
    lost = tuple(f"{file} does not tell its split" for file in unnamed) if split == "train" else ()
    return Samples(
        pictures.images,
        labels[pictures.kept],
        CLASS_NAMES,
        None,
        pictures.skipped + lost,
        pictures.sizes,
    )
