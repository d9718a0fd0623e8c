"""The content of a bundle's `preprocess.json` and `example.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_kd.datasets.class_names import LABELS_FILE, distinct
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.runtimes.litert import LiteRTModel

if TYPE_CHECKING:
    import keras

    from keras_kd.models.output_kinds import OutputKind


def preprocess(
    model: keras.Model,
    file: LiteRTModel,
    outputs: dict[str, np.ndarray],
    taken: PixelValues | None,
    outside: PixelValues,
    output: OutputKind | None,
) -> dict:
    """Return the content of `preprocess.json`.

    Args:
        model: the model that was converted.
        file: its file.
        outputs: the file's outputs by name for one image.
        taken: the pixel values that the model takes; None if nobody states them.
        outside: the pixel values that the app has to feed.
        output: what the model's outputs of classes are, as for `export`.

    Returns:
        JSON values.
    """
    from keras_kd.exporters import _output_kinds  # brings Keras
    from keras_kd.models import heads

    app = file.input_dtype == np.uint8
    first = _inside(file.input_shape, tuple(model.inputs[0].shape[1:]), taken if app else None)
    if heads.gives_one_number(model):
        output = _output_kinds.known_of_two_classes(model, output)
    last = "sigmoids" if "sigmoids" in (output, heads.output_kind(model)) else "softmax"
    return {
        "input": {
            "name": "image",
            "shape": [1, *file.input_shape],
            "dtype": file.input_dtype.name,
            "range": [0, 255],
            **_quantization(file),
            **({} if outside.plain else {"normalisation": str(outside)}),
            "color": "gray" if file.input_shape[2] == 1 else "RGB",
            "order": "rows from the top, pixels from the left, then channels",
        },
        "inside_the_file": [*first, last] if app else first if outside.plain else ["nothing else"],
        **({"normalisation": taken.facts()} if taken else {}),
        "outputs": {name: [1, *values.shape[1:]] for name, values in outputs.items()},
        "labels": LABELS_FILE,
    }


def _quantization(file: LiteRTModel) -> dict[str, Any]:
    """Scale and zero point of an int8 or int16 input."""
    if file.input_dtype.kind != "i" or file.input_limits is None:
        return {}
    low, high = file.input_limits
    integers = np.iinfo(file.input_dtype)
    scale = (high - low) / (integers.max - integers.min)
    return {"quantization": {"scale": scale, "zero_point": round(integers.min - low / scale)}}


def _inside(
    given: tuple[int, ...], taken: tuple[int, ...], values: PixelValues | None
) -> list[str]:
    """What the file itself does first to an image of the shape `given`, for a model of images of
    the shape `taken` and of certain pixel values.
    """
    resized = (
        []
        if given[:2] == taken[:2]
        else [f"resize to {taken[0]}x{taken[1]}, bilinear, exactly as Pillow"]
    )
    coloured = [] if given[2] == taken[2] else ["gray to RGB" if given[2] == 1 else "RGB to gray"]
    stated = values is not None and not values.plain
    return [*resized, *coloured, f"normalisation ({values})" if stated else "normalisation"]


def example(outputs: dict[str, np.ndarray], class_names: tuple[str, ...], tolerance: float) -> dict:
    """Return the content of `example.json`.

    Args:
        outputs: the file's outputs by name for the worked example.
        class_names: the labels, in the order of the outputs.
        tolerance: by how much an app's outputs may differ.

    Returns:
        JSON values.
    """
    values = {
        name: [round(float(value), 6) for value in rows[0].ravel()]
        for name, rows in outputs.items()
    }
    named = {
        name: dict(zip(distinct(class_names), row, strict=True))
        if len(row) == len(class_names)
        else row
        for name, row in values.items()
    }
    return {"image": "example.png", **named, "tolerance": tolerance}
