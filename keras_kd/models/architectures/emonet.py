"""EmoNet (Toisoul et al., Nature Machine Intelligence 3, 42-50, 2021): expression, valence and
arousal of faces.

Written from a description of the architecture, not from its authors' code. A face alignment network
of two hourglasses finds 68 landmarks. Its features, masked by the landmarks' heatmaps, are the
input of a second part, which is trained on emotions while the first part is frozen. Layers have the
names of the published weights.
"""

from __future__ import annotations

import keras
from keras import layers

from keras_kd.errors import ModelError
from keras_kd.models.architectures._parts import Heads, Seeds, conv, dense, norm, outputs, rgb

NAMES = ("emonet",)
INPUT_SHAPE = (256, 256, 3)
VALUES = ("valence", "arousal")

LANDMARKS = 68
WIDTH = 256
DEPTH = 4
# What learns emotions; all other layers belong to the face alignment.
EMOTION_PREFIXES = ("conv1x1_input_emo_2", "emo_net_2.", "emo_fc_2.")


@keras.saving.register_keras_serializable("keras_kd")
class SumOfMaps(layers.Layer):
    """Sums maps, (N, H, W, maps) -> (N, H, W, 1). This is a layer, because models with bare
    operations can't be rebuilt in another precision.
    """

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        """Return the sum over the last axis."""
        return keras.ops.sum(maps, axis=-1, keepdims=True)


def build(
    name: str,
    heads: Heads,
    input_shape: tuple[int, int, int],
    dropout: tuple[float, float] | None,
    seed: int | None,
) -> keras.Model:
    """Build EmoNet, which has no dropout. Arguments: see `models`."""
    if input_shape[:2] != INPUT_SHAPE[:2] or input_shape[2] not in (1, 3):
        raise ModelError(
            f"{name} takes images of 256x256 pixels with 1 or 3 channels. Received:"
            f" input_shape={input_shape}; `--image-size 256` loads data so."
        )
    seeds = Seeds(seed)
    image = keras.Input(input_shape, name="image")
    stem = _stem(layers.Rescaling(1 / 255, name="normalise")(rgb(image)), seeds)
    features, heatmaps = _alignment(stem, seeds)
    mask = SumOfMaps(name="mask")(heatmaps)
    masked = layers.Multiply(name="masked")([layers.Concatenate(name="features")(features), mask])
    x = conv(
        layers.Concatenate(name="all_features")([stem, masked]),
        WIDTH,
        1,
        "conv1x1_input_emo_2",
        seeds,
    )
    for index in (0, 2, 4, 6):
        x = _pool(_block(x, WIDTH, f"emo_net_2.{index}", seeds), f"emo_net_2.{index + 1}")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = norm(dense(x, 128, "emo_fc_2.0", seeds), "emo_fc_2.1")
    x = layers.ReLU(name="emo_fc_2.2")(x)
    return keras.Model(image, outputs(x, heads, "emo_fc_2.3", seeds), name=name)


def freeze_alignment(model: keras.Model) -> None:
    """Freeze all but the part that is trained on emotions, as the authors do: 1,856,906 of
    13,963,410 parameters stay trainable.

    Args:
        model: EmoNet, which is changed.
    """
    heads = set(model.output) if isinstance(model.output, dict) else set()
    for layer in model.layers:
        layer.trainable = layer.name.startswith(EMOTION_PREFIXES) or layer.name in heads


def _stem(image: keras.KerasTensor, seeds: Seeds) -> keras.KerasTensor:
    x = layers.ReLU(name="relu1")(norm(conv(image, 64, 7, "conv1", seeds, stride=2), "bn1"))
    x = _pool(_block(x, 128, "conv2", seeds), "pool2")
    return _block(_block(x, 128, "conv3", seeds), WIDTH, "conv4", seeds)


def _alignment(
    stem: keras.KerasTensor, seeds: Seeds
) -> tuple[list[keras.KerasTensor], keras.KerasTensor]:
    """Two stacked hourglasses: their features, and the second one's heatmaps."""
    x, features = stem, []
    for stack in (0, 1):
        y = _block(_hourglass(x, DEPTH, f"m{stack}", seeds), WIDTH, f"top_m_{stack}", seeds)
        y = norm(conv(y, WIDTH, 1, f"conv_last{stack}", seeds), f"bn_end{stack}")
        y = layers.ReLU(name=f"relu_end{stack}")(y)
        heatmaps = conv(y, LANDMARKS, 1, f"l{stack}", seeds)
        if stack == 0:
            y = conv(y, WIDTH, 1, "bl0", seeds)
            x = layers.Add(name="stacked")([x, y, conv(heatmaps, WIDTH, 1, "al0", seeds)])
        features.append(y)
    return features, heatmaps


def _hourglass(x: keras.KerasTensor, level: int, name: str, seeds: Seeds) -> keras.KerasTensor:
    up = _block(x, WIDTH, f"{name}.b1_{level}", seeds)
    low = _block(_pool(x, f"{name}.pool_{level}"), WIDTH, f"{name}.b2_{level}", seeds)
    low = (
        _hourglass(low, level - 1, name, seeds)
        if level > 1
        else _block(low, WIDTH, f"{name}.b2_plus_1", seeds)
    )
    low = _block(low, WIDTH, f"{name}.b3_{level}", seeds)
    low = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}.up_{level}")(low)
    return layers.Add(name=f"{name}.add_{level}")([up, low])


def _block(x: keras.KerasTensor, filters: int, name: str, seeds: Seeds) -> keras.KerasTensor:
    """Three convolutions, each fed by the one before and all kept, beside a shortcut; normalised
    before each.
    """
    parts, y = [], x
    for index, share in ((1, 2), (2, 4), (3, 4)):
        y = layers.ReLU(name=f"{name}.relu{index}")(norm(y, f"{name}.bn{index}"))
        y = conv(y, filters // share, 3, f"{name}.conv{index}", seeds, bias=False)
        parts.append(y)
    if x.shape[-1] != filters:
        x = layers.ReLU(name=f"{name}.downsample.1")(norm(x, f"{name}.downsample.0"))
        x = conv(x, filters, 1, f"{name}.downsample.2", seeds, bias=False)
    return layers.Add(name=f"{name}.add")([layers.Concatenate(name=f"{name}.concat")(parts), x])


def _pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.MaxPooling2D(2, name=name)(x)
