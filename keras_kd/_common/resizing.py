"""Bilinear resizing of batches by matrix products, which XLA compiles."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from keras import ops


def bilinear(images: Any, height: int, width: int) -> Any:
    """Return maps at another size, antialiased, as `keras.ops.image.resize` does.

    Args:
        images: float32 (N, H, W, C).
        height: of the result.
        width: of the result.

    Returns:
        float32 (N, height, width, C).
    """
    if None in images.shape[1:3]:
        # Only the step knows the size, and no matrix can be made before.
        return ops.image.resize(
            images, (height, width), "bilinear", antialias=True, data_format="channels_last"
        )
    # TensorFlow's own operation, ScaleAndTranslate, does not exist in XLA.
    rows, columns = _weights(images.shape[1], height), _weights(images.shape[2], width)
    return ops.einsum("bw,nawc->nabc", columns, ops.einsum("ah,nhwc->nawc", rows, images))


@functools.lru_cache(maxsize=64)
def _weights(given: int, new: int) -> np.ndarray:
    """Shares of the given pixels in each wanted one, float32 (wanted, given), by a triangle."""
    scale = given / new
    centres = (np.arange(new) + 0.5) * scale - 0.5
    # Where it shrinks, the triangle is as wide as all pixels that become one.
    distances = np.abs(centres[:, None] - np.arange(given)) / max(scale, 1.0)
    shares = np.maximum(1 - distances, 0)
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
