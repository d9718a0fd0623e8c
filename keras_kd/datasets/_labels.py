"""Labels of samples and their class names."""

from __future__ import annotations

import numpy as np

from keras_kd._common.arrays import first_outside
from keras_kd.errors import DataError


def require_named(labels: np.ndarray, names: int) -> None:
    """Refuse labels of more classes than there are names for.

    Args:
        labels: class numbers (N,) or (N, 1), or shares (N, classes).
        names: number of class names; 0 for none, which fit any labels.

    Raises:
        DataError: a class number has no name, or there are shares of another number of classes.
    """
    if not names or labels.dtype.kind not in "iuf":
        return
    if labels.shape[1:] not in ((), (1,)):
        if labels.shape[1] != names:
            raise DataError(
                f"The labels of the samples are shares of {labels.shape[1]} classes, and {names}"
                " class names are given: give a name for each column."
            )
        return
    if outside := first_outside(labels, names):
        row, label = outside
        raise DataError(
            f"The label in row {row} of the samples is {label:g}: expected class numbers 0"
            f" to {names - 1}, as {names} class names are given."
        )
