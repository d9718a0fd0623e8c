"""Losses on how the images of a batch relate to each other; teacher and student may differ in
channels.
"""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import TINY, Tensor, require_images


def relational_each(
    teacher: Tensor, student: Tensor, distance_weight: float = 1.0, angle_weight: float = 2.0
) -> Tensor:
    """Compute a·Huber of relative distances + b·Huber of angles (RKD).

    Park et al. 2019 (Relational Knowledge Distillation, arXiv 1904.05068). Equations (4) to (6)
    compare distances between two images, divided by their mean in the batch. Equations (7) to (9)
    compare the cosine of the angle at image j between i and k. The Huber loss has δ = 1. As in the
    authors' program, it is a mean over all pairs (i, j) and all triples, including those of an
    image with itself. The value of an image is the mean over its own pairs and triples, so that the
    mean over the images is the paper's loss.

    Args:
        teacher: float (N, ...), which is flattened.
        student: float (N, ...), of any other size.
        distance_weight: a, 0 or more.
        angle_weight: b, 0 or more.

    Returns:
        float32 (N,), 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of images.
    """
    require_images("teacher's outputs", teacher, student)
    teacher, student = _rows(teacher), _rows(student)
    distances = _huber(_relative_distances(student) - _relative_distances(teacher))
    angles = _huber(_cosines(student) - _cosines(teacher))
    return distance_weight * ops.mean(distances, axis=1) + angle_weight * ops.mean(
        angles, axis=(1, 2)
    )


def similarity_each(teacher: Tensor, student: Tensor) -> Tensor:
    """Compute 1/N·Σ_j (G_ij - H_ij)² of each image's normalised similarities to the others (SP).

    Tung and Mori 2019 (Similarity-Preserving Knowledge Distillation, arXiv 1907.09682), equations
    (1) to (4): G and H are the products of all pairs, each row divided by its norm. The mean over
    the images is the paper's 1/N²·‖G - H‖².

    Args:
        teacher: float (N, ...), which is flattened.
        student: float (N, ...), of any other size.

    Returns:
        float32 (N,), 0 or more.

    Raises:
        ModelError: teacher and student have different numbers of images.
    """
    require_images("teacher's outputs", teacher, student)
    difference = _similarities(_rows(teacher)) - _similarities(_rows(student))
    return ops.mean(difference**2, axis=1)


def _rows(features: Tensor) -> Tensor:
    features = ops.cast(features, "float32")
    return ops.reshape(features, (ops.shape(features)[0], -1))


def _similarities(rows: Tensor) -> Tensor:
    products = ops.matmul(rows, ops.transpose(rows))
    return products * ops.rsqrt(ops.sum(products**2, axis=1, keepdims=True) + TINY)


def _differences(rows: Tensor) -> Tensor:
    return ops.expand_dims(rows, 1) - ops.expand_dims(rows, 0)


def _relative_distances(rows: Tensor) -> Tensor:
    squared = ops.sum(_differences(rows) ** 2, axis=-1)
    apart = squared > TINY
    # The root has no gradient at 0, where an image meets itself.
    distances = ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)
    # The mean is over pairs that are apart; of equal images all distances are 0.
    count = ops.maximum(ops.sum(ops.cast(apart, "float32")), 1.0)
    return distances / ops.maximum(ops.sum(distances) / count, TINY)


def _cosines(rows: Tensor) -> Tensor:
    """At image j, its row, between images i and k."""
    differences = _differences(rows)
    unit = differences * ops.rsqrt(ops.sum(differences**2, axis=-1, keepdims=True) + TINY)
    return ops.matmul(unit, ops.transpose(unit, (0, 2, 1)))


def _huber(difference: Tensor) -> Tensor:
    size = ops.abs(difference)
    return ops.where(size < 1, 0.5 * difference**2, size - 0.5)
