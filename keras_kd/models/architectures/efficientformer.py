"""EfficientFormer L1 and L3 (Li et al. 2022, arXiv 2206.01191): convolutions first, attention in
the last blocks.

Layers have the names of the published weights. The two heads, one of which was trained on a
teacher's decisions, are averaged, as in the published inference.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_kd.errors import ModelError
from keras_kd.models.architectures._parts import (
    Heads,
    Seeds,
    conv,
    dense,
    head_dropout,
    imagenet_normalised,
    norm,
    outputs,
)

WIDTHS = {"efficientformer-l1": (48, 96, 224, 448), "efficientformer-l3": (64, 128, 320, 512)}
DEPTHS = {"efficientformer-l1": (3, 2, 6, 4), "efficientformer-l3": (4, 4, 12, 6)}
ATTENTION_BLOCKS = {"efficientformer-l1": 1, "efficientformer-l3": 4}
NAMES = tuple(WIDTHS)
INPUT_SHAPE = (224, 224, 3)

RATIO = 4
FIRST_SCALE = 1e-5
EPSILON = 1e-5


@keras.saving.register_keras_serializable("keras_kd")
class LayerScale(layers.Layer):
    """Multiplies each channel by a trained factor, 1e-5 at first (Touvron et al. 2021, arXiv
    2103.17239).
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the factors, one for each channel."""
        initial = keras.initializers.Constant(FIRST_SCALE)
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer=initial, name="scale")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Return (N, ..., C) with scaled channels."""
        return x * keras.ops.cast(self.scale, x.dtype)


