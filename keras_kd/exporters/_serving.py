"""A model with the input and output of a profile, as a SavedModel of one named function."""

from __future__ import annotations

import functools
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_kd._common import system_errors
from keras_kd._common.quiet import native_output_hidden
from keras_kd._common.text import reason_of_call
from keras_kd.datasets.pixel_values import USUAL, PixelValues
from keras_kd.errors import ExportError
from keras_kd.exporters import _front_end
from keras_kd.models import heads
from keras_kd.models.output_kinds import OutputKind
from keras_kd.models.spec import ModelSpec


class Serving:
    """What a file computes for one image.

    Args:
        model: float32 inside, `pixels` in.
        io: "float", "app" or "int8"; the last is "float" here, quantized by the converter.
        app_input: (H, W, C) of the image that "app" takes.
        original: the model as it was built, for formats that hold its weights and not its graph;
            None: `model`.
        pixels: what the model takes for pixels 0..255.
        float_layers: names of layers that int8 leaves in float32.
        kinds: what the outputs of classes are, by name; None for what the graph shows.
        class_names: the labels, or None.

    Attributes:
        input_shape: (H, W, C) that the file takes.
        input_dtype: tf.uint8 for "app", else the model's own.
        output_names: names of the outputs, in the model's order.
    """

    def __init__(
        self,
        model: keras.Model,
        io: str,
        app_input: tuple[int, int, int],
        original: keras.Model | None = None,
        pixels: PixelValues = USUAL,
        float_layers: tuple[str, ...] = (),
        kinds: Mapping[str, OutputKind] | None = None,
        class_names: tuple[str, ...] | None = None,
    ):
        self.model = model
        self.original = model if original is None else original
        self.io = io
        self.pixels = pixels
        self.float_layers = float_layers
        self.class_names = class_names
        self.app = io == "app"
        self.input_shape = tuple(app_input) if self.app else tuple(model.inputs[0].shape[1:])
        self.input_dtype = tf.uint8 if self.app else tf.as_dtype(model.inputs[0].dtype)
        names = heads.names(model)
        self.kinds = (
            {name: heads.output_kind(model, name) for name in names} if kinds is None else kinds
        )
        self.output_names = [self._probabilities(name) for name in names] if self.app else names

    def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Compute the outputs by name, for one or more images of `input_shape`."""
        if not self.app:
            return outputs_by_name(self.model, image)
        pixels = self.in_range(_front_end.pixels(image, self.model.inputs[0].shape[1:]))
        pixels = tf.cast(pixels, self.model.inputs[0].dtype)
        return self.probabilities(outputs_by_name(self.model, pixels))

    def in_range(self, pixels: Any) -> Any:
        """Turn pixels 0..255 into what the model takes, arrays or tensors."""
        return self.pixels.of(pixels)

    def spec(self, known: PixelValues | None) -> ModelSpec:
        """What the file takes and gives, for its own description.

        Args:
            known: what the model takes for pixels 0..255; None where nobody says.
        """
        names = self.output_names
        shares = (
            any("probabilities" in name for name in names)
            or self._gives_found_probabilities()
            or self._gives_one_sigmoid()
        )
        output = "probabilities" if shares else "logits"
        height, width, channels = self.input_shape
        pixels = USUAL if self.app else known
        return ModelSpec(self.class_names, pixels, output, (height, width, channels))

    def _gives_found_probabilities(self) -> bool:
        """Whether the only output is of probabilities, which the graph need not show."""
        return list(self.kinds.values()) == ["probabilities"] and len(self.output_names) == 1

    def _gives_one_sigmoid(self) -> bool:
        if not heads.gives_one_number(self.model):
            return False
        (name,) = heads.names(self.model)
        return (self.kinds.get(name) or heads.output_kind(self.model)) == "sigmoids"

    def as_input(self, images: np.ndarray) -> np.ndarray:
        """Turn pixels 0..255 into what the file takes."""
        dtype = self.input_dtype.as_numpy_dtype
        return images if self.app else self.in_range(images).astype(dtype)

    def _probabilities(self, name: str) -> str:
        widths = heads.widths(self.model)
        if widths[name] == 1:
            return name
        return "probabilities" if len(widths) == 1 else f"{name}_probabilities"

    def probabilities(self, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Turn logits into probabilities; probabilities, independent sigmoids, and outputs of one
        value, e.g. valence, stay as they are.
        """
        results = [self._shares(name, values) for name, values in outputs.items()]
        return dict(zip(self.output_names, results, strict=True))

    def _shares(self, name: str, values: tf.Tensor) -> tf.Tensor:
        are_shares = self.kinds.get(name) in ("probabilities", "sigmoids")
        logits = values.shape[-1] > 1 and not are_shares
        return tf.nn.softmax(values) if logits else values

    def specification(self, batch: int | None = 1) -> tf.TensorSpec:
        """The input `image` for `batch` images; None: any number."""
        return tf.TensorSpec((batch, *self.input_shape), self.input_dtype, name="image")

    @functools.cached_property
    def saved_model(self) -> Path:
        """The folder of a SavedModel for one image, which is removed with this object.

        Raises:
            ExportError: a layer holds a look-up table, which no converter takes.
        """
        temporary = tempfile.mkdtemp()
        weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
        folder = Path(temporary) / "graph"
        archive = keras.export.ExportArchive()
        # Under this name the function is saved once; under others Keras adds it as this one.
        archive.add_endpoint(
            "serving_default", self.__call__, input_signature=[self.specification(1)]
        )
        # A converter needs no gradients, whose tracing takes longer than that of the model.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        try:
            with _written_natively():
                archive.write_out(str(folder), options, verbose=False)
        except AssertionError as error:
            # Keras finds the function's variables. It would look through all attributes of all
            # layers for tables if the model was tracked, in half of the time of an export.
            raise ExportError(
                f"{self.model.name} can't be converted, because a layer holds a look-up table:"
                " replace it, or export as saved_model."
            ) from error
        return folder

    def write_saved_model(self, folder: str | Path) -> None:
        """Write a SavedModel that takes `image`, of any number of images."""
        archive = keras.export.ExportArchive()
        # Look-up tables are saved with what is tracked.
        archive.track(self.model)
        archive.add_endpoint("serve", self.__call__, input_signature=[self.specification(None)])
        with _written_natively():
            archive.write_out(str(folder), verbose=False)


