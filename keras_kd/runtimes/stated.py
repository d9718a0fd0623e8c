"""What a user says of a model's file, where the file itself doesn't tell."""

from __future__ import annotations

from dataclasses import dataclass

from keras_kd.datasets.pixel_values import PixelValues


@dataclass(frozen=True)
class Stated:
    """A statement about one model's file; None for what isn't stated.

    Attributes:
        input_shape: height, width, channels.
        pixels: what the model takes for pixels 0..255.
        output: "logits" or "probabilities".
        class_names: of its outputs, in order.
        head: name of the output of classes to use, of several.
    """

    input_shape: tuple[int, int, int] | None = None
    pixels: PixelValues | None = None
    output: str | None = None
    class_names: tuple[str, ...] | None = None
    head: str | None = None


NOTHING = Stated()
