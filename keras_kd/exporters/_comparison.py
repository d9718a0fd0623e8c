"""How far a file's outputs are from those of the Keras model."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from keras_kd.datasets.images import fitted
from keras_kd.exporters._serving import Serving, outputs_by_name

COMPARED = 32


def difference(
    reference: keras.Model,
    serving: Serving,
    images: np.ndarray | None,
    run: Callable[[np.ndarray], dict[str, np.ndarray]],
) -> float:
    """Return the largest difference of any output, as a share of the spread (largest - smallest) of
    Keras' values.

    Args:
        reference: the model to agree with.
        serving: the profile of input and output.
        images: (N, H, W, C) of the file's input shape; COMPARED of them are used. None for random
            pixels.
        run: computes the file's outputs by name for images.
    """
    compared = _noise(serving.input_shape) if images is None else evenly(images, COMPARED)
    expected = _expected(reference, serving, compared)
    found = run(compared)
    return max(_relative(expected[name], found[name]) for name in serving.output_names)


def evenly(images: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` images, spread evenly over all."""
    return images[np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)]


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, *shape), np.uint8)


def _expected(
    reference: keras.Model, serving: Serving, images: np.ndarray
) -> dict[str, np.ndarray]:
    pixels = fitted(images, tuple(reference.inputs[0].shape[1:])) if serving.app else images
    outputs = outputs_by_name(reference, pixels.astype(np.float32))
    outputs = serving.probabilities(outputs) if serving.app else outputs
    return {name: keras.ops.convert_to_numpy(values) for name, values in outputs.items()}


def _relative(expected: np.ndarray, found: np.ndarray) -> float:
    # NaN must come out as NaN, which no tolerance admits; an untrained model's spread may be next
    # to nothing.
    return float(np.abs(expected - found).max() / max(np.ptp(expected), 1e-3))
