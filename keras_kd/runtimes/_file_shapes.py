"""The images that a model file takes, and the rows of numbers that it gives, by its shapes."""

from __future__ import annotations

import math
from dataclasses import replace

from keras_kd.datasets import images as pixels
from keras_kd.errors import ModelError
from keras_kd.models.spec import OUTPUTS, ModelSpec


def sized(spec: ModelSpec, own: tuple[int | None, ...]) -> ModelSpec:
    """The specification with the input that the file fixes itself, if nothing else was stated."""
    if spec.input_shape is None and None not in own and len(own) == 3:
        spec = replace(spec, input_shape=own)
    require_known(spec)
    require_shape(own, spec)
    return spec


def require_known(spec: ModelSpec) -> None:
    if spec.input_shape is None:
        raise ModelError(
            "The model takes images of any size: state one with "
            "--input HEIGHTxWIDTHxCHANNELS or ModelSpec(input_shape=...)."
        )
    if min(spec.input_shape) < 1 or math.prod(spec.input_shape[:2]) > pixels.MAX_PIXELS:
        raise ModelError(
            f"The model takes images of shape {spec.input_shape}: expected height and width of 1 or"
            f" more, and {pixels.MAX_PIXELS:,} pixels at most."
        )
    if spec.input_shape[2] not in (1, 3):
        is_first = spec.input_shape[0] in (1, 3)
        raise ModelError(
            f"The model takes inputs of shape {spec.input_shape}: expected height, width and 1 or "
            "3 channels, in this order; "
            + (
                "a model of another order needs a Permute layer before it."
                if is_first
                else "put a layer before it that makes its channels of gray or RGB."
            )
        )
    if spec.output not in OUTPUTS:
        raise ModelError(f"output must be one of {', '.join(OUTPUTS)}. Received: {spec.output!r}.")


def require_shape(own: tuple[int | None, ...], spec: ModelSpec) -> None:
    if len(own) != 3 or any(
        size not in (None, given) for size, given in zip(own, spec.input_shape, strict=True)
    ):
        raise ModelError(
            f"The model takes inputs of shape {own}, not images of shape {spec.input_shape}: "
            "check --input and that it takes height, width, channels."
        )


def columns(shapes: dict[str, tuple[int | None, ...]], head: str | None = None) -> dict[str, int]:
    """Return the columns of each output that is one row of numbers for an image.

    Args:
        shapes: of the outputs by name, without the batch axis.
        head: the output of classes that is chosen; maps and single numbers beside it are left out.

    Raises:
        ModelError: there is no output, or one is a map, or a single number without an axis of its
            own, and no other is chosen.
    """
    if not shapes:
        raise ModelError(
            "The model has no output of numbers: give one that returns the scores of all classes."
        )
    rows = {
        name: shape[-1]
        for name, shape in shapes.items()
        if shape and shape[-1] is not None and all(size == 1 for size in shape[:-1])
    }
    others = [name for name in shapes if name not in rows]
    if others and head not in rows:
        wrong = head if head in others else others[0]
        choice = f", so choose {' or '.join(rows)} by --head" if rows and head is None else ""
        raise ModelError(
            f"The model's output {wrong} has the shape {shapes[wrong]} for an image: expected one"
            f" row of numbers, those of classes or a value{choice}."
        )
    return rows
