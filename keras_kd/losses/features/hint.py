"""FitNets (Romero et al. 2015)."""

from __future__ import annotations

from keras import ops

from keras_kd.errors import ModelError
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

    Raises:
        ModelError: the two have different numbers of images or channels.
    """
    teacher, student = same_size(teacher_features, projected)
    # One channel would be spread over all.
    if teacher.shape[-1] != student.shape[-1]:
        raise ModelError(
            f"The teacher's features are of {teacher.shape[-1]} channels and the projected ones of"
            f" {student.shape[-1]}: project the student's features to as many."
        )
    return ops.mean((student - teacher) ** 2, axis=tuple(range(1, len(student.shape))))


loss = hint_each
