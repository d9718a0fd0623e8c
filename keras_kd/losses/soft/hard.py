"""The teacher's answer as a label (Touvron et al. 2021)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import Tensor, require_classes
from keras_kd.losses.labels import cross_entropy_each


def hard_label_each(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """-log softmax(s)_k with k the teacher's top class: float32 (N,).

    Touvron et al. 2021 (DeiT, arXiv 2012.12877), the second term of equation (3).
    """
    require_classes("teacher's logits", teacher_logits, student_logits)
    return cross_entropy_each(ops.argmax(teacher_logits, axis=-1), student_logits)


def loss(labels: Tensor, teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """`hard_label_each`; the temperature has no part in it."""
    return hard_label_each(teacher, student)
