"""Losses with the labels, and means over the images."""

from __future__ import annotations

from keras import ops

from keras_kd.errors import ModelError
from keras_kd.losses._tensors import TINY, Tensor, require_classes


def cross_entropy_each(
    labels: Tensor, logits: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """-Σ_c v_c y_c log softmax(s)_c for each image, v the class weights (1 where None).

    Equation (6) of Mini-ResEmoteNet (arXiv 2501.18538) calls it CE(weighted).

    Args:
        labels: integers (N,) or (N, 1), or float (N, C) shares that sum to 1.
        logits: float (N, C).
        class_weights: float (C,).

    Returns:
        float32 (N,).

    Raises:
        ModelError: the shares are of another number of classes than the logits.
    """
    log_q = ops.log_softmax(ops.cast(logits, "float32"))
    if len(labels.shape) == 1 or labels.shape[-1] == 1:
        labels = ops.one_hot(ops.reshape(labels, (-1,)), logits.shape[-1], dtype="float32")
    require_classes("labels", labels, logits)
    shares = ops.cast(labels, "float32")
    if class_weights is not None:
        shares = shares * ops.cast(class_weights, "float32")
    return -ops.sum(shares * log_q, axis=-1)


def class_weight_each(labels: Tensor, class_weights: Tensor) -> Tensor:
    """v of each image's label, Σ_c v_c y_c of shares: float32 (N,), what `weights_normalised`
    divides by.

    Args:
        labels: as for `cross_entropy_each`.
        class_weights: float (C,).
    """
    weights = ops.cast(ops.convert_to_tensor(class_weights), "float32")
    if len(labels.shape) == 1 or labels.shape[-1] == 1:
        labels = ops.one_hot(ops.reshape(labels, (-1,)), weights.shape[-1], dtype="float32")
    return ops.sum(ops.cast(labels, "float32") * weights, axis=-1)


def two_logits(logit: Tensor) -> Tensor:
    """[0, s] of one logit s, whose softmax is [1 - sigmoid(s), sigmoid(s)]: float32 (N, 2).

    Two classes by one logit are thereby learnt by every loss of classes: the cross-entropy becomes
    the binary one, and `soft_target_kl` T²·KL of the Bernoulli distributions of sigmoid(z/T) and
    sigmoid(s/T).

    Args:
        logit: float (N,) or (N, 1); (N, 2) stays as it is.
    """
    logit = ops.cast(logit, "float32")
    if len(logit.shape) == 2 and logit.shape[-1] == 2:
        return logit
    if len(logit.shape) == 2 and logit.shape[-1] != 1:
        raise ModelError(
            f"The teacher's logits are of {logit.shape[-1]} classes and the student has one logit "
            "for two classes: "
            "expected one or two columns."
        )
    logit = ops.reshape(logit, (-1, 1))
    return ops.concatenate([ops.zeros_like(logit), logit], axis=-1)


def weighted_sum(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Σ w v of values, float32 (N,), and weights, float (N,) or None for all 1: float32 scalar."""
    if weights is not None:
        values = values * ops.cast(ops.reshape(weights, (-1,)), values.dtype)
    return ops.sum(values)


def weighted_mean(
    values: Tensor, weights: Tensor | None = None, normalised: bool = False
) -> Tensor:
    """Σ w v / N, as Keras' `sum_over_batch_size`: a weight of 0 leaves an image out of the sum, not
    of N.

    Args:
        values: float32 (N,).
        weights: float (N,) or None for all 1.
        normalised: divide by Σ w instead, as PyTorch's weighted means do.

    Returns:
        float32 scalar; 0 for N = 0.
    """
    if normalised and weights is not None:
        total = ops.sum(ops.cast(weights, values.dtype))
        return weighted_sum(values, weights) / ops.maximum(total, TINY)
    # The mean of no images, a device's share of a short batch, would be NaN.
    return weighted_sum(values, weights) / ops.cast(ops.maximum(ops.size(values), 1), values.dtype)