@contextmanager
def _written_natively() -> Iterator[None]:
    """Hide what TensorFlow prints as it writes, and tell the system's refusals, as of a full disk,
    from its own errors.
    """
    try:
        with native_output_hidden():
            yield
    except tf.errors.OpError as error:
        raise system_errors.in_words(error) or error from error


def outputs_by_name(model: keras.Model, image: tf.Tensor) -> dict[str, tf.Tensor]:
    """Compute a model's outputs in inference mode, by name.

    Raises:
        ExportError: the model can't compute as many images at once, or not even one.
    """
    try:
        return heads.by_name(model, model(image, training=False))
    except (tf.errors.OpError, ValueError) as error:  # of TensorFlow, and of Keras' layers
        _require_one(model, image[:1])
        raise ExportError(
            f"{model.name} can't compute {image.shape[0]} images at once"
            f" ({reason_of_call(error)}): build it so that each image is computed without the"
            " others, e.g. with axes of one place between those that are added."
        ) from error


def _require_one(model: keras.Model, image: tf.Tensor) -> None:
    """Refuse a model that can't compute one image either, so that their number isn't the cause;
    nothing of one that was built for another number.
    """
    if model.inputs[0].shape[0] not in (None, 1):
        return
    try:
        model(image, training=False)
    except (tf.errors.OpError, ValueError) as error:
        raise ExportError(
            f"{model.name} can't compute an image of {tuple(image.shape[1:])}"
            f" ({reason_of_call(error)}): mend the layer that says so."
        ) from error
