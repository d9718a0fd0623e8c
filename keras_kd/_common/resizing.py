"""Bilinear resizing of batches by matrix products, which XLA compiles."""

from __future__ import annotations

from typing import Any

from keras import ops


def bilinear(images: Any, height: Any, width: Any) -> Any:
    """Return maps at another size, antialiased, as `keras.ops.image.resize` does.

    Args:
        images: float32 (N, H, W, C), of which only the step may know H and W.
        height: of the result.
        width: of the result.

    Returns:
        float32 (N, height, width, C).
    """
    # TensorFlow's own operation, ScaleAndTranslate, does not exist in XLA.
    _, rows, columns, _ = ops.shape(images)
    of_rows, of_columns = _weights(rows, height), _weights(columns, width)
    return ops.einsum("bw,nawc->nabc", of_columns, ops.einsum("ah,nhwc->nawc", of_rows, images))


def _weights(given: Any, new: Any) -> Any:
    """Shares of the given pixels in each wanted one, float32 (wanted, given), by a triangle."""
    scale = ops.cast(given, "float32") / ops.cast(new, "float32")
    centres = (ops.arange(new, dtype="float32") + 0.5) * scale - 0.5
    # Where it shrinks, the triangle is as wide as all pixels that become one.
    distances = ops.abs(centres[:, None] - ops.arange(given, dtype="float32"))
    shares = ops.maximum(1 - distances / ops.maximum(scale, 1.0), 0.0)
    return shares / ops.sum(shares, axis=1, keepdims=True)
