"""A model's inputs and outputs, as they are stored in the model's file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from keras_kd._common.checked_files import read_json
from keras_kd.datasets import class_names, pixel_values
from keras_kd.datasets.images import Size
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError

ENTRY = "keras_kd.json"  # beside the model, in its file
OUTPUTS = ("logits", "probabilities")
_SCHEMA = {
    "class_names": ([str], None),
    "value_range": [float],
    "mean": ([float], None),
    "std": ([float], None),
    "channel_order": (str, None),
    "output": str,
    "input_shape": ([int], None),
}


@dataclass(frozen=True)
class ModelSpec:
    """Inputs and outputs of a model.

    Attributes:
        class_names: one name for each output; None if the file does not state them.
        pixels: the values that the model expects for pixels 0..255; None if nobody states them, and
            then 0..255 is assumed.
        output: "logits" or "probabilities".
        input_shape: height, width and channels; None if unknown.
    """

    class_names: tuple[str, ...] | None = None
    pixels: PixelValues | None = None
    output: str = "logits"
    input_shape: tuple[int, int, int] | None = None

    @property
    def expected_pixels(self) -> PixelValues:
        """The values that the model expects for pixels 0..255, stated or assumed."""
        return self.pixels or PixelValues()

    def facts(self) -> dict[str, Any]:
        """Return the specification as JSON values."""
        return {
            "class_names": self.class_names and list(self.class_names),
            **self.expected_pixels.facts(),
            "output": self.output,
            "input_shape": self.input_shape and list(self.input_shape),
        }

    @property
    def size(self) -> Size | None:
        """The size in which images are loaded, so that they are resized once; None if unknown."""
        if self.input_shape is None:
            return None
        height, width, _ = self.input_shape
        return height if height == width else (height, width)

    def with_given(
        self,
        input_shape: tuple[int, int, int] | None = None,
        pixels: PixelValues | None = None,
        output: str | None = None,
        class_names: tuple[str, ...] | None = None,
    ) -> ModelSpec:
        """Return a copy in which the user's statements replace those of the file."""
        return replace(
            self,
            input_shape=input_shape or self.input_shape,
            pixels=pixels or self.pixels,
            output=output or self.output,
            class_names=class_names or self.class_names,
        )


def require_whole_pixels(spec: ModelSpec) -> None:
    """Refuse other pixel values than 0..255 for a model of whole numbers.

    Args:
        spec: what the model takes.

    Raises:
        ModelError: other values than 0..255 are stated.
    """
    if not replace(spec.expected_pixels, channel_order="rgb").plain:
        raise ModelError(
            f"The model takes whole numbers, but is stated to take {spec.expected_pixels}: such a "
            "model takes pixels of 0..255, so leave the statement out."
        )


def read_spec(text: str | bytes) -> ModelSpec:
    """Read the specification that `ModelSpec.facts` returned.

    Args:
        text: JSON.

    Returns:
        The specification.

    Raises:
        ValueError: it is damaged.
    """
    stored = read_json(text, _SCHEMA)
    names, shape, limits = stored["class_names"], stored["input_shape"], stored["value_range"]
    if wrong := class_names.problem(names or ()):
        raise ValueError(wrong)
    if len(limits) != 2 or (shape is not None and (len(shape) != 3 or min(shape) < 1)):
        raise ValueError(f"'value_range' is {limits} and 'input_shape' {shape}")
    pixels = pixel_values.from_facts(stored)
    return ModelSpec(names and tuple(names), pixels, stored["output"], shape and tuple(shape))
