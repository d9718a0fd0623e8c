"""Rows of csv files by column name, each with its line in the file; commas, semicolons, tabs or |
lie between the fields.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from keras_kd._common.files import refuse_special
from keras_kd._common.system_errors import reading_error
from keras_kd.errors import DataError

# An image of FER2013 takes some 10,000 characters.
LONGEST_LINE = 2**20
SEPARATORS = ",;\t|"


def header(path: str | Path) -> list[str]:
    """Return a csv file's column names, lower case and without blanks around them; [] if empty or
    unreadable.
    """
    try:
        return [name.lower() for name in opened(path)[0]]
    except DataError:
        return []


def rows(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, values of `columns` in that order) for each row that is not blank.

    Columns may have any order, with others between them; names are compared without regard to
    case. A field that a short row lacks is "".

    Raises:
        DataError: as `opened`, or the file has not one of `columns` once.
    """
    found, lines = opened(path)
    names = [name.lower() for name in found]
    missing = [column for column in columns if column.lower() not in names]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}: expected {', '.join(columns)} in its first"
            f" line, received {', '.join(names) or 'nothing'}; name the columns so or choose"
            f" another file{other_separator(names)}."
        )
    if twice := [column for column in columns if names.count(column.lower()) > 1]:
        raise DataError(
            f"{path} has {names.count(twice[0].lower())} columns {twice[0]} in its first line: keep"
            " one of them."
        )
    yield from cells(lines, [names.index(column.lower()) for column in columns])


def cells(
    lines: Iterable[tuple[int, list[str]]], places: Sequence[int]
) -> Iterator[tuple[int, list[str]]]:
    """Yield some fields of each row.

    Args:
        lines: (line number, fields) of each row.
        places: numbers of the fields.

    Yields:
        (line number, fields at `places`); a field that a short row lacks is "".
    """
    for line, fields in lines:
        yield line, picked(fields, places)


def picked(fields: Sequence[str], places: Sequence[int]) -> list[str]:
    """Return the fields of a row at some places; a field that a short row lacks is ""."""
    if len(places) > 1 and max(places) < len(fields):
        return [*operator.itemgetter(*places)(fields)]
    return [fields[place] if place < len(fields) else "" for place in places]


def opened(
    path: str | Path, first_column: str = "", quotes: bool = True
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Open a csv file, of which one row at a time is in memory.

    The file may begin with a byte-order mark, be UTF-16 if it does, and name its separator in a
    first line `sep=;`. Empty lines before the column names are passed over.

    Args:
        path: of the file.
        first_column: name of the first column, where other lines come before those of the names.
        quotes: whether fields between tabs may be quoted, as those between other separators may.

    Returns:
        The column names without blanks around them, [] without a line of them; and an iterator of
        (line, fields) for each further row that is not blank. Lines count from 1; of a row that
        spans several it is the first.

    Raises:
        DataError: the file is missing, no UTF-8 text, or no csv, as with a quote that is never
            closed, which would take all rows behind it into one field; the iterator raises it too.
    """
    lines = _lines(path, first_column, quotes)
    names = [field.strip() for field in next(lines, (1, list[str]()))[1]]
    return names, ((line, fields) for line, fields in lines if any(map(str.strip, fields)))


def surplus(names: Sequence[str], fields: Sequence[str]) -> str | None:
    """Say what is wrong with a row of more fields than there are columns, as one with a comma in a
    name; None where those beyond are blank, as spreadsheets write them.
    """
    if not any(map(str.strip, fields[len(names) :])):
        return None
    return (
        f"{len(fields)} cells for {len(names)} columns: put a cell that holds a separator in double"
        ' quotes ("), and give every column a name'
    )


def other_separator(names: Sequence[str]) -> str:
    """Say how to name the separator where names of columns hold another one; "" where none does."""
    held = [mark for mark in SEPARATORS if any(mark in name for name in names)]
    shown = ("a tab" if mark == "\t" else mark for mark in held)
    return (
        f"; columns are separated here by the mark that their line has most often: if it is"
        f" {' or '.join(shown)}, write sep= and that mark as the first line"
    ) * bool(held)


def _bounded(file: TextIO, path: str) -> Iterator[str]:
    """The lines of a file; csv.Error for one that only a file without line breaks can have, and
    DataError for null characters, of which UTF-16 and UTF-32 are full.
    """
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise csv.Error(f"a line of {LONGEST_LINE:,} characters or more")
        if "\0" in line:
            raise DataError(
                f"{path} holds null characters, as UTF-16 and UTF-32 do, and a file whose writing"
                " was broken off: save it as UTF-8, or remove them."
            )
        yield line


def _encoding(path: str | Path) -> str:
    """That of the byte-order mark with which spreadsheets begin a file, or UTF-8."""
    with open(path, "rb") as file:
        marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        return "utf-16" if file.read(2) in marks else "utf-8-sig"


def _mending(path: str | Path) -> str:
    """What to do with a file that is no text."""
    with open(path, "rb") as file:
        packed = file.read(4).startswith((b"PK\x03\x04", b"\x1f\x8b"))
    return "unpack it, or save a workbook as csv" if packed else "save the file as UTF-8"


def _lines(path: str | Path, first_column: str, quotes: bool) -> Iterator[tuple[int, list[str]]]:
    line = 1
    of_names = re.compile(rf'"?{re.escape(first_column)}"?\s*[,;\t|]' if first_column else "")
    try:
        refuse_special(path)
        with open(path, newline="", encoding=_encoding(path)) as file:
            lines = _bounded(file, str(path))
            first = next(lines, "")
            stated = re.fullmatch(rf"sep=([{SEPARATORS}])", first.rstrip("\r\n"))
            if stated:
                first, line = next(lines, ""), 2
            while first and (not first.strip() or not of_names.match(first)):
                first, line = next(lines, ""), line + 1
            # Spreadsheets of some countries write semicolons, databases write |.
            unquoted = re.sub('"[^"]*"', "", first)
            delimiter = stated[1] if stated else max(SEPARATORS, key=unquoted.count)
            quoted = quotes or delimiter != "\t"
            rest = itertools.chain([first], lines)
            reader = csv.reader(
                rest,
                delimiter=delimiter,
                skipinitialspace=True,
                quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
                # Else a quote that is never closed takes the rows behind it into its field.
                strict=True,
            )
            before = line
            for fields in reader:
                yield line, fields
                line = before + reader.line_num
    except OSError as error:
        raise reading_error(path, error) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, after line {line}: not {error.encoding.upper()} text; {_mending(path)}."
        ) from error
    except csv.Error as error:
        raise DataError(
            f"{path}, line {line}: not a csv row ({error}); mend the row, an open quote for one."
        ) from error
    except ValueError as error:
        raise DataError(f"{path} can't be read ({error}): give the csv file.") from error
