"""What quantization-aware training learns from: labels and a teacher's logits, checked, and in the
form that its worker reads.
"""

from __future__ import annotations

import keras
import numpy as np

from keras_kd._common.arrays import evenly
from keras_kd._common.shares import as_shares
from keras_kd._common.user_warnings import warn
from keras_kd.datasets.images import fitted
from keras_kd.errors import DataError
from keras_kd.exporters._serving import Serving
from keras_kd.models import output_kinds
from keras_kd.models.output_kinds import OutputKind
from keras_kd.teachers.views import Views

_TEACHER_OUTPUTS = ("logits", "probabilities")
_COMPARED = 8  # images on which the worker compares its twin with the model
_PROBED_ROWS = 1000  # rows of the teacher's numbers, which show what they are


def require_equally_many(
    count: int, labels: np.ndarray, teacher_logits: np.ndarray | None, views: Views
) -> None:
    """Refuse images, labels, logits and views of different numbers.

    Args:
        count: number of images.
        labels: as the user gives them.
        teacher_logits: as the user gives them, or None.
        views: the augmented views of the images.

    Raises:
        DataError: the numbers differ, or there are no images.
    """
    logits = "no logits" if teacher_logits is None else f"{len(teacher_logits)} logits"
    if {
        count,
        len(labels),
        count if teacher_logits is None else len(teacher_logits),
        views.rows,
    } != {count} or not count:
        raise DataError(
            "Images, labels, the teacher's logits and views must be equally many, at least 1. "
            f"Received: {count} images, {len(labels)} labels, {logits}, views of {views.rows}."
        )
    if (
        teacher_logits is not None
        and teacher_logits.ndim == 3
        and teacher_logits.shape[1] != len(views)
    ):
        raise DataError(
            f"The teacher's logits are of {teacher_logits.shape[1]} views, but {len(views)} are"
            " given."
        )


def teacher_logits_of_classes(
    given: np.ndarray, model: keras.Model, stated: OutputKind | None
) -> np.ndarray:
    """Return logits of the model's classes; of probabilities p, log p."""
    classes = model.outputs[0].shape[-1]
    if given.ndim not in (2, 3) or given.shape[-1] != classes:
        raise DataError(
            f"The teacher's logits must be (N, {classes}) or (N, views, {classes}), as {model.name}"
            f" gives {classes} classes. Received: {given.shape}."
        )
    if not np.isfinite(given).all():
        raise DataError(
            "The teacher's logits hold NaN or infinity: predict them anew, and give a probability"
            " of 0 a small value before its logarithm is taken."
        )
    if stated not in (None, *_TEACHER_OUTPUTS):
        raise DataError(
            f"teacher_output must be one of {', '.join(_TEACHER_OUTPUTS)}. Received: {stated!r}."
        )
    probed = evenly(given, _PROBED_ROWS).astype(np.float32)
    kind = stated or output_kinds.kind_of_values(probed)
    if kind in ("sigmoids", "undecided"):
        raise DataError(
            output_kinds.unclear(
                "of the teacher",
                "If they are logits, say so by teacher_output='logits'; independent sigmoids can't"
                " be learnt from",
            )
        )
    if kind != "probabilities":
        return given
    warn("The teacher gives probabilities p, not logits: log p is learnt from.")
    return output_kinds.log_probabilities(given.astype(np.float32))


def for_worker(
    serving: Serving,
    images: np.ndarray,
    labels: np.ndarray,
    teacher_logits: np.ndarray | None,
    views: int,
) -> dict[str, np.ndarray]:
    """Return the worker's arrays by name.

    Args:
        serving: the model, which gives the outputs that its twin must have.
        images: uint8 (N, H, W, C).
        labels: class numbers (N,) or shares (N, classes).
        teacher_logits: (N, classes) or (N, views, classes), or None.
        views: number of views of each image.

    Returns:
        images, labels as shares, teacher (N, views, classes), and expected, the model's outputs
        for the first images.
    """
    model = serving.model
    shape, classes = tuple(model.inputs[0].shape[1:]), model.outputs[0].shape[-1]
    # The worker refuses a twin that computes something else before it trains it.
    shown = serving.in_range(fitted(images[:_COMPARED], shape)).astype(np.float32)
    return {
        "images": images,
        "labels": as_shares(labels, classes).astype(np.float32),
        "teacher": _by_view(teacher_logits, len(images), views, classes),
        "expected": keras.ops.convert_to_numpy(model(shown, training=False)),
    }


def _by_view(teacher_logits: np.ndarray | None, count: int, views: int, classes: int) -> np.ndarray:
    """Return (count, views, classes); zeros without a teacher."""
    if teacher_logits is None:
        # A view of one zero: it takes no memory, and its weight in the loss is 0.
        return np.broadcast_to(np.float32(0), (count, views, classes))
    return np.broadcast_to(teacher_logits.reshape(count, -1, classes), (count, views, classes))
