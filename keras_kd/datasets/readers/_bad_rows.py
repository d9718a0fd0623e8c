"""The refusal of rows that can't be used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

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


def require_same_numbers(place: str | Path, labels: Iterable[Any], numbers: Iterable[int]) -> None:
    """Check that class numbers don't seem to count from another first one, whether bad rows are
    left out or not: without those of no class, all others would stay as a class beside theirs.

    Args:
        place: of the labels, for the message.
        labels: as they stand in their files; those that are no whole numbers are passed over.
        numbers: of the classes.

    Raises:
        DataError: the first and the last number are both one above, or one below, the classes'.
    """
    texts = {f"{label:g}" if isinstance(label, float) else str(label).strip() for label in labels}
    # Longer ones are numbers of no class, and of thousands of digits Python makes none.
    found = {int(text) for text in texts if text.isdecimal() and len(text) < 10}
    first, last = min(ends := [*numbers]), max(ends)
    low, high = min(found, default=first), max(found, default=last)
    if (low - first, high - last) in ((1, 1), (-1, -1)):
        raise DataError(
            f"{place}: the class numbers run from {low} to {high}, expected {first} to {last}: they"
            f" seem to count from {low}, so that leaving rows out would keep wrong classes;"
            f" {'subtract' if low > first else 'add'} 1."
        )
