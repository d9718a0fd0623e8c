"""A model with the input and output of a profile, as a SavedModel of one named function."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from keras_kd.exporters import _model
from keras_kd.quiet import native_output_hidden


class Serving:
    """What a file computes for one image.

    Args:
        model: float32, pixels 0..255 in.
        io: "float", "app" or "int8"; the last is "float" here, quantised by the converter.
        app_input: (H, W, C) of the image that "app" takes.

    Attributes:
        input_shape: (H, W, C) that the file takes.
        input_dtype: tf.uint8 for "app", else tf.float32.
        output_names: names of the outputs, in the model's order.
    """

    def __init__(self, model: keras.Model, io: str, app_input: tuple[int, int, int]):
        self.model = model
        self.io = io
        self.app = io == "app"
        self.input_shape = tuple(app_input) if self.app else tuple(model.inputs[0].shape[1:])
        self.input_dtype = tf.uint8 if self.app else tf.float32
        self.output_names = _model.output_names(model)

    def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Compute the outputs by name, for one or more images."""
        return outputs_by_name(self.model, image)

    def write_saved_model(self, folder: str | Path) -> None:
        """Write a SavedModel whose only signature takes `image` of batch 1."""
        archive = keras.export.ExportArchive()
        archive.track(self.model)
        specification = tf.TensorSpec((1, *self.input_shape), self.input_dtype, name="image")
        archive.add_endpoint("serve", self.__call__, input_signature=[specification])
        with native_output_hidden():
            archive.write_out(str(folder), verbose=False)


def outputs_by_name(model: keras.Model, image: tf.Tensor) -> dict[str, tf.Tensor]:
    """Compute a model's outputs in inference mode, by name."""
    outputs = model(image, training=False)
    if isinstance(outputs, dict):
        return outputs
    return dict(zip(_model.output_names(model), keras.tree.flatten(outputs), strict=True))
