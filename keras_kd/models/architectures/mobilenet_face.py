"""MobileNet of width 1.0 (Howard et al. 2017, arXiv 1704.04861), in the form of FaceRes.

FaceRes was trained to recognise the faces of VGGFace2 (Savchenko,
github.com/HSE-asavchenko/HSE_FaceRec_tf). `keras_kd.checkpoints.load` reads its weights.
"""

from __future__ import annotations

import keras
from keras import layers

from keras_kd.models.architectures._parts import (
    Heads,
    Seeds,
    head_dropout,
    outputs,
    require_size,
    rgb,
)

NAMES = ("mobilenet-face",)
INPUT_SHAPE = (224, 224, 3)
# The layer whose output are the features of a face.
FEATURES = "average"

# ImageNet's mean of red, green and blue, which Caffe's networks subtract.
MEAN = (123.68, 116.779, 103.939)
STEM = 32
# Filters and stride of each depthwise-separable block.
BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)


def build(
    name: str,
    heads: Heads,
    input_shape: tuple[int, int, int],
    dropout: tuple[float, float] | None,
    seed: int | None,
) -> keras.Model:
    """Build the network. Arguments: see `models`.

    The second rate of dropout applies before the heads, the first is not used. None is 0.
    """
    require_size(name, input_shape, 32)
    seeds = Seeds(seed)
    image = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1.0, [-mean for mean in MEAN], name="normalise")(rgb(image))
    x = _convolution(x, STEM, 3, 2, "conv1", seeds)
    for number, (filters, stride) in enumerate(BLOCKS, start=1):
        x = _depthwise(x, stride, f"conv_dw_{number}", seeds)
        x = _convolution(x, filters, 1, 1, f"conv_pw_{number}", seeds)
    x = layers.GlobalAveragePooling2D(name=FEATURES)(x)
    x = head_dropout(x, dropout, seeds)
    return keras.Model(image, outputs(x, heads, "logits", seeds), name=name)


def _convolution(
    x: keras.KerasTensor, filters: int, size: int, stride: int, name: str, seeds: Seeds
) -> keras.KerasTensor:
    initial = keras.initializers.HeNormal(seeds())
    layer = layers.Conv2D(
        filters, size, stride, "same", use_bias=False, name=name, kernel_initializer=initial
    )
    return _activated(layer(x), name)


def _depthwise(x: keras.KerasTensor, stride: int, name: str, seeds: Seeds) -> keras.KerasTensor:
    initial = keras.initializers.HeNormal(seeds())
    layer = layers.DepthwiseConv2D(
        3, stride, "same", use_bias=False, name=name, depthwise_initializer=initial
    )
    return _activated(layer(x), name)


def _activated(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
