"""Rows of tables of images, csv, tsv, JSON lines or MXNet's lists, with a column of classes or one
for each class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any

from keras_kd._common import csv_files
from keras_kd._common.checked_files import read_json
from keras_kd._common.files import refuse_special
from keras_kd._common.system_errors import reading_error
from keras_kd.datasets import class_names
from keras_kd.datasets.readers import _pixel_numbers, _splitting, _tree
from keras_kd.datasets.readers._pixel_numbers import PixelRow
from keras_kd.errors import DataError

JSON_LINES = ".jsonl"
# MXNet's lists, whose columns have no names, but these in this order.
LIST, _OF_LIST = ".lst", ["index", "label", "file"]
SUFFIXES = (".csv", ".tsv", JSON_LINES, LIST)
# Of tables that are not read.
OTHER_SUFFIXES = (".xlsx", ".xls", ".ods", ".json")
SAVE_AS_CSV = "save it as a csv file with the columns file and label"
FILE = ("file", "filename", "file_name", "filepath", "path", "image", "image_path")
LABEL = ("label", "class", "class_name", "category", "emotion", "expression", "target")
SPLIT = ("split", "subset", "set", "usage")
# Names of competitions and other tools, which mean something else beside one of the above.
_OTHER_FILE = (
    "filenames", "filepaths", "file_path", "image_file", "image_filename", "image_id",
    "image index", "image_name", "img", "img_id", "img_name", "img_path", "fname", "id", "id_code",
    "pth",
)  # fmt: skip
_OTHER_LABEL = (
    "labels", "choice", "classes", "label_name", "class_label", "classname", "category_name",
    "breed", "diagnosis", "dx", "finding labels", "species", "variety",
)  # fmt: skip
# Numbers of classes, beside which a name goes first.
_LABEL_NUMBERS = ("class_id", "classid", "label_id", "category_id")
_OTHER_SPLIT = ("data set", "data_set")
# Numbers of rows, the first three as pandas writes them.
_NO_CLASSES = ("", "unnamed: 0", "index", *_OTHER_FILE)
_SUFFIX = re.compile(r"\.[A-Za-z]\w{1,4}$")  # of an image file
# Of a class's own column, in lower case.
_YES = ("1", "1.0", "1,0", "true")
_MARKS = ("0", "0.0", "0,0", "false", *_YES)


@dataclass(frozen=True)
class Row:
    """A row as it stands in its table.

    Attributes:
        place: table and line, for messages.
        file: as the row names it; "" where the row has pixels.
        label: the class as the row names it; "" where it names none, or several columns have 1.
        split: as the row names it; "" without such a column.
        groups: persons, or other groups of images, that the row names, by the column's name.
        pixels: the image itself, of a table with a column for each pixel.
        problem: why the row can't be read, e.g. for a comma in a name; then the other fields are
            empty.
    """

    place: str
    file: str
    label: str
    split: str
    groups: Mapping[str, str]
    pixels: PixelRow | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are read, by their names in the file.

    Attributes:
        file: names of those that may be the file, of which the first is read: the one whose first
            row has a suffix and most folders.
        label: likewise of the class, in their order; none where each class has a column.
        split: likewise of the split; none without such a column.
        classes: the columns of the classes, which hold 0 and 1; none where one column has the
            class.
        pixels: the columns of the pixels in their order; there is then no file.
        names: all columns.
    """

    file: Sequence[str]
    label: Sequence[str]
    split: Sequence[str]
    classes: Sequence[str]
    pixels: Sequence[str]
    names: Sequence[str]

    @property
    def are_enough(self) -> bool:
        """Whether the table tells the file, or the pixels, and the class of an image."""
        return bool((self.file or self.pixels) and (self.label or self.classes))

    @property
    def lacking(self) -> str:
        """What keeps the table from being read; "" where nothing does."""
        if self.are_enough:
            return ""
        if not self.names:
            return "it is empty"
        what = "the class" if self.file or self.pixels else "the file"
        # Of pixels the first and the last tell enough.
        ends = [*self.pixels[:1], *self.pixels[-1:]]
        shown = [name for name in self.names if name not in self.pixels or name in ends]
        return f"none of its columns, {', '.join(shown[:12])}, is that of {what}"

    @property
    def usual(self) -> bool:
        """Whether the names are none of competitions' own."""
        told = {*_lower([*self.file, *self.label[:1]])}
        return self.are_enough and told <= {*FILE, *LABEL}

    @property
    def groups(self) -> list[str]:
        """The columns that name persons, or other groups of images."""
        return _splitting.of_groups(self.names)

    @property
    def read(self) -> list[str]:
        """The columns that are read."""
        return [*self.file[:1], *self.label[:1], *self.classes, *self.split[:1]]


