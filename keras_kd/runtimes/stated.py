"""The user's statements about a model file without metadata."""

from __future__ import annotations

from dataclasses import dataclass

from keras_kd.datasets.pixel_values import PixelValues


@dataclass(frozen=True)
class Stated:
    """Statements about one model file; None for what is not stated.

    Attributes:
        input_shape: height, width, channels.
        pixels: the values that the model expects for pixels 0..255.
        output: "logits" or "probabilities".
        class_names: names of its outputs, in order.
        head: name of the class output to use, if there are several.
    """

    input_shape: tuple[int, int, int] | None = None
    pixels: PixelValues | None = None
    output: str | None = None
    class_names: tuple[str, ...] | None = None
    head: str | None = None


NOTHING = Stated()
