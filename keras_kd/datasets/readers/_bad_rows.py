"""The refusal of rows that can't be used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_kd.datasets import class_names
from keras_kd.errors import DataError


def none_readable(count: int, problems: Sequence[str]) -> DataError:
    """Return the error of images of which none can be read, and the first of their problems.

    Args:
        count: of the images.
        problems: a line for each.
    """
    first = "".join(problems[:1])
    return DataError(f"None of the {count} images can be read; the first problem: {first}")


def refusal(problem: str, mend: str = "mend or remove the row") -> DataError:
    """Return the error of a row that can't be used, which says how to do without such rows.

    Args:
        problem: where the row is, and what is wrong with it.
        mend: what else the user can do.
    """
    return DataError(f"{problem}; {mend}, or leave out all such rows with --skip-bad-rows.")


def require_numbers_from_0(place: str | Path, labels: Iterable[Any], names: Sequence[str]) -> None:
    """Check that class numbers don't seem to count from 1, whether bad rows are left out or not:
    without those of the last number, all others would stay as the class behind theirs.

    Args:
        place: of the labels, for the message.
        labels: as they stand in their files; those that are no whole numbers are passed over.
        names: of the classes.

    Raises:
        DataError: the numbers run from 1 to the number of classes.
    """
    texts = {f"{label:g}" if isinstance(label, float) else str(label).strip() for label in labels}
    numbers = {int(text) for text in texts if text.isdecimal()}
    if numbers and (min(numbers), max(numbers)) == (1, len(names)):
        raise DataError(
            f"{place}: the class numbers run from 1 to {len(names)}, expected 0 to"
            f" {len(names) - 1} ({class_names.numbered(names)}): they seem to count from 1, as"
            " RAF-DB's do, so that leaving rows out would keep wrong classes; subtract 1."
        )
