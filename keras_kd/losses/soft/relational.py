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
    """Compute `relational_each`, which describes the weights, on logits; labels and temperature
    are not used. Arguments: see `losses.soft`.
    """
    return relational_each(teacher, student, distance_weight, angle_weight)
