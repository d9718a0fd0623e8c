"""Similarity-preserving knowledge distillation of logits (Tung and Mori 2019)."""

from __future__ import annotations

from keras_kd.losses._tensors import Tensor
from keras_kd.losses.relations import similarity_each


def loss(labels: Tensor, teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Compute `similarity_each` on logits; labels and temperature are not used. Arguments: see
    `losses.soft`.
    """
    return similarity_each(teacher, student)
