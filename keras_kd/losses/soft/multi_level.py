"""Multi-level logit distillation, MLKD (Jin, Wang and Lin 2023)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import Tensor, require_classes
from keras_kd.losses.soft.kl import soft_target_kl_each

# Of T, which give the published 2 to 6 for T = 4.
SHARES_OF_T = (0.5, 0.75, 1.0, 1.25, 1.5)


def multi_level_each(
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float,
    batch_weight: float = 1.0,
    class_weight: float = 1.0,
) -> Tensor:
    """T²·KL + a·1/N·‖PPᵀ - QQᵀ‖² + b·1/C·‖PᵀP - QᵀQ‖², a mean over five temperatures: float32 (N,).

    Jin, Wang and Lin 2023 (Multi-level Logit Distillation, CVPR): alignment of each image, of the
    images' and of the classes' correlations, P and Q the softmax(·/T') of teacher and student (N,
    C). T' is T times 0.5 to 1.5; the paper adds the temperatures up, and its program leaves out
    images of which the teacher is unsure. The last part is of the batch and equal for each of its
    images.

    Args:
        teacher_logits: float (N, C).
        student_logits: float (N, C).
        temperature: T, above 0.
        batch_weight: a.
        class_weight: b.
    """
    require_classes("teacher's logits", teacher_logits, student_logits)
    total = 0.0
    for share in SHARES_OF_T:
        scaled = share * temperature
        p = ops.softmax(ops.cast(teacher_logits, "float32") / scaled)
        q = ops.softmax(ops.cast(student_logits, "float32") / scaled)
        of_images = ops.matmul(p, ops.transpose(p)) - ops.matmul(q, ops.transpose(q))
        of_classes = ops.matmul(ops.transpose(p), p) - ops.matmul(ops.transpose(q), q)
        total = total + soft_target_kl_each(teacher_logits, student_logits, scaled)
        total = total + batch_weight * ops.sum(of_images**2, axis=1)
        total = total + class_weight * ops.sum(of_classes**2) / p.shape[-1]
    return total / len(SHARES_OF_T)


def loss(
    labels: Tensor,
    teacher: Tensor,
    student: Tensor,
    temperature: float,
    batch_weight: float = 1.0,
    class_weight: float = 1.0,
) -> Tensor:
    """`multi_level_each`."""
    return multi_level_each(teacher, student, temperature, batch_weight, class_weight)
