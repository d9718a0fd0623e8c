"""Losses on the labels, and means over the images."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_kd._common.arrays import first_outside
from keras_kd._common.tensors import on_host
from keras_kd.errors import DataError, ModelError
from keras_kd.losses._tensors import (
    TINY,
    Tensor,
    flat,
    require_alike,
    require_classes,
    require_images,
)


def cross_entropy_each(
    labels: Tensor, logits: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Compute -Σ_c v_c y_c log softmax(s)_c for each image, with class weights v.

    Equation (6) of Mini-ResEmoteNet (arXiv 2501.18538) calls it CE(weighted).

    Args:
        labels: integers (N,) or (N, 1) in 0..C-1, or float (N, C) shares that sum to 1.
        logits: s, float (N, C).
        class_weights: v, float (C,), 0 or more; None for 1.

    Returns:
        float32 (N,), 0 or more.

    Raises:
        ModelError: shares or class weights are of another number of classes than the logits, or
            there are labels of other images.
        DataError: a number that is known now is that of no class. In a traced step such an image
            has the loss 0.
    """
    log_q = ops.log_softmax(ops.cast(logits, "float32"))
    shares = as_shares(labels, logits.shape[-1])
    require_alike("labels", shares, logits)
    if class_weights is not None:
        weights = flat(ops.convert_to_tensor(class_weights))
        require_classes("class weights", weights, logits)
        shares = shares * weights
    return -ops.sum(shares * log_q, axis=-1)


def class_weight_each(labels: Tensor, class_weights: Tensor) -> Tensor:
    """Compute the weight Σ_c v_c y_c of each image's label, which `weights_normalised` divides by.

    Args:
        labels: as for `cross_entropy_each`.
        class_weights: v, float (C,).

    Returns:
        float32 (N,).

    Raises:
        ModelError: shares are of another number of classes than the weights.
        DataError: as of `cross_entropy_each`.
    """
    weights = flat(ops.convert_to_tensor(class_weights))
    shares = as_shares(labels, weights.shape[0])
    require_classes("class weights", weights, shares)
    return ops.sum(shares * weights, axis=-1)


def as_shares(labels: Tensor, classes: int) -> Tensor:
    """Return labels as a row of shares for each image.

    Args:
        labels: as for `cross_entropy_each`.
        classes: C.

    Returns:
        float32 (N, C), 1 for an image's class; shares as they are.

    Raises:
        DataError: a number that is known now is that of no class.
    """
    if len(labels.shape) > 1 and labels.shape[-1] != 1:
        return ops.cast(labels, "float32")
    _require_classes(on_host(labels), classes)
    return ops.one_hot(ops.reshape(labels, (-1,)), classes, dtype="float32")


def _require_classes(labels: np.ndarray | None, classes: int) -> None:
    """Refuse class numbers outside of 0..C-1, of which a row of shares would be all 0."""
    if labels is None or labels.dtype.kind not in "biuf":
        return
    if outside := first_outside(labels, classes):
        row, label = outside
        raise DataError(
            f"The label in row {row} is {label:g}: expected class numbers 0 to {classes - 1}."
        )


def two_logits(logit: Tensor) -> Tensor:
    """Turn one logit s into the two logits [0, s], whose softmax is [1 - sigmoid(s), sigmoid(s)].

    All losses of classes thereby apply to two classes with one logit. The cross-entropy becomes the
    binary one, and `soft_target_kl` becomes T²·KL of the Bernoulli distributions of sigmoid(z/T)
    and sigmoid(s/T).

    Args:
        logit: float (N,) or (N, 1); (N, 2) is returned as it is.

    Returns:
        float32 (N, 2).

    Raises:
        ModelError: there are more than two columns.
    """
    logit = ops.cast(logit, "float32")
    if len(logit.shape) == 2 and logit.shape[-1] == 2:
        return logit
    if len(logit.shape) == 2 and logit.shape[-1] != 1:
        raise ModelError(
            f"The teacher's logits are of {logit.shape[-1]} classes and the student has one logit "
            "for two classes: expected one or two columns."
        )
    logit = ops.reshape(logit, (-1, 1))
    return ops.concatenate([ops.zeros_like(logit), logit], axis=-1)


def weighted_sum(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Compute the sum Σ w v over the images.

    Args:
        values: v, float32 (N,).
        weights: w, float (N,) or (N, 1); None for 1.

    Returns:
        float32 scalar.
    """
    if weights is not None:
        weights = ops.cast(ops.reshape(weights, (-1,)), values.dtype)
        require_images("weights", weights, values)
        values = values * weights
    return ops.sum(values)


def weighted_mean(
    values: Tensor, weights: Tensor | None = None, normalised: bool = False
) -> Tensor:
    """Compute Σ w v / N, the mean of Keras' `sum_over_batch_size`.

    An image of weight 0 does not count in the sum, but it counts in N.

    Args:
        values: v, float32 (N,).
        weights: w, float (N,) or (N, 1); None for 1.
        normalised: divide by Σ w instead of N, as PyTorch's weighted means do.

    Returns:
        float32 scalar; 0 for N = 0.
    """
    if normalised and weights is not None:
        # All images of a batch may weigh 0, and 0 / 0 would make the weights NaN.
        total = ops.sum(ops.cast(weights, values.dtype))
        return weighted_sum(values, weights) / ops.maximum(total, TINY)
    # The mean of no images, a device's share of a short batch, would be NaN.
    return weighted_sum(values, weights) / ops.cast(ops.maximum(ops.size(values), 1), values.dtype)
