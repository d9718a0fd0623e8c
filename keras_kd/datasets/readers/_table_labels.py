"""The rows of tables with what their labels mean, before their files are looked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from keras_kd.datasets.readers import _numbering, _table_rows, _tree
from keras_kd.datasets.readers._pixel_numbers import PixelRow

# What stands for no label: always, and among classes that are numbers.
MISSING, _NO_NUMBER = ("", "nan", "NaN"), "-1"
# FER2013's words, beside those that folders of splits have.
_USAGES = {"publictest": "validation", "privatetest": "test"}


@dataclass(frozen=True)
class Row:
    """A row as it stands in its table.

    Attributes:
        place: table and line, for messages.
        table: the file that it stands in.
        file: as the row names it.
        label: as the row names it.
        split: as the row or its table tells it; "" where neither does.
        groups: persons, or other groups of images, that the row names, by the column's name.
        pixels: the image itself, or None where the row names a file.
        problem: why the row can't be read, or None.
    """

    place: str
    table: Path
    file: str
    label: str
    split: str
    groups: Mapping[str, str]
    pixels: PixelRow | None
    problem: str | None


def split_rows(table: Path, own: str | None) -> Iterator[tuple[str, Row]]:
    """Yield the split and the row of each line of a table.

    Args:
        table: the file.
        own: the split of all its rows; None where they tell theirs.

    Yields:
        A split as the table names it, and the row.
    """
    of_split = _table_rows.columns(table).split
    for row in _table_rows.rows(table):
        word = row.split.casefold() if of_split else own or ""
        split = _USAGES.get(word) or _tree.split_of(word) or own or word
        told = split if (of_split and not row.problem) or own else "train"
        image = row.groups, row.pixels, row.problem
        yield told, Row(row.place, table, row.file, row.label, split, *image)


def cleaned(rows: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Return rows with "" for the labels that stand for none; if the others are numbers, these
    without the `.0` that pandas adds where a number is missing, or `.00` or `,0` of others.

    Args:
        rows: by split; with those of train.

    Returns:
        All rows by split.
    """
    given = {without_zeros(row.label) for row in rows["train"]} - {*MISSING, _NO_NUMBER}
    numbers = _numbering.are_numbers(given)
    missing = (*MISSING, _NO_NUMBER) if numbers else MISSING
    return {
        split: [replace(row, label=_label(row.label, numbers, missing)) for row in own]
        for split, own in rows.items()
    }


def labelled_splits(tables: Collection[Path], rows: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Return rows without the splits in which none has a label, as a competition's test; where
    each class has a column, rows may have several.

    Args:
        tables: that the rows are of.
        rows: `cleaned`, by split.

    Returns:
        The rows of train and of the other splits with a label, by split.
    """
    if any(_table_rows.columns(table).classes for table in tables):
        return rows
    return {
        split: own
        for split, own in rows.items()
        if split == "train" or any(row.label or row.problem for row in own)
    }


def without_zeros(label: str) -> str:
    """Return a label without the zeros behind a whole number.

    Args:
        label: as it stands in a table.

    Returns:
        The label; 1,000 stays, which may be a thousand.
    """
    return re.sub(r"(\.0+|,00?)$", "", label)


def _label(label: str, numbers: bool, missing: tuple[str, ...]) -> str:
    label = without_zeros(label) if numbers else label
    return "" if label in missing else label
