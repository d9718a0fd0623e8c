"""The values that a model expects for the pixels of an image, stated once for all commands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd.errors import ConfigError

CHANNEL_ORDERS = ("rgb", "bgr")
PIXELS, UNIT = (0.0, 255.0), (0.0, 1.0)
# Stands for no range; compared by identity, since no such numbers are a range.
_UNSTATED = (math.nan, math.nan)


def _numbers(name: str, given: Any) -> tuple[float, ...]:
    try:
        return tuple(map(float, given))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be numbers. Received: {given!r}.") from error


@dataclass(frozen=True)
class PixelValues:
    """The values that a model expects for pixels 0..255: (range(pixel) - mean) / std.

    Keras' mode "tf" is the range -1, 1. torchvision and timm use the range 0, 1 with mean and std.
    Caffe uses the range 0, 255 with a mean and the channel order "bgr".

    Attributes:
        value_range: the values of pixels 0 and 255 before mean and std. Without it, mean and std
            refer to pixels 0..1 if none of them is above 1, as torchvision's do, and else to pixels
            0..255, as Caffe's do.
        mean: what is subtracted, in units of the range: empty for 0, one number, or one for each
            channel in the model's channel order.
        std: what is divided by, likewise; each above 0.
        channel_order: "rgb" or "bgr"; it has no effect on gray images.

    Raises:
        ConfigError: an attribute has another type or value.
    """

    value_range: tuple[float, float] = _UNSTATED
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channel_order: str = "rgb"

    def __post_init__(self) -> None:
        stated = self.value_range is not _UNSTATED
        if stated:
            object.__setattr__(self, "value_range", _numbers("range", self.value_range))
        for name in ("mean", "std"):
            numbers = _numbers(name, getattr(self, name))
            object.__setattr__(self, name, numbers)
            if len(numbers) not in (0, 1, 3) or not all(map(math.isfinite, numbers)):
                raise ConfigError(
                    f"{name} must be one number, or three, one a channel. Received: {numbers}."
                )
        if not stated:
            numbers = self.mean + self.std
            range_of_them = UNIT if numbers and max(numbers) <= 1 else PIXELS
            object.__setattr__(self, "value_range", range_of_them)
        if len(self.value_range) != 2:
            raise ConfigError(f"range must be two different numbers. Received: {self.value_range}.")
        low, high = self.value_range
        if not (math.isfinite(low) and math.isfinite(high)) or low == high:
            raise ConfigError(f"range must be two different numbers. Received: {low:g},{high:g}.")
        if any(deviation <= 0 for deviation in self.std):
            raise ConfigError(f"std must be above 0. Received: {self.std}.")
        if self.channel_order not in CHANNEL_ORDERS:
            raise ConfigError(
                f"channel_order must be rgb or bgr. Received: {self.channel_order!r}."
            )

    @property
    def plain(self) -> bool:
        """Whether the model expects the pixels as they are."""
        return self.range_alone and self.value_range == PIXELS

    @property
    def range_alone(self) -> bool:
        """Whether mean, std and channel order are the usual ones, so that the range says it all."""
        return not self.mean and not self.std and self.channel_order == "rgb"

    def of(self, pixels: Any) -> Any:
        """Return the values that the model expects for pixels.

        Args:
            pixels: 0..255, (..., C): an array, or a tensor of TensorFlow or Keras.

        Returns:
            float32 of the same shape; plain pixels are returned as they are.
        """
        if self.plain:
            return pixels
        if isinstance(pixels, np.ndarray):
            pixels = pixels.astype(np.float32)
        channels = int(pixels.shape[-1])
        if channels == 3 and self.channel_order == "bgr":
            pixels = _reversed(pixels)
        scale, offset = self.line(channels)
        return pixels * scale + offset

    def pixels(self, values: np.ndarray) -> np.ndarray:
        """Return the pixels for which the model expects given values.

        Args:
            values: float (..., C).

        Returns:
            float32 of the same shape, 0..255, not rounded.
        """
        scale, offset = self.line(values.shape[-1])
        pixels = (values - offset) / scale
        swapped = values.shape[-1] == 3 and self.channel_order == "bgr"
        return pixels[..., ::-1] if swapped else pixels

    def line(self, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scale and offset of each channel, in the model's channel order.

        Args:
            channels: C.

        Returns:
            Two arrays float32 (C,): expected value = scale·pixel + offset.

        Raises:
            ConfigError: mean or std have another number of channels.
        """
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (0, 1, channels):
                raise ConfigError(
                    f"{name} has {len(numbers)} numbers, and the model takes {channels} channels."
                )
        low, high = self.value_range
        mean, std = np.array(self.mean or 0.0), np.array(self.std or 1.0)
        scale = np.broadcast_to((high - low) / 255 / std, channels)
        offset = np.broadcast_to((low - mean) / std, channels)
        return scale.astype(np.float32), offset.astype(np.float32)

    def facts(self) -> dict[str, Any]:
        """Return the statement as JSON values: the range, and the other attributes that are not
        usual.
        """
        others = {"mean": list(self.mean), "std": list(self.std)}
        stated: dict[str, Any] = {name: numbers for name, numbers in others.items() if numbers}
        if self.channel_order != "rgb":
            stated["channel_order"] = self.channel_order
        return {"value_range": list(self.value_range), **stated}

    def __str__(self) -> str:
        """As the options state it."""
        parts = [f"--range {_listed(self.value_range)}"]
        parts += [f"--mean {_listed(self.mean)}"] if self.mean else []
        parts += [f"--std {_listed(self.std)}"] if self.std else []
        parts += ["--channel-order bgr"] if self.channel_order == "bgr" else []
        return " ".join(parts)


