"""Narrow VGGs for small faces, which two cores can train.

The plan of vgg8 is that of the VGG which Khaireddin and Chen trained on FER2013 (arXiv 2105.03588):
four stages of 3x3 convolutions with batch normalisation, each followed by max pooling. It has half
the width, one convolution in the first stage, and global average pooling with one dense layer at
the end, where the published one has three. vgg8-half has half of its width.

vgg9-slim takes a twentieth of a millisecond as an int8 file, and vgg8-slim a tenth of a megabyte.
They were chosen among such plans by the time on LiteRT and the accuracy (docs/results/slim.md).
"""

from __future__ import annotations

import keras
from keras import layers

from keras_kd.models.architectures._parts import (
    Heads,
    Seeds,
    imagenet_normalised,
    norm,
    outputs,
    require_size,
)

# The widths of the convolutions of each stage. The numbers in the names count the layers with
# weights, as VGGs are counted: convolutions and one dense layer.
STAGES = {
    "vgg8": ((32,), (64, 64), (128, 128), (256, 256)),
    "vgg8-half": ((16,), (32, 32), (64, 64), (128, 128)),
    "vgg8-slim": ((16,), (16, 16), (32, 32), (64, 64)),
    "vgg9-slim": ((16, 16), (32, 32), (64, 64), (96, 96)),
}
# Its first convolution has stride 2 and its last stage no pooling, so that every plan shrinks the
# image to a sixteenth.
STRIDED = ("vgg9-slim",)
NAMES = tuple(STAGES)
INPUT_SHAPE = (48, 48, 3)

DEFAULT_DROPOUT = (0.1, 0.3)


def build(
    name: str,
    heads: Heads,
    input_shape: tuple[int, int, int],
    dropout: tuple[float, float] | None,
    seed: int | None,
) -> keras.Model:
    """Build one of the networks. Arguments: see `models`.

    The rates of dropout apply between convolutions and before the dense layer.
    """
    height, width, channels = input_shape
    require_size(name, input_shape, 16)
    conv_dropout, dense_dropout = DEFAULT_DROPOUT if dropout is None else dropout
    seeds = Seeds(seed)
    stages, strided = STAGES[name], name in STRIDED

    image = keras.Input(input_shape, name="image")
    x = imagenet_normalised(image)
    stride = 2 if strided else 1
    for stage, widths in enumerate(stages, start=1):
        for index, filters in enumerate(widths, start=1):
            x = _conv(x, filters, stride, f"{stage}_{index}", seeds)
            stride = 1
        if stage < len(stages) or not strided:
            x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = layers.Dropout(conv_dropout, seed=seeds(), name=f"drop{stage}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(dense_dropout, seed=seeds(), name="average_drop")(x)
    return keras.Model(image, outputs(x, heads, "dense", seeds), name=name)


def _conv(
    x: keras.KerasTensor, filters: int, stride: int, place: str, seeds: Seeds
) -> keras.KerasTensor:
    # Keras' own padding, also at stride 2: it is part of LiteRT's convolution, where zeros on both
    # sides would be an operator of their own.
    convolution = layers.Conv2D(
        filters,
        3,
        stride,
        "same",
        use_bias=False,
        kernel_initializer=keras.initializers.HeUniform(seeds()),
        name=f"conv{place}",
    )
    return layers.ReLU(name=f"relu{place}")(norm(convolution(x), f"bn{place}"))
