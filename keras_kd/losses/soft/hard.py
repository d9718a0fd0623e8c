"""The teacher's predicted class as a label (Touvron et al. 2021)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import Tensor, require_alike
from keras_kd.losses.labels import cross_entropy_each


def hard_label_each(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """Compute -log softmax(s)_k, where k is the teacher's top class.

    Touvron et al. 2021 (DeiT, arXiv 2012.12877), the second term of equation (3).

    Args:
        teacher_logits: z, float (N, C).
        student_logits: s, float (N, C).

    Returns:
        float32 (N,), 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of classes or images.
    """
    require_alike("teacher's logits", teacher_logits, student_logits)
    return cross_entropy_each(ops.argmax(teacher_logits, axis=-1), student_logits)


def loss(labels: Tensor, teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Compute `hard_label_each`; labels and temperature are not used. Arguments: see
    `losses.soft`.
    """
    return hard_label_each(teacher, student)