USUAL = PixelValues()
# A pair of numbers states the range alone.
PixelStatement = PixelValues | tuple[float, float]


def pixel_values(statement: PixelStatement) -> PixelValues:
    """Convert a statement to PixelValues.

    Args:
        statement: PixelValues, or a range (low, high).

    Returns:
        PixelValues.

    Raises:
        ConfigError: it is neither.
    """
    return statement if isinstance(statement, PixelValues) else PixelValues(statement)


def from_parts(
    value_range: tuple[float, float] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    channel_order: str | None = None,
) -> PixelValues | None:
    """Combine what a user states in separate options.

    Args:
        value_range: the values of pixels 0 and 255, or None, see PixelValues.
        mean: mean of each channel, or None.
        std: standard deviation of each channel, or None.
        channel_order: "rgb", "bgr" or None.

    Returns:
        PixelValues; None if nothing is stated.
    """
    if value_range is None and mean is None and std is None and channel_order is None:
        return None
    return PixelValues(value_range or _UNSTATED, mean or (), std or (), channel_order or "rgb")


def from_facts(facts: Mapping[str, Any]) -> PixelValues:
    """Read the statement that `PixelValues.facts` returned, from a file.

    Args:
        facts: the JSON values.

    Returns:
        PixelValues.

    Raises:
        ValueError: the statement is damaged.
    """
    try:
        return PixelValues(
            tuple(facts["value_range"]),
            tuple(facts.get("mean") or ()),
            tuple(facts.get("std") or ()),
            facts.get("channel_order") or "rgb",
        )
    except (ConfigError, TypeError, KeyError) as error:
        raise ValueError(f"its pixel values are damaged: {error}") from error


def _reversed(pixels: Any) -> Any:
    """The channels the other way round, of an array or a tensor."""
    if isinstance(pixels, np.ndarray):
        return pixels[..., ::-1]
    import keras

    return keras.ops.flip(pixels, axis=-1)


def _listed(numbers: tuple[float, ...]) -> str:
    return ",".join(f"{number:g}" for number in numbers)
