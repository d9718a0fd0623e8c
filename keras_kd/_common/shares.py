"""Labels as shares of the classes, and what makes a row of numbers one."""

from __future__ import annotations

import numpy as np

# Of a sum of 1, for shares that were kept in float16 or rounded to some decimals.
TOLERANCE = 1e-2


def as_shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return labels as shares of the classes.

    Args:
        labels: int (N,), or shares (N, C), which are returned as they are.
        classes: C.

    Returns:
        (N, C), float32 where the labels were numbers.
    """
    return np.eye(classes, dtype=np.float32)[labels] if labels.ndim == 1 else labels


def are_shares(rows: np.ndarray) -> np.ndarray:
    """Return which rows have no number below 0 and sum to 1, bool (...,).

    Args:
        rows: numbers (..., C); a row with NaN is none.
    """
    return (rows.min(axis=-1) >= 0) & (np.abs(rows.sum(axis=-1) - 1) <= TOLERANCE)


def wrong(row: np.ndarray) -> str:
    """Return what is wrong with a row that are no shares, as the end of a sentence about it.

    Args:
        row: numbers (C,), of which the first eight are shown.
    """
    shown = ", ".join(f"{share:g}" for share in row[:8])
    return f"are [{shown}]: expected shares of the classes that sum to 1, none below 0."