@keras.saving.register_keras_serializable("keras_kd")
class Attention(layers.Layer):
    """Self-attention over the places of a map, with a learnt bias for each distance (Graham et al.,
    arXiv 2104.01136).

    Args:
        size: rows and columns of the map, whose places are the tokens, row by row.
        heads: number of heads.
        key: width of a head's queries and keys.
        value: width of a head's values.
        seeds: of the initial weights of the layers before and after the attention; None for fresh
            ones.

    Input and output: (N, rows·columns, channels).
    """

    def __init__(
        self,
        size: tuple[int, int],
        heads: int = 8,
        key: int = 32,
        value: int = 128,
        seeds: tuple[int | None, int | None] = (None, None),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.heads, self.key, self.value, self.seeds = (
            tuple(size),
            heads,
            key,
            value,
            tuple(seeds),
        )

    @property
    def distances(self) -> np.ndarray:
        """Index of the bias for the distance (|rows|, |columns|) of two tokens, int64 (tokens,
        tokens).
        """
        places = np.stack(np.meshgrid(*map(np.arange, self.size), indexing="ij"), axis=-1).reshape(
            -1, 2
        )
        rows, columns = np.abs(places[:, None] - places[None]).transpose(2, 0, 1)
        return rows * self.size[1] + columns

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the layers and the biases."""
        mixed = self.heads * self.value
        self.qkv = self._dense(
            2 * self.heads * self.key + mixed, input_shape[-1], self.seeds[0], "qkv"
        )
        self.proj = self._dense(input_shape[-1], mixed, self.seeds[1], "proj")
        shape = (self.heads, self.size[0] * self.size[1])
        self.biases = self.add_weight(shape=shape, initializer="zeros", name="biases")

    def _dense(self, units: int, inputs: int, seed: int | None, name: str) -> layers.Dense:
        initial = keras.initializers.GlorotUniform(seed)
        layer = layers.Dense(units, kernel_initializer=initial, dtype=self.dtype_policy, name=name)
        layer.build((None, inputs))
        return layer

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Return (N, tokens, channels) for tokens of the same shape."""
        tokens = self.size[0] * self.size[1]
        each = keras.ops.reshape(self.qkv(x), (-1, tokens, self.heads, 2 * self.key + self.value))
        each = keras.ops.transpose(each, (0, 2, 1, 3))
        query, key, value = keras.ops.split(each, [self.key, 2 * self.key], axis=-1)
        scores = keras.ops.matmul(query, keras.ops.transpose(key, (0, 1, 3, 2))) * self.key**-0.5
        biases = keras.ops.take(self.biases, self.distances, axis=1)
        weights = keras.ops.softmax(scores + keras.ops.cast(biases, scores.dtype))
        mixed = keras.ops.transpose(keras.ops.matmul(weights, value), (0, 2, 1, 3))
        return self.proj(keras.ops.reshape(mixed, (-1, tokens, self.heads * self.value)))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments by name."""
        own = {
            "size": self.size,
            "heads": self.heads,
            "key": self.key,
            "value": self.value,
            "seeds": self.seeds,
        }
        return {**super().get_config(), **own}


def build(
    name: str,
    heads: Heads,
    input_shape: tuple[int, int, int],
    dropout: tuple[float, float] | None,
    seed: int | None,
) -> keras.Model:
    """Build EfficientFormer. Arguments: see `models`.

    The second rate of dropout applies before the heads, the first is not used. None is 0.
    """
    height, width, channels = input_shape
    if height % 32 or width % 32 or min(height, width) < 32 or channels not in (1, 3):
        raise ModelError(
            f"{name} takes images whose height and width are multiples of 32, with 1 or 3 channels."
            f" Received: input_shape={input_shape}."
        )
    seeds = Seeds(seed)
    widths = WIDTHS[name]
    image = keras.Input(input_shape, name="image")
    x = imagenet_normalised(image)
    for index, filters in ((0, widths[0] // 2), (3, widths[0])):
        x = norm(
            conv(x, filters, 3, f"patch_embed.{index}", seeds, stride=2), f"patch_embed.{index + 1}"
        )
        x = layers.ReLU(name=f"patch_embed.{index + 2}")(x)
    for stage, (filters, depth) in enumerate(zip(widths, DEPTHS[name], strict=True)):
        if stage:
            prefix = f"network.{2 * stage - 1}"
            x = norm(conv(x, filters, 3, f"{prefix}.proj", seeds, stride=2), f"{prefix}.norm")
        x = _stage(
            x, f"network.{2 * stage}", depth, ATTENTION_BLOCKS[name] if stage == 3 else 0, seeds
        )
    x = layers.LayerNormalization(epsilon=EPSILON, name="norm")(x)
    x = layers.GlobalAveragePooling1D(name="average")(x)
    x = head_dropout(x, dropout, seeds)
    return keras.Model(image, _averaged_heads(x, heads, seeds), name=name)


def _stage(
    x: keras.KerasTensor, name: str, depth: int, attention: int, seeds: Seeds
) -> keras.KerasTensor:
    for index in range(depth - attention):
        x = _pooling_block(x, f"{name}.{index}", seeds)
    if not attention:
        return x
    # The flattening counts in the published numbering.
    _, rows, columns, channels = x.shape
    x = layers.Reshape((rows * columns, channels), name=f"{name}.{depth - attention}")(x)
    for index in range(depth - attention + 1, depth + 1):
        x = _attention_block(x, (rows, columns), f"{name}.{index}", seeds)
    return x


def _pooling_block(x: keras.KerasTensor, name: str, seeds: Seeds) -> keras.KerasTensor:
    pooled = layers.AveragePooling2D(3, 1, "same", name=f"{name}.token_mixer.pool")(x)
    # Less the input, which the residual connection adds again.
    mixed = layers.Subtract(name=f"{name}.token_mixer")([pooled, x])
    x = _scaled(x, mixed, f"{name}.layer_scale_1")
    channels = x.shape[-1]
    y = norm(conv(x, RATIO * channels, 1, f"{name}.mlp.fc1", seeds), f"{name}.mlp.norm1")
    y = layers.Activation("gelu", name=f"{name}.mlp.act")(y)
    y = norm(conv(y, channels, 1, f"{name}.mlp.fc2", seeds), f"{name}.mlp.norm2")
    return _scaled(x, y, f"{name}.layer_scale_2")


def _attention_block(
    x: keras.KerasTensor, size: tuple[int, int], name: str, seeds: Seeds
) -> keras.KerasTensor:
    y = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}.norm1")(x)
    x = _scaled(
        x,
        Attention(size, seeds=(seeds(), seeds()), name=f"{name}.token_mixer")(y),
        f"{name}.layer_scale_1",
    )
    y = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}.norm2")(x)
    channels = x.shape[-1]
    y = dense(y, RATIO * channels, f"{name}.mlp.fc1", seeds, "gelu")
    return _scaled(x, dense(y, channels, f"{name}.mlp.fc2", seeds), f"{name}.layer_scale_2")


def _scaled(x: keras.KerasTensor, y: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.Add(name=f"{name}.add")([x, LayerScale(name=name)(y)])


def _averaged_heads(
    x: keras.KerasTensor, heads: Heads, seeds: Seeds
) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
    """Each output as the mean of two dense layers, `head` and `dist_head`, followed by the output's
    name if named.
    """
    if isinstance(heads, int):
        pair = [outputs(x, heads, name, seeds) for name in ("head", "dist_head")]
        return layers.Average(dtype="float32", name="logits")(pair)
    both = {
        head: [
            dense(x, classes or 1, f"{name}.{head}", seeds, dtype="float32")
            for name in ("head", "dist_head")
        ]
        for head, classes in heads.items()
    }
    return {head: layers.Average(dtype="float32", name=head)(pair) for head, pair in both.items()}
