"""Preprocessing inside the file: raw pixels of a fixed size to what the model was trained on, to
the last bit.

Training resizes with Pillow, whose bilinear filter works on integers: weights of 22 bits, first
along the rows, then along the columns, rounded to a whole pixel value after each. TensorFlow's
resize rounds nowhere and doesn't widen its filter when it shrinks. So the resize here is Pillow's,
in int32; that also keeps it out of reach of the converter's quantization.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

_BITS = 22
# ITU-R 601 luma in 16 bits, as `images.with_channels`.
LUMA_WEIGHTS, LUMA_BITS = (19595, 38470, 7471), 16


def pixels(image: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Return uint8 (N, H, W, C) as `images.fitted(image, shape)` does, in float32 0..255."""
    height, width, channels = shape
    values = image
    if image.shape[3] == 3 and channels == 1:
        weighted = tf.cast(image, tf.int32) * tf.constant(LUMA_WEIGHTS, tf.int32)
        values = _shifted(tf.reduce_sum(weighted, axis=3, keepdims=True), LUMA_BITS)
    values = _resized(_resized(values, axis=2, size=width), axis=1, size=height)
    values = tf.cast(values, tf.float32)
    return tf.concat([values] * 3, axis=3) if image.shape[3] == 1 and channels == 3 else values


def _resized(values: tf.Tensor, axis: int, size: int) -> tf.Tensor:
    if values.shape[axis] == size:
        return values
    values = tf.cast(values, tf.int32)
    indices, weights = taps(values.shape[axis], size)
    shape = [-1 if i == axis else 1 for i in range(4)]
    weighted = [
        tf.gather(values, index, axis=axis) * weight.reshape(shape)
        for index, weight in zip(indices, weights, strict=True)
    ]
    return _shifted(functools.reduce(tf.add, weighted), _BITS)


def _shifted(values: tf.Tensor, bits: int) -> tf.Tensor:
    """Divide by 2^bits, a half rounded up."""
    # Constants as long as a row: LiteRT broadcasts these ten times faster than scalars. A division,
    # since runtimes before 2.14 have no shift; pixels are not negative, so it rounds down.
    row = np.ones((1, 1, *values.shape[2:]), np.int32)
    return tf.raw_ops.Div(x=values + row * (1 << (bits - 1)), y=row * (1 << bits))


def taps(size: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of `size` pixels make each of `target` ones, and with what weight in units of
    2^-22.

    Returns:
        int32 (taps, target) indices and weights of a triangle over the two nearest pixels, or wider
        by size / target when shrinking; unused taps weigh 0.
    """
    scale = size / target
    support = max(scale, 1.0)
    centers = (np.arange(target) + 0.5) * scale
    first = np.maximum((centers - support + 0.5).astype(int), 0)
    last = np.minimum((centers + support + 0.5).astype(int), size)
    indices = first + np.arange((last - first).max())[:, None]
    weights = np.maximum(1 - np.abs(indices + 0.5 - centers) / support, 0) * (indices < last)
    weights = (weights / weights.sum(axis=0) * 2**_BITS + 0.5).astype(np.int32)
    return np.minimum(indices, size - 1).astype(np.int32), weights
