"""FER+, ten people's votes on each image of FER2013 for 8 expressions, as soft labels: a folder
with `fer2013.csv` and `fer2013new.csv`.

Barsoum et al. 2016, "Training deep networks for facial expression recognition with crowd-sourced
label distribution", arXiv 1608.01041.

Forms on disk: a folder that holds Kaggle's `fer2013.csv` and the votes, or the votes' csv with
`fer2013.csv` beside it. The votes are Microsoft's `fer2013new.csv`: columns Usage, Image name,
neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF; `Image name` is
not needed. Row i of the one file is row i of the other.

Labels are float32 (N, 8): the shares of the eight emotions among the votes for any emotion. Left
out are images on which "unknown" or "NF" (not a face) got more votes than every emotion, and images
without a vote for an emotion: on them the eight shares would say what the voters did not. 28,388 +
3,553 + 3,545 of the 35,887 images remain.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_kd._common import csv_files
from keras_kd.datasets import SIZE, Samples, images
from keras_kd.datasets.images import Size
from keras_kd.datasets.readers import _bad_rows, _fer2013_csv, _splitting, fer2013
from keras_kd.datasets.readers._fer2013_csv import USAGES
from keras_kd.errors import DataError

CLASS_NAMES = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)
COLUMNS = ("Usage", *CLASS_NAMES, "unknown", "NF")


def matches(path: Path) -> bool:
    """Whether a path looks like this data set.

    Args:
        path: a file or folder.

    Returns:
        True for a csv file of votes, or a folder that holds one.
    """
    return bool(_votes_files(path))


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: Size
) -> dict[str, Samples]:
    """Load several splits in one pass over both files. Arguments: see `datasets`.

    Images are uint8 (N, height, width, 1), labels float32 (N, 8). It is also an error if the two
    files do not belong together.
    """
    votes_file, pixels_file = _both_files(path)
    lines, usages, votes, problems = _read_votes(votes_file)
    tables = _fer2013_csv.read(pixels_file, splits, skip_bad_rows)
    _check_joined(votes_file, lines, usages, pixels_file, tables[splits[0]].usages)
    if problems and not skip_bad_rows:
        raise _bad_rows.refusal(min(problems.items())[1], "mend the row")
    for split, table in tables.items():
        if not _have_votes(votes[table.rows]).any():
            raise DataError(
                f"{votes_file} has no votes for an emotion in the {split} split: give the complete"
                " file."
            )
    return {split: _samples(table, votes, problems, size) for split, table in tables.items()}


load = _splitting.one_split(load_splits, SIZE)


def _have_votes(votes: np.ndarray) -> np.ndarray:
    """Whether any emotion got votes, and none of the other answers more than every emotion."""
    emotions, others = votes[:, : len(CLASS_NAMES)], votes[:, len(CLASS_NAMES) :]
    return (emotions.max(axis=1) >= others.max(axis=1)) & emotions.any(axis=1)


def _samples(
    table: _fer2013_csv.Table, votes: np.ndarray, problems: dict[int, str], size: Size
) -> Samples:
    """The images of a split that got votes for an emotion, with their shares."""
    skipped = tuple(problems[row] for row in table.rows if row in problems)
    kept = _have_votes(votes[table.rows])
    emotions = votes[table.rows, : len(CLASS_NAMES)][kept]
    shares = (emotions / emotions.sum(axis=1, keepdims=True)).astype(np.float32)
    sizes = np.full((len(shares), 2), _fer2013_csv.SIDE)
    resized = images.resize(table.images[kept], *images.height_width(size))
    return Samples(resized, shares, CLASS_NAMES, None, table.skipped + skipped, sizes)


def sources(path: Path) -> list[Path]:
    """Return every file that the splits are read from. Arguments: see `datasets`."""
    return list(_both_files(path))


def training_votes(path: str | Path) -> np.ndarray:
    """Return the votes on FER2013's Training images, in the order of its csv.

    Args:
        path: the csv of votes, or a folder that holds it.

    Returns:
        int64 (N, 10), the columns as in COLUMNS.

    Raises:
        DataError: there is no such file, it has no votes for the Training images, or a row is
            broken.
    """
    lines, usages, votes, problems = _read_votes(Path(path))
    if problems:
        raise DataError(f"{min(problems.items())[1]}: mend the row.")
    training = votes[np.array([USAGES.get(usage) == "train" for usage in usages], bool)]
    if not len(training):
        raise DataError(
            f"{path} has no votes on images of Usage Training: give FER+'s complete fer2013new.csv."
        )
    return training


# Its images are FER2013's, but for those that are left out.
subsets = fer2013.subsets


def _votes_files(path: Path) -> list[Path]:
    files = (
        sorted(path.glob("*.csv"))
        if path.is_dir()
        else [path]
        if path.suffix.lower() == ".csv"
        else []
    )
    return [file for file in files if {"neutral", "happiness", "nf"} <= set(csv_files.header(file))]


def _both_files(path: Path | None) -> tuple[Path, Path]:
    if path is None:
        raise DataError(
            "ferplus needs a path: give ferplus:PATH, a folder that holds fer2013.csv and the"
            " votes' csv."
        )
    folder = path if path.is_dir() else path.parent
    votes = _votes_files(path)
    pixels = [
        file
        for file in sorted(folder.glob("*.csv"))
        if {"emotion", "pixels"} <= set(csv_files.header(file))
    ]
    for kind, files in (
        ("FER+ votes (neutral, happiness, ...)", votes),
        ("FER2013 pixels (emotion, pixels)", pixels),
    ):
        if len(files) != 1:
            one_of_each = "put fer2013.csv and the votes into one folder"
            advice = "remove all but one" if files else one_of_each
            raise DataError(
                f"{folder} holds {len(files)} csv files of {kind}, expected one: {advice}."
            )
    return votes[0], pixels[0]


def _read_votes(path: Path) -> tuple[list[int], list[str], np.ndarray, dict[int, str]]:
    """Return lines, usages, int64 (rows, 10) votes (zeros on a bad row) and the bad rows'
    problems.
    """
    lines, usages, votes, problems = [], [], [], {}
    for row, (line, (usage, *counts)) in enumerate(csv_files.rows(path, COLUMNS)):
        # Ten people voted: a number of ten digits is none of votes, and one of 20 does not fit
        # int64.
        if not all(count.strip().isdecimal() and len(count) < 10 for count in counts):
            problems[row] = (
                f"{path}, line {line}: the votes are {','.join(counts)}, expected ten whole numbers"
            )
            counts = ["0"] * len(counts)
        lines.append(line)
        usages.append(usage.strip())
        votes.append([int(count) for count in counts])
    return lines, usages, np.array(votes, np.int64).reshape(-1, len(COLUMNS) - 1), problems


def _check_joined(
    votes_file: Path,
    lines: list[int],
    usages: list[str],
    pixels_file: Path,
    expected: tuple[str, ...],
) -> None:
    advice = (
        "the rows are joined by their order, so give both files complete and in their original"
        " order."
    )
    if len(usages) != len(expected):
        raise DataError(
            f"{votes_file} has {len(usages)} rows and {pixels_file} has {len(expected)}: {advice}"
        )
    for line, usage, other in zip(lines, usages, expected, strict=True):
        if usage != other:
            raise DataError(
                f"{votes_file}, line {line}: Usage is {usage}, in {pixels_file} it is {other}:"
                f" {advice}"
            )
