"""The conditions on samples: images that a model can take, and labels by its classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from keras_kd._common.arrays import first_not_finite
from keras_kd._common.shares import are_shares
from keras_kd.datasets import Samples
from keras_kd.datasets.class_permutation import in_model_order
from keras_kd.errors import ExportError, ModelError

_GRAY_OR_RGB = (1, 3)


def checked(
    samples: Samples | np.ndarray,
    shape: tuple[int, ...],
    classes: int,
    class_names: tuple[str, ...] | None,
) -> Samples | np.ndarray:
    """Return the samples with labels by the model's classes.

    Args:
        samples: what the user gives.
        shape: (H, W, C) that the model takes.
        classes: their number; 0 or 1 where labels have no meaning for the model's outputs.
        class_names: in the model's order, or None.

    Raises:
        ExportError: images or labels don't fit the model.
    """
    if isinstance(samples, np.ndarray):
        require_images(samples, shape)
        return samples
    require_images(samples.images, shape)
    if len(samples.labels) != len(samples.images):
        raise ExportError(
            f"The samples have {len(samples.images)} images and {len(samples.labels)} labels: give"
            " one label for each image."
        )
    if classes < 2:
        return samples
    named = len(samples.class_names) if class_names and samples.class_names else classes
    labels = class_labels(samples.labels, named)
    return in_order(dataclasses.replace(samples, labels=labels), class_names)


def in_order(samples: Samples, class_names: tuple[str, ...] | None) -> Samples:
    """Return the samples with labels in a model's order of classes.

    Args:
        samples: with labels as `class_labels` returns them.
        class_names: in the model's order; None leaves the samples as they are.

    Raises:
        ExportError: samples and model have different classes.
    """
    if not class_names or not samples.class_names or tuple(samples.class_names) == class_names:
        return samples
    try:
        labels = in_model_order(samples.labels, samples.class_names, class_names)
    except ModelError as error:
        raise ExportError(
            f"The samples' class_names are not those of the export: {error}"
        ) from error
    return dataclasses.replace(samples, labels=labels, class_names=class_names)


def require_images(images: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse arrays that are no images for a model.

    Args:
        images: what the user gives.
        shape: (H, W, C) that the model takes.

    Raises:
        ExportError: another number of axes or channels, no numbers, or NaN.
    """
    if not isinstance(images, np.ndarray):
        raise ExportError(
            f"The samples' images must be an array (N, H, W, C). Received: {type(images).__name__};"
            " numpy.stack(images) makes one."
        )
    if images.ndim != 4:
        raise ExportError(
            f"The samples must be images (N, H, W, C). Received: an array of shape {images.shape};"
            " images[..., None] adds the channel axis of gray images, images[None] makes one image"
            " an array of images."
        )
    given, taken = images.shape[3], shape[2]
    convertible = given in _GRAY_OR_RGB and taken in _GRAY_OR_RGB
    # Only gray and RGB images can be resized.
    equal = given == taken and (taken in _GRAY_OR_RGB or images.shape[1:] == tuple(shape))
    if not (convertible or equal):
        raise ExportError(
            f"The samples are images of shape {images.shape[1:]}, and the model takes"
            f" {tuple(shape)}: give images of its channels, in the order height, width, channels"
            " (images[..., :3] leaves the alpha channel out, images.transpose(0, 2, 3, 1) puts"
            " channels last)."
        )
    if images.dtype.kind not in "uif":
        raise ExportError(f"The samples must hold numbers. Received: {images.dtype}.")
    if (bad := first_not_finite(images)) is not None:
        raise ExportError(f"Image {bad} of the samples holds NaN or infinity: leave it out.")


def class_labels(labels: Any, classes: int) -> np.ndarray:
    """Return the class numbers int64 (N,), or the shares of votes float32 (N, classes).

    Args:
        labels: int (N,) or (N, 1), or shares (N, classes) that sum to 1.
        classes: their number, 2 or more.

    Raises:
        ExportError: the labels are neither.
    """
    labels = np.asarray(labels)
    shaped = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if shaped.ndim == 1 and shaped.dtype.kind in "ui":
        outside = shaped[(shaped < 0) | (shaped >= classes)]
        if outside.size:
            raise ExportError(
                f"Label {outside[0]} is none of the {classes} classes: number them from 0 to"
                f" {classes - 1}, and leave out images without a label."
            )
        return shaped.astype(np.int64)
    if shaped.ndim == 2 and shaped.shape[1] == classes and shaped.dtype.kind in "uif":
        shares = shaped.astype(np.float32)
        if are_shares(shares).all():
            return shares
        raise ExportError(
            f"The labels (N, {classes}) are no shares of votes: each row must sum to 1, and no"
            " number may be below 0."
        )
    raise ExportError(
        f"Labels must be whole numbers (N,), or shares of votes (N, {classes}). Received:"
        f" {labels.dtype} {labels.shape}; labels.astype(int) makes whole numbers."
    )
