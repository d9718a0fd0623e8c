"""The statistics of batch normalisation, set to those of the images that a training begins with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_kd.models.surgery.copies import copied, remade
from keras_kd.models.surgery.keras_internals import all_layers

# Images that the statistics are computed from, and how many of them at a time.
STATISTICS_IMAGES = 2048
_BATCH = 32


def with_factors(model: keras.Model) -> keras.Model:
    """Give each trainable batch normalisation a factor and a shift, which `set_statistics` changes.

    Args:
        model: Functional.

    Returns:
        A copy that computes the same, with factors of 1 and shifts of 0 where there were none; the
            model itself if none is missing.
    """
    lacking = {id(one) for one in _normalising(model) if not (one.center and one.scale)}
    if not lacking:
        return model

    def replaced(layer: layers.Layer) -> layers.Layer | None:
        if id(layer) not in lacking:
            return None
        return remade(layer, lambda config: config | {"center": True, "scale": True})

    def adapted(layer: layers.Layer) -> Sequence[np.ndarray]:
        if id(layer) not in lacking:
            return layer.get_weights()
        *_, mean, variance = layer.get_weights()
        gamma = layer.get_weights()[0] if layer.scale else np.ones_like(mean)
        beta = layer.get_weights()[0] if layer.center else np.zeros_like(mean)
        return [gamma, beta, mean, variance]

    return copied(model, replaced, adapted=adapted)


def set_statistics(model: keras.Model, images: np.ndarray, seed: int = 0) -> None:
    """Set the statistics of batch normalisation to those of these images, without changing the
    output.

    If the statistics differed from those of the images, the network would compute something else
    from the first training step on. For each channel, with scale s = γ/√(σ² + ε) and shift
    t = β - μ·s before, and with mean m and variance v of the layer's inputs: μ = m, σ² = v,
    γ = s·√(v + ε), β = t + m·s.

    Args:
        model: any, also with nested models; layers that are frozen, or without factor or shift
            (see `with_factors`), are not changed.
        images: uint8 (N, H, W, C); STATISTICS_IMAGES of them are drawn.
        seed: seed of the draw.
    """
    norms = [layer for layer in _normalising(model) if layer.center and layer.scale]
    if not norms:
        return
    count = min(len(images), STATISTICS_IMAGES)
    # Drawn, as the first images may all be of one class; sorted, as they may lie in a mapped file.
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
    moments = [_Moments(layer) for layer in norms]
    with ExitStack() as stack:
        for one in moments:
            stack.enter_context(one.counting())
        for start in range(0, count, _BATCH):
            model(images[rows[start : start + _BATCH]], training=False)
    for layer, one in zip(norms, moments, strict=True):
        if not one.count:  # a part of the graph that no output needs
            continue
        mean, variance = one.result()
        gamma, beta, old_mean, old_variance = layer.get_weights()
        scale = gamma / np.sqrt(old_variance + layer.epsilon)
        shift = beta - old_mean * scale
        new_gamma = scale * np.sqrt(variance + layer.epsilon)
        layer.set_weights([new_gamma, shift + mean * scale, mean, variance])


def _normalising(model: keras.Model) -> list[layers.BatchNormalization]:
    """The trainable layers of batch normalisation, at any depth; a subclass may have more weights,
    or normalise something else than its inputs.
    """
    found = [one for one in all_layers(model) if type(one) is layers.BatchNormalization]
    return [one for one in found if one.trainable]


class _Moments:
    """Mean and variance of each channel that arrives at a layer, over all of its calls."""

    def __init__(self, layer: layers.BatchNormalization) -> None:
        self.layer = layer
        self.count = 0
        self._sums = np.zeros((2, layer.moving_mean.shape[0]))

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what arrives. No graph reaches the inputs inside of nested models, so the layer's
        own calls are watched.
        """
        call = self.layer.call

        def watched(inputs: Any, *arguments: Any, **options: Any) -> Any:
            self._add(inputs)
            return call(inputs, *arguments, **options)

        vars(self.layer)["call"] = watched
        try:
            yield
        finally:
            del vars(self.layer)["call"]

    def _add(self, maps: Any) -> None:
        # In float32 the difference of two large sums below would be mostly rounding.
        values = keras.ops.convert_to_numpy(maps).astype(np.float64)
        values = np.moveaxis(values, self.layer.axis, -1).reshape(-1, self._sums.shape[1])
        self._sums += values.sum(axis=0), (values**2).sum(axis=0)
        self.count += len(values)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance."""
        mean, square = self._sums / self.count
        # Rounding may leave a variance a little below 0.
        return mean, np.maximum(square - mean**2, 0)