def columns(table: Path) -> Columns:
    """Find the columns of a table; none in a file of another kind, or that can't be read."""
    try:
        names, lines = _opened(table) if table.suffix.lower() in SUFFIXES else ([], iter(()))
        first = next(lines, (1, []))[1]
    except DataError:
        return Columns((), (), (), (), (), ())
    file = _best(_named(names, FILE) or _named(names, _OTHER_FILE), names, first)
    label = [*_named(names, LABEL), *_named(names, _OTHER_LABEL)] or _named(names, _LABEL_NUMBERS)
    split = _named(names, SPLIT) or _named(names, _OTHER_SPLIT)
    pixels = _pixel_numbers.columns(names)
    # A row of pixels is an image, whatever number it has; where it names a file that is.
    whole = _pixel_numbers.shape(pixels) and not _named(names, FILE)
    file, pixels = ([], pixels) if whole else (file, [])
    classes = [] if label or not file else _of_classes(names, first, (*file, *split))
    return Columns(file, label, split, classes, pixels, names)


def unreadable(table: Path) -> str:
    """Return why the column names of a table can't be read; "" where they can."""
    if table.suffix.lower() not in SUFFIXES:
        return f"{table.suffix} files are not: {SAVE_AS_CSV}"
    try:
        names(table)
    except DataError as error:
        return str(error).rstrip(".").removeprefix(f"{table}, ")
    return ""


def names(table: Path) -> list[str]:
    """Return the names of a table's columns.

    Raises:
        DataError: the table can't be read.
    """
    return _opened(table)[0]


def rows(table: Path) -> Iterator[Row]:
    """Yield the rows of a table that has the columns.

    Raises:
        DataError: the table can't be read, a column stands twice, or a field that is read is no
            text or number.
    """
    found = columns(table)
    places = [_place(table, found.names, name) for name in found.read]
    of_groups = {name: found.names.index(name) for name in found.groups}
    of_pixels = [_place(table, found.names, name) for name in found.pixels]
    shape = _pixel_numbers.shape(found.pixels)
    for line, fields in _opened(table)[1]:
        place = f"{table}, line {line}"
        again = "its column names stand here again" * (fields == found.names)
        if problem := again or csv_files.surplus(found.names, fields):
            yield Row(place, "", "", "", {}, None, problem)
            continue
        own = map(_text, repeat(place), found.read, csv_files.picked(fields, places))
        texts = dict(zip(found.read, own, strict=True))
        split = texts[found.split[0]] if found.split else ""
        if found.label:
            label = texts[found.label[0]]
        else:
            label, why = _marked({name: texts[name] for name in found.classes})
            place += why
        values = map(_plain, csv_files.picked(fields, [*of_groups.values()]))
        groups = dict(zip(of_groups, values, strict=True))
        file = texts[found.file[0]] if found.file else ""
        pixels = PixelRow(place, _joined(fields, of_pixels), shape) if shape else None
        yield Row(place, file, class_names.plain(label), split, groups, pixels)


def _marked(marks: Mapping[str, str]) -> tuple[str, str]:
    """The class of a row with a column for each, or "" and what stands there instead."""
    other = next((name for name, mark in marks.items() if mark.lower() not in _MARKS), None)
    if other is not None:
        return "", f", with {marks[other]!r:.20} in {other} where 0 or 1 is expected"
    marked = [name for name, mark in marks.items() if mark.lower() in _YES]
    if len(marked) != 1:
        return "", f", with 1 in {' and '.join(marked) or 'no column of a class'}"
    return marked[0], ""


