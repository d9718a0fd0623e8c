"""DIST (Huang et al. 2022)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import TINY, Tensor, require_alike, softened


def dist_each(
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float,
    image_weight: float = 1.0,
    class_weight: float = 1.0,
) -> Tensor:
    """Compute T² (a·(1 - correlation over an image's classes) + b·mean over classes of (1 -
    correlation over the batch)) (DIST).

    Huang et al. 2022 (arXiv 2205.10536), equations (6) to (10), on softmax(·/T). The second part
    belongs to the batch and is equal for all its images.

    Args:
        teacher_logits: z, float (N, C).
        student_logits: s, float (N, C).
        temperature: T, above 0.
        image_weight: a, 0 or more.
        class_weight: b, 0 or more.

    Returns:
        float32 (N,), 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of classes or images.
        ConfigError: T is not above 0.
    """
    require_alike("teacher's logits", teacher_logits, student_logits)
    p = ops.softmax(softened(teacher_logits, temperature))
    q = ops.softmax(softened(student_logits, temperature))
    of_images = 1 - _correlation(p, q, axis=1)
    of_classes = ops.mean(1 - _correlation(p, q, axis=0))
    return temperature**2 * (image_weight * of_images + class_weight * of_classes)


def _correlation(left: Tensor, right: Tensor, axis: int) -> Tensor:
    left = left - ops.mean(left, axis=axis, keepdims=True)
    right = right - ops.mean(right, axis=axis, keepdims=True)
    # A row without spread gets the correlation 0; 0/0 would be NaN, in the gradients too.
    product = (ops.sum(left**2, axis=axis) + TINY) * (ops.sum(right**2, axis=axis) + TINY)
    return ops.sum(left * right, axis=axis) * ops.rsqrt(product)


def loss(
    labels: Tensor,
    teacher: Tensor,
    student: Tensor,
    temperature: float,
    image_weight: float = 1.0,
    class_weight: float = 1.0,
) -> Tensor:
    """Compute `dist_each`, which describes the weights; the labels are not used. Arguments: see
    `losses.soft`.
    """
    return dist_each(teacher, student, temperature, image_weight, class_weight)
