"""Logit standardization (Sun et al. 2024)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import TINY, Tensor, require_alike
from keras_kd.losses.soft.kl import soft_target_kl_each


def standardised_kl_each(
    teacher_logits: Tensor, student_logits: Tensor, temperature: float
) -> Tensor:
    """Compute `soft_target_kl_each` on logits that are standardised over each image's classes.

    Each image's mean is subtracted and its standard deviation divided out. Sun et al. 2024 (Logit
    Standardization in Knowledge Distillation, arXiv 2403.01427), algorithm 1.

    Args:
        teacher_logits: z, float (N, C).
        student_logits: s, float (N, C).
        temperature: T, above 0.

    Returns:
        float32 (N,), 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of classes or images.
        ConfigError: T is not above 0.
    """
    require_alike("teacher's logits", teacher_logits, student_logits)
    return soft_target_kl_each(
        _standardised(teacher_logits), _standardised(student_logits), temperature
    )


def _standardised(logits: Tensor) -> Tensor:
    logits = ops.cast(logits, "float32")
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    # Equal logits have no deviation to divide by: TINY leaves them 0.
    return centred * ops.rsqrt(ops.mean(centred**2, axis=-1, keepdims=True) + TINY)


def loss(labels: Tensor, teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Compute `standardised_kl_each`; the labels are not used. Arguments: see `losses.soft`."""
    return standardised_kl_each(teacher, student, temperature)
