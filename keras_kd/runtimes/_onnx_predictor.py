"""`.onnx` files as predictors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_kd.models.keras_file import ModelSpec
from keras_kd.runtimes import onnx_runtime
from keras_kd.runtimes._file_predictor import FilePredictor, sized
from keras_kd.runtimes.onnx_runtime import OnnxModel


class OnnxPredictor(FilePredictor):
    """An `.onnx` file on ONNX Runtime. Needs the extra `onnx`.

    Args:
        path: the file.
        form: what it takes and gives; `input_shape` is needed where the file leaves sizes open.
    """

    def __init__(self, path: str | Path, form: ModelSpec) -> None:
        self._model = OnnxModel(path)
        self._know(self._model.output_widths)
        self.form = sized(form, self._model.input_shape)
        self.content = [file.read_bytes() for file in onnx_runtime.files(path)]
        self.graph_kind = "unknown"

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        return self._model.predict_heads(pixels)
