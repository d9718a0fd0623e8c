"""Labels that are shares of votes: what makes a row of numbers one."""

from __future__ import annotations

import numpy as np

# Of a sum of 1, for shares that were kept in float16 or rounded to some decimals.
TOLERANCE = 1e-2


def are_shares(rows: np.ndarray) -> np.ndarray:
    """Return which rows have no number below 0 and sum to 1, bool (...,).

    Args:
        rows: numbers (..., C); a row with NaN is none.
    """
    return (rows.min(axis=-1) >= 0) & (np.abs(rows.sum(axis=-1) - 1) <= TOLERANCE)
