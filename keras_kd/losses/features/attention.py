"""Attention transfer (Zagoruyko and Komodakis 2017)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import TINY, Tensor, same_size


def attention_each(teacher_features: Tensor, student_features: Tensor) -> Tensor:
    """Compute ‖Q/‖Q‖ - R/‖R‖‖² of the attention maps Q and R.

    Zagoruyko and Komodakis 2017 (Attention Transfer, arXiv 1612.03928), equation (2) squared. A map
    is the sum of squares over the channels, whose numbers may differ. A teacher's map of another
    height and width is resized to the student's.

    Args:
        teacher_features: float (N, H, W, C).
        student_features: float (N, h, w, c).

    Returns:
        float32 (N,), in 0..2.
    """
    teacher, student = same_size(teacher_features, student_features)
    difference = _attention(student) - _attention(teacher)
    return ops.sum(difference**2, axis=-1)


def _attention(features: Tensor) -> Tensor:
    energy = ops.mean(features**2, axis=-1)
    energy = ops.reshape(energy, (-1, energy.shape[1] * energy.shape[2]))
    return energy * ops.rsqrt(ops.sum(energy**2, axis=-1, keepdims=True) + TINY)


loss = attention_each
