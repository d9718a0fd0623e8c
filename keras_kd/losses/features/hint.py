"""FitNets (Romero et al. 2015)."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import Tensor, same_size


def hint_each(teacher_features: Tensor, projected: Tensor) -> Tensor:
    """Compute the mean squared difference of two feature maps with equal channels.

    Romero et al. 2015 (FitNets, arXiv 1412.6550), equation (3), as a mean over the map. A teacher's
    map of another height and width is resized to the student's.

    Args:
        teacher_features: float (N, H, W, C), or (N, C).
        projected: the student's features, projected to the teacher's channels, float (N, h, w, C),
            or (N, C).

    Returns:
        float32 (N,), 0 or more.
    """
    teacher, student = same_size(teacher_features, projected)
    return ops.mean((student - teacher) ** 2, axis=tuple(range(1, len(student.shape))))


loss = hint_each
