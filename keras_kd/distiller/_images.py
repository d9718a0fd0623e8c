"""Images of the student's size, converted to the size that the teacher expects."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._common.resizing import bilinear
from keras_kd._common.text import sides
from keras_kd._common.user_warnings import warn
from keras_kd.errors import ModelError
from keras_kd.models.output_kinds import images_of_noise


def input_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    """Return (H, W, C) of a model with one input; None if it is unknown or there are several."""
    inputs = getattr(model, "inputs", None)
    return tuple(inputs[0].shape[1:]) if inputs and len(inputs) == 1 else None


def of_noise(model: keras.Model) -> np.ndarray | None:
    """Return images of noise, float32 (8, H, W, C) in 0..255, for a model with one input of such a
    shape; None for any other.
    """
    shape = input_shape(model)
    if shape is None or len(shape) != 3 or None in shape:
        return None
    return images_of_noise(shape).astype(np.float32)


def require_inputs(teacher: keras.Model, student: keras.Model) -> None:
    """Refuse a teacher of another number of inputs than the student, or of several of other shapes.

    Raises:
        ModelError: see above.
    """
    theirs, ours = (
        [tuple(one.shape[1:]) for one in getattr(model, "inputs", None) or ()]
        for model in (teacher, student)
    )
    if not theirs:
        return  # Its inputs are known when it is called.
    fits = all(_fits(*pair) for pair in zip(theirs, ours, strict=False))
    if len(theirs) != len(ours) or (len(ours) > 1 and not fits):
        raise ModelError(
            f"The teacher {teacher.name} takes {_inputs(theirs)} and the student {student.name} "
            f"{_inputs(ours)}: both see the same batch, so build one of them for the other's "
            "inputs."
        )


def _inputs(shapes: list[tuple[int | None, ...]]) -> str:
    number = f"{len(shapes)} inputs of shapes" if len(shapes) > 1 else "one input of shape"
    return f"{number} {', '.join(map(str, shapes))}"


def require_shape(
    model: keras.Model, expected: tuple[int | None, ...], given: tuple[int | None, ...]
) -> None:
    """Refuse a teacher whose inputs can't be made of the student's."""
    if _fits(expected, given):
        return
    images = (
        len(expected) == len(given) == 3 and keras.config.image_data_format() == "channels_last"
    )
    if not images or {expected[2], given[2]} - {1, 3, None} and expected[2] != given[2]:
        raise ModelError(
            f"The teacher {model.name} takes inputs of shape {expected} and the student of "
            f"{given}: both see the same batch, so build one of them for the other's shape."
        )


def warn_of_resizing(
    model: keras.Model, expected: tuple[int | None, ...], given: tuple[int | None, ...]
) -> None:
    """Warn of a teacher whose images are made of other images, as those of a smaller student."""
    warn(
        f"The teacher {model.name} takes {sides(expected)} and gets {sides(given)}: batches are"
        " resized for the teacher; images resized from the original pixels would be better."
    )


def _fits(expected: tuple[int | None, ...], given: tuple[int | None, ...]) -> bool:
    alike = [
        left == right or None in (left, right) for left, right in zip(expected, given, strict=False)
    ]
    return len(expected) == len(given) and all(alike)


def resized(
    images: Any, shape: tuple[int | None, ...], of_student: tuple[int | None, ...] | None
) -> Any:
    """Return a batch at the height, width and channels of a shape, gray by luma or repeated.

    Args:
        images: (N, H, W, C), of which the graph of a data set may know no sizes, as of decoded
            files.
        shape: (H, W, C), None for any size.
        of_student: (H, W, C) that the student takes of these images, which stands for what the
            graph doesn't know; None where the student doesn't take them.

    Returns:
        The images as they are, or float32 (N, *shape).
    """
    known = zip(images.shape[1:], of_student or (None,) * len(shape), strict=False)
    given = tuple(size if size is not None else own for size, own in known)
    if len(given) == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, given, strict=True)
    ):
        return images
    images, channels = ops.cast(images, "float32"), given[2]
    if images.shape[-1] is None and channels is not None:
        import tensorflow as tf  # All other backends know them.

        images = tf.ensure_shape(images, (None, None, None, channels))
    if shape[2] == 1 and channels == 3:
        images = ops.image.rgb_to_grayscale(images, data_format="channels_last")
    elif shape[2] == 3 and channels == 1:
        images = ops.repeat(images, 3, axis=-1)
    size = tuple(
        wanted if wanted is not None else theirs
        for wanted, theirs in zip(shape[:2], ops.shape(images)[1:3], strict=True)
    )
    return images if size == tuple(images.shape[1:3]) else bilinear(images, *size)
