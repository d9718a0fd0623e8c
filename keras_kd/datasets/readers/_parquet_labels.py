"""Labels of a Parquet column: class names or numbers, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_kd.datasets import class_names
from keras_kd.datasets.readers import _bad_rows, _numbering
from keras_kd.errors import DataError

if TYPE_CHECKING:
    import pyarrow

    # The file, the number of the first row in it, and some rows.
    Column = Iterator[tuple[Path, int, pyarrow.Array]]


def is_text(kind: Any) -> bool:
    """Whether a column's type is text or bytes, dictionaries of pandas' categories among them."""
    import pyarrow

    types = pyarrow.types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    contents = (types.is_binary, types.is_large_binary, types.is_binary_view)
    return any(is_kind(kind) for is_kind in (*texts, *contents))


def texts(column: Column) -> list[str]:
    """Return the different labels of a text column, sorted; numbers by their value.

    Raises:
        DataError: a file has other labels than texts.
    """
    found: set[str] = set()
    for file, _, part in column:
        if not is_text(part.type) and part.null_count < len(part):
            raise numbers_beside_names(f"{file} and other files")
        found.update(part.unique().to_pylist())
    return _numbering.ordered({class_names.plain(label) for label in found - {None}})


def require_named(column: Column, names: Sequence[str]) -> None:
    """Check that labels stand for no class by a number among names that only data tell.

    Args:
        column: the labels.
        names: those of the training labels.

    Raises:
        DataError: one does; no list says which class it means.
    """
    for file, _, part in column:
        if any(is_place(label, names) for label in part.unique().to_pylist()):
            raise numbers_beside_names(f"{file} and other files")


def is_place(label: Any, names: Sequence[str]) -> bool:
    """Whether a label, as it stands in its file, is no name but a number of one."""
    is_name = isinstance(label, str) and class_names.plain(label) in names
    return not is_name and number(label, names) >= 0


def numbers_beside_names(files: str) -> DataError:
    """Return why labels can't be told whose files, the beginning of a sentence, have both."""
    return DataError(
        f"{files} have names and numbers as labels: write the names of the numbers to"
        f" {class_names.LABELS_FILE} beside, one a line, or mend the labels."
    )


def listed_names(listed: list[str], stated: Sequence[str], file: str | Path) -> list[str]:
    """Return the names of a labels.txt, which go before those that data state themselves.

    Args:
        listed: the names in the list.
        stated: those that the data state; empty where they state none.
        file: the list.

    Raises:
        DataError: both have the same names in another order.
    """
    if sorted(listed) == sorted(stated) and listed != [*stated]:
        raise DataError(
            f"{file} names the classes {', '.join(listed)}, and the Parquet files themselves"
            f" {', '.join(stated)}: remove the list, or mend its order."
        )
    return listed


def known_numbers(column: Column) -> str:
    """Say which known data sets number their classes as a column does; "" where none does."""
    found = {label for _, _, part in column for label in part.unique().to_pylist()}
    known = _numbering.offered({label for label in found if isinstance(label, int)})
    return f"; {known}" if known else ""


def numbers(
    column: Column, names: Sequence[str], skip_bad_rows: bool
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the class number of every row, int64 (N,), -1 where it has none; and a line for each
    such row.

    Raises:
        DataError: without `skip_bad_rows`, a row has no class. The message names the first one.
    """
    found: list[np.ndarray] = []
    bad: list[tuple[str, Any]] = []
    for file, start, part in column:
        labels = part.to_pylist()
        found.append(np.array([number(label, names) for label in labels], np.int64))
        bad += [
            (f"{file}, row {start + row}", labels[row]) for row in np.flatnonzero(found[-1] < 0)
        ]
    values = np.concatenate(found) if found else np.empty(0, np.int64)
    problems = tuple(f"{place}: the label is {_shown(label)}" for place, label in bad)
    if problems:
        require_same_numbers(bad[0][0], {*values.tolist()} | {label for _, label in bad}, names)
    if problems and not skip_bad_rows:
        expected = f"expected one of the {len(names)} classes {class_names.numbered(names)}"
        mend = advice([label for _, label in bad])
        raise _bad_rows.refusal(f"{problems[0]}, {expected}", mend)
    return values, problems


def are_missing(labels: Iterable[Any]) -> bool:
    """Whether there are labels, and all stand for none, as in test splits that keep theirs secret.

    Args:
        labels: as they stand in their files, read up to the first that is none such.
    """
    missing = False
    for label in labels:
        missing = label in (None, -1, "", "-1") or label != label
        if not missing:
            break
    return missing


def require_kind(file: Path, kind: Any) -> None:
    """Check that a column is of a type that labels can have, or that of a column of none.

    Args:
        file: what errors name.
        kind: the column's type.

    Raises:
        DataError: its type can't be labels.
    """
    import pyarrow

    types = pyarrow.types
    if is_text(kind) or any(
        is_kind(kind) for is_kind in (types.is_integer, types.is_floating, types.is_null)
    ):
        return
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        raise DataError(
            f"{file} has several labels a row ({kind}): one class an image is expected; choose one,"
            " or make a data set for each."
        )
    raise DataError(
        f"{file} has labels of type {kind}: expected whole numbers or names; convert them."
    )


def require_same_names(named: Sequence[tuple[str | Path, Sequence[str]]]) -> None:
    """Numbers mean classes by the names in a file's own metadata, which must be one list.

    Args:
        named: each file with the names that it states, which may be none.

    Raises:
        DataError: two files state different names, or another order.
    """
    stating = [one for one in named if one[1]]
    for file, names in stating:
        if names != stating[0][1]:
            raise DataError(
                f"{file} names its classes {', '.join(names)}, and {stating[0][0]}"
                f" {', '.join(stating[0][1])}: expected one list in one order in all shards."
            )


def number(label: Any, names: Sequence[str]) -> int:
    """The class number of one label, which may be written as text; -1 where it has none."""
    if isinstance(label, str):
        plain = class_names.plain(label)
        if plain in names or not plain.isdecimal():
            return names.index(plain) if plain in names else -1
        label = int(plain)
    # pandas turns whole numbers into floats where one is missing.
    whole = label is not None and label == label and 0 <= label < len(names) and label == int(label)
    return int(label) if whole else -1


def require_same_numbers(place: str, labels: Iterable[Any], names: Sequence[str]) -> None:
    """Refuse labels as `_bad_rows.require_same_numbers`, where classes may be called by numbers."""
    known = ((label, number(label, names)) for label in labels)
    given = [label if found < 0 else found for label, found in known]
    _bad_rows.require_same_numbers(place, given, range(len(names)))


def _shown(label: Any) -> str:
    missing = label is None or label != label
    return "missing" if missing else repr(label)[:40]


def advice(bad: list[Any]) -> str:
    """Say what to do about labels without a class, by what they look like.

    Args:
        bad: the labels.
    """
    if set(bad) == {-1}:
        return "-1 stands for no label, as in test splits that keep theirs secret: remove the rows"
    return "mend or remove the row"
