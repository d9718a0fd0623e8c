"""A csv, tsv, jsonl or lst table with file and class of each image, or such a table a split.

Forms on disk; the table or its folder is given:

    labels.csv                 file,label,split    train/1.jpg,cat,train
    train.csv  test.csv        file,label          images/1.jpg,cat
    train/metadata.csv  test/metadata.csv          1.jpg,cat
    train/metadata.jsonl                           {"file_name": "1.jpg", "label": "cat"}
    train.lst  val.lst         0 <tab> 3.000000 <tab> images/1.jpg, as MXNet's im2rec
    labels.csv                 file,cat,dog        1.jpg,1,0

The first line names the columns, in any case and order; other columns are passed over. Of several
that may be the class or the split the first is taken, and of those that may be the file the one
with a suffix and most folders in its first row, with a note. The file
stands in `file`, `filename`, `file_name`, `filepath`, `path`, `image` or `image_path`; its class in
`label`, `class`, `class_name`, `category`, `emotion`, `expression` or `target`; its split, where
there is such a column, in `split`, `subset`, `set` or `usage`. Without such a column, others that
competitions have are taken with a note, as `image_id`, `labels`. Without any of a class each class
may have a column, with 1 or True for the images of the class and 0 or False for others. In place
of a file a table may have a column for each pixel: `pixel0` to `pixel783` of square images, gray or
with red, green and blue of a pixel side by side, or `1x1` to `28x28` of gray ones. Files are
looked for from the table's folder, then in the folders below it by their name and as many of its
folders as there are; of several in the folders of splits the one in the row's split is taken.
A split's own table has its word in its name or its folder's; a word in the column goes before it.

Classes that are numbers are named by them, in their order, or by a `labels.txt` beside the table,
one name a line. The label `nan`, and -1 among numbers, stands for none. A split without rows, or
without a label in any of them, is held out of the training images, as with class folders. Boxes in
images are not read; a table of them with several rows a file is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from keras_kd._common.text import counted
from keras_kd.datasets import SIZE, SPLITS, Samples, class_names
from keras_kd.datasets.images import Size
from keras_kd.datasets.readers import (
    _bad_rows,
    _boxes,
    _image_files,
    _listings,
    _numbering,
    _pixel_numbers,
    _splitting,
    _table_files,
    _table_labels,
    _table_rows,
    _tree,
)
from keras_kd.datasets.readers._listings import Listing
from keras_kd.datasets.readers._pixel_numbers import PixelRow
from keras_kd.datasets.readers._table_rows import Columns
from keras_kd.errors import DataError

Rows = dict[str, list[_table_labels.Row]]


def matches(path: Path) -> bool:
    """Whether a path looks like this data set.

    Args:
        path: a file or folder.

    Returns:
        True for a table with both columns, or a folder of such without two class folders, in
        itself, in a split's folder or beside a table.
    """
    if path.is_file():
        return _table_rows.columns(path).are_enough
    tables = _table_files.listed(path)
    # In a folder beside the table, class folders are places of its files alone.
    folders = {path, *_table_files.split_folders(path), *(table.parent for table in tables)}
    return bool(tables) and not any(map(_holds_classes, folders))


def _holds_classes(folder: Path) -> bool:
    inside = _image_files.class_folders(folder).values()
    classes = (one for one in inside if not _tree.split_of(one.name))
    return len([*filter(_image_files.image_files, classes)]) > 1


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: Size
) -> dict[str, Samples]:
    """Load several splits of a table's images, which are listed once. Arguments: see `datasets`.

    Images are uint8 (N, height, width, 1 or 3). Messages count lines from 1.
    """
    names, listings = _listed(path, skip_bad_rows)
    return _listings.samples(listings, names, splits, skip_bad_rows, size)


load = _splitting.one_split(load_splits, SIZE)


def sources(path: Path) -> list[Path]:
    """Return every file that the splits are read from. Arguments: see `datasets`."""
    tables = [*_table_files.by_split(path)]
    listed: list[Path] = []
    # Where rows hold their images themselves, they name no files.
    if not all(_table_rows.columns(table).pixels for table in tables):
        listings = _listed(path, skip_bad_rows=True)[1].values()
        listed = [file for listing in listings for file in listing.paths]
    return [*tables, _folder(path) / class_names.LABELS_FILE, *listed]


def remarks(path: Path) -> list[str]:
    """Report classes that are only numbers or mean the same, columns and tables that are not read,
    and files that stand in several rows.

    Args:
        path: the table or its folder.

    Returns:
        One line of each.
    """
    rows = _rows(path)
    names, listings = _listed_of(path, rows, skip_bad_rows=True)
    lines = [_numbering.remark(names, "table")] if _numbering.are_numbers(names) else []
    lines += class_names.doubts(names)
    for table in _table_files.by_split(path):
        found = _table_rows.columns(table)
        lines += [f"{table.name} is read by its {line}" for line in _chosen(found)]
        known = {*found.file, *found.pixels, *found.label, *found.classes, *found.split}
        unread = [name for name in found.names if name not in known]
        told = [*_boxes.remarks(unread), *_splitting.unread(unread, listings)]
        lines += [f"{table.name}: {line}" for line in told]
    if set(listings) < set(SPLITS):
        train = listings["train"]
        classes: list[list[Path]] = [[] for _ in names]
        for file, label in zip(train.files, train.labels.tolist(), strict=True):
            if isinstance(file, Path):
                classes[label].append(file)
        lines += _splitting.named_alike(classes)
    lines += _in_several_splits(rows)
    lines += _passed_over(path)
    lines += [
        f"the table {table} is not read: its bytes are those of {first}"
        for table, first in _table_files.copies(path).items()
    ]
    lines += _left_out(path, rows, listings)
    # Splits that have rows, and are held out as none of these has a label.
    secret = [split for split in SPLITS if split in rows and split not in listings]
    lines += _splitting.without_labels(secret)
    if repeated := _listings.repeated(listings):
        lines.append(
            f"{counted(len(repeated), 'file')} in several rows, {repeated[0]} first, so that splits"
            " may share images; leave one row of each"
        )
        lines += _listings.contradicting(listings)
    return [*dict.fromkeys(lines)]  # tables of splits may have one name


def _chosen(found: Columns) -> list[str]:
    """What to know of the columns that are read."""
    lines = [
        f"column {chosen}, and not by {' and '.join(others)}"
        for chosen, *others in filter(None, (found.file, found.label, found.split))
        if others
    ]
    if found.classes:
        lines.append(f"columns {', '.join(found.classes[:12])} of 0 and 1, each a class")
    if found.pixels:
        height, width, channels = _pixel_numbers.shape(found.pixels) or (0, 0, 0)
        side_by_side = ", red, green and blue of a pixel side by side" * (channels > 1)
        lines.append(
            f"columns {found.pixels[0]} to {found.pixels[-1]}, images of {height}x{width} pixels"
            f" row by row{side_by_side}"
        )
    if not found.usual:
        lines.append(f"columns {' and '.join([*found.file[:1], *found.label[:1]])}")
    return lines


def _listed(path: Path | None, skip_bad_rows: bool) -> tuple[tuple[str, ...], dict[str, Listing]]:
    """The class names, and the files of each split that has rows."""
    rows = _rows(path)
    return _listed_of(path, rows, skip_bad_rows)


def _rows(path: Path | None) -> Rows:
    """All rows, by their splits as the tables name them."""
    tables = _table_files.by_split(path) if path else {}
    if not tables:
        raise DataError(
            f"{path or 'table'} has no table of image files: give table:PATH, a csv file with the"
            " columns file and label, or its folder."
        )
    rows: Rows = defaultdict(list)
    for table, own in tables.items():
        for split, row in _table_labels.split_rows(table, own):
            rows[split].append(row)
    return rows


def _listed_of(
    path: Path, rows: Rows, skip_bad_rows: bool
) -> tuple[tuple[str, ...], dict[str, Listing]]:
    # Without rows to learn from, there is nothing to pass over tables for.
    _refuse_unread(path, {"train"} if skip_bad_rows else {*SPLITS}, rows)
    _require_known_splits(path, rows)
    tables = _table_files.by_split(path)
    rows = _table_labels.labelled_splits(tables, _table_labels.cleaned(rows))
    labels = _labels(path, rows["train"])
    listed = _folder(path) / class_names.LABELS_FILE
    named = listed.is_file() and _numbering.are_numbers(labels)
    stated = _numbering.names_of(labels, listed) if named else labels
    names = _numbering.checked(stated, _folder(path))
    if _numbering.are_numbers(labels):
        for own in rows.values():
            given = [row.label for row in own]
            _bad_rows.require_same_numbers(own[0].table, given, map(int, labels))
    find = _image_files.finder(_folder(path))
    given = [split for split in SPLITS if split in rows]
    listings = {split: _listing(rows[split], labels, find, skip_bad_rows) for split in given}
    _refuse_boxes(path, listings)
    empty = [name for number, name in enumerate(names) if number not in listings["train"].labels]
    if empty:
        raise DataError(
            f"{path} has no training image of the class {empty[0]} that can be found: add its"
            " files, or remove its rows."
        )
    return names, listings


def _require_known_splits(path: Path, splits: Collection[str]) -> None:
    if not splits:
        raise DataError(f"{path} has no rows: add one for each image.")
    if set(splits) - set(SPLITS) or "train" not in splits:
        words = ", ".join(word or "'' (empty)" for word in sorted(splits))
        raise DataError(
            f"{path} has rows of the splits {words}: expected train, and validation and test where"
            " there are such; mend the column or the tables' names."
        )


def _labels(path: Path, training: Sequence[_table_labels.Row]) -> list[str]:
    """The different labels of the training rows, in the order of their classes."""
    labels = _numbering.ordered({row.label for row in training} - {""})
    if len(labels) < 2:
        bad = (
            f"; {row.place}: {row.problem or 'no class, or several'}"
            for row in training
            if row.problem or not row.label
        )
        raise DataError(
            f"{path} has fewer than two classes in its training rows, {labels}; nan, and -1 among"
            f" numbers, stand for no label: add rows of others{next(bad, '')}."
        )
    return labels


def _refuse_unread(
    path: Path, splits: Collection[str], given: Mapping[str, Sequence[_table_labels.Row]]
) -> None:
    """Raise DataError for a table that is called as one of `splits` without rows, and can't be read
    or may name the classes in another column: that split would be held out of the training images.
    """
    read = {
        name for table in _table_files.by_split(path) for name in _table_rows.columns(table).names
    }
    labels = {_table_labels.without_zeros(row.label).casefold() for row in given.get("train", ())}
    for table, why in _table_files.unread(path).items():
        split = _table_files.split_of(table, path)
        # Without training rows there is nothing to compare its values with.
        may_tell = split == "train" or _may_name_classes(table, read, labels)
        if split in splits and split not in given and may_tell:
            others = (
                ", move it away, or pass over it with --skip-bad-rows, which takes the images of"
                f" {split} from those of training"
            ) * (split != "train")
            raise DataError(
                f"{table} is not read ({why}), and {path} has no other rows of {split}: mend the"
                f" table{others}."
            )


def _may_name_classes(table: Path, read: Collection[str], labels: Set[str]) -> bool:
    """Whether a table that is not read may tell the classes of a split, as that of a competition's
    test does not: it has a column of classes, or another one than the tables that are read, in
    which all values are training labels, in capitals or not.
    """
    found = _table_rows.columns(table)
    # Columns without another value than labels, and whether they have any.
    telling = {name: False for name in found.names if name not in read}
    for row in _table_rows.texts(table, [*telling]) if telling else ():
        for name in [*telling]:
            value = _table_labels.without_zeros(class_names.plain(row[name]))
            if value in _table_labels.MISSING:
                continue
            telling[name] = True
            if value.casefold() not in labels:
                del telling[name]
        if not telling:
            break
    return not found.names or bool(found.label or found.classes) or any(telling.values())


def _refuse_boxes(path: Path, listings: Mapping[str, Listing]) -> None:
    """Raise DataError for tables of boxes with several rows a file: their classes are of parts."""
    tables = _table_files.by_split(path)
    boxes = [name for one in tables for name in _boxes.columns(_table_rows.columns(one).names)]
    repeated = _listings.repeated(listings) if boxes else []
    if repeated:
        raise DataError(
            f"{path} has the boxes of parts of images ({', '.join(dict.fromkeys(boxes))}) and"
            f" several rows for {counted(len(repeated), 'file')}, {repeated[0]} first:"
            f" {_boxes.INSTEAD} files of their own, or leave one row of each file."
        )


def _listing(
    rows: Sequence[_table_labels.Row],
    labels: list[str],
    find: Callable[[Path, str, str], Path],
    skip_bad_rows: bool,
) -> Listing:
    files: list[Path | PixelRow] = []
    numbers, problems = [], []
    known = {label: number for number, label in enumerate(labels)}
    for row in rows:
        try:
            if row.problem:
                raise ValueError(row.problem)
            number = _number(row.label, known)
            file = row.pixels or find(row.table.parent, row.file, row.split)
        except ValueError as error:
            if not skip_bad_rows:
                raise _bad_rows.refusal(f"{row.place}: {error}") from error
            problems.append(f"{row.place}: {error}")
            continue
        numbers.append(number)
        files.append(file)
    if not files:
        raise DataError(f"None of {len(rows)} rows can be read; the first problem: {problems[0]}.")
    return Listing(files, np.array(numbers, np.int64), tuple(problems))


def _number(label: str, known: dict[str, int]) -> int:
    if label not in known:
        expected = ", ".join([*known][:12])
        shown = repr(label)[:40] if label else "missing (or nan, or -1 among numbers)"
        raise ValueError(f"the label is {shown}, expected one of the training rows', {expected}")
    return known[label]


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _left_out(path: Path, rows: Rows, given: Collection[str]) -> list[str]:
    """Say which tables are not read or have no rows, and whose split is held out therefore."""
    filled = {row.table for own in rows.values() for row in own}
    empty = [table for table in _table_files.by_split(path) if table not in filled]
    reasons = dict.fromkeys(empty, "it has no rows") | _table_files.unread(path)
    lines = []
    for table, why in reasons.items():
        split = _table_files.split_of(table, path)
        held_out = bool(split) and split not in given
        taken = f"; the images of {split} are taken from those of training" * held_out
        lines.append(f"the table {table.name} is not read: {why}{taken}")
    return lines


def _in_several_splits(rows: Rows) -> list[str]:
    """Say which persons, or other groups of images, stand in the rows of several splits."""
    splits: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for split, own in rows.items():
        for row in own:
            for name, value in row.groups.items():
                splits[name][value].add(split)
    return _splitting.in_several(splits)


def _passed_over(path: Path) -> list[str]:
    """Say which tables of a folder are not read beside others, and by which columns they could."""
    read = _table_files.by_split(path)
    known = {*read, *_table_files.copies(path)}
    others = {} if path.is_file() else _table_files.all_tables(path)
    names = ", ".join(table.name for table in read)
    return [
        f"the table {table.name} with the columns {', '.join(columns.read)} is not read, beside"
        f" {names}: give it alone to read it instead"
        for table, columns in others.items()
        if table not in known
    ]
