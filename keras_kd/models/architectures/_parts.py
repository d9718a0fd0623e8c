"""Layers that the architectures share, with PyTorch's conventions, so that published weights
fit.
"""

from __future__ import annotations

import keras
from keras import layers

from keras_kd.errors import ModelError

# ImageNet's mean and deviation, as in torchvision's models.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

# What to do where weights can't be downloaded.
CONNECT = (
    "connect to the network once, put the file where Keras keeps its models, or leave out"
    " --pretrained"
)

# What a model gives: the number of logits; or for each named head the number of logits, None for
# one linear value.
Heads = int | dict[str, int | None]


class Seeds:
    """An independent seed for every layer, all derived from one; None stays None."""

    def __init__(self, seed: int | None) -> None:
        # Models of neighbouring seeds share no layer's seed.
        self.seed = None if seed is None else seed * 1000

    def __call__(self) -> int | None:
        if self.seed is not None:
            self.seed += 1
        return self.seed


def require_size(name: str, input_shape: tuple[int, int, int], smallest: int) -> None:
    """Raise ModelError for images with a side below `smallest`, or neither gray nor RGB."""
    if min(input_shape[:2]) < smallest or input_shape[2] not in (1, 3):
        raise ModelError(
            f"{name} takes images of at least {smallest}x{smallest} pixels with 1 or 3 channels."
            f" Received: input_shape={input_shape}."
        )


def rgb(image: keras.KerasTensor) -> keras.KerasTensor:
    """Repeat gray to three channels; three stay as they are."""
    return layers.Concatenate(name="gray_to_rgb")([image] * 3) if image.shape[-1] == 1 else image


def imagenet_normalised(image: keras.KerasTensor) -> keras.KerasTensor:
    """Normalise pixels 0..255 of 1 or 3 channels to three channels, by ImageNet's mean and
    deviation.
    """
    return layers.Rescaling(
        [1 / (255 * deviation) for deviation in IMAGENET_DEVIATION],
        [
            -mean / deviation
            for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)
        ],
        name="normalise",
    )(rgb(image))


def conv(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    name: str,
    seeds: Seeds,
    stride: int = 1,
    bias: bool = True,
) -> keras.KerasTensor:
    """Add a convolution with PyTorch's padding=size//2: the same zeros on both sides, also at
    stride 2.
    """
    initial = keras.initializers.HeUniform(seeds())
    if stride > 1 and size > 1:
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    padding = "valid" if stride > 1 else "same"
    return layers.Conv2D(
        filters, size, stride, padding, use_bias=bias, name=name, kernel_initializer=initial
    )(x)


def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Add batch normalisation with epsilon 1e-5 and momentum 0.9 (PyTorch's 0.1)."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def dense(
    x: keras.KerasTensor,
    units: int,
    name: str,
    seeds: Seeds,
    activation: str | None = None,
    bias: bool = True,
    dtype: str | None = None,
) -> keras.KerasTensor:
    """Add a dense layer that is initialised from the next seed."""
    initial = keras.initializers.GlorotUniform(seeds())
    return layers.Dense(units, activation, bias, initial, dtype=dtype, name=name)(x)


def head_dropout(
    x: keras.KerasTensor, dropout: tuple[float, float] | None, seeds: Seeds
) -> keras.KerasTensor:
    """Add a dropout with the second rate before the heads, or none if the rate is 0 or None."""
    if dropout is None or not dropout[1]:
        return x
    return layers.Dropout(dropout[1], seed=seeds(), name="head_drop")(x)


def outputs(
    x: keras.KerasTensor, heads: Heads, name: str, seeds: Seeds
) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
    """Add one dense layer `name`, or one for each head under its name; float32 keeps losses exact
    in any precision.
    """
    if isinstance(heads, int):
        return dense(x, heads, name, seeds, dtype="float32")
    return {
        head: dense(x, classes or 1, head, seeds, dtype="float32")
        for head, classes in heads.items()
    }
