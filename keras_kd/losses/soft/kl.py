"""T²·KL of softened distributions (Hinton et al. 2015)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import Tensor, divergence, require_alike, softened


def soft_target_kl(teacher_logits: Tensor, student_logits: Tensor, temperature: float) -> Tensor:
    """Compute T² · mean over the batch of KL(softmax(z/T) ‖ softmax(s/T)).

    Hinton et al. 2015 (arXiv 1503.02531), section 2: the factor T² keeps the size of the gradient
    when T changes. It equals torch's `KLDivLoss(reduction="batchmean")` on log-softmax, times T².

    Args:
        teacher_logits: z, float (N, C).
        student_logits: s, float (N, C).
        temperature: T, above 0.

    Returns:
        float32 scalar, 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of classes or images.
        ConfigError: T is not above 0.
    """
    return ops.mean(soft_target_kl_each(teacher_logits, student_logits, temperature))


def soft_target_kl_each(
    teacher_logits: Tensor, student_logits: Tensor, temperature: float
) -> Tensor:
    """Compute `soft_target_kl` for each image, without the mean.

    Args:
        teacher_logits: z, float (N, C).
        student_logits: s, float (N, C).
        temperature: T, above 0.

    Returns:
        float32 (N,), 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of classes or images.
        ConfigError: T is not above 0.
    """
    require_alike("teacher's logits", teacher_logits, student_logits)
    # Logarithms from the logits: a softmax's 0 would have none.
    log_p = ops.log_softmax(softened(teacher_logits, temperature))
    log_q = ops.log_softmax(softened(student_logits, temperature))
    return temperature**2 * divergence(log_p, log_q)


def loss(labels: Tensor, teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Compute `soft_target_kl_each`; the labels are not used. Arguments: see `losses.soft`."""
    return soft_target_kl_each(teacher, student, temperature)
