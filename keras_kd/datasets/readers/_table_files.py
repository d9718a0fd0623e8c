"""Which tables a folder has, and of which split each is."""

from __future__ import annotations

from pathlib import Path

from keras_kd.datasets.readers import _table_rows, _tree
from keras_kd.datasets.readers._table_rows import Columns
from keras_kd.errors import DataError


def by_split(path: Path) -> dict[Path, str | None]:
    """The tables of a folder, each with its split: those of splits if there are such, else the only
    one.
    """
    tables = listed(path)
    of_splits = {table: split for table, split in tables.items() if split}
    if len(tables) > 1 and not of_splits:
        raise DataError(
            f"{path} has the tables {', '.join(table.name for table in tables)}: give one of them."
        )
    return of_splits or tables


def listed(path: Path) -> dict[Path, str | None]:
    """All tables of a folder, each with its split; only those with usual columns if any has, and
    none of the `copies`.
    """
    if path.is_file():
        enough = _table_rows.columns(path).are_enough
        return {path: _tree.split_of(path.stem)} if enough else {}
    repeated = copies(path)
    return {file: split for file, split in _of_folder(path).items() if file not in repeated}


def copies(path: Path) -> dict[Path, Path]:
    """The tables of pixels of a folder that have the bytes of another one of their split, each with
    that one: read twice, they would double its images.
    """
    tables = {} if path.is_file() else _of_folder(path)
    found: dict[Path, Path] = {}
    for split in dict.fromkeys(tables.values()):
        own = (table for table, its in tables.items() if its == split)
        # Where a table names files, its folder tells which.
        found |= _tree.copies(table for table in own if _table_rows.columns(table).pixels)
    return found


def _of_folder(path: Path) -> dict[Path, str | None]:
    found = all_tables(path)
    usual = any(columns.usual for columns in found.values())
    return {
        file: split_of(file, path) for file, columns in found.items() if columns.usual or not usual
    }


def split_of(table: Path, folder: Path) -> str | None:
    """The split that a table's name or its folder's in the data set's folder is the word of."""
    return _tree.split_of(table.stem) or _tree.split_of(table.relative_to(folder).parts[0])


def all_tables(folder: Path) -> dict[Path, Columns]:
    """The tables of a folder that tell files and classes, with their columns."""
    found = {file: _table_rows.columns(file) for file in _files(folder)}
    return {file: columns for file, columns in found.items() if columns.are_enough}


def _files(folder: Path) -> list[Path]:
    """The files of a folder where its tables may lie."""
    folders = (folder, *_folders_of_tables(folder))
    return [file for place in folders for file in _tree.listed(place).files]


def unread(path: Path) -> dict[Path, str]:
    """Why csv tables of a folder can't be read, and tables called as a split tell no images and
    classes.
    """
    found = {}
    for file in () if path.is_file() else _files(path):
        is_split, suffix = bool(split_of(file, path)), file.suffix.lower()
        if suffix in _table_rows.SUFFIXES:
            why = _table_rows.unreadable(file)
            found[file] = why or (_table_rows.columns(file).lacking if is_split else "")
        elif suffix in _table_rows.OTHER_SUFFIXES and is_split:
            found[file] = _table_rows.unreadable(file)
    return {file: why for file, why in found.items() if why}


def _folders_of_tables(path: Path) -> list[Path]:
    """The folders of splits, or else the only folder, which may have the images and their table."""
    folders = [*_tree.listed(path).folders]
    return split_folders(path) or folders * (len(folders) == 1)


def split_folders(path: Path) -> list[Path]:
    return [folder for folder in _tree.listed(path).folders if _tree.split_of(folder.name)]
