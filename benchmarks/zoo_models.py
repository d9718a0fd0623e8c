"""Models as Keras users bring them, built without downloads: name -> function that builds one.

Each takes `SIDE` pixels unless its name says otherwise, and gives one answer of five classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import applications, layers
from keras.src.applications import (  # their widths and depths are no public settings
    convnext,
    densenet,
    efficientnet,
    efficientnet_v2,
    nasnet,
    resnet,
)

CLASSES = 5
# All of Keras by name but softmax, which ends a model below, threshold, which takes numbers, and
# glu, which changes the shape.
ACTIVATIONS = (
    "linear", "relu", "relu6", "elu", "selu", "gelu", "silu", "mish", "softplus",
    "softsign", "tanh", "sigmoid", "hard_sigmoid", "hard_silu", "leaky_relu", "celu",
    "exponential", "squareplus", "sparse_plus", "log_sigmoid", "soft_shrink", "hard_shrink",
    "tanh_shrink", "sparsemax", "hard_tanh", "sparse_sigmoid", "log_softmax",
)  # fmt: skip


@dataclass(frozen=True)
class Animal:
    """A model of the zoo.

    Attributes:
        build: makes it, untrained.
        side: pixels of its square images.
        channels: 1 or 3.
        value_range: what it takes for pixels 0 and 255; None: it normalises itself, pixels 0..255.
        policy: the dtype policy that it is built under.
    """

    build: Callable[[], keras.Model]
    side: int = 32
    channels: int = 3
    value_range: tuple[float, float] | None = None
    policy: str = "float32"


def _net(*middle, side=32, channels=3, end=None, scale=True, dtype="float32"):
    stack = [keras.Input((side, side, channels), dtype=dtype)]
    stack += [layers.Rescaling(1 / 127.5, -1)] if scale else []
    return keras.Sequential([*stack, *middle, layers.Dense(CLASSES, activation=end)])


def _conv(activation="relu", filters=16, **settings):
    settings = {"strides": 2, "padding": "same", **settings}
    return layers.Conv2D(filters, 3, activation=activation, **settings)


def _plain(end=None, **settings):
    return _net(_conv(), _conv(), layers.GlobalAveragePooling2D(), end=end, **settings)


def _normed(norm):
    return _net(_conv(None), norm, layers.ReLU(), _conv(), layers.GlobalAveragePooling2D())


def _of_keras(family, side=32, last="", **settings):
    """A family of keras.applications, as narrow as it can be made; with the name of a layer, what
    comes after it is a head of the user's own.
    """

    def build():
        whole = family(weights=None, input_shape=(side, side, 3), classes=CLASSES,
                       classifier_activation=None, **settings)  # fmt: skip
        if not last:
            return whole
        pooled = layers.GlobalAveragePooling2D()(whole.get_layer(last).output)
        return keras.Model(whole.input, layers.Dense(CLASSES)(pooled))

    return build


def _residual_stages(x):
    x = resnet.stack_residual_blocks_v2(x, 8, 2, name="conv2")
    return resnet.stack_residual_blocks_v2(x, 16, 2, stride1=1, name="conv3")


def _functional(head):
    image = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(image)
    return keras.Model(image, head(x))


def _residual(x):
    x = _conv()(x)
    x = layers.Add()([x, layers.Conv2D(16, 3, padding="same", activation="relu")(x)])
    return layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x + 1.0))


def _attention(x):
    tokens = layers.Reshape((16, 48))(layers.Conv2D(48, 8, strides=8)(x))
    mixed = layers.MultiHeadAttention(2, 16)(tokens, tokens)
    tokens = layers.LayerNormalization()(layers.Add()([tokens, mixed]))
    return layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(tokens))


def _shared(x):
    conv = layers.Conv2D(3, 3, padding="same", activation="relu")
    return layers.Dense(CLASSES)(layers.Flatten()(layers.AveragePooling2D(4)(conv(conv(x)))))


def _two_heads(x):
    x = layers.GlobalAveragePooling2D()(_conv()(x))
    return {"classes": layers.Dense(CLASSES)(x), "value": layers.Dense(1)(x)}


def _two_outputs(x):
    x = layers.GlobalAveragePooling2D()(_conv()(x))
    return [layers.Dense(CLASSES)(x), layers.Dense(CLASSES)(x)]


def _rows(kind):
    return _net(layers.Reshape((32, 96)), kind)


class Subclassed(keras.Model):
    """Layers called by code of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.pool = _conv(), layers.GlobalAveragePooling2D()
        self.classes = layers.Dense(CLASSES)

    def call(self, image):
        return self.classes(self.pool(self.convolution(image / 127.5 - 1.0)))


