"""RAF-DB, 7 expressions: `list_patition_label.txt` with aligned images, or Kaggle's
`DATASET/{train,test}/1..7`.

15,339 aligned RGB faces of 100x100 pixels; Li, Deng, Du 2017, "Reliable Crowdsourcing and Deep
Locality-Preserving Learning for Expression Recognition in the Wild". Forms on disk:

- the official one: `list_patition_label.txt` (its own spelling), in the folder or in EmoLabel/,
with lines
  `train_00001.jpg 5`, and the images Image/aligned/train_00001_aligned.jpg;
- Kaggle's: DATASET/train/1 to 7 and DATASET/test/1 to 7; train_labels.csv and test_labels.csv
(columns image, label)
  beside DATASET or in it are checked against the folders where they are there; the path may be
  DATASET itself.

Classes count from 1 on disk: surprise fear disgust happy sad anger neutral.

RAF-DB has no validation split: 10 % of the training images of each class, the same ones each time,
are held out as validation, so that the test split stays unseen until the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_kd._common import csv_files
from keras_kd.datasets import SIZE, Samples, class_names
from keras_kd.datasets.images import Size, height_width
from keras_kd.datasets.readers import _bad_rows, _image_files, _splitting, _tree
from keras_kd.errors import DataError

CLASS_NAMES = ("surprise", "fear", "disgust", "happy", "sad", "anger", "neutral")
# The published train split: this module's train and validation together.
COUNTS = {
    "train": (1290, 281, 717, 4772, 1982, 705, 2524),
    "test": (329, 74, 160, 1185, 478, 162, 680),
}
LIST = "list_patition_label.txt"
SHARES = {"train": 0.9, "validation": 0.1}
HALVES = ("train", "test")
LABELS = ("1", "2", "3", "4", "5", "6", "7")


def matches(path: Path) -> bool:
    """Whether a path looks like this data set.

    Args:
        path: a file or folder.

    Returns:
        True for a folder with the official list, or Kaggle's numbered folders of train_... images
        without a folder for validation.
    """
    if not path.is_dir():
        return False
    if _list_file(path) is not None:
        return True
    splits = _tree.split_folders(_kaggle_root(path))
    # A validation split of one's own is read with the other class folders.
    return "validation" not in splits and any(
        file.name.startswith("train_") for file in _image_files.image_files(splits["train"] / "1")
    )


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: Size
) -> dict[str, Samples]:
    """Load several splits and read each half's list once. Arguments: see `datasets`.

    Images are uint8 (N, height, width, 3).
    """
    if path is None:
        raise DataError(
            "rafdb needs a path: give rafdb:PATH, the folder that holds list_patition_label.txt or"
            " DATASET."
        )
    found: dict[str, Samples] = {}
    for half in HALVES:
        own = [split for split in splits if (split == "test") == (half == "test")]
        if not own:
            continue
        files, labels, problems = _entries(path, half, skip_bad_rows)
        rows = {half: np.arange(len(files))}
        if half == "train":
            rows = _splitting.stratified(labels, CLASS_NAMES, SHARES)
        for split in own:
            chosen = [files[row] for row in rows[split]]
            # A row that can't be read is listed once: with the train split, not with what is held
            # out of it.
            lost = tuple(problems) if split == half else ()
            found[split] = _samples(chosen, labels[rows[split]], size, skip_bad_rows, lost)
    return {split: found[split] for split in splits}


load = _splitting.one_split(load_splits, SIZE)


def _samples(
    files: list[Path], labels: np.ndarray, size: Size, skip_bad_rows: bool, lost: tuple[str, ...]
) -> Samples:
    pictures = _image_files.read(files, (*height_width(size), 3), skip_bad_rows)
    skipped = lost + pictures.skipped
    return Samples(
        pictures.images, labels[pictures.kept], CLASS_NAMES, None, skipped, pictures.sizes
    )


def sources(path: Path) -> list[Path]:
    """Return every file that the splits are read from. Arguments: see `datasets`."""
    root = _kaggle_root(path)
    tables = (_list_file(path), *(_table(root, half) for half in HALVES))
    images = [file for half in HALVES for file in _entries(path, half, skip_bad_rows=True)[0]]
    return images + [table for table in tables if table]


def _entries(
    path: Path, half: str, skip_bad_rows: bool
) -> tuple[list[Path], np.ndarray, list[str]]:
    """Return the files of the published train or test split, their labels, and the problems of
    other rows.
    """
    list_file = _list_file(path)
    rows = (
        _kaggle_rows(_kaggle_root(path), half)
        if list_file is None
        else _official_rows(path, list_file, half)
    )
    files, labels, problems = [], [], []
    for where, file, label in rows:
        try:
            labels.append(_class_number(path, file, label))
            files.append(file)
        except ValueError as error:
            if not skip_bad_rows:
                raise _bad_rows.refusal(f"{where}: {error}") from error
            problems.append(f"{where}: {error}")
    for number, name in enumerate(CLASS_NAMES):
        if number not in labels:
            raise DataError(
                f"{path} has no {half} images of class {number + 1}, {name}: give the complete data"
                " set."
            )
    return files, np.array(labels, np.int64), problems


def _class_number(root: Path, file: Path, label: str) -> int:
    if label not in LABELS:
        expected = f"expected 1 to {len(LABELS)} ({class_names.numbered(CLASS_NAMES, 1)})"
        raise ValueError(f"the label is {label!r}, {expected}")
    if not _image_files.inside(root, file).is_file():
        raise ValueError(f"there is no image {file}")
    return LABELS.index(label)


def _list_file(path: Path) -> Path | None:
    return next((file for file in (path / LIST, path / "EmoLabel" / LIST) if file.is_file()), None)


def _official_rows(path: Path, list_file: Path, half: str) -> Iterator[tuple[str, Path, str]]:
    """Yield (file and line, image, label) of the list's rows; one of neither split counts as
    train.
    """
    for line, row in enumerate(
        list_file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1
    ):
        name, *label = row.split() or [""]
        if name and name.startswith("test_") == (half == "test"):
            # The list names the originals, of which the aligned crops are used.
            stem, suffix = os.path.splitext(name)
            image = path / "Image" / "aligned" / f"{stem}_aligned{suffix}"
            yield f"{list_file}, line {line}", image, " ".join(label)


def _kaggle_root(path: Path) -> Path:
    return path / "DATASET" if (path / "DATASET").is_dir() else path


def _table(root: Path, half: str) -> Path | None:
    return next(
        (
            file
            for folder in (root, root.parent)
            if (file := folder / f"{half}_labels.csv").is_file()
        ),
        None,
    )


def _kaggle_rows(root: Path, half: str) -> Iterator[tuple[str, Path, str]]:
    """Yield (file and line, image, label): the csv's rows where there is one, and the files it does
    not list.
    """
    table, folder = _table(root, half), _tree.split_folders(root).get(half, root / half)
    listed = set()
    for line, (name, label) in csv_files.rows(table, ("image", "label")) if table else ():
        image = folder / label.strip() / name.strip()
        listed.add(image)
        yield f"{table}, line {line}", image, label.strip()
    for label, class_folder in _image_files.class_folders(folder).items():
        for image in _image_files.image_files(class_folder):
            if table is None:
                yield str(image), image, label
            elif image not in listed:
                yield f"{image}, which {table.name} does not list", image, ""
