"""Losses as pure functions of `keras.ops`: float32 inside, one value per image or one scalar out.

Notation: z teacher's, s student's logits, (N, C); T the temperature; w one weight per image.
Losses of classes come first, then those of continuous values, then those of feature maps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from keras import ops

from keras_kd.errors import ModelError

# What `keras.ops` takes and gives: a tensor of the backend, or a numpy array.
Tensor: TypeAlias = Any
# Keeps roots and quotients of what may be constant differentiable.
TINY = 1e-12


def soft_target_kl(teacher_logits: Tensor, student_logits: Tensor, temperature: float) -> Tensor:
    """T² · mean over the batch of KL(softmax(z/T) ‖ softmax(s/T)).

    Hinton et al. 2015 (arXiv 1503.02531), section 2: T² keeps the gradient's size when T changes.
    Equals torch's `KLDivLoss(reduction="batchmean")` on log-softmax, times T².

    Args:
        teacher_logits: float (N, C).
        student_logits: float (N, C).
        temperature: above 0.

    Returns:
        float32 scalar, 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of classes.
    """
    return ops.mean(soft_target_kl_each(teacher_logits, student_logits, temperature))


def soft_target_kl_each(
    teacher_logits: Tensor, student_logits: Tensor, temperature: float
) -> Tensor:
    """`soft_target_kl` before the mean: float32 (N,)."""
    _require_classes("teacher's logits", teacher_logits, student_logits)
    log_p = ops.log_softmax(ops.cast(teacher_logits, "float32") / temperature)
    log_q = ops.log_softmax(ops.cast(student_logits, "float32") / temperature)
    return temperature**2 * _divergence(log_p, log_q)


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL of each row's distributions, from their logarithms."""
    return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


