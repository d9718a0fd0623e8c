"""Logit standardization (Sun et al. 2024)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import TINY, Tensor
from keras_kd.losses.soft.kl import soft_target_kl_each


def standardised_kl_each(
    teacher_logits: Tensor, student_logits: Tensor, temperature: float
) -> Tensor:
    """`soft_target_kl_each` of logits that each image's mean and deviation are taken out of:
    float32 (N,).

    Sun et al. 2024 (Logit Standardization in Knowledge Distillation, arXiv 2403.01427), algorithm
    1.
    """
    return soft_target_kl_each(
        _standardised(teacher_logits), _standardised(student_logits), temperature
    )


def _standardised(logits: Tensor) -> Tensor:
    logits = ops.cast(logits, "float32")
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    return centred * ops.rsqrt(ops.mean(centred**2, axis=-1, keepdims=True) + TINY)


def loss(labels: Tensor, teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """`standardised_kl_each`."""
    return standardised_kl_each(teacher, student, temperature)
