"""Relational knowledge distillation of logits (Park et al. 2019)."""

from __future__ import annotations

from keras_kd.losses._tensors import Tensor
from keras_kd.losses.relations import relational_each


def loss(
    labels: Tensor,
    teacher: Tensor,
    student: Tensor,
    temperature: float,
    distance_weight: float = 1.0,
    angle_weight: float = 2.0,
) -> Tensor:
    """Compute `relational_each` on logits; labels and temperature are not used.

    Args:
        labels: not used.
        teacher: z, float (N, C).
        student: s, float (N, C).
        temperature: not used.
        distance_weight: weight of the distances, 0 or more.
        angle_weight: weight of the angles, 0 or more.

    Returns:
        float32 (N,), 0 or more.
    """
    return relational_each(teacher, student, distance_weight, angle_weight)
