"""Any images in class folders; any number of classes, named as their folders, in alphabetical
order.

Forms on disk: split folders of class folders, or class folders alone.

    train/cat/1.jpg  validation/cat/2.jpg  test/cat/3.jpg       (`valid` and `val` are the same as `validation`)
    cat/1.jpg  dog/2.jpg

A split without a folder is held out of the training images: 10 % of each class, at least one image,
the same ones each time. So class folders alone are split 80 / 10 / 10. Images are gray if every
file is, else RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd.datasets import SIZE, SPLITS, Samples, class_names
from keras_kd.datasets.readers import _image_files, _splitting
from keras_kd.errors import DataError


@dataclass(frozen=True)
class _Listing:
    files: list[Path]
    labels: np.ndarray
    problems: tuple[str, ...] = ()


def matches(path: Path) -> bool:
    """Whether `path` is a folder with class folders of images."""
    train = _split_folders(path)["train"]
    return any(map(_image_files.image_files, _image_files.class_folders(train).values()))


def load(path: Path | None, split: str, skip_bad_rows: bool = False, size: int = SIZE) -> Samples:
    """Load one split as uint8 (N, size, size, 1 or 3).

    Raises:
        DataError: a class is empty, the splits have different classes, or a file is no image; the
            message names it.
    """
    if path is None:
        raise DataError(
            "folder needs a path: give folder:PATH, a folder that holds one folder for each class."
        )
    folders = _split_folders(path)
    names = _class_names(folders["train"], skip_bad_rows)
    listings = {name: _listing(folder, names, skip_bad_rows) for name, folder in folders.items()}
    channels = (
        1
        if _image_files.all_gray(file for listing in listings.values() for file in listing.files)
        else 3
    )
    own = _with_held_out(listings, names)[split]
    pictures = _image_files.read(own.files, (size, size, channels), skip_bad_rows)
    labels = own.labels[pictures.kept]
    return Samples(
        pictures.images, labels, names, None, own.problems + pictures.skipped, pictures.sizes
    )


def _split_folders(path: Path) -> dict[str, Path]:
    """Return the folder of each split that has one; without a train folder `path` itself holds the
    classes.
    """
    found: dict[str, Path] = {}
    for split, options in _splitting.NAMES.items():
        there = [path / name for name in options if (path / name).is_dir()]
        if len(there) > 1:
            raise DataError(
                f"{path} has the {split} images twice, in {' and '.join(map(str, there))}: keep one of them."
            )
        if there:
            found[split] = there[0]
    return found if "train" in found else {"train": path}


def _class_names(train: Path, skip_bad_rows: bool) -> tuple[str, ...]:
    folders = _image_files.class_folders(train)
    # Without skip_bad_rows an empty class keeps its name, and _listing reports it.
    names = tuple(
        name
        for name, folder in folders.items()
        if _image_files.image_files(folder) or not skip_bad_rows
    )
    if wrong := class_names.problem(names):
        raise DataError(f"In {train} {wrong}: rename the folder.")
    if len(names) < 2:
        raise DataError(
            f"{train} has {len(names)} class folders with images, expected two or more: add classes."
        )
    return names


def _listing(split_folder: Path, names: tuple[str, ...], skip_bad_rows: bool) -> _Listing:
    """List a split's files class by class; stop at the first problem, or with `skip_bad_rows` keep
    them all.
    """
    folders = _image_files.class_folders(split_folder)
    files = {name: _image_files.image_files(split_folder / name) for name in names}
    expected = f"expected the classes of the train split: {', '.join(names)}"
    problems = [
        f"{split_folder / name} is a class without images" for name in names if not files[name]
    ]
    problems += [
        f"{folder} is no class, {expected}" for name, folder in folders.items() if name not in names
    ]
    if problems and not skip_bad_rows:
        raise DataError(
            f"{problems[0]}; add images, rename or remove the folder, or pass over it with --skip-bad-rows."
        )
    labels = np.repeat(np.arange(len(names)), [len(files[name]) for name in names])
    return _Listing([file for name in names for file in files[name]], labels, tuple(problems))


def _with_held_out(listings: dict[str, _Listing], names: tuple[str, ...]) -> dict[str, _Listing]:
    """Add the splits that have no folder, each a share of the training images."""
    if set(listings) == set(SPLITS):
        return listings
    train = listings["train"]
    parts = {
        split: _Listing(
            [train.files[row] for row in rows],
            train.labels[rows],
            train.problems if split == "train" else (),
        )
        for split, rows in _splitting.held_out(train.labels, names, listings).items()
    }
    return listings | parts
