"""Batch normalisation during training: as one fused operation on TensorFlow, and with statistics
that a short training reaches.

Keras 3 computes it in a dozen elementwise passes over the feature maps, which cost a narrow student
more than its convolutions. With the fused operation, Student C trained 1.4 times as many images per
CPU second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_kd.models.surgery.copies import copied, remade
from keras_kd.models.surgery.keras_internals import all_layers

# The moving averages' first values keep at most exp(-4) = 2 % of weight.
_SPANS = 4
BEGINNING = 64


class FusedBatchNormalization(layers.BatchNormalization):
    """BatchNormalization with the same weights and statistics, fused; never saved, see
    `unfused`.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise a batch, (N, H, W, C) or (N, C)."""
        if not training or not self.trainable:
            return super().call(inputs, training, mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=tf.zeros((0,)),
            variance=tf.zeros((0,)),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation gives the sample's variance (n - 1), Keras keeps the population's (n).
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        variance *= (count - 1) / count
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
        self.moving_variance.assign(
            self.moving_variance * self.momentum + variance * (1 - self.momentum)
        )
        return outputs


def shorten_averages(model: keras.Model, steps: int) -> list[float]:
    """Have the moving averages span at most a quarter of a training.

    Keras' own span is 100 steps, and 1,000 in some of keras.applications. After a shorter training
    a model still has the statistics of its first steps, and is at chance.

    Args:
        model: the model that is trained, which is changed. A copy is made of configurations, in
            which layers of the user's own may not tell their momentum.
        steps: the training's steps, at least 1.

    Returns:
        The momenta that the layers had, for `set_momenta`.
    """
    before = [layer.momentum for layer in _normalising(model)]
    bound = max(0.0, 1 - _SPANS / steps)
    set_momenta(model, [min(momentum, bound) for momentum in before])
    return before


def set_momenta(model: keras.Model, momenta: Sequence[float]) -> None:
    """Change the momentum of batch normalisation.

    Args:
        model: the model, which is changed.
        momenta: one for each of its layers of this kind, in order.
    """
    for layer, momentum in zip(_normalising(model), momenta, strict=True):
        layer.momentum = momentum


def begin_averages(model: keras.Model, images: np.ndarray, seed: int) -> None:
    """Begin the moving averages of a new model with the statistics of some images.

    Keras begins them with 0 and 1. The variances in a deep network are far below 1, so that 1 % of
    the first value would be more than all that is measured.

    Args:
        model: the model, whose other variables stay as they are.
        images: (N, H, W, C) as the model takes them, of which BEGINNING are drawn.
        seed: seed of the draw.
    """
    norms = [layer for layer in _normalising(model) if layer.trainable]
    averages = {id(one) for layer in norms for one in (layer.moving_mean, layer.moving_variance)}
    others = [one for one in model.non_trainable_variables if id(one) not in averages]
    values = [keras.ops.convert_to_numpy(one) for one in others]
    before = [layer.momentum for layer in _normalising(model)]
    set_momenta(model, [0.0] * len(before))
    # Drawn, as the first images may all be of one class; sorted, as they may lie in a mapped file.
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:BEGINNING])
    model(images[rows], training=True)
    set_momenta(model, before)
    # Dropout's seeds went on.
    for variable, value in zip(others, values, strict=True):
        variable.assign(value)


def _normalising(model: keras.Model) -> list[layers.BatchNormalization]:
    return [one for one in all_layers(model) if isinstance(one, layers.BatchNormalization)]


def _fits(layer: layers.Layer) -> bool:
    plain = (
        type(layer) is layers.BatchNormalization
        and layer.center
        and layer.scale
        and not layer.synchronized
    )
    return plain and len(layer.input.shape) == 4 and layer.axis in (-1, 3)


def fused(model: keras.Model) -> keras.Model:
    """Return a copy of a model with fused batch normalisation, for training.

    Args:
        model: Functional.

    Returns:
        The copy; on other backends than TensorFlow the model itself.
    """
    if keras.backend.backend() != "tensorflow":
        return model
    return _rebuilt(model, FusedBatchNormalization, filter(_fits, model.layers))


def unfused(model: keras.Model) -> keras.Model:
    """Return a copy with plain BatchNormalization layers, which can be saved.

    Args:
        model: as `fused` returned it.

    Returns:
        The copy.
    """
    norms = (layer for layer in model.layers if isinstance(layer, FusedBatchNormalization))
    return _rebuilt(model, layers.BatchNormalization, norms)


def _rebuilt(
    model: keras.Model, made: type[layers.Layer], places: Iterable[layers.Layer]
) -> keras.Model:
    chosen = set(places)

    def replaced(layer: layers.Layer) -> layers.Layer | None:
        return remade(layer, kind=made) if layer in chosen else None

    return copied(model, replaced)
