"""A narrow VGG for small faces, which two cores can train, and a student of half its width.

The plan is that of the VGG which Khaireddin and Chen trained on FER2013 (arXiv 2105.03588): four
stages of 3x3 convolutions with batch normalisation, each followed by max pooling. It has half the
width, one convolution in the first stage, and global average pooling with one dense layer at the
end, where the published one has three.
"""

from __future__ import annotations

import keras
from keras import layers

from keras_kd.models.architectures._parts import (
    Heads,
    Seeds,
    conv,
    imagenet_normalised,
    norm,
    outputs,
    require_size,
)

# Weight layers, as VGGs are counted: seven convolutions and one dense.
DIVISORS = {"vgg8": 1, "vgg8-half": 2}
NAMES = tuple(DIVISORS)
INPUT_SHAPE = (48, 48, 3)

STAGES = ((32,), (64, 64), (128, 128), (256, 256))
DEFAULT_DROPOUT = (0.1, 0.3)


def build(
    name: str,
    heads: Heads,
    input_shape: tuple[int, int, int],
    dropout: tuple[float, float] | None,
    seed: int | None,
) -> keras.Model:
    """Build one of the two networks. Arguments: see `models`.

    The rates of dropout apply between convolutions and before the dense layer.
    """
    height, width, channels = input_shape
    require_size(name, input_shape, 16)
    conv_dropout, dense_dropout = DEFAULT_DROPOUT if dropout is None else dropout
    seeds = Seeds(seed)

    image = keras.Input(input_shape, name="image")
    x = imagenet_normalised(image)
    for stage, widths in enumerate(STAGES, start=1):
        for index, filters in enumerate(widths, start=1):
            layer = f"{stage}_{index}"
            x = norm(
                conv(x, filters // DIVISORS[name], 3, f"conv{layer}", seeds, bias=False),
                f"bn{layer}",
            )
            x = layers.ReLU(name=f"relu{layer}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = layers.Dropout(conv_dropout, seed=seeds(), name=f"drop{stage}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(dense_dropout, seed=seeds(), name="average_drop")(x)
    return keras.Model(image, outputs(x, heads, "dense", seeds), name=name)