def _joined(fields: list[Any], places: Sequence[int]) -> str:
    """Some fields with blanks between them, as fast as for thousands in each row."""
    try:
        return " ".join(itemgetter(*places)(fields))
    except (IndexError, TypeError):  # a short row; numbers of JSON
        return " ".join(map(_plain, csv_files.picked(fields, places)))


def texts(table: Path, names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the values of some columns as texts, by the columns' names, for each row of `rows`.

    Raises:
        DataError: the table can't be read.
    """
    found, lines = _opened(table)
    places = [found.index(name) for name in names]
    for _, fields in lines:
        yield dict(zip(names, map(_plain, csv_files.picked(fields, places)), strict=True))


def _named(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    return [name for name in names if name.lower() in wanted]


def _best(found: list[str], names: Sequence[str], first: Sequence[Any]) -> list[str]:
    """Columns that may be the file, those that tell most before others: `image` may be a number,
    and `filename` the end of `path`.
    """
    given = dict(zip(names, map(str, first), strict=False))
    texts = {name: given.get(name, "") for name in found}

    def detail(name: str) -> tuple[bool, int]:
        text = texts[name]
        longer = any(len(end) < len(text) for end in texts.values() if end and text.endswith(end))
        return bool(_SUFFIX.search(text)), longer * len(re.findall(r"[/\\]", text))

    return sorted(found, key=detail, reverse=True)


def _lower(names: Sequence[str]) -> list[str]:
    return [name.lower() for name in names]


def _of_classes(names: Sequence[str], first: Sequence[Any], others: Sequence[str]) -> list[str]:
    """The columns beside `others`, two or more, if they are classes: the first row has 0 or 1 in
    each.
    """
    found = {
        name: str(field).strip().lower()
        for name, field in zip(names, first, strict=False)
        # Columns as is_train and is_test are splits, and `id` is 1 in the first row.
        if name not in others and name.lower() not in _NO_CLASSES and not _tree.split_of(name)
    }
    whole = len(first) == len(names) and {*found.values()} <= {*_MARKS}
    return [*found] if whole and len(found) > 1 else []


def _place(table: Path, names: Sequence[str], name: str) -> int:
    lower = _lower(names)
    if (count := lower.count(name.lower())) > 1:
        raise DataError(f"{table} has {count} columns {name} in its first line: keep one of them.")
    return lower.index(name.lower())


def _opened(table: Path) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """The names of the columns, and line and fields of each row, from line 1 on."""
    if table.suffix.lower() == LIST:
        first, others = csv_files.opened(table, quotes=False)
        if len(first) not in (0, len(_OF_LIST)):
            raise DataError(
                f"{table}, line 1: {len(first)} fields, expected three between tabs, the index, the"
                " label and the path of an image, as im2rec writes them for one class an image:"
                f" {SAVE_AS_CSV}."
            )
        return _OF_LIST, chain([(1, first)] * bool(first), others)
    if table.suffix.lower() != JSON_LINES:
        return csv_files.opened(table)
    # Columns are those of the first object; others may have more, or fewer.
    names = [str(name).strip() for name in next(_objects(table), (1, {}))[1]]
    return names, (
        (line, [fields.get(name, "") for name in names]) for line, fields in _objects(table)
    )


def _objects(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    line = 0
    try:
        refuse_special(table)
        with open(table, encoding="utf-8-sig") as file:
            while text := file.readline(csv_files.LONGEST_LINE):
                line += 1
                if text.strip():
                    yield line, read_json(text, dict)
    except OSError as error:
        raise reading_error(table, error) from error
    except ValueError as error:
        raise DataError(
            f"{table}, line {line}: not one JSON object a line ({error}): mend the line."
        ) from error


def _text(place: str, name: str, field: Any) -> str:
    if isinstance(field, list) and len(field) == 1:
        field = field[0]
    if isinstance(field, (list, dict)):
        raise DataError(
            f"{place} has several values as its {name}, {str(field)[:60]}: expected one text or"
            " number; choose one."
        )
    return _plain(field)


def _plain(field: Any) -> str:
    return "" if field is None else str(field).strip()
