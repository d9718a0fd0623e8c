"""`.tflite` files as predictors."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_kd.models.keras_file import ModelSpec
from keras_kd.runtimes import tflite_graph
from keras_kd.runtimes._file_predictor import FilePredictor
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.runtimes.multiply_accumulates import of_tflite


class LiteRTPredictor(FilePredictor):
    """A `.tflite` file on the LiteRT runtime, image by image as in an app.

    Args:
        path: the file.
        form: what it takes and gives; `input_shape` is the file's own.
    """

    def __init__(self, path: str | Path, form: ModelSpec) -> None:
        self._model = LiteRTModel(path)
        shapes = self._model.output_shapes
        widths = {name: math.prod(shape) for name, shape in shapes.items()}
        self._know(widths)
        self.form = replace(form, input_shape=self._model.input_shape)
        self._path = path
        self.content = [Path(path).read_bytes()]
        classes = [name for name in widths if name not in self.values]
        indices = self._model.output_indices
        self.graph_kind = (
            tflite_graph.output_kind(path, indices[classes[0]]) if classes else "unknown"
        )
        if self.graph_kind == "probabilities":
            self.form = replace(self.form, output="probabilities")

    @property
    def multiply_accumulates(self) -> int:
        """Of the file's own shape for one image."""
        return of_tflite(self._path)

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self._model.predict_heads(pixels)
        # Some converters leave axes of one before the classes.
        return {name: output.reshape(len(output), -1) for name, output in outputs.items()}
