"""ResEmoteNet (Roy et al. 2024, arXiv 2409.10545) and its narrower students A, B, C.

The students scale every channel count by 1/2, 1/4, 1/8 (Mini-ResEmoteNet, Murtada et al. 2025,
arXiv 2501.18538, table II). Padding and batch normalisation follow PyTorch's conventions, so that
published weights fit: explicit zeros before strided convolutions, epsilon 1e-5, momentum 0.9.
"""

from __future__ import annotations

import keras
from keras import layers

from keras_kd.errors import ModelError

DIVISORS = {"resemotenet": 1, "A": 2, "B": 4, "C": 8}
# Trainable parameters of table II come out only if Student C's squeeze is 32 wide, not 256/8/16 = 2.
SQUEEZE_WIDTHS = {"resemotenet": 16, "A": 8, "B": 4, "C": 32}
NAMES = tuple(DIVISORS)

# Of torchvision's ImageNet models, used by the published teacher.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

PAPER_DROPOUT = (0.2, 0.5)


class _Seeds:
    """A different seed for every layer, all from one; None stays None."""

    def __init__(self, seed: int | None) -> None:
        self.seed = seed

    def __call__(self) -> int | None:
        if self.seed is not None:
            self.seed += 1
        return self.seed


def build(
    name: str,
    num_classes: int,
    input_shape: tuple[int, int, int],
    dropout: tuple[float, float] | None,
    seed: int | None,
) -> keras.Model:
    """Build the teacher or one of its students; see `keras_kd.models.build`."""
    height, width, channels = input_shape
    if min(height, width) < 8 or channels not in (1, 3):
        raise ModelError(
            f"{name} takes images of at least 8x8 pixels with 1 or 3 channels. Received: input_shape={input_shape}."
        )
    divisor = DIVISORS[name]
    conv_dropout, dense_dropout = PAPER_DROPOUT if dropout is None else dropout
    seeds = _Seeds(None if seed is None else seed * 1000)

    image = keras.Input(input_shape, name="image")
    x = layers.Concatenate(name="gray_to_rgb")([image] * 3) if channels == 1 else image
    x = layers.Rescaling(
        [1 / (255 * deviation) for deviation in IMAGENET_DEVIATION],
        [-mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)],
        name="normalise",
    )(x)
    for index, filters in enumerate((64, 128, 256), start=1):
        x = _conv(x, filters // divisor, 3, f"conv{index}", seeds)
        x = layers.ReLU(name=f"relu{index}")(_norm(x, f"bn{index}"))
        x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
        if index < 3:
            x = layers.Dropout(conv_dropout, seed=seeds(), name=f"drop{index}")(x)
    x = _squeeze_excite(x, SQUEEZE_WIDTHS[name], seeds)
    for index, filters in enumerate((512, 1024, 2048), start=1):
        x = _residual_block(x, filters // divisor, f"res_block{index}", seeds)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    for index, units in enumerate((1024, 512, 256), start=1):
        x = layers.Dense(units // divisor, "relu", name=f"fc{index}", **_initial(seeds))(x)
        x = layers.Dropout(dense_dropout, seed=seeds(), name=f"fc{index}_drop")(x)
    # float32 keeps the loss exact under mixed precision.
    logits = layers.Dense(num_classes, dtype="float32", name="fc4", **_initial(seeds))(x)
    return keras.Model(image, logits, name=name)


def _initial(seeds: _Seeds) -> dict[str, keras.initializers.Initializer]:
    return {"kernel_initializer": keras.initializers.GlorotUniform(seeds())}


def _conv(
    x: keras.KerasTensor, filters: int, size: int, name: str, seeds: _Seeds, stride: int = 1
) -> keras.KerasTensor:
    """PyTorch's padding=size//2: the same zeros on both sides, also at stride 2."""
    initial = keras.initializers.HeUniform(seeds())
    if stride > 1 and size > 1:
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    padding = "valid" if stride > 1 else "same"
    return layers.Conv2D(filters, size, stride, padding, name=name, kernel_initializer=initial)(x)


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def _squeeze_excite(x: keras.KerasTensor, width: int, seeds: _Seeds) -> keras.KerasTensor:
    channels = x.shape[-1]
    scale = layers.GlobalAveragePooling2D(keepdims=True, name="se_average")(x)
    scale = layers.Dense(width, "relu", use_bias=False, name="se_fc1", **_initial(seeds))(scale)
    scale = layers.Dense(channels, "sigmoid", use_bias=False, name="se_fc2", **_initial(seeds))(scale)
    return layers.Multiply(name="se_scale")([x, scale])


def _residual_block(x: keras.KerasTensor, filters: int, name: str, seeds: _Seeds) -> keras.KerasTensor:
    shortcut = _norm(_conv(x, filters, 1, f"{name}_shortcut", seeds, stride=2), f"{name}_shortcut_bn")
    x = layers.ReLU(name=f"{name}_relu1")(_norm(_conv(x, filters, 3, f"{name}_conv1", seeds, stride=2), f"{name}_bn1"))
    x = _norm(_conv(x, filters, 3, f"{name}_conv2", seeds), f"{name}_bn2")
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([x, shortcut]))
