"""The refusal of rows that can't be used."""

from __future__ import annotations

from collections.abc import Sequence

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