class Scale(layers.Layer):
    """A layer of the user's own, with nothing to configure."""

    def call(self, values):
        return values * 0.5


def _nested():
    inner = keras.Sequential([keras.Input((32, 32, 3)), _conv(), _conv()], name="trunk")
    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(inner(layers.Rescaling(1 / 255)(image)))
    return keras.Model(image, layers.Dense(CLASSES)(x))


def _standardised():
    return _net(
        layers.Normalization(mean=[120.0, 90.0, 80.0], variance=[3000.0, 2500.0, 2000.0]),
        _conv(), _conv(), _POOL(), scale=False,
    )  # fmt: skip


def _activated(*names):
    # A layer of its own has the name of the activation.
    pairs = [(_conv(None), layers.Activation(name, name=name)) for name in names]
    return _net(*[layer for pair in pairs for layer in pair], _POOL())


def _augmented():
    first = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.05)]
    return _net(*first, _conv(), _conv(), layers.GlobalAveragePooling2D())


_POOL = layers.GlobalAveragePooling2D
_NARROW = {"width_coefficient": 0.25, "depth_coefficient": 0.25, "default_size": 32}
_SHALLOW_NASNET = {
    "penultimate_filters": 96,
    "num_blocks": 1,
    "stem_block_filters": 8,
    "skip_reduction": False,
    "last": "reduction_concat_stem_1",
}
_EARLY_MOBILENET_V2 = {"alpha": 0.35, "last": "block_4_add"}
_STRIDES_OF_MOBILENET_V2 = {"alpha": 0.35, "last": "block_2_add"}
ZOO: dict[str, Animal] = {
    "Sequential": Animal(_plain),
    "functional, residual, +": Animal(lambda: _functional(_residual)),
    "nested": Animal(_nested),
    "subclassed": Animal(Subclassed),
    "own layer": Animal(lambda: _net(Scale(), _conv(), _POOL())),
    "Lambda": Animal(lambda: _net(layers.Lambda(lambda x: x / 2), _conv(), _POOL())),
    "augmentation inside": Animal(_augmented),
    "batch norm": Animal(lambda: _normed(layers.BatchNormalization())),
    "group norm": Animal(lambda: _normed(layers.GroupNormalization(4))),
    "layer norm": Animal(lambda: _normed(layers.LayerNormalization())),
    "unit norm": Animal(lambda: _normed(layers.UnitNormalization())),
    "attention": Animal(lambda: _functional(_attention)),
    "LSTM": Animal(lambda: _rows(layers.LSTM(16))),
    "GRU": Animal(lambda: _rows(layers.GRU(16))),
    "bidirectional": Animal(lambda: _rows(layers.Bidirectional(layers.LSTM(8)))),
    "SimpleRNN": Animal(lambda: _rows(layers.SimpleRNN(16))),
    "1-D": Animal(
        lambda: _net(
            layers.Reshape((32, 96)),
            layers.Conv1D(16, 3, activation="relu"),
            layers.GlobalMaxPooling1D(),
        )
    ),
    "transposed": Animal(lambda: _net(_conv(), layers.Conv2DTranspose(8, 3, strides=2), _POOL())),
    "separable": Animal(lambda: _net(layers.SeparableConv2D(16, 3, activation="relu"), _POOL())),
    "depthwise": Animal(
        lambda: _net(_conv(), layers.DepthwiseConv2D(3, activation="relu"), _POOL())
    ),
    "dilated": Animal(lambda: _net(_conv(strides=1, dilation_rate=2), _conv(), _POOL())),
    "grouped": Animal(lambda: _net(_conv(), _conv(groups=4), _POOL())),
    "shared": Animal(lambda: _functional(_shared)),
    "PReLU": Animal(lambda: _net(_conv(None), layers.PReLU(), _conv(), _POOL())),
    "softmax": Animal(lambda: _plain("softmax")),
    "log-softmax": Animal(lambda: _plain("log_softmax")),
    "two heads, a dict": Animal(lambda: _functional(_two_heads)),
    "two outputs": Animal(lambda: _functional(_two_outputs)),
    "one column": Animal(lambda: keras.Sequential([*_plain().layers[:-1], layers.Dense(1)])),
    "sigmoids": Animal(lambda: _plain("sigmoid")),
    "standardised": Animal(_standardised),
    "uint8 input": Animal(lambda: _plain(dtype="uint8")),
    "0..1": Animal(lambda: _plain(scale=False), value_range=(0.0, 1.0)),
    "-1..1": Animal(lambda: _plain(scale=False), value_range=(-1.0, 1.0)),
    "28 pixels, gray": Animal(lambda: _plain(side=28, channels=1), 28, 1),
    "mixed_float16": Animal(_plain, policy="mixed_float16"),
    "mixed_bfloat16": Animal(_plain, policy="mixed_bfloat16"),
    **{
        ", ".join(names): Animal(functools.partial(_activated, *names))
        for names in zip(*[iter(ACTIVATIONS)] * 3, strict=True)
    },
    **{
        name: Animal(_of_keras(family, side, **settings), side, value_range=value_range)
        for name, family, side, value_range, settings in (
            ("MobileNet", applications.MobileNet, 32, (-1.0, 1.0), {"alpha": 0.25}),
            ("MobileNetV2", applications.MobileNetV2, 32, (-1.0, 1.0), _EARLY_MOBILENET_V2),
            (
                "MobileNetV3Small",
                applications.MobileNetV3Small,
                32,
                None,
                {"alpha": 0.25, "last": "expanded_conv_2_add"},
            ),
            (
                "EfficientNet",
                efficientnet.EfficientNet,
                32,
                None,
                {**_NARROW, "last": "block4a_project_bn"},
            ),
            (
                "EfficientNetV2",
                efficientnet_v2.EfficientNetV2,
                32,
                None,
                {**_NARROW, "name": "efficientnetv2-b0", "last": "block4a_project_bn"},
            ),
            (
                "DenseNet",
                densenet.DenseNet,
                32,
                (-1.0, 1.0),
                {"blocks": [1, 1, 1, 1], "last": "conv3_block1_concat"},
            ),
            (
                "ResNetV2",
                resnet.ResNet,
                32,
                (-1.0, 1.0),
                {
                    "stack_fn": _residual_stages,
                    "preact": True,
                    "use_bias": True,
                    "last": "conv2_block2_out",
                },
            ),
            ("NASNet", nasnet.NASNet, 32, (-1.0, 1.0), _SHALLOW_NASNET),
            (
                "ConvNeXt",
                convnext.ConvNeXt,
                32,
                None,
                {"depths": [1, 1, 1, 1], "projection_dims": [8, 16, 24, 32]},
            ),
            (
                "MobileNetV2, 224",
                applications.MobileNetV2,
                224,
                (-1.0, 1.0),
                _STRIDES_OF_MOBILENET_V2,
            ),
            ("Xception, 71", applications.Xception, 71, (-1.0, 1.0), {"last": "block2_pool"}),
            ("InceptionV3, 75", applications.InceptionV3, 75, (-1.0, 1.0), {"last": "mixed0"}),
        )
    },
}
