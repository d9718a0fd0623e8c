"""Losses on logits as pure functions of `keras.ops`: float32 inside, one value per image or one scalar out.

Notation: z teacher's, s student's logits, (N, C); T the temperature; w one weight per image.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from keras import ops

from keras_kd.errors import ModelError

# What `keras.ops` takes and gives: a tensor of the backend, or a numpy array.
Tensor: TypeAlias = Any


def soft_target_kl(teacher_logits: Tensor, student_logits: Tensor, temperature: float) -> Tensor:
    """T² · mean over the batch of KL(softmax(z/T) ‖ softmax(s/T)).

    Hinton et al. 2015 (arXiv 1503.02531), section 2: T² keeps the gradient's size when T changes.
    Equals torch's `KLDivLoss(reduction="batchmean")` on log-softmax, times T².

    Args:
        teacher_logits: float (N, C).
        student_logits: float (N, C).
        temperature: above 0.

    Returns:
        float32 scalar, 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of classes.
    """
    return ops.mean(soft_target_kl_each(teacher_logits, student_logits, temperature))


def soft_target_kl_each(teacher_logits: Tensor, student_logits: Tensor, temperature: float) -> Tensor:
    """`soft_target_kl` before the mean: float32 (N,)."""
    _require_classes("teacher's logits", teacher_logits, student_logits)
    log_p = ops.log_softmax(ops.cast(teacher_logits, "float32") / temperature)
    log_q = ops.log_softmax(ops.cast(student_logits, "float32") / temperature)
    return temperature**2 * ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


def cross_entropy_each(labels: Tensor, logits: Tensor, class_weights: Tensor | None = None) -> Tensor:
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
    _require_classes("labels", labels, logits)
    shares = ops.cast(labels, "float32")
    if class_weights is not None:
        shares = shares * ops.cast(class_weights, "float32")
    return -ops.sum(shares * log_q, axis=-1)


def _require_classes(name: str, values: Tensor, logits: Tensor) -> None:
    # One column would be spread over all classes without a word.
    if values.shape[-1] not in (None, logits.shape[-1]):
        raise ModelError(
            f"The {name} are of {values.shape[-1]} classes and the student's logits of {logits.shape[-1]}: "
            "both need the same classes in the same order."
        )


def weighted_mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Σ w v / N, as Keras' `sum_over_batch_size`: a weight of 0 leaves an image out of the sum, not of N.

    Args:
        values: float32 (N,).
        weights: float (N,) or None for all 1.

    Returns:
        float32 scalar.
    """
    if weights is not None:
        values = values * ops.cast(ops.reshape(weights, (-1,)), values.dtype)
    return ops.mean(values)
