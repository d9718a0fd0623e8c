"""Splits for data that comes without them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_kd._common.text import counted
from keras_kd.datasets import SPLITS, Samples
from keras_kd.datasets.class_names import doubts
from keras_kd.datasets.images import Size
from keras_kd.datasets.readers import _tree
from keras_kd.errors import DataError

HELD_OUT = 0.1
# The splits in which each value of a column stands, by the column's name.
Groups = Mapping[str, Mapping[str, set[str]]]
# Words of columns whose images belong together, and of those that may tell a split.
_GROUPS = {
    "actor", "clip", "donor", "driver", "family", "group", "identity", "lesion", "participant",
    "patient", "person", "sequence", "session", "slide", "speaker", "specimen", "subject", "user",
    "video", "writer",
}  # fmt: skip
# Behind such a word, its name; others, as in patient_age, are something else of it.
_NAMES = {
    "code", "file", "filename", "id", "identifier", "index", "key", "name", "no", "nr", "num",
    "number", "path", "uid", "uuid",
}  # fmt: skip
# An age group or a patient group is a kind of person, of which each split should have some.
_KIND = re.compile("[a-z][ _-]?group$", re.IGNORECASE)
# Of a file's name: S010_, video0-, person_3., and of Roboflow's copies, IMG_7_jpg.rf.
_BEGINNING = re.compile(r"[^\W\d_]*[-_ ]?\d+(?=[-_. ])")
_FEWEST_ALIKE = 3  # persons or films
_SPLITS = {
    "dataset", "fold", "folds", "kfold", "partition", "phase", "set", "split", "splits", "subset",
    "usage",
}  # fmt: skip


def held_out(
    labels: np.ndarray, class_names: Sequence[str], given: Collection[str]
) -> dict[str, np.ndarray]:
    """Return the rows of the training images for "train" and for every split that is not `given`.

    Of each class 10 % go to each such split, at least one image, the same ones each time.

    Raises:
        DataError: a class has too few images.
    """
    missing = [split for split in SPLITS if split not in given]
    shares = {"train": 1 - HELD_OUT * len(missing)} | dict.fromkeys(missing, HELD_OUT)
    return stratified(labels, class_names, shares)


def stratified(
    labels: np.ndarray, class_names: Sequence[str], shares: Mapping[str, float], seed: int = 0
) -> dict[str, np.ndarray]:
    """Return the sorted rows of each part, drawn class by class so that each part has its share of
    every class.

    Args:
        labels: int64 (N,).
        class_names: names for the message below.
        shares: the share of each part; the first part takes what rounding leaves.
        seed: the same labels, shares and seed give the same rows on every machine.

    Raises:
        DataError: a class has fewer images than there are parts; every part gets at least one of
            each class.
    """
    first, *others = shares
    parts: dict[str, list[np.ndarray]] = {name: [] for name in shares}
    for label, class_name in enumerate(class_names):
        rows = np.flatnonzero(labels == label)
        if len(rows) < len(shares):
            raise DataError(
                f"Class {class_name} has {counted(len(rows), 'image')}, too few to split into"
                f" {', '.join(shares)}: expected at least {len(shares)}; add images or remove the"
                f" class{_doubt(class_name, class_names)}."
            )
        # Drawn by class, so that images added to one don't move those of the others.
        rows = np.random.default_rng((seed, label)).permutation(rows)
        for name in others:
            count = max(1, round(shares[name] * len(labels[labels == label])))
            parts[name].append(rows[:count])
            rows = rows[count:]
        parts[first].append(rows)
    return {name: np.sort(np.concatenate(rows)) for name, rows in parts.items()}


def _doubt(name: str, names: Sequence[str]) -> str:
    """What a class with few images may be instead, where its name tells."""
    others = doubts([other for other in names if other != name])
    told = (line for line in doubts(names) if line not in others)
    return "".join(f"; {line}" for line in told)


def unread(columns: Collection[str], given: Collection[str]) -> list[str]:
    """Say which columns beside an image and its class are not read although a split may depend on
    them.

    Args:
        columns: names of columns that are not read.
        given: the splits that are not held out of the training images.
    """
    lines = []
    for name in columns:
        if {*_tree.words(name)} & _SPLITS or _tree.split_of(name):
            lines.append(f"the column {name} is not read, so no split is taken from it")
        elif of_groups([name]) and set(given) < set(SPLITS):
            lines.append(
                f"the column {name} is not read: images of one {name} may fall into several splits"
            )
    return lines


def of_groups(columns: Collection[str]) -> list[str]:
    """Return the columns whose images belong together, as those of one person: `subject`,
    `patient_id`, `patientId` or `personid`, and not `patient_age`.

    Args:
        columns: names of columns.
    """
    found = []
    for name in columns:
        words = [word for word in _tree.words(name) if word not in _NAMES]
        if words and {words[-1], words[-1].removesuffix("id")} & _GROUPS and not _KIND.search(name):
            found.append(name)
    return found


def in_several(groups: Groups) -> list[str]:
    """Say which persons, or other groups of images, stand in several splits.

    Args:
        groups: the splits of each value of each column of `of_groups`; an empty value is of nobody.
    """
    lines = []
    for name, by_value in groups.items():
        named = {value: found for value, found in by_value.items() if value}
        several = [value for value, found in named.items() if len(found) > 1]
        if several:
            lines.append(
                f"{len(several)} of {len(named)} values of {name}, {several[0]} first,"
                " stand in several splits: scores are of some that were trained on"
            )
    return lines


def without_labels(splits: Collection[str]) -> list[str]:
    """Say which splits on disk are held out of the training images, as none of their images has a
    label.

    Args:
        splits: names of splits.
    """
    return [
        f"no row of {split} has a label; the images of {split} are taken from those of training"
        for split in splits
    ]


def named_alike(classes: Iterable[Sequence[Path]]) -> list[str]:
    """Say that files of which images are drawn for splits may show one person or film, where most
    have names that begin as others', as S010_004.png and S010_007.png.

    Args:
        classes: the files of each class.
    """
    found = [Counter(map(_beginning, files)) for files in classes]
    images = sum(one.total() for one in found)
    every = sum(found, Counter[str]())
    alike = {name: count for name, count in every.items() if name and count > 1}
    # A class's own name or number may be the beginning of its files.
    several = any(len(one.keys() & alike.keys()) > 1 for one in found)
    if not several or len(alike) < _FEWEST_ALIKE or 2 * sum(alike.values()) < images:
        return []
    first = max(alike, key=lambda name: alike[name])
    return [
        f"{sum(alike.values()):,} images have names that begin alike, as {first} of"
        f" {alike[first]:,}: those of one beginning, of one person or film perhaps, may fall into"
        " several splits"
    ]


def _beginning(file: Path) -> str:
    """The first word with its number of a file's name, if more follows; "" where none does."""
    found = _BEGINNING.match(file.stem)
    return found[0] if found else ""


def one_split(
    load_splits: Callable[..., dict[str, Samples]], own_size: Size
) -> Callable[..., Samples]:
    """Return the `load` of a reader that has `load_splits`.

    Args:
        load_splits: the reader's function.
        own_size: size of the images where none is asked for.

    Returns:
        A function of path, split, skip_bad_rows and size.
    """

    def load(
        path: Path | None, split: str, skip_bad_rows: bool = False, size: Size = own_size
    ) -> Samples:
        return load_splits(path, (split,), skip_bad_rows, size)[split]

    return load
