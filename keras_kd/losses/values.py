"""Losses on continuous values."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import TINY, Tensor, flat, moments, require_images


def squared_error_each(values: Tensor, student_values: Tensor) -> Tensor:
    """Compute the squared error (s - y)² of each image.

    Args:
        values: y, float (N,) or (N, 1).
        student_values: s, of the same size.

    Returns:
        float32 (N,), in squared units of the values.
    """
    y, s = flat(values), flat(student_values)
    require_images("values", y, s)
    return (s - y) ** 2


def teacher_bounded_each(
    values: Tensor, teacher_values: Tensor, student_values: Tensor, margin: float = 0.0
) -> Tensor:
    """Compute (s - y)² for the images on which the student is not better than its teacher by m,
    else 0.

    The error counts where (s - y)² + m > (z - y)². Chen et al. 2017 ("Learning Efficient Object
    Detection Models with Knowledge Distillation", NeurIPS), equation (4). No gradient flows to the
    teacher.

    Args:
        values: y, float (N,) or (N, 1).
        teacher_values: z, of the same size.
        student_values: s, of the same size.
        margin: m, 0 or more, in squared units of the values.

    Returns:
        float32 (N,), in squared units of the values.
    """
    error = squared_error_each(values, student_values)
    bound = ops.stop_gradient(squared_error_each(values, teacher_values))
    return ops.where(error + margin > bound, error, ops.zeros_like(error))


def pearson(values: Tensor, student_values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Compute Pearson's correlation over the batch, with image weights.

    Args:
        values: y, float (N,) or (N, 1).
        student_values: s, of the same size.
        weights: w, float (N,); None for 1.

    Returns:
        float32 scalar in -1..1; 0 if either side is constant.
    """
    variance, of_student, covariance, _ = moments(values, student_values, weights)
    return covariance * ops.rsqrt((variance + TINY) * (of_student + TINY))


def concordance(values: Tensor, student_values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Compute the concordance correlation 2·cov / (var + var + (mean - mean)²) over the batch.

    Lin 1989 ("A concordance correlation coefficient to evaluate reproducibility", Biometrics 45).

    Args:
        values: y, float (N,) or (N, 1).
        student_values: s, of the same size.
        weights: w, float (N,); None for 1.

    Returns:
        float32 scalar in -1..1.
    """
    variance, of_student, covariance, offset = moments(values, student_values, weights)
    return 2 * covariance / (variance + of_student + offset**2 + TINY)


def shake_shake(
    squared_error: Tensor, pearson: Tensor, concordance: Tensor, draws: Tensor
) -> Tensor:
    """Compute [a·MSE + b·(1 - PCC) + c·(1 - CCC)] / (a + b + c).

    Toisoul et al. 2021 (EmoNet, Nature Machine Intelligence 3) draw a, b and c from (0, 1) at each
    step.

    Args:
        squared_error: mean squared error of the batch, float scalar.
        pearson: Pearson's correlation over the batch, float scalar.
        concordance: concordance correlation over the batch, float scalar.
        draws: a, b and c, float (3,), above 0.

    Returns:
        float32 scalar.
    """
    parts = ops.stack([squared_error, 1 - pearson, 1 - concordance])
    return ops.sum(draws * parts) / ops.sum(draws)
