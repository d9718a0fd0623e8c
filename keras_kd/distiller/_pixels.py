"""Checks of the numbers of images: before training if they are arrays, and those for NaN in the
training step otherwise.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._common.arrays import evenly, first_not_finite
from keras_kd._common.tensors import on_host
from keras_kd._common.user_warnings import warn
from keras_kd.distiller import _inputs
from keras_kd.distiller._labels import FINITE, require_unmasked
from keras_kd.errors import DataError
from keras_kd.models.surgery.keras_internals import is_graph, is_of_keras, layer_of, readers

# Layers that may stand before a Rescaling and leave the range of the pixels as it is.
_BEFORE = ("Random", "Resizing", "CenterCrop")
_DIVIDES = 1 / 50  # at most, as 1/255 and 1/127.5; other factors say nothing of the pixels' range
# What such a Rescaling makes of the range of an image: 1 or 2 of one of 0..255.
_SMALLEST, _LARGEST = 0.05, 50
_PROBED = 64  # images


def require_finite(images: Any, student: keras.Model) -> bool:
    """Refuse images that hold NaN or infinity, and any inputs of a student that are masked, or that
    are no real numbers where the student takes such.

    Args:
        images: an array or tensor, or several by name; what is not known now is left to
            `_labels.Faults`.
        student: whose inputs these are.

    Returns:
        Whether all are known now.

    Raises:
        DataError: one does. The message names the first such row, if it is one of NaN or infinity.
    """
    takes_text = any(one.dtype == "string" for one in student.inputs)
    for one in keras.tree.flatten(_inputs.named(images, student)):
        array = on_host(one) if hasattr(one, "shape") else None
        require_unmasked(one, "images")
        if array is not None and array.dtype.kind in "Oc" and not takes_text:
            raise DataError(
                f"The images are an array of {array.dtype}: expected real numbers, which"
                " array.astype('float32') makes of numbers."
            )
    known = True
    for one in _images(images, student):
        array = on_host(one) if hasattr(one, "shape") else None
        row = None if array is None else first_not_finite(array)
        if row is not None:
            raise DataError(f"The image in row {row} holds NaN or infinity: {FINITE}.")
        # NumPy's own types alone, as not bfloat16.
        known = known and array is not None and array.dtype.kind in "biuf"
    return known


def _images(inputs: Any, student: keras.Model) -> list[Any]:
    """What a student takes, without what is no image (N, H, W, C) beside others: columns of a
    table, of which its own layers may fill gaps.
    """
    flat = keras.tree.flatten(_inputs.named(inputs, student))
    return flat if len(flat) == 1 else [one for one in flat if len(_inputs.shape_of(one)) > 3]


def not_finite(images: Any, student: keras.Model) -> Any:
    """Return which images of a batch in the graph hold NaN or infinity, bool (N,).

    Args:
        images: a batch; None where a loss is asked for without it.
        student: whose inputs these are.

    Returns:
        None where all images are whole numbers, or none are given.
    """
    if images is None:
        return None
    found = [
        ops.any(ops.logical_not(ops.isfinite(one)), axis=tuple(range(1, len(one.shape))))
        for one in _images(images, student)
        if keras.backend.is_float_dtype(keras.backend.standardize_dtype(one.dtype))
    ]
    return functools.reduce(ops.logical_or, found) if found else None


def warn_of_range(images: Any, model: keras.Model, role: str) -> None:
    """Warn of images whose range does not suit the Rescaling that a model begins with, as of 0..1
    before a division by 255, which leaves next to nothing of them.

    Args:
        images: an array or tensor; what is not known now is passed over.
        model: that takes them.
        role: what the model is to the user, e.g. "student".
    """
    scale = _first_scale(model)
    if scale is None or not 0 < scale <= _DIVIDES:
        return
    given = _inputs.only(images, model)
    array = on_host(given) if hasattr(given, "shape") else None
    if array is None or array.dtype.kind not in "iuf" or not len(array):
        return
    some = evenly(array, _PROBED).astype(np.float64)
    low, high = float(some.min()), float(some.max())
    span = scale * (high - low)
    if 0 < span < _SMALLEST or span > _LARGEST:
        warn(
            f"The {role} {model.name} begins with Rescaling({scale:.3g}), which expects pixels of"
            f" 0..255, but the images have numbers of {low:.3g}..{high:.3g}: give images of"
            " 0..255, or leave out that layer or what scaled the images before."
        )


def _first_scale(model: keras.Model) -> float | None:
    """The factor of the Rescaling that a model begins with; None where it begins otherwise."""
    if not is_graph(model) or len(model.inputs) != 1:
        return None
    layer = layer_of(model.inputs[0])
    while len(following := readers(layer)) == 1:
        layer = following[0]
        if is_graph(layer):
            return _first_scale(layer)
        if type(layer) is keras.layers.Rescaling:
            return float(np.max(np.abs(layer.scale)))
        if not is_of_keras(layer) or not type(layer).__name__.startswith(_BEFORE):
            return None
    return None
