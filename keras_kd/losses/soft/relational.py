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
    """`relational_each` of logits; the temperature has no part in it."""
    return relational_each(teacher, student, distance_weight, angle_weight)
