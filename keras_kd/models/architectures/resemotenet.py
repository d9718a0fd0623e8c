"""ResEmoteNet (Roy et al. 2024, arXiv 2409.10545) and its narrower students A, B, C.

The students scale every channel count by 1/2, 1/4, 1/8 (Mini-ResEmoteNet, Murtada et al. 2025,
arXiv 2501.18538, table II). Padding and batch normalisation follow PyTorch's conventions, so that
published weights fit: explicit zeros before strided convolutions, epsilon 1e-5, momentum 0.9.
"""

from __future__ import annotations

import keras
from keras import layers

from keras_kd.models.architectures._parts import (
    Heads,
    Seeds,
    conv,
    dense,
    imagenet_normalised,
    norm,
    outputs,
    require_size,
)

DIVISORS = {"resemotenet": 1, "A": 2, "B": 4, "C": 8}
# Trainable parameters of table II come out only if Student C's squeeze is 32 wide, not 256/8/16 =
# 2.
SQUEEZE_WIDTHS = {"resemotenet": 16, "A": 8, "B": 4, "C": 32}
NAMES = tuple(DIVISORS)
INPUT_SHAPE = (64, 64, 3)

PAPER_DROPOUT = (0.2, 0.5)


def build(
    name: str,
    heads: Heads,
    input_shape: tuple[int, int, int],
    dropout: tuple[float, float] | None,
    seed: int | None,
) -> keras.Model:
    """Build the teacher or one of its students. Arguments: see `models`.

    The rates of dropout apply between convolutions and between dense layers; None stands for the
    published rates.
    """
    height, width, channels = input_shape
    require_size(name, input_shape, 8)
    divisor = DIVISORS[name]
    conv_dropout, dense_dropout = PAPER_DROPOUT if dropout is None else dropout
    seeds = Seeds(seed)

    image = keras.Input(input_shape, name="image")
    x = imagenet_normalised(image)
    for index, filters in enumerate((64, 128, 256), start=1):
        x = conv(x, filters // divisor, 3, f"conv{index}", seeds)
        x = layers.ReLU(name=f"relu{index}")(norm(x, f"bn{index}"))
        x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
        if index < 3:
            x = layers.Dropout(conv_dropout, seed=seeds(), name=f"drop{index}")(x)
    x = _squeeze_excite(x, SQUEEZE_WIDTHS[name], seeds)
    for index, filters in enumerate((512, 1024, 2048), start=1):
        x = _residual_block(x, filters // divisor, f"res_block{index}", seeds)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    for index, units in enumerate((1024, 512, 256), start=1):
        x = dense(x, units // divisor, f"fc{index}", seeds, "relu")
        x = layers.Dropout(dense_dropout, seed=seeds(), name=f"fc{index}_drop")(x)
    return keras.Model(image, outputs(x, heads, "fc4", seeds), name=name)


def _squeeze_excite(x: keras.KerasTensor, width: int, seeds: Seeds) -> keras.KerasTensor:
    scale = layers.GlobalAveragePooling2D(keepdims=True, name="se_average")(x)
    scale = dense(scale, width, "se_fc1", seeds, "relu", bias=False)
    scale = dense(scale, x.shape[-1], "se_fc2", seeds, "sigmoid", bias=False)
    return layers.Multiply(name="se_scale")([x, scale])


def _residual_block(
    x: keras.KerasTensor, filters: int, name: str, seeds: Seeds
) -> keras.KerasTensor:
    shortcut = norm(conv(x, filters, 1, f"{name}_shortcut", seeds, stride=2), f"{name}_shortcut_bn")
    x = layers.ReLU(name=f"{name}_relu1")(
        norm(conv(x, filters, 3, f"{name}_conv1", seeds, stride=2), f"{name}_bn1")
    )
    x = norm(conv(x, filters, 3, f"{name}_conv2", seeds), f"{name}_bn2")
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([x, shortcut]))