def cross_entropy_each(
    labels: Tensor, logits: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """-Σ_c v_c y_c log softmax(s)_c for each image, v the class weights (1 where None).

    Equation (6) of Mini-ResEmoteNet (arXiv 2501.18538) calls it CE(weighted).

    Args:
        labels: integers (N,) or (N, 1), or float (N, C) shares that sum to 1.
        logits: float (N, C).
        class_weights: float (C,).

    Returns:
        float32 (N,).

    Raises:
        ModelError: the shares are of another number of classes than the logits.
    """
    log_q = ops.log_softmax(ops.cast(logits, "float32"))
    if len(labels.shape) == 1 or labels.shape[-1] == 1:
        labels = ops.one_hot(ops.reshape(labels, (-1,)), logits.shape[-1], dtype="float32")
    _require_classes("labels", labels, logits)
    shares = ops.cast(labels, "float32")
    if class_weights is not None:
        shares = shares * ops.cast(class_weights, "float32")
    return -ops.sum(shares * log_q, axis=-1)


def _require_classes(name: str, values: Tensor, logits: Tensor) -> None:
    # One column would be spread over all classes without a word.
    if values.shape[-1] not in (None, logits.shape[-1]):
        raise ModelError(
            f"The {name} are of {values.shape[-1]} classes and the student's logits of "
            f"{logits.shape[-1]}: "
            "both need the same classes in the same order."
        )


def class_weight_each(labels: Tensor, class_weights: Tensor) -> Tensor:
    """v of each image's label, Σ_c v_c y_c of shares: float32 (N,), what `weights_normalised`
    divides by.

    Args:
        labels: as for `cross_entropy_each`.
        class_weights: float (C,).
    """
    weights = ops.cast(ops.convert_to_tensor(class_weights), "float32")
    if len(labels.shape) == 1 or labels.shape[-1] == 1:
        labels = ops.one_hot(ops.reshape(labels, (-1,)), weights.shape[-1], dtype="float32")
    return ops.sum(ops.cast(labels, "float32") * weights, axis=-1)


def two_logits(logit: Tensor) -> Tensor:
    """[0, s] of one logit s, whose softmax is [1 - sigmoid(s), sigmoid(s)]: float32 (N, 2).

    Two classes by one logit are thereby learnt by every loss of classes: the cross-entropy becomes
    the binary one, and `soft_target_kl` T²·KL of the Bernoulli distributions of sigmoid(z/T) and
    sigmoid(s/T).

    Args:
        logit: float (N,) or (N, 1); (N, 2) stays as it is.
    """
    logit = ops.cast(logit, "float32")
    if len(logit.shape) == 2 and logit.shape[-1] == 2:
        return logit
    if len(logit.shape) == 2 and logit.shape[-1] != 1:
        raise ModelError(
            f"The teacher's logits are of {logit.shape[-1]} classes and the student has one logit "
            "for two classes: "
            "expected one or two columns."
        )
    logit = ops.reshape(logit, (-1, 1))
    return ops.concatenate([ops.zeros_like(logit), logit], axis=-1)


def weighted_sum(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Σ w v of values, float32 (N,), and weights, float (N,) or None for all 1: float32 scalar."""
    if weights is not None:
        values = values * ops.cast(ops.reshape(weights, (-1,)), values.dtype)
    return ops.sum(values)


def weighted_mean(
    values: Tensor, weights: Tensor | None = None, normalised: bool = False
) -> Tensor:
    """Σ w v / N, as Keras' `sum_over_batch_size`: a weight of 0 leaves an image out of the sum, not
    of N.

    Args:
        values: float32 (N,).
        weights: float (N,) or None for all 1.
        normalised: divide by Σ w instead, as PyTorch's weighted means do.

    Returns:
        float32 scalar; 0 for N = 0.
    """
    if normalised and weights is not None:
        total = ops.sum(ops.cast(weights, values.dtype))
        return weighted_sum(values, weights) / ops.maximum(total, TINY)
    # The mean of no images, a device's share of a short batch, would be NaN.
    return weighted_sum(values, weights) / ops.cast(ops.maximum(ops.size(values), 1), values.dtype)


def hard_label_each(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """-log softmax(s)_k with k the teacher's top class: float32 (N,).

    Touvron et al. 2021 (DeiT, arXiv 2012.12877), the second term of equation (3).
    """
    _require_classes("teacher's logits", teacher_logits, student_logits)
    return cross_entropy_each(ops.argmax(teacher_logits, axis=-1), student_logits)


def decoupled_kd_each(
    labels: Tensor,
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Tensor:
    """T² (a·KL of (target, any other) + b·KL among the other classes), DKD: float32 (N,).

    Zhao et al. 2022 (arXiv 2203.08679), equation (7), weights of its ResNet32x4 pairs. With a = 1
    and b the teacher's probability of the other classes it is `soft_target_kl_each`, equation (5).

    Args:
        labels: as for `cross_entropy_each`; of shares the largest is the target.
        teacher_logits: float (N, C).
        student_logits: float (N, C).
        temperature: above 0.
        target_weight: a.
        other_weight: b.
    """
    _require_classes("teacher's logits", teacher_logits, student_logits)
    target = _one_hot_targets(labels, student_logits.shape[-1])
    target_p, other_p = _decoupled(teacher_logits, target, temperature)
    target_q, other_q = _decoupled(student_logits, target, temperature)
    of_target, of_others = _divergence(target_p, target_q), _divergence(other_p, other_q)
    return temperature**2 * (target_weight * of_target + other_weight * of_others)


def _one_hot_targets(labels: Tensor, classes: int) -> Tensor:
    shares = len(labels.shape) > 1 and labels.shape[-1] > 1
    return ops.one_hot(
        ops.argmax(labels, axis=-1) if shares else ops.reshape(labels, (-1,)), classes
    )


def _decoupled(logits: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities of (target, any other class), (N, 2), and of the others among themselves,
    (N, C).
    """
    scaled = ops.cast(logits, "float32") / temperature
    others = ops.where(target > 0, -1e9, scaled)
    pair = [ops.sum(target * scaled, axis=-1), ops.logsumexp(others, axis=-1)]
    return ops.log_softmax(ops.stack(pair, axis=-1)), ops.log_softmax(others)


def dist_each(
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float,
    image_weight: float = 1.0,
    class_weight: float = 1.0,
) -> Tensor:
    """T² (a·(1 - correlation over an image's classes) + b·mean over classes (1 - correlation over
    the batch)): DIST.

    Huang et al. 2022 (arXiv 2205.10536), equations (6) to (10), of softmax(·/T); float32 (N,). The
    second part is of the batch and equal for each of its images.

    Args:
        teacher_logits: float (N, C).
        student_logits: float (N, C).
        temperature: above 0.
        image_weight: a.
        class_weight: b.
    """
    _require_classes("teacher's logits", teacher_logits, student_logits)
    p = ops.softmax(ops.cast(teacher_logits, "float32") / temperature)
    q = ops.softmax(ops.cast(student_logits, "float32") / temperature)
    of_images = 1 - _correlation(p, q, axis=1)
    of_classes = ops.mean(1 - _correlation(p, q, axis=0))
    return temperature**2 * (image_weight * of_images + class_weight * of_classes)


def _correlation(left: Tensor, right: Tensor, axis: int) -> Tensor:
    left = left - ops.mean(left, axis=axis, keepdims=True)
    right = right - ops.mean(right, axis=axis, keepdims=True)
    product = (ops.sum(left**2, axis=axis) + TINY) * (ops.sum(right**2, axis=axis) + TINY)
    return ops.sum(left * right, axis=axis) * ops.rsqrt(product)


def standardised_kl_each(
    teacher_logits: Tensor, student_logits: Tensor, temperature: float
) -> Tensor:
    """`soft_target_kl_each` of logits that each image's mean and deviation are taken out of:
    float32 (N,).

    Sun et al. 2024 (Logit Standardization in Knowledge Distillation, arXiv 2403.01427), algorithm
    1.
    """
    return soft_target_kl_each(
        _standardised(teacher_logits), _standardised(student_logits), temperature
    )


def _standardised(logits: Tensor) -> Tensor:
    logits = ops.cast(logits, "float32")
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    return centred * ops.rsqrt(ops.mean(centred**2, axis=-1, keepdims=True) + TINY)


# What the teacher's logits are learnt by, of labels, teacher's logits, student's logits and
# temperature: float32 (N,).
SOFT_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {
    "kl": lambda labels, teacher, student, temperature: soft_target_kl_each(
        teacher, student, temperature
    ),
    "hard": lambda labels, teacher, student, temperature: hard_label_each(teacher, student),
    "decoupled": decoupled_kd_each,
    "dist": lambda labels, teacher, student, temperature: dist_each(teacher, student, temperature),
    "standardised": lambda labels, teacher, student, temperature: standardised_kl_each(
        teacher, student, temperature
    ),
}


def squared_error_each(values: Tensor, student_values: Tensor) -> Tensor:
    """(s - y)² of values y, (N,) or (N, 1): float32 (N,)."""
    return (_flat(student_values) - _flat(values)) ** 2


def teacher_bounded_each(
    values: Tensor, teacher_values: Tensor, student_values: Tensor, margin: float = 0.0
) -> Tensor:
    """(s - y)² where (s - y)² + m > (z - y)², else 0: nothing more is asked of a student that beats
    its teacher by m.

    Chen et al. 2017 ("Learning Efficient Object Detection Models with Knowledge Distillation",
    NeurIPS), equation (4). No gradient flows to the teacher.

    Args:
        values: y, float (N,) or (N, 1).
        teacher_values: z, of the same size.
        student_values: s, of the same size.
        margin: m, in squared units of the values.

    Returns:
        float32 (N,).
    """
    error = squared_error_each(values, student_values)
    bound = ops.stop_gradient(squared_error_each(values, teacher_values))
    return ops.where(error + margin > bound, error, ops.zeros_like(error))


def pearson(values: Tensor, student_values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Pearson's correlation over the batch, images weighed: float32 scalar, 0 where either side is
    constant.
    """
    variance, of_student, covariance, _ = _moments(values, student_values, weights)
    return covariance * ops.rsqrt((variance + TINY) * (of_student + TINY))


def concordance(values: Tensor, student_values: Tensor, weights: Tensor | None = None) -> Tensor:
    """2·cov / (var + var + (mean - mean)²) over the batch (Lin 1989), images weighed: float32
    scalar.
    """
    variance, of_student, covariance, offset = _moments(values, student_values, weights)
    return 2 * covariance / (variance + of_student + offset**2 + TINY)


def _moments(
    values: Tensor, student_values: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Population variances of both, their covariance, and the difference of their means."""
    y, s = _flat(values), _flat(student_values)
    w = ops.ones_like(y) if weights is None else _flat(weights)
    share = w / ops.maximum(ops.sum(w), TINY)
    mean, of_student = ops.sum(share * y), ops.sum(share * s)
    y, s = y - mean, s - of_student
    return ops.sum(share * y**2), ops.sum(share * s**2), ops.sum(share * y * s), mean - of_student


def _flat(values: Tensor) -> Tensor:
    return ops.reshape(ops.cast(values, "float32"), (-1,))


def shake_shake(
    squared_error: Tensor, pearson: Tensor, concordance: Tensor, draws: Tensor
) -> Tensor:
    """[a·MSE + b·(1 - PCC) + c·(1 - CCC)] / (a + b + c): float32 scalar.

    Toisoul et al. 2021 (EmoNet, Nature Machine Intelligence 3), who draw a, b, c from (0, 1) anew
    at each step.

    Args:
        squared_error: mean squared error of the batch.
        pearson: correlation over the batch.
        concordance: concordance over the batch.
        draws: a, b, c, float (3,).
    """
    parts = ops.stack([squared_error, 1 - pearson, 1 - concordance])
    return ops.sum(draws * parts) / ops.sum(draws)


def hint_each(teacher_features: Tensor, projected: Tensor) -> Tensor:
    """Mean squared difference of feature maps, the student's projected to the teacher's channels:
    float32 (N,).

    Romero et al. 2015 (FitNets, arXiv 1412.6550), equation (3), as a mean over the map. A teacher's
    map of another height and width is resized to the student's.

    Args:
        teacher_features: float (N, H, W, C).
        projected: float (N, h, w, C).
    """
    teacher, student = _same_size(teacher_features, projected)
    return ops.mean((student - teacher) ** 2, axis=(1, 2, 3))


def attention_each(teacher_features: Tensor, student_features: Tensor) -> Tensor:
    """‖Q/‖Q‖ - R/‖R‖‖² of the maps' energies, Q and R the sums of squares over channels: float32
    (N,).

    Zagoruyko and Komodakis 2017 (Attention Transfer, arXiv 1612.03928), equation (2) squared. A
    teacher's map of another height and width is resized to the student's; the numbers of channels
    may differ.

    Args:
        teacher_features: float (N, H, W, C).
        student_features: float (N, h, w, c).
    """
    teacher, student = _same_size(teacher_features, student_features)
    difference = _attention(student) - _attention(teacher)
    return ops.sum(difference**2, axis=-1)


def _attention(features: Tensor) -> Tensor:
    energy = ops.mean(features**2, axis=-1)
    energy = ops.reshape(energy, (-1, energy.shape[1] * energy.shape[2]))
    return energy * ops.rsqrt(ops.sum(energy**2, axis=-1, keepdims=True) + TINY)


def _same_size(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    teacher, student = ops.cast(teacher, "float32"), ops.cast(student, "float32")
    size = tuple(student.shape[1:3])
    if tuple(teacher.shape[1:3]) != size:
        teacher = ops.image.resize(
            teacher, size, interpolation="bilinear", antialias=True, data_format="channels_last"
        )
    return teacher, student


# What feature maps are learnt by.
FEATURE_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "hint": hint_each,
    "attention": attention_each,
}
