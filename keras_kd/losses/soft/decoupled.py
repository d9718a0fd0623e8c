"""DKD (Zhao et al. 2022)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import Tensor, divergence, require_alike, softened
from keras_kd.losses.labels import as_shares


def decoupled_kd_each(
    labels: Tensor,
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Tensor:
    """Compute T² (a·KL of (target, any other) + b·KL among the other classes) (DKD).

    Zhao et al. 2022 (arXiv 2203.08679), equation (7), with the weights of its ResNet32x4 pairs. If
    a is 1 and b is the teacher's probability of the other classes, it equals `soft_target_kl_each`,
    as in equation (5).

    Args:
        labels: as for `cross_entropy_each`; the largest of shares is the target.
        teacher_logits: z, float (N, C).
        student_logits: s, float (N, C).
        temperature: T, above 0.
        target_weight: a, 0 or more.
        other_weight: b, 0 or more.

    Returns:
        float32 (N,), 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of classes or images, or the labels
            are of others.
        DataError: as of `cross_entropy_each`.
        ConfigError: T is not above 0.
    """
    require_alike("teacher's logits", teacher_logits, student_logits)
    shares = as_shares(labels, student_logits.shape[-1])
    require_alike("labels", shares, student_logits)
    target = ops.one_hot(ops.argmax(shares, axis=-1), student_logits.shape[-1])
    target_p, other_p = _decoupled(teacher_logits, target, temperature)
    target_q, other_q = _decoupled(student_logits, target, temperature)
    of_target, of_others = divergence(target_p, target_q), divergence(other_p, other_q)
    return temperature**2 * (target_weight * of_target + other_weight * of_others)


def _decoupled(logits: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities of (target, any other class), (N, 2), and of the others among themselves,
    (N, C).
    """
    scaled = softened(logits, temperature)
    # Not -inf: 0 times a difference of infinities is NaN.
    others = ops.where(target > 0, -1e9, scaled)
    pair = [ops.sum(target * scaled, axis=-1), ops.logsumexp(others, axis=-1)]
    return ops.log_softmax(ops.stack(pair, axis=-1)), ops.log_softmax(others)


loss = decoupled_kd_each
