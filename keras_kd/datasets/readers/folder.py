"""Any class folders, or `train/`, `validation/` and `test/` of class folders; images in deeper
folders count. HEIC needs the extra `heic`.

There may be any number of classes; they are named as their folders, in alphabetical order. Forms
on disk: split folders of class folders, or class folders alone.

    train/cat/1.jpg  validation/cat/2.jpg  test/cat/3.jpg
    cat/1.jpg  dog/2.jpg  dog/rex/3.jpg

A split folder has one of these words in its name, in any case: `train`, `training`; `validation`,
`valid`, `val`, `dev`; `test`, `testing` (`Train`, `test_set`, `val2017`). Images in deeper folders
belong to the class folder that they lie in. Folders of two splits are the same class if their names
are the same letters (composed or decomposed) or mean the same (`happy`, `Happiness`); the train
split's name is kept. Folders that are numbers get names by a `labels.txt` beside them, one a line
in the order of the numbers, or each behind its number (`10 happy`).

A split without a folder is held out of the training images: 10 % of each class, at least one image,
the same ones each time. So class folders alone are split 80 / 10 / 10. Images are gray if every
file is, else RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_kd.datasets import SIZE, Samples, class_names
from keras_kd.datasets.images import Size
from keras_kd.datasets.readers import (
    _bad_rows,
    _class_folders,
    _image_files,
    _listings,
    _numbering,
    _splitting,
    _survey,
    _tree,
)
from keras_kd.datasets.readers._listings import Listing
from keras_kd.errors import DataError


def matches(path: Path) -> bool:
    """Whether a path looks like this data set.

    Args:
        path: a file or folder.

    Returns:
        True for a folder with class folders of images.
    """
    if not path.is_dir():
        return False
    train = _tree.split_folders(path)["train"]
    return any(map(_image_files.image_files, _image_files.class_folders(train).values()))


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: Size
) -> dict[str, Samples]:
    """Load several splits of class folders, which are listed once. Arguments: see `datasets`.

    Images are uint8 (N, height, width, 1 or 3). Errors are also an empty class, splits of different
    classes, and a folder that is neither a split nor a class.
    """
    names, listings = _listed(path, skip_bad_rows)
    return _listings.samples(listings, names, splits, skip_bad_rows, size)


load = _splitting.one_split(load_splits, SIZE)


def sources(path: Path) -> list[Path]:
    """Return every file that the splits are read from. Arguments: see `datasets`."""
    names, listings = _listed(path, skip_bad_rows=True)
    train = _tree.split_folders(path)["train"]
    # Other names than the folders' are those of a labels.txt.
    named = any(
        class_names.plain(file.relative_to(train).parts[0]) != names[label]
        for file, label in zip(listings["train"].paths, listings["train"].labels, strict=True)
    )
    listed = [path / class_names.LABELS_FILE] if named else []
    return [*listed, *(file for listing in listings.values() for file in listing.paths)]


def remarks(path: Path) -> list[str]:
    """Report how folders were read where their names leave a choice.

    Args:
        path: the folder.

    Returns:
        One sentence for each such folder.
    """
    train, *rest = _tree.split_folders(path).values()
    lines = _class_folders.remarks(path, train, rest)
    if others := _tree.other_splits(path):
        lines.append(
            f"{' and '.join(map(str, others))} beside it: give {path.parent} for all splits"
        )
    return lines + _survey.tables_beside(path, [train, *rest])


def _listed(path: Path | None, skip_bad_rows: bool) -> tuple[tuple[str, ...], dict[str, Listing]]:
    """The class names, and what lies on disk of each split that has a folder."""
    if path is None:
        raise DataError(
            "folder needs a path: give folder:PATH, a folder that holds one folder for each class."
        )
    folders = _tree.split_folders(path)
    if not skip_bad_rows:
        _class_folders.refuse_unknown(path, folders)
    classes = _class_folders.of_train(folders["train"], path, skip_bad_rows)
    names = tuple(classes)
    return names, {
        split: _listing(folder, classes, skip_bad_rows) for split, folder in folders.items()
    }


def _listing(split_folder: Path, classes: dict[str, list[Path]], skip_bad_rows: bool) -> Listing:
    """List a split's files class by class; stop at the first problem, or with `skip_bad_rows` keep
    them all.
    """
    found, unknown = _class_folders.of_split(split_folder, classes)
    numbers = [own[0].name for own in classes.values()]
    if unknown and _numbering.are_numbers(numbers):
        given = _image_files.class_folders(split_folder)
        _bad_rows.require_same_numbers(split_folder, given, map(int, numbers))
    files = {
        name: [file for folder in found[name] for file in _image_files.image_files(folder)]
        for name in classes
    }
    problems = [
        f"{found[name][0]} is a class without images{_survey.instead_of_images(found[name][0])}"
        if found[name]
        else f"{split_folder} has no folder of the class {name}, of which there are training images"
        for name in classes
        if not files[name]
    ]
    others = [
        f"{folder} is no class, expected the classes of the train split: {', '.join(classes)}"
        for folder in unknown
    ]
    # Where no class has images the other folders tell more.
    problems = problems + others if any(files.values()) else others + problems
    # Where no class has images, and of a first one that has none, a file may tell why.
    bare = [split_folder] * (not any(files.values())) + [
        folder for name in classes if not files[name] for folder in found[name][:1]
    ]
    unread = next(filter(None, map(_survey.unread_file, bare)), "")
    filled = [folder for name in classes if files[name] for folder in found[name]]
    deeper = len(filled) == 1 and bool(_tree.listed(filled[0]).folders)
    within = f", or give {filled[0]} if its folders are the classes" if deeper else ""
    if problems and not skip_bad_rows:
        raise DataError(
            f"{problems[0]}; add images, rename or remove the folder, or pass over it with"
            f" --skip-bad-rows{within}{unread and '; '}{unread}."
        )
    labels = np.repeat(np.arange(len(classes)), [len(files[name]) for name in classes])
    return Listing([file for name in classes for file in files[name]], labels, tuple(problems))
