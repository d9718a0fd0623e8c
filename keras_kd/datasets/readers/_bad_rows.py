"""The refusal of a row that can't be used."""

from __future__ import annotations

from keras_kd.errors import DataError


def refusal(problem: str, mend: str = "mend or remove the row") -> DataError:
    """Return the error of a row that can't be used, which says how to do without such rows.

    Args:
        problem: where the row is, and what is wrong with it.
        mend: what else the user can do.
    """
    return DataError(f"{problem}; {mend}, or leave out all such rows with --skip-bad-rows.")
