"""Kaggle's fer2013.csv: 48x48 gray pixels as text, one image a row.

The columns are `emotion` (0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral),
`pixels` (2,304 numbers 0..255 with blanks between them, row by row) and `Usage` (Training,
PublicTest or PrivateTest), in any order and with any further columns; `icml_face_data.csv`, whose
names begin with a blank, is read as well.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_kd._common import csv_files
from keras_kd._common.arrays import ImageRows
from keras_kd.datasets.class_names import numbered
from keras_kd.datasets.readers import _bad_rows, _pixel_numbers
from keras_kd.errors import DataError

CLASS_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
COLUMNS = ("emotion", "pixels", "Usage")
SIDE = 48


@dataclass(frozen=True)
class Table:
    """One split of the file.

    Attributes:
        images: uint8 (N, 48, 48, 1), mapped into memory; no later call sees what is written here.
        labels: int64 (N,) in the order of CLASS_NAMES.
        rows: int64 (N,) positions among all rows of the file, from 0.
        usages: the Usage of every row of the file, whatever its split.
        skipped: one line for every row left out.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    usages: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass
class _Part:
    """What was read of one split so far."""

    images: ImageRows
    labels: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def table(self, usages: tuple[str, ...]) -> Table:
        labels, rows = np.array(self.labels, np.int64), np.array(self.rows, np.int64)
        return Table(self.images.array(), labels, rows, usages, tuple(self.skipped))


def matches(path: Path) -> bool:
    """Whether `path` is a csv file with a column `pixels`; `read` says which others are missing."""
    return path.is_file() and path.suffix.lower() == ".csv" and "pixels" in csv_files.header(path)


def read(path: str | Path, splits: Sequence[str], skip_bad_rows: bool = False) -> dict[str, Table]:
    """Read some of the splits "train", "validation" and "test" in one pass over the file.

    Usage and emotion of every row are checked, the pixels of these splits' rows only: reading text
    as numbers is what costs time. With `skip_bad_rows` a bad row is listed by its own split, and by
    "train" if its Usage names none.

    Raises:
        DataError: the file can't be read, a row is bad (the message names file and line), or a
            split is empty.
    """
    parts, usages = _read(path, _stamp(path), tuple(splits), skip_bad_rows)
    return {split: part.table(usages) for split, part in parts.items()}


def _stamp(path: str | Path) -> tuple[int, ...]:
    """What changes with a file; nothing of one that can't be looked at, which `_read` tells."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


# The last one is kept, because a teacher of another size sees the same file once more.
@functools.lru_cache(maxsize=1)
def _read(
    path: str | Path, stamp: tuple[int, ...], splits: tuple[str, ...], skip_bad_rows: bool
) -> tuple[dict[str, _Part], tuple[str, ...]]:
    parts = {split: _Part(ImageRows((SIDE, SIDE, 1))) for split in splits}
    usages = []
    emotions = set()
    for row, (line, (emotion, text, usage)) in enumerate(csv_files.rows(path, COLUMNS)):
        usages.append(usage.strip())
        emotions.add(emotion)
        part = parts.get(USAGES.get(usages[-1], "train"))
        try:
            label = _label(emotion, usages[-1])
            if part is not None:
                part.images.append(_pixel_numbers.parsed(text, SIDE * SIDE))
                part.labels.append(label)
                part.rows.append(row)
        except ValueError as error:
            if not skip_bad_rows:
                raise _bad_rows.refusal(f"{path}, line {line}: {error}") from error
            if part is not None:
                part.skipped.append(f"{path}, line {line}: {error}")
    _bad_rows.require_same_numbers(path, emotions, range(len(CLASS_NAMES)))
    for split, part in parts.items():
        if not part.rows:
            usage = next(usage for usage, name in USAGES.items() if name == split)
            raise DataError(
                f"{path} has no usable rows with Usage {usage}, the {split} split: give the"
                " complete file."
            )
    return parts, tuple(usages)


def _label(emotion: str, usage: str) -> int:
    if usage not in USAGES:
        raise ValueError(f"Usage is {usage!r}, expected {', '.join(USAGES)}")
    if emotion.strip() not in map(str, range(len(CLASS_NAMES))):
        expected = f"expected 0 to {len(CLASS_NAMES) - 1} ({numbered(CLASS_NAMES)})"
        raise ValueError(f"emotion is {emotion!r}, {expected}")
    return int(emotion)
