"""The targets of training: smoothed labels, and weights that balance the classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_kd._common.shares import as_shares
from keras_kd.datasets.splits import Data, Heads


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return n/(C·n_c) for each class, whose mean over the images is 1.

    This formula is assumed, because arXiv 2501.18538 gives none.

    Args:
        labels: int (N,) or shares (N, classes); a class without images gets the weight 0.
        classes: C.

    Returns:
        float64 (classes,).
    """
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
    return weights_of_counts(counts)


def weights_of_counts(counts: np.ndarray) -> np.ndarray:
    """Return `balanced_weights` where the number of images of each class is known.

    Args:
        counts: (classes,).

    Returns:
        float64 (classes,).
    """
    total, classes = counts.sum(), len(counts)
    # A class without images gets the weight 0 instead of infinity.
    return np.divide(total, classes * counts, out=np.zeros(classes), where=counts > 0)


def smoothed(labels: np.ndarray, classes: int, share: float) -> np.ndarray:
    """Smooth labels: y·(1 - share) + share/C.

    Equation 2 of Szegedy et al. 2016 (arXiv 1512.00567, section 7).

    Args:
        labels: int (N,) or shares (N, classes).
        classes: C.
        share: in 0..1.

    Returns:
        float32 (N, classes).
    """
    return ((1 - share) * as_shares(labels, classes) + share / classes).astype(np.float32)


def of_shard(labels: np.ndarray, classes: int, smoothing: float) -> np.ndarray:
    """Return the targets of a shard's images, as `of` returns those of images in memory.

    Args:
        labels: int (n,).
        classes: C.
        smoothing: share of each label that is spread over all classes.

    Returns:
        The labels, or float32 (n, classes) if they are smoothed.
    """
    return smoothed(labels, classes, smoothing) if smoothing else labels


def of(heads: Heads, data: Data, smoothing: float, as_shares: bool = False) -> tuple[Any, Any]:
    """Return the targets of the training images and those of the validation images.

    Args:
        heads: what the student learns.
        data: the training and validation images.
        smoothing: share of each label that is spread over all classes, 0 or more and below 1.
        as_shares: return class labels as shares in any case.

    Returns:
        Both as `Heads.targets` returns them; class labels are shares if they are smoothed or if
            those of the training images are.
    """
    train, validation = heads.targets(data.train), heads.targets(data.validation)
    # Keras' accuracy takes labels of one form, and smoothed ones are shares.
    as_shares = as_shares or bool(smoothing)
    if not as_shares and data.train.labels.ndim == data.validation.labels.ndim:
        return train, validation
    return _smoothed(heads, train, smoothing), _smoothed(heads, validation, 0.0)


def _smoothed(heads: Heads, targets: Any, share: float) -> Any:
    """The targets with class labels as shares, `share` of each spread over all classes."""
    if not heads.label:
        return targets
    labels = targets if heads.single else targets[heads.label]
    shares = smoothed(labels, len(heads.class_names), share)
    return shares if heads.single else {**targets, heads.label: shares}
