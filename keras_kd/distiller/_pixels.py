"""Checks of the numbers of images: before training if they are arrays, and in the training step
otherwise.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from keras_kd._common.arrays import first_not_finite
from keras_kd._common.tensors import on_host
from keras_kd.distiller import _inputs
from keras_kd.distiller._labels import FINITE, require_unmasked
from keras_kd.errors import DataError


def require_finite(images: Any, student: keras.Model) -> bool:
    """Refuse images, or other inputs of a student, that hold NaN or infinity, that are masked, or
    that are no real numbers where the student takes such.

    Args:
        images: an array or tensor, or several by name; what is not known now is left to
            `_labels.Faults`.
        student: whose inputs these are.

    Returns:
        Whether all are known now.

    Raises:
        DataError: one does. The message names the first such row, if it is one of NaN or infinity.
    """
    known, takes_text = True, any(one.dtype == "string" for one in student.inputs)
    for one in keras.tree.flatten(_inputs.named(images, student)):
        array = on_host(one) if hasattr(one, "shape") else None
        require_unmasked(one, "images")
        if array is not None and array.dtype.kind in "Oc" and not takes_text:
            raise DataError(
                f"The images are an array of {array.dtype}: expected real numbers, which"
                " array.astype('float32') makes of numbers."
            )
        row = None if array is None else first_not_finite(array)
        if row is not None:
            raise DataError(f"The image in row {row} holds NaN or infinity: {FINITE}.")
        # NumPy's own types alone, as not bfloat16.
        known = known and array is not None and array.dtype.kind in "biuf"
    return known


def not_finite(images: Any, student: keras.Model) -> Any:
    """Return which images of a batch in the graph hold NaN or infinity, bool (N,).

    Args:
        images: a batch; None where a loss is asked for without it.
        student: whose inputs these are.

    Returns:
        None where all inputs are whole numbers, or none are given.
    """
    if images is None:
        return None
    found = [
        ops.any(ops.logical_not(ops.isfinite(one)), axis=tuple(range(1, len(one.shape))))
        for one in keras.tree.flatten(_inputs.named(images, student))
        if keras.backend.is_float_dtype(keras.backend.standardize_dtype(one.dtype))
    ]
    return functools.reduce(ops.logical_or, found) if found else None
