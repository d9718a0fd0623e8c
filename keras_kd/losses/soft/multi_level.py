"""Multi-level logit distillation, MLKD (Jin, Wang and Lin 2023)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import Tensor, require_alike, require_temperature, softened
from keras_kd.losses.soft.kl import soft_target_kl_each

# As shares of T, these give the published temperatures 2 to 6 for T = 4.
SHARES_OF_T = (0.5, 0.75, 1.0, 1.25, 1.5)


def multi_level_each(
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float,
    batch_weight: float = 1.0,
    class_weight: float = 1.0,
) -> Tensor:
    """Compute the mean over five temperatures of
    T²·KL + a·1/N·‖PPᵀ - QQᵀ‖² + b·1/C·‖PᵀP - QᵀQ‖² (MLKD).

    Jin, Wang and Lin 2023 (Multi-level Logit Distillation, CVPR) align each image's distribution,
    the correlations of images and those of classes. P and Q are softmax(·/T') of teacher and
    student, (N, C), where T' is T times 0.5 to 1.5. The paper sums over the temperatures, and its
    program leaves out images of which the teacher is unsure. The last part belongs to the batch and
    is equal for all its images.

    Args:
        teacher_logits: z, float (N, C).
        student_logits: s, float (N, C).
        temperature: T, above 0.
        batch_weight: a, 0 or more.
        class_weight: b, 0 or more.

    Returns:
        float32 (N,), 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of classes or images.
        ConfigError: T is not above 0.
    """
    require_alike("teacher's logits", teacher_logits, student_logits)
    require_temperature(temperature)
    total = 0.0
    for share in SHARES_OF_T:
        scaled = share * temperature
        p = ops.softmax(softened(teacher_logits, scaled))
        q = ops.softmax(softened(student_logits, scaled))
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
    """Compute `multi_level_each`, which describes the weights; the labels are not used.
    Arguments: see `losses.soft`.
    """
    return multi_level_each(teacher, student, temperature, batch_weight, class_weight)
